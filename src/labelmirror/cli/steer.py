"""`labelmirror pause`, `resume` and `sync-now`: they talk to the daemon."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names, duration
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode


@command
def pause(call: Call, names: Names = None) -> ExitCode:
    """Let the daemon begin nothing new with mirrors, until `resume` or a restart. A cycle under way goes on to its end."""
    return _steer(call, "pause", names or [], "paused")


@command
def resume(call: Call, names: Names = None) -> ExitCode:
    """Let the daemon go on with paused mirrors."""
    return _steer(call, "resume", names or [], "resumed")


@command
def sync_now(
    call: Call,
    names: Names = None,
    wait: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="TIME", help='Wait so long ("10m") for the end.', show_default=False),
    ] = None,
) -> ExitCode:
    """Let the daemon sync mirrors at once. One that is paused must be named, is synced once, and stays paused.

    With --wait it ends as `sync` would.
    """
    if wait is None:
        return _steer(call, "sync-now", names or [], "asked to sync")

    from labelmirror.cli import endings, shapes
    from labelmirror.daemon.control import ask, await_cycles
    from labelmirror.telemetry.clock import SystemClock

    async def work() -> ExitCode:
        path = call.load().settings.daemon.socket
        asked = await ask(path, "sync-now", names or [])
        mirrors = (await await_cycles(path, asked, clock=SystemClock(), wait_s=wait.total_seconds())).mirrors
        return call.answer(
            {
                "mirrors": [
                    {**shapes.daemon_shape(each), "last_cycle": shapes.ending_shape(each.last)} for each in mirrors
                ]
            },
            lambda: "\n".join(f"{each.name}: {each.last.outcome.value}" for each in mirrors if each.last) or "none",
            endings.exit_code([endings.ending_codes(each.last) for each in mirrors if each.last is not None]),
            errors=[(each.name, each.last.error) for each in mirrors if each.last is not None],
        )

    return run_cancellable(work)


def _steer(call: Call, what: str, names: Sequence[str], done: str) -> ExitCode:
    from labelmirror.cli.shapes import daemon_shape
    from labelmirror.daemon.control import ask

    async def work() -> ExitCode:
        path = call.load().settings.daemon.socket
        mirrors = [daemon_shape(mirror) for mirror in (await ask(path, what, names)).mirrors]
        return call.answer(
            {"mirrors": mirrors}, lambda: f"{done}: {', '.join(str(mirror['name']) for mirror in mirrors) or 'none'}"
        )

    return run_cancellable(work)
