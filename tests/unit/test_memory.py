"""What the daemon gives back to the system."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labelmirror.daemon.memory import give_back

#: Threads allocate, and the C library writes what heaps there are. Pieces of 100 kB have mappings of their own.
HEAPS = """
import ctypes, gc, threading
from labelmirror.daemon.memory import keep_small
gc.set_threshold(10_000)
keep_small()
print("garbage after", gc.get_threshold()[0], flush=True)
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
def allocate(): assert library.malloc(ctypes.c_size_t(5_000)) and library.malloc(ctypes.c_size_t(100_000))
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
library.malloc_info(0, ctypes.c_void_p.in_dll(library, "stdout"))
library.fflush(None)
"""

PIECES, PIECE_BYTES = 20_000, 2_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc can be asked")


def test_threads_share_one_heap_what_is_large_stays_out_of_it_and_garbage_does_not_pile_up() -> None:
    told = subprocess.run([sys.executable, "-c", HEAPS], capture_output=True, text=True, check=True).stdout
    assert told.startswith("garbage after 700\n")
    assert told.count("<heap nr=") == 1
    (mapped,) = re.findall(r'<total type="mmap" count="(\d+)"', told)
    assert int(mapped) >= 4


def test_what_is_free_between_what_stays_goes_back() -> None:
    pieces = [bytes(PIECE_BYTES) for _ in range(PIECES)]
    stays = pieces[::50]
    pieces.clear()
    before = resident_bytes()
    give_back()
    assert len(stays) == PIECES / 50
    assert before - resident_bytes() > PIECES * PIECE_BYTES / 2
