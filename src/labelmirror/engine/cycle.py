"""A run over one mirror, on one page: look, decide, ask the guards, carry out, report.

Everything that is done is on record when it is done. A run may be cut off anywhere; the next one looks at the three
sides again and the same table says what is left.
"""

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import anyio

from labelmirror.engine.agreed import refuse_outdated, still_troubled
from labelmirror.engine.conflicts import known_conflicts
from labelmirror.engine.look import Seen, look
from labelmirror.engine.marker import check_marker
from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, PAGE, Guests, Mirror, Run, image_path
from labelmirror.engine.pull import pull_documents, report_documents, report_invalid
from labelmirror.engine.push import Pushing, may_be_saved
from labelmirror.engine.retire import retire
from labelmirror.engine.rows import document_pages, image_pages
from labelmirror.engine.runs import carry_out, new_run, record_troubles, run_error
from labelmirror.engine.summary import write_summary
from labelmirror.engine.transfer import ImagePull, image_pull
from labelmirror.errors import LabelmirrorError
from labelmirror.model.actions import Agreed, ImageAction
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Consent, Directions, MirrorPolicy
from labelmirror.model.remote import Dataset
from labelmirror.model.report import MirrorReport, PlanReport, Window
from labelmirror.model.rows import MirrorFacts
from labelmirror.model.trouble import Held, Stage
from labelmirror.planning.classify import Outcome
from labelmirror.planning.guard import Tally, check
from labelmirror.planning.plan import (
    WAITING,
    Look,
    carries_out,
    document_item,
    image_item,
    plan_document,
    plan_image,
)
from labelmirror.planning.strategy import fetches_ahead, forecast

#: Failures here mean that the server may not have been seen whole; a document that a person broke says nothing of that.
SERVER_STAGES = frozenset({Stage.LIST, Stage.PULL})


#: Lines of a plan about a working document that may not be sendable, or is known not to be.
_JUDGED = frozenset({Outcome.PUSH.value, Outcome.MERGE.value, Outcome.INVALID.value})


@dataclass(frozen=True, slots=True)
class CycleOptions:
    """What is asked of this one run. Without `retire` nothing is moved to the trash.

    `stop`, once set, ends the run: what is in hand is finished and recorded for GRACE_S, the rest is left. `guests` is told
    when edits can be pushed beside the run. `agreed` are items of an earlier plan: nothing else is done, and nothing of which
    the world moved.
    """

    full_check: bool = False
    retire: bool = True
    directions: Directions = Directions.BOTH
    stop: anyio.Event | None = None
    guests: Guests | None = None
    consent: Consent = field(default_factory=Consent)
    agreed: Agreed | None = None


async def sync(mirror: Mirror, options: CycleOptions) -> MirrorReport:
    """Bring one mirror in step. Trouble is in the report, never raised, except for programming errors."""
    return await carry_out(mirror, partial(_sync, options), options.stop)


async def _sync(options: CycleOptions, run: Run, report: MirrorReport) -> None:
    run.guests = options.guests
    await run.mirror.tree.drop_leftovers()
    async with image_pull(run, report.images) as images:
        await _bring_in_step(options, run, report, images)


async def _bring_in_step(options: CycleOptions, run: Run, report: MirrorReport, images: ImagePull) -> None:
    mirror = run.mirror
    seen = await look(
        run,
        full_check=options.full_check,
        move_files=options.agreed is None,
        finish_saves=options.directions.pushes and options.retire and options.agreed is None,
        agreed=options.agreed,
        beside=partial(_fetch_ahead, options, images) if options.directions.pulls else None,
    )
    if options.agreed is not None:
        await refuse_outdated(run, seen.look, options.agreed)
    tally = seen.tally if seen.tally is not None else await _tally(mirror, seen)
    report.refused = check(tally, options.consent)
    report.images.total = tally.selected_images
    report.documents.ahead = _ahead(tally, mirror.policy)
    untidy = await _will_be_untidy(mirror, tally)
    if mirror.policy.push and tally.concerns_edits:
        if report.refused is None and options.directions.pushes:
            pushing = Pushing(run, seen.dataset, seen.look, report.documents, seen.capabilities)
            await pushing.push()
            report.window = pushing.saving.window
        else:
            await _keep_held(run, seen, report)
    if options.directions.pulls:
        await _pull(run, seen, tally, report, images, retires=options.retire)
    elif tally.concerns_documents:
        await report_documents(run, seen.look, report.documents)
    if not run.stopping:
        await _finish(run, seen, report)
        if untidy:
            await mirror.state.compact()
            await mirror.state.set_facts(replace(await mirror.state.facts(), untidy=False))


