"""`labelmirror config check`."""

from labelmirror.cli.frame import Call, command
from labelmirror.errors import ExitCode


@command
def check(call: Call) -> ExitCode:
    """Validate the configuration; contacts no server."""
    config = call.load()
    servers, mirrors = len(config.settings.servers), len(config.settings.datasets)
    return call.answer(
        {"file": str(config.file), "warnings": config.warnings},
        lambda: f"{config.file}: no errors (servers: {servers}, mirrors: {mirrors})",
    )
