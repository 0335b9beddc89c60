"""`labelmirror export`."""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Name
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode

#: How an export begins: with the first of its lists, on a line of its own.
_OPENING: Final = b'{\n"images": ['


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
    from labelmirror.cli.target import check_target
    from labelmirror.engine.export import SECTIONS, export_coco

    async def work() -> ExitCode:
        with open_shop(call) as shop:
            chosen(shop.config, [name])
            path = (output or Path(f"{name}.{form}.json")).absolute()
            check_target(shop.config, path, what="an earlier export", opening=_OPENING)
            documents = coco_form(shop.config, name)
            async with open_local_mirror(shop, name) as mirror, open_export(path, SECTIONS) as out:
                exported = await export_coco(mirror, documents, out, shop.reporter)
        return call.answer(
            shapes.export_shape(path, exported),
            lambda: telling.exported(path, exported),
            ExitCode.SOME_FAILED if exported.troubles else ExitCode.DONE,
        )

    return run_cancellable(work)
