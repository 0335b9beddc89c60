"""`labelmirror export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Name
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from labelmirror.config import Config


@command
def export(
    call: Call,
    name: Name,
    form: Annotated[Literal["coco"], typer.Option("--format", help="What the file is to be.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; NAME.coco.json here.", show_default=False),
    ] = None,
) -> ExitCode:
    """Write a mirror's documents, as they are now, into one file of another format. Asks no server."""
    from labelmirror.app import chosen, coco_form, open_export, open_local_mirror
    from labelmirror.cli import shapes, telling
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine.export import SECTIONS, export_coco

    async def work() -> ExitCode:
        with open_shop(call) as shop:
            chosen(shop.config, [name])
            path = (output or Path(f"{name}.{form}.json")).absolute()
            _check(shop.config, path)
            documents = coco_form(shop.config, name)
            async with open_local_mirror(shop, name) as mirror, open_export(path, SECTIONS) as out:
                exported = await export_coco(mirror, documents, out, shop.reporter)
        return call.answer(
            shapes.export_shape(path, exported),
            lambda: telling.exported(path, exported),
            ExitCode.SOME_FAILED if exported.troubles else ExitCode.DONE,
        )

    return run_cancellable(work)


def _check(config: "Config", path: Path) -> None:
    """Raise UsageError for a file that cannot be written, or that lies among those of this program."""
    place = path.resolve()
    if place.is_dir() or not place.parent.is_dir():
        problem = "is a folder" if place.is_dir() else "lies in a folder that is not there"
        raise UsageError(f"-o: {path} {problem}", hint="name a file in a folder that exists")
    ours = {"the state": config.settings.state, "the backups": config.settings.backup.path}
    ours |= {f"the mirror {name}": dataset.path for name, dataset in config.settings.datasets.items()}
    for owner, folder in ours.items():
        if place.is_relative_to(folder.resolve()):
            hint = "name a file outside of it with -o"
            raise UsageError(f"{path} lies in the folder of {owner}, where only its own files belong", hint=hint)
