"""Several requests at once, with one ordinary error instead of a group of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from labelmirror.errors import LabelmirrorError

A = TypeVar("A")
B = TypeVar("B")


async def in_parallel(function: Callable[[A], Awaitable[B]], items: Sequence[A], workers: int) -> Sequence[B]:
    """The results in the order of the items. The first LabelmirrorError stops the others and is raised."""
    results: dict[int, B] = {}
    troubles: list[LabelmirrorError] = []
    todo = iter(enumerate(items))

    async def work() -> None:
        for index, item in todo:
            try:
                results[index] = await function(item)
            except LabelmirrorError as error:
                troubles.append(error)
                tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for _ in range(min(workers, len(items))):
            tasks.start_soon(work)
    if troubles:
        raise troubles[0]
    return [results[index] for index in range(len(items))]
