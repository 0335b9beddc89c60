"""What the daemon gives back to the system."""

import ctypes
import os
from pathlib import Path

import pytest

from labelmirror.daemon.memory import give_back

PIECES, PIECE_BYTES = 20_000, 2_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc can be asked")
def test_what_is_free_between_what_stays_goes_back() -> None:
    pieces = [bytes(PIECE_BYTES) for _ in range(PIECES)]
    stays = pieces[::50]
    pieces.clear()
    before = resident_bytes()
    give_back()
    assert len(stays) == PIECES / 50
    assert before - resident_bytes() > PIECES * PIECE_BYTES / 2