async def _will_be_untidy(mirror: Mirror, tally: Tally) -> bool:
    """Whether this run, or one before it that died, leaves in the state what nothing refers to any more."""
    facts = await mirror.state.facts()
    if not facts.untidy and (tally.concerns_documents or tally.concerns_absent):
        facts = replace(facts, untidy=True)
        await mirror.state.set_facts(facts)
    return facts.untidy


async def _keep_held(run: Run, seen: Seen, report: MirrorReport) -> None:
    """A document that an earlier run could not merge stays held in a run that does not try."""
    state = run.mirror.state
    held = {DocumentKey(each.id, each.set): each for each in await state.troubles() if isinstance(each, Held)}
    for row in await state.rows_of_images(sorted({key.image for key in held})):
        if row.key in held and plan_document(row, seen.look, run.mirror.policy).outcome is Outcome.MERGE:
            report.documents.held += 1
            run.troubles.append(replace(held[row.key], image=image_path(row.place)))


def _fetch_ahead(options: CycleOptions, images: ImagePull, seen: Seen) -> AbstractAsyncContextManager[None]:
    """Images that are sure to be fetched come while documents are read: a server may take long to get an export ready."""
    tally = seen.tally
    assert tally is not None, "rows are tallied before documents are read"
    at_once = fetches_ahead(tally.image_actions, seen.dataset.images, seen.capabilities.image_batch)
    if not at_once or options.agreed is not None or check(tally, options.consent) is not None:
        return nullcontext()
    return images.ahead(seen.dataset, seen.look, missing=tally.image_actions[ImageAction.PULL])


async def _pull(run: Run, seen: Seen, tally: Tally, report: MirrorReport, images: ImagePull, *, retires: bool) -> None:
    """Bring documents and images here, and last of all move to the trash what is gone on the server."""
    additive_only = report.refused is not None
    if tally.concerns_documents:
        await pull_documents(run, seen.look, additive_only=additive_only, counts=report.documents)
    wanted = tally.image_actions[ImageAction.PULL] + (0 if additive_only else tally.image_actions[ImageAction.REPLACE])
    await images.pull(seen.dataset, seen.look, wanted=wanted, additive_only=additive_only)
    safe = not additive_only and not any(failed.stage in SERVER_STAGES for failed in run.failures)
    if tally.concerns_absent and retires and safe and not run.stopping:
        await retire(run, seen.look, report.images, report.documents)


async def _finish(run: Run, seen: Seen, report: MirrorReport) -> None:
    """Write down that the run came to its end. One that did only what was agreed on is no sync, nor is one that was refused."""
    mirror = run.mirror
    now_s = mirror.clock.now_s()
    facts = await mirror.state.facts()
    summary = await write_summary(mirror, seen.dataset, facts.summary)
    agreed = seen.look.agreed
    await record_troubles(mirror, run.troubles if agreed is None else await still_troubled(run, agreed))
    checked_fully = seen.full_check and seen.look.complete and not any(f.stage in SERVER_STAGES for f in run.failures)
    if agreed is None and report.refused is not None:
        facts = replace(facts, refused=report.refused, refused_s=now_s)
    elif agreed is None:
        facts = replace(facts, last_sync_s=now_s, refused=None, refused_s=None)
    await mirror.state.set_facts(
        replace(
            with_window(facts, report.window),
            dataset_id=seen.dataset.id,
            dataset_name=seen.dataset.name,
            last_full_check_s=seen.look.started_s if checked_fully else facts.last_full_check_s,
            summary=summary,
            safety_level=seen.capabilities.safety_level,
        )
    )
    await mirror.tree.drop_old(now_s, history_s=mirror.policy.history_s, trash_s=mirror.policy.trash_s)


def with_window(facts: MirrorFacts, window: Window) -> MirrorFacts:
    """The facts with the windows of a run's saves, unchanged if it sent none."""
    if window.last_s is None or window.max_s is None:
        return facts
    return replace(facts, window_last_s=window.last_s, window_max_s=max(window.max_s, facts.window_max_s or 0.0))


