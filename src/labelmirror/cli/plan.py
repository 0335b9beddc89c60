"""`labelmirror plan`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode, command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labelmirror.engine.cycle import CycleOptions
    from labelmirror.model.document import JsonObject
    from labelmirror.model.report import PlanReport, RunError


@command
def plan(
    call: Call,
    names: Names = None,
    full_check: Annotated[
        bool, typer.Option("--full-check", help="Look for edits that listings cannot show, too.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Keep the plan for `apply`.", show_default=False),
    ] = None,
) -> ExitCode:
    """Say what `sync` would do, and what it would cost. Looks at the servers; changes nothing there or in a mirror."""
    from labelmirror.engine.cycle import CycleOptions

    if output is not None:
        output = output.absolute()
    return answer_with_plans(call, names or [], CycleOptions(full_check=full_check), wait_s=0.0, output=output)


def answer_with_plans(
    call: Call, names: list[str], options: "CycleOptions", *, wait_s: float, output: Path | None = None
) -> ExitCode:
    """Plan each mirror and answer. Whatever a plan reports, it is done: only what kept one from being made counts.

    The plan is kept in `output` if every mirror's could be made.
    """
    from labelmirror.app import chosen, open_mirror
    from labelmirror.cli import planfile
    from labelmirror.cli.shop import attempt, open_shop
    from labelmirror.cli.target import check_target
    from labelmirror.engine import cycle

    async def work() -> ExitCode:
        reports: list[PlanReport] = []
        with open_shop(call) as shop:
            mirrors = chosen(shop.config, names)
            if output is not None:
                check_target(shop.config, output, what="an earlier plan", opening=planfile.OPENING)
            for name in mirrors:

                async def plan_one(name: str = name) -> "PlanReport":
                    async with open_mirror(shop, name, wait_s=wait_s) as mirror:
                        return await cycle.plan(mirror, options)

                reports.append(await attempt(plan_one, partial(unplanned, name)))
            if output is None:
                return tell_plans(call, reports, following="labelmirror sync")
            if any(report.error for report in reports):
                return tell_plans(call, reports, following="labelmirror plan", more={"file": None})
            await planfile.write(output, reports, made_at_s=shop.clock.now_s())
        following = command_line("apply", str(output))
        return tell_plans(call, reports, following=following, more={"file": str(output)})

    return run_cancellable(work)


def tell_plans(
    call: Call, reports: "Sequence[PlanReport]", *, following: str, more: "JsonObject | None" = None
) -> ExitCode:
    """Answer with these plans; `following` is the command that carries them out, `more` are further keys of the answer."""
    from labelmirror.cli import endings, shapes, telling

    code = endings.exit_code([endings.error_codes(report.error) for report in reports])
    return call.answer(
        {
            "mirrors": [shapes.plan_shape(report) for report in reports],
            **(more or {}),
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
