"""`labelmirror history`."""

from typing import Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import moment_s
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode


@command
def history(
    call: Call,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The mirror; all if none is named.")] = None,
    image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Only saves of this image, by id or path in the mirror.")
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only saves of this run.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help='Only saves since a moment ("2026-01-31") or for so long ("2h").')
    ] = None,
) -> ExitCode:
    """List what was saved to servers, newest first. Asks no server and changes nothing."""
    from labelmirror.app import chosen
    from labelmirror.cli import explaining, shapes
    from labelmirror.cli.saves import Wanted, find
    from labelmirror.cli.shop import open_shop

    async def work() -> ExitCode:
        with open_shop(call) as shop:
            since_s = 0.0 if since is None else moment_s(since, shop.clock.now_s())
            names = list(chosen(shop.config, [] if name is None else [name]))
            saves = await find(shop, names, Wanted(image=image, run=run, since_s=since_s))
        return call.answer(
            {"saves": [shapes.save_shape(mirror, save) for mirror, save in saves]}, lambda: explaining.history(saves)
        )

    return run_cancellable(work)
