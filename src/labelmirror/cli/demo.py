"""`labelmirror demo`."""

from pathlib import Path
from typing import Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode, UsageError


@command
def demo(
    call: Call,
    kind: Annotated[str, typer.Option(help="Kind of server.")] = "pictograph",
    images: Annotated[int, typer.Option(min=2, max=10_000, help="Images in the dataset.")] = 24,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Folder for configuration and mirror.")] = Path(
        "demo-mirror"
    ),
) -> ExitCode:
    """Show it all on a small dataset of a built-in server: mirror, edit on both sides, sync again. Needs no account."""
    from labelmirror.cli.story import tell_story

    if call.config is not None or call.assignments:
        raise UsageError("demo writes a configuration of its own and takes neither --config nor --set")
    return run_cancellable(lambda: tell_story(call, kind, images, folder))
