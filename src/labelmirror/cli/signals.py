"""Stopping: the first SIGINT or SIGTERM asks for an orderly end, the second ends at once."""

import os
import signal
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final, TypeVar

import anyio

from labelmirror.errors import ExitCode, LabelmirrorError

R = TypeVar("R")

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(LabelmirrorError):
    """A person pressed Ctrl-C; what was finished is on record."""

    code: ClassVar[str] = "interrupted"
    exit_code: ClassVar[ExitCode] = ExitCode.INTERRUPTED


class Terminated(LabelmirrorError):
    """SIGTERM came; what was finished is on record."""

    code: ClassVar[str] = "terminated"
    exit_code: ClassVar[ExitCode] = ExitCode.TERMINATED


class Stop:
    """A request to stop, and which signal made it. Work that ends in its own way waits for `requested`."""

    def __init__(self) -> None:
        self.requested = anyio.Event()
        self.exit_code: ExitCode | None = None

    def request(self, number: signal.Signals) -> None:
        """Ask for the end."""
        self.exit_code = ExitCode(128 + number)
        self.requested.set()

    def error(self) -> LabelmirrorError:
        """The error of a command that the signal cut short."""
        if self.exit_code is ExitCode.TERMINATED:
            return Terminated("stopped by SIGTERM; what was finished is on record")
        return Interrupted("stopped by Ctrl-C; what was finished is on record")


def run_stoppable(work: Callable[[Stop], Awaitable[ExitCode]]) -> ExitCode:
    """Run work that heeds the stop itself: a server, or a sync that tells how far it came. Its exit code counts."""

    async def watched() -> ExitCode:
        stop = Stop()
        async with anyio.create_task_group() as group:
            await group.start(_watch, stop)
            exit_code = await work(stop)
            group.cancel_scope.cancel()
        return exit_code

    return anyio.run(watched)


def run_cancellable(work: Callable[[], Awaitable[ExitCode]]) -> ExitCode:
    """Run work that the first signal cancels. Raises Interrupted or Terminated when that cut it short."""

    async def cancelled_by(stop: Stop) -> ExitCode:
        async def cancel(scope: anyio.CancelScope) -> None:
            await stop.requested.wait()
            scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(cancel, group.cancel_scope)
            exit_code = await work()
            group.cancel_scope.cancel()
            return exit_code
        raise stop.error()

    return run_stoppable(cancelled_by)


async def cut_off(end: anyio.Event, work: Callable[[Callable[[], None]], Awaitable[R]], otherwise: R) -> R:
    """Do some work that heeds `end` itself once it has called what it is given, because it waited for all that it needs.

    Until then `end` cuts it off, and `otherwise` is the result.
    """
    if end.is_set():
        return otherwise
    begun = False

    def begin() -> None:
        nonlocal begun
        begun = True

    async def watch(waiting: anyio.CancelScope) -> None:
        await end.wait()
        if not begun:
            waiting.cancel()

    result = otherwise
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, tasks.cancel_scope)
        result = await work(begin)
        tasks.cancel_scope.cancel()
    return result


async def _watch(stop: Stop, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(*_STOPPING) as received:
        task_status.started()
        async for number in received:
            if stop.requested.is_set():
                # At once means at once: neither handlers nor threads are waited for. Records are crash-safe.
                os._exit(128 + number)
            stop.request(number)
