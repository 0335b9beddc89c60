"""`labelmirror status`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode

if TYPE_CHECKING:
    from labelmirror.daemon.control import Standing


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
    from labelmirror.errors import DiskError, LabelmirrorError

    async def work() -> ExitCode:
        told: list[telling.Told] = []
        with open_shop(call) as shop:
            daemon = {each.name: each for each in await _daemon(shop.config.settings.daemon.socket)}
            for name, settings in chosen(shop.config, names or []).items():
                async with open_local_mirror(shop, name) as mirror:
                    error = None
                    try:
                        await check_marker(mirror, claim=False)
                    except LabelmirrorError as trouble:
                        error = run_error(trouble)
                    try:
                        standing = await engine.status(mirror, with_images=images)
                    except DiskError as trouble:  # other mirrors are to be told all the same
                        error = run_error(trouble)
                        standing = engine.MirrorStanding(name, await mirror.state.facts())
                told.append(
                    telling.Told(standing, settings.server, mirror.policy.full_check_every_s, error, daemon.get(name))
                )
        return call.answer(
            {
                "mirrors": [
                    shapes.status_shape(
                        each.standing,
                        server=each.server,
                        full_check_every_s=each.full_check_every_s,
                        with_images=images,
                        error=each.error,
                        daemon=each.daemon,
                    )
                    for each in told
                ]
            },
            lambda: telling.standings(told, with_images=images),
            errors=[(each.standing.name, each.error) for each in told],
        )

    return run_cancellable(work)


async def _daemon(socket: Path) -> "Sequence[Standing]":
    """How a running daemon has its mirrors; nothing without one."""
    from labelmirror.daemon.control import NoDaemon, ask

    try:
        return (await ask(socket, "status")).mirrors
    except NoDaemon:
        return ()
