"""Many seeds on all processors."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

R = TypeVar("R")


def lived(live: Callable[[Sequence[int]], R], seeds: Sequence[int], *, at_once: int) -> Iterator[R]:
    """What `live` makes of these seeds, so many at once; `live` is a function of a module."""
    parts = [seeds[start : start + at_once] for start in range(0, len(seeds), at_once)]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        yield from pool.map(live, parts)
