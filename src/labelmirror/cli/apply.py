"""`labelmirror apply`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import AllowChanges, AllowDeletes, BudgetRequests, BudgetTime, Wait
from labelmirror.cli.signals import run_stoppable
from labelmirror.errors import ExitCode, UsageError, command_line

if TYPE_CHECKING:
    from labelmirror.app import Workshop
    from labelmirror.cli.planfile import KeptPlan
    from labelmirror.cli.signals import Stop


@command
def apply(
    call: Call,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plan that `plan -o FILE` kept.")],
    wait: Wait = None,
    budget_requests: BudgetRequests = None,
    budget_time: BudgetTime = None,
    allow_deletes: AllowDeletes = None,
    allow_changes: AllowChanges = None,
) -> ExitCode:
    """Carry out a kept plan: what it names and nothing else, and nothing of which the world has moved since."""
    from labelmirror.cli import planfile
    from labelmirror.cli.runs import allowance, sync_all
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine.cycle import CycleOptions
    from labelmirror.model.policy import Consent

    consent = Consent(deletes=allow_deletes, changes=allow_changes)
    wait_s = wait.total_seconds() if wait else 0.0

    async def work(stop: "Stop") -> ExitCode:
        with open_shop(call) as shop:
            kept = await planfile.read(file)
            await _check_stores(shop, file, kept)
            wanted = {mirror.name: CycleOptions(consent=consent, agreed=mirror.agreed()) for mirror in kept.mirrors}
            return await sync_all(call, shop, wanted, allowance(budget_requests, budget_time), stop, wait_s=wait_s)

    return run_stoppable(work)


async def _check_stores(shop: "Workshop", file: Path, kept: "KeptPlan") -> None:
    """Make sure that the plan is about the mirrors that are configured here. Raises UsageError."""
    from labelmirror.app import open_local_mirror

    for index, planned in enumerate(kept.mirrors):
        if planned.name not in shop.config.settings.datasets:
            known = ", ".join(sorted(shop.config.settings.datasets)) or "none"
            raise UsageError(
                f"{file}: /mirrors/{index}/name: there is no mirror {planned.name!r} in {shop.config.file}",
                hint=f"there is: {known}; --config FILE names another configuration",
            )
        async with open_local_mirror(shop, planned.name) as mirror:
            facts = await mirror.state.facts()
        if facts.store_id != planned.store_id:
            raise UsageError(
                f"{file}: /mirrors/{index}/store_id: the plan was made for another store ({planned.store_id[:8]}) than "
                f"{planned.name} has here ({facts.store_id[:8]})",
                hint="make a new plan: " + command_line("plan", planned.name, "-o", str(file)),
            )
