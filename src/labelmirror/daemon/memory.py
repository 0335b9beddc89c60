"""Memory that a cycle needed and nobody needs now goes back to the system."""

import ctypes
from collections.abc import Callable
from typing import Final

_TRIM: Final[Callable[[int], int] | None] = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Return the free pages of all heaps. Blocks for a moment; does nothing where the C library has no such call.

    What a cycle leaves free lies between what stays, so the library would keep it: malloc_trim(3) is glibc's.
    """
    if _TRIM is not None:
        _TRIM(0)
