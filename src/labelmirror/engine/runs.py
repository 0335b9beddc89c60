"""How runs begin and end: the directory is looked at first, a request to stop is heard, and trouble is in the report."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio

from labelmirror.engine.compare import lay_out_held
from labelmirror.engine.marker import check_marker
from labelmirror.engine.mirror import Mirror, Run
from labelmirror.errors import (
    BudgetSpent,
    ExitCode,
    GuardRefused,
    LabelmirrorError,
    Limited,
    Locked,
    Stopped,
    Unavailable,
    weightiest,
)
from labelmirror.model.report import MirrorOutcome, MirrorReport, RunError
from labelmirror.model.trouble import Failed, Held, Trouble

#: A run that is asked to end has this long to finish what it has in hand.
GRACE_S = 5.0


def new_run(mirror: Mirror) -> Run:
    """A run that begins now; its id is the UTC time, by which old versions are aged."""
    return Run(datetime.fromtimestamp(mirror.clock.now_s(), UTC).strftime("%Y%m%dT%H%M%S.%fZ"), mirror)


async def carry_out(
    mirror: Mirror, work: Callable[[Run, MirrorReport], Awaitable[None]], stop: anyio.Event | None
) -> MirrorReport:
    """A run that does this work, until it is done or `stop` is set. Trouble is in the report, never raised, except for
    programming errors.
    """
    started_s = mirror.clock.monotonic_s()
    before = mirror.provider.traffic()
    run = new_run(mirror)
    report = MirrorReport(mirror.name, run.id)
    try:
        async with _stoppable(run, stop):
            await check_marker(mirror)
            await work(run, report)
    except (LabelmirrorError, ExceptionGroup) as error:
        report.error = run_error(error)
    report.troubles = run.troubles
    report.traffic = mirror.provider.traffic().since(before)
    report.duration_s = mirror.clock.monotonic_s() - started_s
    report.outcome = outcome_of(report)
    return report


def run_error(error: LabelmirrorError | ExceptionGroup[Exception]) -> RunError:
    """The one error that a run is reported to have ended with. Raises the group if it holds a programming error."""
    if isinstance(error, ExceptionGroup):
        ours, others = error.split(LabelmirrorError)
        if others is not None or ours is None:
            raise error
        return run_error(weightiest(ours))
    return RunError(error.code, error.message, error.hint, int(error.exit_code))


_ENDINGS = {
    Locked.exit_code: MirrorOutcome.LOCKED,
    Unavailable.exit_code: MirrorOutcome.UNREACHABLE,
    Limited.exit_code: MirrorOutcome.STOPPED,
    BudgetSpent.exit_code: MirrorOutcome.STOPPED,
    GuardRefused.exit_code: MirrorOutcome.REFUSED,
}


def outcome_of_error(error: RunError) -> MirrorOutcome:
    """How a mirror ended whose run met this error."""
    return _ENDINGS.get(ExitCode(error.exit_code), MirrorOutcome.FAILED)


def outcome_of(report: MirrorReport) -> MirrorOutcome:
    """How a run ended, by what is in its report."""
    if report.error is not None:
        return outcome_of_error(report.error)
    if report.refused is not None:
        return MirrorOutcome.REFUSED
    if any(isinstance(trouble, Held) for trouble in report.troubles):
        return MirrorOutcome.HELD
    if any(isinstance(trouble, Failed) for trouble in report.troubles):
        return MirrorOutcome.PARTIAL
    return MirrorOutcome.SYNCED


async def record_troubles(mirror: Mirror, troubles: Sequence[Trouble]) -> None:
    """Let these be what is left undone, and what of them is held be laid out to be read."""
    await mirror.state.set_troubles(troubles)
    await lay_out_held(mirror, [trouble for trouble in troubles if isinstance(trouble, Held)])


@asynccontextmanager
async def _stoppable(run: Run, stop: anyio.Event | None) -> AsyncIterator[None]:
    """Work that ends when `stop` is set: after GRACE_S even if it waits for something. Raises Stopped then."""
    if stop is None:
        yield
        return
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_when, run, stop, tasks.cancel_scope)
        yield
        tasks.cancel_scope.cancel()
    if run.stopping:
        raise Stopped("stopped on request; what was finished is on record", hint="Run it again: it goes on from here.")


async def _stop_when(run: Run, stop: anyio.Event, work: anyio.CancelScope) -> None:
    await stop.wait()
    run.stopping = True
    await run.mirror.clock.sleep(GRACE_S)
    work.cancel()
