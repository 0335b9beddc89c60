"""`labelmirror prune`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Wait
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from labelmirror.model.retention import Within


def _count(text: str) -> int:
    """How many to keep. Raises typer.BadParameter."""
    from labelmirror.model.retention import UNLIMITED

    if text == "unlimited":
        return UNLIMITED
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < UNLIMITED):
        msg = f"{text!r} is neither a number above 0 nor unlimited"
        raise typer.BadParameter(msg)
    return int(text)


def _span(text: str) -> "Within":
    """A span of the calendar. Raises typer.BadParameter."""
    from labelmirror.model.retention import parse_within

    try:
        return parse_within(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _keep(of: str, parser: Callable[[str], object] = _count, metavar: str = "N") -> object:
    return typer.Option(parser=parser, metavar=metavar, help=of, show_default=False)


@command
def prune(
    call: Call,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Only snapshots of these mirrors.", show_default=False)
    ] = None,
    keep_last: Annotated[int | None, _keep("Keep the newest N.")] = None,
    keep_hourly: Annotated[int | None, _keep("Keep the newest of each of the last N hours that have one.")] = None,
    keep_daily: Annotated[int | None, _keep("The same for days.")] = None,
    keep_weekly: Annotated[int | None, _keep("The same for weeks, which begin on Monday.")] = None,
    keep_monthly: Annotated[int | None, _keep("The same for months.")] = None,
    keep_yearly: Annotated[int | None, _keep("The same for years.")] = None,
    keep_within: Annotated[
        object, _keep('Keep all that are not older than the newest by "1y5m7d2h" (m are months).', _span, "SPAN")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and why the rest stays.")
    ] = False,
    wait: Wait = None,
) -> ExitCode:
    """Remove snapshots that no rule keeps, as restic's forget does, and the contents that nothing needs any more.

    Rules apply to each mirror by itself; one rule is enough to keep a snapshot. N may be "unlimited".
    """
    from labelmirror.app import open_snapshots
    from labelmirror.cli import shapes, telling
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine import snapshots as engine
    from labelmirror.model.retention import Rules, Within
    from labelmirror.model.snapshot import Access

    rules = Rules(
        last=keep_last or 0,
        hourly=keep_hourly or 0,
        daily=keep_daily or 0,
        weekly=keep_weekly or 0,
        monthly=keep_monthly or 0,
        yearly=keep_yearly or 0,
        within=keep_within if isinstance(keep_within, Within) else None,
    )
    if not rules.any:
        raise UsageError(
            "prune needs a rule that says what stays; nothing was removed",
            hint="such as --keep-daily 14 --keep-monthly 12; see what it would do with --dry-run",
        )

    access, wait_s = Access.READ if dry_run else Access.CHANGE, wait.total_seconds() if wait is not None else 0.0

    async def work() -> ExitCode:
        mirrors = frozenset(names) if names else None
        with open_shop(call) as shop:
            async with open_snapshots(shop, access, wait_s=wait_s) as store:
                known = {each.head.mirror for each in (await store.snapshots()).snapshots}
                if unknown := sorted((mirrors or frozenset()) - known):
                    raise UsageError(
                        f"there is no snapshot of {unknown[0]!r}",
                        hint=f"there are: {', '.join(sorted(known)) or 'none'}",
                    )
                judged = await engine.judge(store, mirrors, rules, now_s=shop.clock.now_s())
                swept = None if dry_run else await engine.prune(store, judged)
        return call.answer(shapes.prune_shape(judged, swept), lambda: telling.pruned(judged, swept))

    return run_cancellable(work)
