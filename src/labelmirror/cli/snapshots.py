"""`labelmirror snapshots`."""

from typing import Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode


@command
def snapshots(
    call: Call,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only those of this mirror.")] = None,
) -> ExitCode:
    """List snapshots, oldest first. Those of mirrors that the configuration no longer has are there too."""
    from labelmirror.app import list_snapshots
    from labelmirror.cli import shapes, telling
    from labelmirror.cli.shop import open_shop
    from labelmirror.model.snapshot import SnapshotList

    async def work() -> ExitCode:
        with open_shop(call) as shop:
            listed: SnapshotList = await list_snapshots(shop)
        found = [each for each in listed.snapshots if name in {None, each.head.mirror}]
        return call.answer(
            {
                "snapshots": [shapes.snapshot_shape(each) for each in found],
                "unusable": [{"id": each, "problem": why} for each, why in listed.unusable],
            },
            lambda: telling.snapshots(found, listed.unusable),
        )

    return run_cancellable(work)
