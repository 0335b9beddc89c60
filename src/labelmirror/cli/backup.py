"""`labelmirror backup`."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names, duration
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode

if TYPE_CHECKING:
    from labelmirror.app import Workshop
    from labelmirror.engine.backup import BackupReport
    from labelmirror.engine.mirror import LocalMirror
    from labelmirror.model.report import RunError


@command
def backup(
    call: Call,
    names: Names = None,
    images: Annotated[bool, typer.Option("--images", help="Save the image files too, not only their names.")] = False,
    sync: Annotated[bool, typer.Option("--sync", help="Sync first. If that fails, what is here is saved.")] = False,
    wait: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="TIME", help='Wait so long ("10m") for another run.', show_default=False),
    ] = None,
) -> ExitCode:
    """Save mirrors as they are, edits included, as snapshots. Asks no server, and stores only what no snapshot has yet."""
    from labelmirror.app import chosen
    from labelmirror.cli import endings, shapes, telling
    from labelmirror.cli.shop import attempt, open_shop

    wait_s = wait.total_seconds() if wait is not None else 0.0

    async def work() -> ExitCode:
        reports: list[BackupReport] = []
        with open_shop(call) as shop:
            for name, settings in chosen(shop.config, names or []).items():
                saved_from = settings.path if images else None
                one = partial(_back_up, shop, name, saved_from, wait_s=wait_s, syncs=sync)
                reports.append(await attempt(one, partial(_unsaved, name)))
        code = endings.exit_code([endings.backup_codes(report) for report in reports])
        return call.answer(
            {**shapes.backup_shape(reports), **shapes.speaking_shape([report.error for report in reports], code)},
            lambda: telling.backups(reports),
            code,
            errors=[(report.name, report.error) for report in reports],
        )

    return run_cancellable(work)


async def _back_up(
    shop: "Workshop", name: str, images_from: Path | None, *, wait_s: float, syncs: bool
) -> "BackupReport":
    """One mirror. With `syncs`, the run and the snapshot are under one lock."""
    from labelmirror.app import open_mirror, open_resting_mirror
    from labelmirror.engine import cycle
    from labelmirror.engine.cycle import CycleOptions

    if not syncs:
        async with open_resting_mirror(shop, name, wait_s=wait_s) as resting:
            return await _save(shop, resting, images_from, wait_s)
    async with open_mirror(shop, name, wait_s=wait_s) as mirror:
        synced = await cycle.sync(mirror, CycleOptions())
        report = await _save(shop, mirror, images_from, wait_s)
    report.synced = synced
    return report


async def _save(shop: "Workshop", mirror: "LocalMirror", images_from: Path | None, wait_s: float) -> "BackupReport":
    from labelmirror.app import open_snapshots
    from labelmirror.engine import backup as engine
    from labelmirror.model.snapshot import Access

    async with open_snapshots(shop, Access.CREATE, wait_s=wait_s) as store:
        return await engine.backup(mirror, store, images_from=images_from, clock=shop.clock, reporter=shop.reporter)


def _unsaved(name: str, error: "RunError") -> "BackupReport":
    from labelmirror.engine.backup import BackupReport

    return BackupReport(name, error=error)
