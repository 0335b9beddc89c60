"""`labelmirror sync`."""

from datetime import timedelta
from typing import Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names, duration
from labelmirror.cli.plan import answer_with_plans
from labelmirror.cli.signals import run_stoppable
from labelmirror.errors import ExitCode, UsageError


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
    wait: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="TIME", help='Wait so long ("10m") for another run.', show_default=False),
    ] = None,
    budget_requests: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Send at most N requests to servers.", show_default=False)
    ] = None,
    budget_time: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="TIME", help='End after so long ("30m").', show_default=False),
    ] = None,
    allow_deletes: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Consent to N images going to the trash.", show_default=False)
    ] = None,
    allow_changes: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Consent to N documents changing.", show_default=False)
    ] = None,
) -> ExitCode:
    """Bring mirrors in step with their servers. Does only what is left to do, and can be stopped at any time."""
    from labelmirror.cli.runs import Allowance, sync_all
    from labelmirror.engine.cycle import CycleOptions, Directions
    from labelmirror.model.policy import Consent

    if pull_only and push_only:
        raise UsageError("--pull-only and --push-only exclude each other")
    directions = Directions.PULL if pull_only else Directions.PUSH if push_only else Directions.BOTH
    consent = Consent(deletes=allow_deletes, changes=allow_changes)
    options = CycleOptions(full_check=full_check, directions=directions, consent=consent)
    wait_s = wait.total_seconds() if wait else 0.0
    if dry_run:
        return answer_with_plans(call, names or [], options, wait_s=wait_s)
    allowance = Allowance(budget_requests, budget_time.total_seconds() if budget_time is not None else None)
    return run_stoppable(lambda stop: sync_all(call, names or [], options, allowance, stop, wait_s=wait_s))
