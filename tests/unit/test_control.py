"""Waiting for the cycles that were asked for."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from labelmirror.daemon import control
from labelmirror.daemon.control import Answer, Ending, NoDaemon, Request, Standing, await_cycles
from labelmirror.errors import LabelmirrorError, Locked
from labelmirror.model.report import MirrorOutcome
from support.quick_clock import QuickClock

DONE = Ending(at_s=7.0, outcome=MirrorOutcome.SYNCED, error=None)


def answer(cycles: int, *, made_way: bool = False, pid: int = 1) -> Answer:
    standing = Standing(
        name="street",
        working=False,
        paused=False,
        next_due_s=None,
        cycles=cycles,
        next_cycle=4,
        made_way=made_way,
        last=DONE,
    )
    return Answer(pid=pid, since_s=0.0, mirrors=(standing,))


async def waited(path: Path, answers: Iterator[Answer]) -> Answer:
    def handle(request: Request) -> Answer:
        assert (request.command, request.mirrors) == ("status", ("street",))
        return next(answers)

    results: list[Answer] = []
    async with control.listen(path / "s") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(control.serve, listener, handle)
        results.append(await await_cycles(path / "s", answer(2), clock=QuickClock(), wait_s=2.0))
        tasks.cancel_scope.cancel()
    return results[0]


async def test_a_cycle_that_was_under_way_or_made_way_for_an_edit_is_not_the_one_that_was_asked_for(
    tmp_path: Path,
) -> None:
    ended = await waited(tmp_path, iter([answer(3), answer(4, made_way=True), answer(5)]))
    assert (ended.mirrors[0].cycles, ended.mirrors[0].last) == (5, DONE)


@pytest.mark.parametrize(
    ("answers", "error"),
    [([answer(3)] * 9, Locked), ([answer(3), answer(4, pid=2)], NoDaemon)],
    ids=["late", "another"],
)
async def test_a_daemon_that_takes_too_long_or_is_another_one_is_not_waited_for(
    tmp_path: Path, answers: list[Answer], error: type[LabelmirrorError]
) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await waited(tmp_path, iter(answers))
    assert caught.group_contains(error)
