"""`labelmirror backup`."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names, duration
from labelmirror.cli.signals import run_stoppable
from labelmirror.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    import anyio

    from labelmirror.app import Workshop
    from labelmirror.cli.signals import Stop
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
    from labelmirror.engine.runs import run_error

    wait_s = wait.total_seconds() if wait is not None else 0.0

    async def work(stop: "Stop") -> ExitCode:
        reports: list[BackupReport] = []
        with open_shop(call) as shop:
            for name, settings in chosen(shop.config, names or []).items():
                saved_from = settings.path if images else None
                one = partial(_back_up, shop, name, saved_from, stop.requested, wait_s=wait_s, syncs=sync)
                reports.append(await attempt(one, partial(_unsaved, name)))
        code = endings.exit_code([endings.backup_codes(report) for report in reports])
        errors = [report.error for report in reports]
        if stop.exit_code is not None and any(map(_stopped, reports)):
            code = stop.exit_code
            errors.append(run_error(stop.error()))
        return call.answer(
            {**shapes.backup_shape(reports), **shapes.speaking_shape(errors, code)},
            lambda: telling.backups(reports),
            code,
            errors=[(report.name, report.error) for report in reports],
        )

    return run_stoppable(work)


async def _back_up(
    shop: "Workshop", name: str, images_from: Path | None, end: "anyio.Event", *, wait_s: float, syncs: bool
) -> "BackupReport":
    """One mirror. With `syncs`, the run and the snapshot are under one lock. `end` ends what is going on, in good order."""
    from labelmirror.app import open_mirror, open_resting_mirror
    from labelmirror.cli.runs import NOT_BEGUN
    from labelmirror.cli.shop import attempt
    from labelmirror.cli.signals import cut_off
    from labelmirror.engine import cycle
    from labelmirror.engine.cycle import CycleOptions

    async def save(begin: "Callable[[], None]") -> "BackupReport":
        async with open_resting_mirror(shop, name, wait_s=wait_s) as mirror:
            begin()
            return await _save(shop, mirror, images_from, end, wait_s)

    async def sync_and_save(begin: "Callable[[], None]") -> "BackupReport":
        async with open_mirror(shop, name, wait_s=wait_s) as mirror:
            begin()
            synced = await cycle.sync(mirror, CycleOptions(stop=end))
            saving = partial(_save, shop, mirror, images_from, end, wait_s)
            report = await attempt(saving, partial(_unsaved, name))
        report.synced = synced
        return report

    return await cut_off(end, sync_and_save if syncs else save, _unsaved(name, NOT_BEGUN))


async def _save(
    shop: "Workshop", mirror: "LocalMirror", images_from: Path | None, end: "anyio.Event", wait_s: float
) -> "BackupReport":
    from labelmirror.app import open_snapshots
    from labelmirror.cli.runs import NOT_BEGUN
    from labelmirror.cli.signals import cut_off
    from labelmirror.engine import backup as engine
    from labelmirror.model.snapshot import Access

    async def save(begin: "Callable[[], None]") -> "BackupReport":
        async with open_snapshots(shop, Access.CREATE, wait_s=wait_s) as store:
            begin()
            return await engine.backup(
                mirror, store, images_from=images_from, clock=shop.clock, reporter=shop.reporter, stop=end
            )

    return await cut_off(end, save, _unsaved(mirror.name, NOT_BEGUN))


def _stopped(report: "BackupReport") -> bool:
    from labelmirror.errors import Stopped

    return report.error is not None and report.error.code == Stopped.code


def _unsaved(name: str, error: "RunError") -> "BackupReport":
    from labelmirror.engine.backup import BackupReport

    return BackupReport(name, error=error)
