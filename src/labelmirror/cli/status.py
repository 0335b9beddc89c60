"""`labelmirror status`."""

from typing import Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode


@command
def status(
    call: Call,
    names: Names = None,
    images: Annotated[bool, typer.Option("--images", help="Say it of each image.")] = False,
) -> ExitCode:
    """Say how mirrors stand, from what is on record and on disk. Asks no server and changes nothing."""
    from labelmirror.app import chosen, open_local_mirror
    from labelmirror.cli import shapes, telling
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine import status as engine
    from labelmirror.engine.marker import check_marker
    from labelmirror.engine.runs import run_error
    from labelmirror.errors import LabelmirrorError

    async def work() -> ExitCode:
        told: list[telling.Told] = []
        with open_shop(call) as shop:
            for name, settings in chosen(shop.config, names or []).items():
                async with open_local_mirror(shop, name) as mirror:
                    error = None
                    try:
                        await check_marker(mirror, claim=False)
                    except LabelmirrorError as trouble:
                        error = run_error(trouble)
                    standing = await engine.status(mirror, with_images=images)
                told.append(telling.Told(standing, settings.server, mirror.policy.full_check_every_s, error))
        return call.answer(
            {
                "mirrors": [
                    shapes.status_shape(
                        each.standing,
                        server=each.server,
                        full_check_every_s=each.full_check_every_s,
                        with_images=images,
                        error=each.error,
                    )
                    for each in told
                ]
            },
            lambda: telling.standings(told, with_images=images),
            errors=[(each.standing.name, each.error) for each in told],
        )

    return run_cancellable(work)
