"""`labelmirror sync`."""

from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import AllowChanges, AllowDeletes, BudgetRequests, BudgetTime, Names, Wait
from labelmirror.cli.plan import answer_with_plans
from labelmirror.cli.signals import run_stoppable
from labelmirror.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from labelmirror.cli.signals import Stop


@command
def sync(
    call: Call,
    names: Names = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, as `plan` does.")] = False,
    pull_only: Annotated[bool, typer.Option("--pull-only", help="Carry no local edit to the server.")] = False,
    push_only: Annotated[bool, typer.Option("--push-only", help="Bring nothing from the server.")] = False,
    full_check: Annotated[
        bool, typer.Option("--full-check", help="Find edits that listings cannot show, such as a moved box, now.")
    ] = False,
    wait: Wait = None,
    budget_requests: BudgetRequests = None,
    budget_time: BudgetTime = None,
    allow_deletes: AllowDeletes = None,
    allow_changes: AllowChanges = None,
) -> ExitCode:
    """Bring mirrors in step with their servers. Does only what is left to do, and can be stopped at any time."""
    from labelmirror.app import chosen
    from labelmirror.cli.runs import allowance, sync_all
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine.cycle import CycleOptions
    from labelmirror.model.policy import Consent, Directions

    if pull_only and push_only:
        raise UsageError("--pull-only and --push-only exclude each other")
    directions = Directions.PULL if pull_only else Directions.PUSH if push_only else Directions.BOTH
    consent = Consent(deletes=allow_deletes, changes=allow_changes)
    options = CycleOptions(full_check=full_check, directions=directions, consent=consent)
    wait_s = wait.total_seconds() if wait else 0.0
    if dry_run:
        return answer_with_plans(call, names or [], options, wait_s=wait_s)

    async def work(stop: "Stop") -> ExitCode:
        with open_shop(call) as shop:
            wanted = dict.fromkeys(chosen(shop.config, names or []), options)
            return await sync_all(call, shop, wanted, allowance(budget_requests, budget_time), stop, wait_s=wait_s)

    return run_stoppable(work)
