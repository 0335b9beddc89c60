"""`labelmirror plan`."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labelmirror.engine.cycle import CycleOptions
    from labelmirror.model.report import PlanReport, RunError


@command
def plan(
    call: Call,
    names: Names = None,
    full_check: Annotated[
        bool, typer.Option("--full-check", help="Look for edits that listings cannot show, too.")
    ] = False,
) -> ExitCode:
    """Say what `sync` would do, and what it would cost. Looks at the servers; changes nothing there or in a mirror."""
    from labelmirror.engine.cycle import CycleOptions

    return answer_with_plans(call, names or [], CycleOptions(full_check=full_check), wait_s=0.0)


def answer_with_plans(call: Call, names: list[str], options: "CycleOptions", *, wait_s: float) -> ExitCode:
    """Plan each mirror and answer. Whatever a plan reports, it is done: only what kept one from being made counts."""
    from labelmirror.app import chosen, open_mirror
    from labelmirror.cli.shop import attempt, open_shop
    from labelmirror.engine import cycle

    async def work() -> ExitCode:
        reports: list[PlanReport] = []
        with open_shop(call) as shop:
            for name in chosen(shop.config, names):

                async def plan_one(name: str = name) -> "PlanReport":
                    async with open_mirror(shop, name, wait_s=wait_s) as mirror:
                        return await cycle.plan(mirror, options)

                reports.append(await attempt(plan_one, partial(unplanned, name)))
        return tell_plans(call, reports, following="labelmirror sync")

    return run_cancellable(work)


def tell_plans(call: Call, reports: "Sequence[PlanReport]", *, following: str) -> ExitCode:
    """Answer with these plans; `following` is the command that carries them out."""
    from labelmirror.cli import endings, shapes, telling

    code = endings.exit_code([endings.error_codes(report.error) for report in reports])
    return call.answer(
        {
            "mirrors": [shapes.plan_shape(report) for report in reports],
            **shapes.speaking_shape([report.error for report in reports], code),
        },
        lambda: telling.plans(reports, following=following),
        code,
        errors=[(report.name, report.error) for report in reports],
    )


def unplanned(name: str, error: "RunError") -> "PlanReport":
    """The plan of a mirror that could not be looked at."""
    from labelmirror.model.report import PlanReport

    return PlanReport(name, error=error)
