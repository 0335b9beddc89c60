"""`labelmirror restore`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Wait
from labelmirror.cli.signals import cut_off, run_stoppable
from labelmirror.errors import ExitCode, SnapshotDamaged, UsageError, command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from labelmirror.app import Workshop
    from labelmirror.cli.signals import Stop
    from labelmirror.engine.restore_server import RestoreOptions
    from labelmirror.model.report import MirrorReport, PlanReport
    from labelmirror.model.snapshot import Snapshot

_WITHOUT = "the same command without --dry-run"


@command
def restore(
    call: Call,
    snapshot: Annotated[
        str, typer.Argument(metavar="SNAPSHOT", help='Its id, the beginning of it, "latest" or "latest:NAME".')
    ],
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="With --to-server: the mirror to restore; else the one it was made of."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Lay it out in a folder.", show_default=False)
    ] = None,
    to_server: Annotated[bool, typer.Option("--to-server", help="Bring its documents back on the server.")] = False,
    drills: Annotated[
        bool,
        typer.Option("--drill", help="Try it: bring it back on a built-in server, and compare. Touches nothing else."),
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Take back annotations that were added since, which stay otherwise.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, as `plan` does.")] = False,
    allow_changes: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Consent to N documents changing.", show_default=False)
    ] = None,
    allow_deletes: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Consent to N annotations going.", show_default=False)
    ] = None,
    wait: Wait = None,
) -> ExitCode:
    """Restore a snapshot to a folder, or its documents on the server: merged, journaled, and undone like any push."""
    from labelmirror.engine.restore_server import RestoreOptions
    from labelmirror.model.policy import Consent

    if (to is not None) + to_server + drills != 1:
        raise UsageError(
            "name one: --to DIR, --to-server [NAME] or --drill", hint="labelmirror snapshots lists snapshots"
        )
    if not to_server and (name or exact or allow_changes is not None or allow_deletes is not None):
        raise UsageError("NAME, --exact and --allow-… are for --to-server", hint="else all that was saved is restored")
    if drills and dry_run:
        raise UsageError(
            "--drill is a dry run already: it touches neither mirror nor server", hint="leave --dry-run out"
        )
    consent = Consent(deletes=allow_deletes, changes=allow_changes)
    wait_s = wait.total_seconds() if wait is not None else 0.0

    async def work(stop: "Stop") -> ExitCode:
        async def restored(begin: "Callable[[], None]") -> ExitCode | None:
            asked = _Asked(call, stop, begin, snapshot, wait_s)
            if drills:
                return await _drill(asked)
            if to is not None:
                return await _restore_to_folder(asked, to, plans=dry_run)
            options = RestoreOptions(exact, elsewhere=name is not None, consent=consent, stop=stop.requested)
            return await _restore_to_server(asked, name, options, plans=dry_run)

        code = await cut_off(stop.requested, restored, None)
        if code is None:
            raise stop.error()
        return code

    return run_stoppable(work)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every restore is handed. It calls `begin` once it heeds the stop itself: until then, or ever, it is cut off."""

    call: Call
    stop: "Stop"
    begin: "Callable[[], None]"
    snapshot: str
    wait_s: float

    def answer(self, report: "MirrorReport", lines: "Sequence[str]" = (), *, again: str) -> ExitCode:
        """Answer for a restore; `again` is what to do about what it left undone, unless the snapshot is to blame."""
        from labelmirror.cli.runs import answer_with_runs

        if any(getattr(trouble, "code", "") == SnapshotDamaged.code for trouble in report.troubles):
            again = f"{command_line('verify', '--snapshot', self.snapshot)} names all that is damaged in it"
        return answer_with_runs(self.call, [report], self.stop, lines, following=again)


_AGAIN = "the same command again, once that is mended; it does only what is left"


async def _drill(asked: _Asked) -> ExitCode:
    from labelmirror.cli.drill import drill

    report = await drill(asked.call, asked.snapshot, wait_s=asked.wait_s)
    line = f"{report.name}: this was a drill: {report.documents.pushed} documents were sent to a built-in server and read back"
    return asked.answer(report, [line] if report.error is None else [], again="")


async def _restore_to_folder(asked: _Asked, to: Path, *, plans: bool) -> ExitCode:
    from labelmirror.app import open_folder, open_snapshots
    from labelmirror.cli.plan import tell_plans
    from labelmirror.cli.shop import open_shop
    from labelmirror.cli.target import check_folder
    from labelmirror.engine.restore_folder import plan_restore_to_folder, restore_to_folder
    from labelmirror.engine.snapshots import find
    from labelmirror.model.snapshot import Access

    with open_shop(asked.call) as shop:
        check_folder(shop.config, to)
        async with open_snapshots(shop, Access.READ, wait_s=asked.wait_s) as store:
            found = await find(store, asked.snapshot)
            tree = await open_folder(to, make=not plans)
            if plans:
                return tell_plans(asked.call, [await plan_restore_to_folder(store, found, tree)], following=_WITHOUT)
            asked.begin()
            report = await restore_to_folder(
                store, found, tree, clock=shop.clock, reporter=shop.reporter, stop=asked.stop.requested
            )
    return asked.answer(report, again=_AGAIN)


async def _restore_to_server(asked: _Asked, name: str | None, options: "RestoreOptions", *, plans: bool) -> ExitCode:
    from labelmirror.app import open_mirror, open_snapshots
    from labelmirror.cli.plan import tell_plans, unplanned
    from labelmirror.cli.runs import ended
    from labelmirror.cli.shop import attempt, open_shop
    from labelmirror.engine.restore_server import plan_restore_to_server, restore_to_server
    from labelmirror.engine.snapshots import find
    from labelmirror.model.snapshot import Access

    with open_shop(asked.call) as shop:
        async with open_snapshots(shop, Access.READ, wait_s=asked.wait_s) as store:
            found = await find(store, asked.snapshot)
            mirror_name = _mirror_of(shop, found, name)

            async def plan() -> "PlanReport":
                async with open_mirror(shop, mirror_name, wait_s=asked.wait_s) as mirror:
                    return await plan_restore_to_server(mirror, store, found, options)

            async def restore() -> "MirrorReport":
                async with open_mirror(shop, mirror_name, wait_s=asked.wait_s) as mirror:
                    asked.begin()
                    return await restore_to_server(mirror, store, found, options)

            if plans:
                return tell_plans(
                    asked.call, [await attempt(plan, partial(unplanned, mirror_name))], following=_WITHOUT
                )
            report = await attempt(restore, partial(ended, mirror_name))
    return asked.answer(report, again=_AGAIN)


def _mirror_of(shop: "Workshop", found: "Snapshot", name: str | None) -> str:
    """The mirror to restore. Raises UsageError when there is no such mirror."""
    from labelmirror.app import chosen

    if name is None and found.head.mirror not in shop.config.settings.datasets:
        raise UsageError(
            f"the snapshot is of {found.head.mirror!r}, which the configuration does not have",
            hint="name the mirror to restore: --to-server NAME, or restore to a folder: --to DIR",
        )
    (mirror,) = chosen(shop.config, [name or found.head.mirror])
    return mirror
