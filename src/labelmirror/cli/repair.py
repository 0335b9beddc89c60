"""`labelmirror repair`."""

from typing import Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.signals import run_stoppable
from labelmirror.errors import ExitCode


@command
def repair(
    call: Call,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The mirror; each that needs it if none is named.")
    ] = None,
) -> ExitCode:
    """Rebuild a lost or damaged state from the mirror and the server. Deletes and overwrites no document."""
    from labelmirror.cli.runs import repair_all

    return run_stoppable(lambda stop: repair_all(call, name, stop))
