"""Several requests at once, with one ordinary error instead of a group of them; large bodies on another thread."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from labelmirror.errors import LabelmirrorError

#: What has so many bytes is worked on by another thread.
ASIDE_BYTES = 2**20

A = TypeVar("A")
B = TypeVar("B")


async def as_far_as_possible(
    function: Callable[[A], Awaitable[B]], items: Sequence[A], workers: int
) -> tuple[Sequence[B], LabelmirrorError | None]:
    """The results in the order of the items, and the first LabelmirrorError: nothing is begun after it, and what is under
    way is finished, for its request is spent.
    """
    results: dict[int, B] = {}
    troubles: list[LabelmirrorError] = []
    todo = iter(enumerate(items))

    async def work() -> None:
        for index, item in todo:
            try:
                results[index] = await function(item)
            except LabelmirrorError as error:
                troubles.append(error)
            if troubles:
                return

    async with anyio.create_task_group() as tasks:
        for _ in range(min(workers, len(items))):
            tasks.start_soon(work)
    return [results[index] for index in sorted(results)], next(iter(troubles), None)


async def in_parallel(function: Callable[[A], Awaitable[B]], items: Sequence[A], workers: int) -> Sequence[B]:
    """The results in the order of the items. After the first LabelmirrorError nothing is begun, and it is raised."""
    results, trouble = await as_far_as_possible(function, items, workers)
    if trouble is not None:
        raise trouble
    return results


async def aside(work: Callable[[], B], size_bytes: int) -> B:
    """The result of work on something of this size; the loop does not wait for it where that is much."""
    return work() if size_bytes < ASIDE_BYTES else await anyio.to_thread.run_sync(work)


async def chosen_in_parallel(
    is_meant: Callable[[str], Awaitable[bool]], names: Sequence[str], workers: int
) -> frozenset[str]:
    """The names that are meant. After the first LabelmirrorError nothing is begun, and it is raised."""
    meant = await in_parallel(is_meant, names, workers)
    return frozenset(name for name, yes in zip(names, meant, strict=True) if yes)
