"""A run over one mirror, on one page: look, decide, ask the guards, carry out, report.

Everything that is done is on record when it is done. A run may be cut off anywhere; the next one looks at the three
sides again and the same table says what is left.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum

import anyio

from labelmirror.engine.compare import lay_out_held
from labelmirror.engine.look import Seen, look
from labelmirror.engine.mirror import LocalMirror, Mirror, Run
from labelmirror.engine.pull import pull_documents, report_documents
from labelmirror.engine.push import Pushing
from labelmirror.engine.retire import retire
from labelmirror.engine.rows import document_pages, image_pages
from labelmirror.engine.transfer import pull_images
from labelmirror.errors import (
    BudgetSpent,
    ExitCode,
    GuardRefused,
    LabelmirrorError,
    Limited,
    Locked,
    MarkerMismatch,
    StateDamaged,
    Stopped,
    Unavailable,
)
from labelmirror.model.actions import ImageAction, PlanItem
from labelmirror.model.document import Digest, JsonObject, digest_of
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Consent
from labelmirror.model.report import MirrorOutcome, MirrorReport, PlanReport, RunError, Window
from labelmirror.model.rows import MirrorFacts
from labelmirror.model.trouble import Failed, Held, Stage
from labelmirror.planning.classify import Outcome
from labelmirror.planning.guard import Tally, check
from labelmirror.planning.plan import plan_document, plan_image
from labelmirror.planning.strategy import forecast
from labelmirror.ports.tree import Marker

#: Failures here mean that the server may not have been seen whole; a document that a person broke says nothing of that.
SERVER_STAGES = frozenset({Stage.LIST, Stage.PULL})
#: A run that is asked to end has this long to finish what it has in hand.
GRACE_S = 5.0


class Directions(Enum):
    """Which ways a run goes."""

    BOTH = "both"
    PULL = "pull"
    PUSH = "push"

    @property
    def pushes(self) -> bool:
        """Whether edits are carried to the server."""
        return self is not Directions.PULL

    @property
    def pulls(self) -> bool:
        """Whether changes are brought here."""
        return self is not Directions.PUSH


@dataclass(frozen=True, slots=True)
class CycleOptions:
    """What is asked of this one run. Without `retire` nothing is moved to the trash.

    `stop`, once set, ends the run: what is in hand is finished and recorded for GRACE_S, the rest is left.
    """

    full_check: bool = False
    retire: bool = True
    directions: Directions = Directions.BOTH
    stop: anyio.Event | None = None
    consent: Consent = field(default_factory=Consent)


async def sync(mirror: Mirror, options: CycleOptions) -> MirrorReport:
    """Bring one mirror in step. Trouble is in the report, never raised, except for programming errors."""
    started_s = mirror.clock.monotonic_s()
    before = mirror.provider.traffic()
    run = new_run(mirror)
    report = MirrorReport(mirror.name, run.id)
    try:
        async with stoppable(run, options.stop):
            await _sync(run, report, options)
    except (LabelmirrorError, ExceptionGroup) as error:
        report.error = run_error(error)
    report.troubles = run.troubles
    report.traffic = mirror.provider.traffic().since(before)
    report.duration_s = mirror.clock.monotonic_s() - started_s
    report.outcome = outcome_of(report)
    return report


async def _sync(run: Run, report: MirrorReport, options: CycleOptions) -> None:
    mirror = run.mirror
    await check_marker(mirror)
    await mirror.tree.drop_leftovers()
    seen = await look(run, full_check=options.full_check, move_files=True)
    tally = await _tally(mirror, seen)
    report.refused = check(tally, options.consent)
    report.images.total = tally.selected_images
    if mirror.policy.push and report.refused is None and options.directions.pushes and tally.concerns_edits:
        pushing = Pushing(run, seen.dataset, seen.look, report.documents, seen.capabilities.save_batch)
        await pushing.push()
        report.window = pushing.window
    if options.directions.pulls:
        await _pull(run, seen, tally, report, retires=options.retire)
    elif tally.concerns_documents:
        await report_documents(run, seen.look, report.documents)
    if not run.stopping:
        await _finish(run, seen, report.window)


async def _pull(run: Run, seen: Seen, tally: Tally, report: MirrorReport, *, retires: bool) -> None:
    """Bring documents and images here, and last of all move to the trash what is gone on the server."""
    additive_only = report.refused is not None
    if tally.concerns_documents:
        await pull_documents(run, seen.look, additive_only=additive_only, counts=report.documents)
    wanted = tally.image_actions[ImageAction.PULL] + (0 if additive_only else tally.image_actions[ImageAction.REPLACE])
    await pull_images(run, seen.dataset, seen.look, wanted=wanted, additive_only=additive_only, counts=report.images)
    safe = not additive_only and not any(failed.stage in SERVER_STAGES for failed in run.failures)
    if tally.concerns_absent and retires and safe and not run.stopping:
        await retire(run, seen.look, report.images, report.documents)


@asynccontextmanager
async def stoppable(run: Run, stop: anyio.Event | None) -> AsyncIterator[None]:
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


async def _finish(run: Run, seen: Seen, window: Window) -> None:
    """Write down that the run came to its end."""
    mirror = run.mirror
    now_s = mirror.clock.now_s()
    facts = await mirror.state.facts()
    summary = await _write_summary(mirror, seen, facts.summary)
    await mirror.state.set_troubles(run.troubles)
    await lay_out_held(mirror, [trouble for trouble in run.troubles if isinstance(trouble, Held)])
    checked_fully = seen.full_check and seen.look.complete and not any(f.stage in SERVER_STAGES for f in run.failures)
    await mirror.state.set_facts(
        replace(
            with_window(facts, window),
            dataset_id=seen.dataset.id,
            dataset_name=seen.dataset.name,
            last_sync_s=now_s,
            last_full_check_s=seen.look.started_s if checked_fully else facts.last_full_check_s,
            listing_complete=seen.look.complete,
            summary=summary,
            safety_level=seen.capabilities.safety_level,
        )
    )
    await mirror.state.compact()
    await mirror.tree.drop_old(now_s, history_s=mirror.policy.history_s, trash_s=mirror.policy.trash_s)


def with_window(facts: MirrorFacts, window: Window) -> MirrorFacts:
    """The facts with the windows of a run's saves, unchanged if it sent none."""
    if window.last_s is None or window.max_s is None:
        return facts
    return replace(facts, window_last_s=window.last_s, window_max_s=max(window.max_s, facts.window_max_s or 0.0))