async def plan(mirror: Mirror, options: CycleOptions) -> PlanReport:
    """Say what `sync` would do now, item by item. Looks for real, and writes nothing outside the state."""
    before = mirror.provider.traffic()
    run = new_run(mirror)
    report = PlanReport(mirror.name)
    try:
        await check_marker(mirror, claim=False)
        seen = await look(run, full_check=options.full_check, move_files=False, finish_saves=False)
        report.store_id = (await mirror.state.facts()).store_id
        tally = await _tally(mirror, seen, report, options.directions)
        await _judge(run, seen.look, seen.dataset, report)
        report.refused = check(tally, options.consent)
        report.strategy = "+".join(("listing", *seen.ways))
        report.forecast = forecast(
            images=report.pull_images,
            image_bytes=tally.image_bytes if options.directions.pulls else 0,
            image_batch=seen.capabilities.image_batch,
            pushes=report.push + report.merge,
            reread_requests=seen.capabilities.reread_requests,
            save_batch=seen.capabilities.save_batch,
            quota=mirror.provider.quota(),
        )
    except (LabelmirrorError, ExceptionGroup) as error:
        report.error = run_error(error)
    report.troubles = run.troubles
    report.requests_spent = mirror.provider.traffic().since(before).api
    return report


async def _judge(run: Run, looked: Look, dataset: Dataset, report: PlanReport) -> None:
    """Tell of documents that cannot be saved as they are, and of conflicts, as a run does that meets them."""
    mirror = run.mirror
    asked = [index for index, item in enumerate(report.items) if item.action in _JUDGED]
    for start in range(0, len(asked), PAGE):
        page = {report.items[index].key: index for index in asked[start : start + PAGE]}
        for row in await mirror.state.rows_of_images(sorted({key.image for key in page})):
            if row.key not in page:
                continue
            index = page[row.key]
            item = report.items[index]
            if item.action == Outcome.INVALID.value:
                report_invalid(run, row)
                continue
            read = await mirror.tree.read(row.path, limit_bytes=DOCUMENT_LIMIT_BYTES)
            if read is None:
                continue
            if not await may_be_saved(run, dataset, row, read[0]):
                report.items[index] = replace(item, action=Outcome.INVALID.value, waits=True)
            elif await known_conflicts(mirror, looked, [(row, mirror.format.parse(read[0]))]):
                report.items[index] = replace(item, action=Outcome.HOLD.value, waits=True)
                report.hold += 1
            else:
                continue
            if item.action == Outcome.PUSH.value:
                report.push -= 1
            else:
                report.merge -= 1


async def _tally(
    mirror: Mirror, seen: Seen, report: PlanReport | None = None, directions: Directions = Directions.BOTH
) -> Tally:
    """Go over all rows once and count what will happen; with a report, list what a run in these directions does."""
    tally, policy = Tally(), mirror.policy
    async for images in image_pages(mirror.state):
        for row in images:
            decided = plan_image(row, seen.look, policy)
            tally.add_image(decided)
            if report is not None and carries_out(decided.action, policy, directions):
                report.items += [item] if (item := image_item(decided)) is not None else []
    if policy.content.annotations:
        async for documents in document_pages(mirror.state):
            for document in documents:
                planned = plan_document(document, seen.look, policy)
                tally.add_document(planned)
                told = planned.outcome in WAITING or carries_out(planned.outcome, policy, directions)
                if report is not None and told:
                    report.items.append(document_item(planned))
    if report is not None:
        _count(report, tally, policy, directions)
    return tally


def _count(report: PlanReport, tally: Tally, policy: MirrorPolicy, directions: Directions) -> None:
    """Put the numbers of what a run in these directions does into its report."""
    actions, outcomes = tally.image_actions, tally.outcomes
    if directions.pulls:
        report.pull_images = actions[ImageAction.PULL] + actions[ImageAction.REPLACE]
        report.retire = actions[ImageAction.RETIRE]
        report.pull_documents = outcomes[Outcome.PULL]
    if directions.pushes and policy.push:
        report.push = outcomes[Outcome.PUSH]
        report.merge = outcomes[Outcome.MERGE]
    report.hold = outcomes[Outcome.HOLD]
    report.ahead = _ahead(tally, policy)


def _ahead(tally: Tally, policy: MirrorPolicy) -> int:
    """The edits that a mirror keeps to itself."""
    return 0 if policy.push else tally.outcomes[Outcome.PUSH]
