"""A person's word on single documents: take one side of a held one, undo a save. Both go through the save protocol."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import anyio

from labelmirror.engine.cycle import with_window
from labelmirror.engine.look import look
from labelmirror.engine.marker import check_marker
from labelmirror.engine.mirror import Mirror, Run
from labelmirror.engine.push import Pushing, Wish
from labelmirror.engine.runs import new_run, outcome_of, record_troubles, run_error, stoppable
from labelmirror.errors import LabelmirrorError, UsageError
from labelmirror.model.keys import DocumentKey
from labelmirror.model.report import MirrorReport
from labelmirror.model.saving import SaveRecord, WishKind


async def take(mirror: Mirror, key: DocumentKey, kind: WishKind, stop: anyio.Event | None = None) -> MirrorReport:
    """Make one version of a document (LOCAL, REMOTE or BASE) that of both sides. The others go to history.

    `stop` ends it as it ends a run of `sync`.
    """
    return await granting(mirror, partial(_grant, {key: Wish(kind)}), stop)


async def undo(mirror: Mirror, saves: Sequence[SaveRecord], stop: anyio.Event | None = None) -> MirrorReport:
    """Take back what these saves did, by a three-way merge: later edits of others survive. Raises UsageError.

    Of several saves of one document the oldest decides what it goes back to, the newest what it comes from.
    """
    wishes: dict[DocumentKey, Wish] = {}
    for save in sorted(saves, key=lambda save: save.at_s, reverse=True):
        if not save.outcome.had_effect:
            raise UsageError(f"save {save.id} changed nothing on the server (it is {save.outcome.value})")
        newest = wishes.get(save.key)
        wishes[save.key] = Wish(WishKind.UNDO, save.before, newest.body if newest is not None else save.body)
    return await granting(mirror, partial(_grant, wishes), stop)


async def granting(
    mirror: Mirror, grant: Callable[[Run, MirrorReport], Awaitable[None]], stop: anyio.Event | None
) -> MirrorReport:
    """A run that does a person's will on documents. Trouble is in the report."""
    started_s = mirror.clock.monotonic_s()
    before = mirror.provider.traffic()
    run = new_run(mirror)
    report = MirrorReport(mirror.name, run.id)
    try:
        async with stoppable(run, stop):
            await check_marker(mirror)
            await grant(run, report)
    except (LabelmirrorError, ExceptionGroup) as error:
        report.error = run_error(error)
    report.troubles = run.troubles
    report.traffic = mirror.provider.traffic().since(before)
    report.duration_s = mirror.clock.monotonic_s() - started_s
    report.outcome = outcome_of(report)
    return report


async def _grant(wishes: Mapping[DocumentKey, Wish], run: Run, report: MirrorReport) -> None:
    seen = await look(run, full_check=False, move_files=True)
    run.troubles.clear()  # what the look found of other documents is the next run's to tell
    pushing = Pushing(run, seen.dataset, seen.look, report.documents, seen.capabilities.save_batch)
    await conclude(run, report, pushing, await pushing.grant(wishes))


async def conclude(run: Run, report: MirrorReport, pushing: Pushing, granted: AbstractSet[DocumentKey]) -> None:
    """Put on record what became of the documents that were granted; of others, what was known before."""
    mirror = run.mirror
    report.window = pushing.window
    await mirror.state.set_facts(with_window(await mirror.state.facts(), pushing.window))
    left = [each for each in await mirror.state.troubles() if DocumentKey(each.id, each.set) not in granted]
    await record_troubles(mirror, [*left, *run.troubles])
