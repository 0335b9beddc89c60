"""`labelmirror restore`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.signals import run_stoppable
from labelmirror.errors import ExitCode, UsageError

if TYPE_CHECKING:
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

    async def work(stop: "Stop") -> ExitCode:
        if drills:
            from labelmirror.cli.drill import drill
            from labelmirror.cli.runs import answer_with_runs

            return answer_with_runs(call, [await drill(call, snapshot, stop.requested, wait_s=0.0)], stop)
        if to is not None:
            return await _restore_to_folder(call, stop, snapshot, to, plans=dry_run)
        options = RestoreOptions(exact, elsewhere=name is not None, consent=consent, stop=stop.requested)
        return await _restore_to_server(call, stop, snapshot, name, options, plans=dry_run)

    return run_stoppable(work)


async def _restore_to_folder(call: Call, stop: "Stop", wanted: str, to: Path, *, plans: bool) -> ExitCode:
    from labelmirror.app import open_folder, open_snapshots
    from labelmirror.cli.plan import tell_plans
    from labelmirror.cli.runs import answer_with_runs
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine.restore_folder import plan_restore_to_folder, restore_to_folder
    from labelmirror.engine.snapshots import find
    from labelmirror.model.snapshot import Access

    with open_shop(call) as shop:
        async with open_snapshots(shop, Access.READ) as store:
            found = await find(store, wanted)
            tree = await open_folder(to, make=not plans)
            if plans:
                return tell_plans(call, [await plan_restore_to_folder(store, found, tree)], following=_WITHOUT)
            report = await restore_to_folder(
                store, found, tree, clock=shop.clock, reporter=shop.reporter, stop=stop.requested
            )
    return answer_with_runs(call, [report], stop)


async def _restore_to_server(
    call: Call, stop: "Stop", wanted: str, name: str | None, options: "RestoreOptions", *, plans: bool
) -> ExitCode:
    from labelmirror.app import open_mirror, open_snapshots
    from labelmirror.cli.plan import tell_plans, unplanned
    from labelmirror.cli.runs import answer_with_runs, ended
    from labelmirror.cli.shop import attempt, open_shop
    from labelmirror.engine.restore_server import plan_restore_to_server, restore_to_server
    from labelmirror.engine.snapshots import find
    from labelmirror.model.snapshot import Access

    with open_shop(call) as shop:
        async with open_snapshots(shop, Access.READ) as store:
            found = await find(store, wanted)
            mirror_name = _mirror_of(shop, found, name)

            async def plan() -> "PlanReport":
                async with open_mirror(shop, mirror_name) as mirror:
                    return await plan_restore_to_server(mirror, store, found, options)

            async def restore() -> "MirrorReport":
                async with open_mirror(shop, mirror_name) as mirror:
                    return await restore_to_server(mirror, store, found, options)

            if plans:
                return tell_plans(call, [await attempt(plan, partial(unplanned, mirror_name))], following=_WITHOUT)
            report = await attempt(restore, partial(ended, mirror_name))
    return answer_with_runs(call, [report], stop)


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
