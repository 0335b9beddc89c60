"""Runs over several mirrors, one after another: what one meets never keeps the next from its turn."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

import anyio
import structlog

from labelmirror.app import Workshop, budget_of, chosen, needs_repair, open_mirror, renew_state
from labelmirror.cli import endings, shapes, telling
from labelmirror.cli.frame import Call
from labelmirror.cli.shop import attempt, open_shop
from labelmirror.cli.signals import Stop, cut_off
from labelmirror.engine import cycle, runs
from labelmirror.engine.cycle import CycleOptions
from labelmirror.engine.mirror import Mirror
from labelmirror.engine.repair import repair
from labelmirror.errors import ExitCode, Stopped
from labelmirror.model.report import MirrorOutcome, MirrorReport, RunError

#: How a mirror ended that was not begun any more.
NOT_BEGUN = RunError(
    Stopped.code, "stopped before it was begun", "Run it again: it goes on from here.", int(Stopped.exit_code)
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a whole run may spend, over all its mirrors; None: no bound."""

    requests: int | None = None
    time_s: float | None = None


UNBOUNDED: Final = Allowance()


def allowance(requests: int | None, time: timedelta | None) -> Allowance:
    """An allowance as options give it."""
    return Allowance(requests, time.total_seconds() if time is not None else None)


async def sync_all(
    call: Call,
    shop: Workshop,
    wanted: Mapping[str, CycleOptions],
    allowed: Allowance,
    stop: Stop,
    *,
    wait_s: float,
) -> ExitCode:
    """Sync these mirrors and answer. A request to stop, or the end of the allowed time, ends the run in good order."""
    async with _ending_in_time(shop, stop, allowed.time_s) as end:
        reports: list[MirrorReport] = []
        for name, options in wanted.items():
            spent = sum(report.traffic.api for report in reports)
            left = None if allowed.requests is None else max(0, allowed.requests - spent)
            remaining = replace(allowed, requests=left)
            run = partial(cycle.sync, options=replace(options, stop=end))
            reports.append(await run_one(shop, name, run, end, wait_s=wait_s, allowed=remaining))
    return answer_with_runs(call, reports, stop)


def answer_with_runs(
    call: Call,
    reports: Sequence[MirrorReport],
    stop: Stop,
    lines: Sequence[str] = (),
    *,
    following: str = telling.NEXT_SYNC,
) -> ExitCode:
    """Answer for these runs, people with these lines too. What a signal cut short exits with the signal's code.

    `following` is what does what a run left undone.
    """
    code = endings.exit_code([endings.run_codes(report) for report in reports])
    errors = [report.error for report in reports]
    if stop.exit_code is not None and any(report.outcome is MirrorOutcome.STOPPED for report in reports):
        code = stop.exit_code
        errors.append(runs.run_error(stop.error()))
    return call.answer(
        {
            "mirrors": [shapes.run_shape(report) for report in reports],
            **shapes.speaking_shape(errors, code),
        },
        lambda: telling.answer(telling.runs(reports, following), lines, ""),
        code,
        errors=[(report.name, report.error) for report in reports],
    )


@asynccontextmanager
async def _ending_in_time(shop: Workshop, stop: Stop, time_s: float | None) -> AsyncIterator[anyio.Event]:
    """An event that is set when a stop is requested, or when the time is over."""
    end = anyio.Event()

    async def await_stop() -> None:
        await stop.requested.wait()
        end.set()

    async def await_time(seconds: float) -> None:
        await shop.clock.sleep(seconds)
        end.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(await_stop)
        if time_s is not None:
            tasks.start_soon(await_time, time_s)
        yield end
        tasks.cancel_scope.cancel()


async def run_one(
    shop: Workshop,
    name: str,
    run: Callable[[Mirror], Awaitable[MirrorReport]],
    end: anyio.Event,
    *,
    wait_s: float = 0.0,
    allowed: Allowance = UNBOUNDED,
) -> MirrorReport:
    """A run over one mirror. It heeds the end itself; waiting for the lock or for a key is cut off here."""

    async def work(begin: Callable[[], None]) -> MirrorReport:
        budget = budget_of(allowed.requests, allowed.time_s)
        async with open_mirror(shop, name, wait_s=wait_s, budget=budget) as mirror:
            begin()
            return await run(mirror)

    return await attempt(partial(cut_off, end, work, ended(name, NOT_BEGUN)), partial(ended, name))


async def repair_all(call: Call, name: str | None, stop: Stop) -> ExitCode:
    """Rebuild the state of one mirror, or of each whose state is lost; a damaged database is put aside first."""
    reports: list[MirrorReport] = []
    with open_shop(call) as shop:
        names = list(chosen(shop.config, [name] if name is not None else []))
        for path in await renew_state(shop):
            structlog.get_logger("labelmirror").warning("state.set_aside", path=str(path))
        for each in names:
            # Without a name, a mirror that is well keeps what is known of it: edits would be held otherwise.
            if len(names) > 1 and not await needs_repair(shop, each):
                continue
            reports.append(await run_one(shop, each, partial(repair, stop=stop.requested), stop.requested))
    return answer_with_runs(call, reports, stop)


def ended(name: str, error: RunError) -> MirrorReport:
    """The report of a mirror that could not be worked on."""
    return MirrorReport(name, outcome=runs.outcome_of_error(error), error=error)