async def _write_summary(mirror: Mirror, seen: Seen, written: Digest | None) -> Digest:
    """Write dataset.json if it says something new: its images' ids and paths are what a lost state is rebuilt from."""
    dataset = seen.dataset
    head: JsonObject = {
        "name": dataset.name,
        "id": dataset.id,
        "server": mirror.server,
        "categories": list(dataset.categories),
        "counts": {"images": dataset.images, "annotations": dataset.annotations},
    }
    digest = digest_of(head)
    if digest != written:
        await mirror.tree.write_summary(head, _summary_images(mirror))
    return digest


async def _summary_images(mirror: Mirror) -> AsyncIterator[Sequence[JsonObject]]:
    async for page in image_pages(mirror.state):
        yield [
            {"id": row.record.id, "directory": row.record.directory, "name": row.record.name, "path": row.record.path}
            for row in page
            if row.record is not None
        ]


async def plan(mirror: Mirror, options: CycleOptions) -> PlanReport:
    """Say what `sync` would do now, item by item. Looks for real, and writes nothing outside the state."""
    before = mirror.provider.traffic()
    run = new_run(mirror)
    report = PlanReport(mirror.name)
    try:
        await check_marker(mirror, claim=False)
        seen = await look(run, full_check=options.full_check, move_files=False)
        tally = await _tally(mirror, seen, report)
        report.refused = check(tally, options.consent)
        report.strategy = "+".join(("listing", *seen.ways))
        report.forecast = forecast(
            images=report.pull_images,
            image_bytes=tally.image_bytes,
            image_batch=seen.capabilities.image_batch,
            pushes=report.push + report.merge if mirror.policy.push else 0,
            save_batch=seen.capabilities.save_batch,
            quota=mirror.provider.quota(),
        )
    except (LabelmirrorError, ExceptionGroup) as error:
        report.error = run_error(error)
    report.troubles = run.troubles
    report.requests_spent = mirror.provider.traffic().since(before).api
    return report


