"""Memory that a cycle needed and nobody needs now goes back to the system.

A daemon that runs for months must not keep what its busiest moments left behind. The calls are those of glibc, malloc_trim(3)
and mallopt(3); where the C library is another one, nothing is done.
"""

import ctypes
import gc
from collections.abc import Callable
from typing import Final

_LIBRARY: Final = ctypes.CDLL(None)
_TRIM: Final[Callable[[int], int] | None] = getattr(_LIBRARY, "malloc_trim", None)
#: Parameters of mallopt, as glibc's malloc.h numbers them.
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
#: What is larger has a mapping of its own, which goes as soon as it is freed. glibc's own threshold rises with what it meets.
_LARGE_BYTES: Final = 64 * 1024
#: New objects after which garbage is looked for, as CPython does by itself: commands that end soon look more seldom.
_GARBAGE_OBJECTS: Final = 700


def keep_small() -> None:
    """Let all threads share one heap, what is large stay out of it, and garbage not pile up. To be called before there are
    threads.

    Work goes on in threads that come and go, and each heap would keep gaps between the few things in it that stay.
    """
    gc.set_threshold(_GARBAGE_OBJECTS)
    if _TRIM is not None:
        _LIBRARY.mallopt(_ARENA_MAX, 1)
        _LIBRARY.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Return the free pages of the heap. Blocks for a moment.

    What a cycle leaves free lies between what stays, so the library would keep it.
    """
    if _TRIM is not None:
        _TRIM(0)
