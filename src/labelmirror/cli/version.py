"""`labelmirror version`."""

from labelmirror import __version__
from labelmirror.cli.frame import Call, command
from labelmirror.errors import ExitCode


@command
def version(call: Call) -> ExitCode:
    """Print the version."""
    return call.answer({"version": __version__}, lambda: f"labelmirror {__version__}")