async def _tally(mirror: Mirror, seen: Seen, report: PlanReport | None = None) -> Tally:
    """Go over all rows once and count what will happen; with a report, list it item by item too."""
    tally = Tally()
    async for images in image_pages(mirror.state):
        for row in images:
            decided = plan_image(row, seen.look, mirror.policy)
            tally.add_image(decided, selected=row.listed is not None and mirror.policy.selects(row.listed.status))
            if report is not None and decided.action not in {ImageAction.NOTHING, ImageAction.UNKNOWN} and row.record:
                report.items.append(PlanItem(DocumentKey(row.id), row.record.path, decided.action.value))
    if mirror.policy.content.annotations:
        async for documents in document_pages(mirror.state):
            for document in documents:
                planned = plan_document(document, seen.look, mirror.policy)
                tally.add_document(planned)
                if report is not None and planned.outcome not in {Outcome.IN_STEP, Outcome.UNKNOWN}:
                    report.items.append(PlanItem(document.key, document.path, planned.outcome.value))
    if report is not None:
        report.pull_images = tally.image_actions[ImageAction.PULL] + tally.image_actions[ImageAction.REPLACE]
        report.retire = tally.image_actions[ImageAction.RETIRE]
        report.pull_documents = tally.outcomes[Outcome.PULL]
        report.push = tally.outcomes[Outcome.PUSH]
        report.merge = tally.outcomes[Outcome.MERGE]
        report.hold = tally.outcomes[Outcome.HOLD]
    return tally


async def check_marker(mirror: LocalMirror, *, claim: bool = True) -> None:
    """Make sure that the directory is the one that the state knows. Raises MarkerMismatch or StateDamaged.

    With neither base nor marker this is a first run, and the directory is claimed.
    """
    facts = await mirror.state.facts()
    marker = await mirror.tree.marker()
    known = facts.last_sync_s is not None or facts.claimed
    if marker is None:
        if known:
            raise MarkerMismatch(
                f"{mirror.name}: the mirror's directory has no marker, though it was mirrored before",
                hint="Is its disk mounted? If the directory was removed on purpose, remove it whole "
                "and run: labelmirror repair " + mirror.name,
            )
        if claim:
            await mirror.tree.write_marker(Marker(facts.store_id, mirror.name))
            await mirror.state.set_facts(replace(facts, claimed=True))
        return
    if marker.store_id == facts.store_id:
        if claim and not facts.claimed:
            # The run that wrote the marker died before it could note that.
            await mirror.state.set_facts(replace(facts, claimed=True))
        return
    if known:
        raise MarkerMismatch(
            f"{mirror.name}: the directory belongs to another store ({marker.mirror} {marker.store_id[:8]})",
            hint="Give each mirror a path of its own, or put the right directory back.",
        )
    raise StateDamaged(
        f"{mirror.name}: the directory was mirrored before, but the state knows nothing of it",
        hint=f"Put the state back, or rebuild it from the mirror and the server: labelmirror repair {mirror.name}",
    )


def new_run(mirror: Mirror) -> Run:
    """A run that begins now; its id is the UTC time, by which old versions are aged."""
    return Run(datetime.fromtimestamp(mirror.clock.now_s(), UTC).strftime("%Y%m%dT%H%M%S.%fZ"), mirror)


def run_error(error: LabelmirrorError | ExceptionGroup[Exception]) -> RunError:
    """The one error that a run is reported to have ended with. Raises the group if it holds a programming error."""
    if isinstance(error, ExceptionGroup):
        ours, others = error.split(LabelmirrorError)
        if others is not None or ours is None:
            raise error
        return run_error(_first(ours))
    return RunError(error.code, error.message, error.hint, int(error.exit_code))


def _first(group: BaseException) -> LabelmirrorError:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    assert isinstance(group, LabelmirrorError)
    return group


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
