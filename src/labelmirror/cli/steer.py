"""`labelmirror pause`, `resume` and `sync-now`: they talk to the daemon."""

from collections.abc import Sequence

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names
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
def sync_now(call: Call, names: Names = None) -> ExitCode:
    """Let the daemon sync mirrors at once. One that is paused must be named, is synced once, and stays paused."""
    return _steer(call, "sync-now", names or [], "asked to sync")


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
