"""`labelmirror config check`."""

from labelmirror.cli.frame import Call, command
from labelmirror.errors import ExitCode


@command
def check(call: Call) -> ExitCode:
    """Validate the configuration; contacts no server."""
    config = call.load()
    return call.answer(
        {"file": str(config.file), "warnings": config.warnings},
        lambda: (
            f"{config.file}: {len(config.settings.servers)} servers, {len(config.settings.datasets)} mirrors, no errors"
        ),
    )
