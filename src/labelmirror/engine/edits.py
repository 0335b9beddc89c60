"""Edits as they are made: find them among files that were touched, and carry them to the server without a whole run.

What a run learns of the server by listing it, an edit learns by the second look that comes before every save. The guards
are asked as in a run. Whatever is more than a plain edit is left to a whole run.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import anyio

from labelmirror.engine.cycle import with_window
from labelmirror.engine.look import known_dataset
from labelmirror.engine.mirror import LocalMirror, Mirror, Run
from labelmirror.engine.push import Pushing
from labelmirror.engine.rows import document_pages
from labelmirror.engine.runs import carry_out, record_troubles
from labelmirror.engine.scan import with_present_files
from labelmirror.engine.settle import settle_open_saves
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Consent
from labelmirror.model.report import MirrorReport
from labelmirror.model.rows import DocumentRow
from labelmirror.planning.classify import Outcome
from labelmirror.planning.guard import Tally, check
from labelmirror.planning.plan import Look, plan_document, plan_edit


@dataclass(frozen=True, slots=True)
class Found:
    """Valid documents whose content is not base's, by key; and the paths of those that were written too lately to tell."""

    edited: tuple[DocumentKey, ...]
    restless: tuple[str, ...]


async def find_edits(mirror: LocalMirror, paths: Collection[str] | None, *, now_s: float, settle_s: float) -> Found:
    """Look for edits in these files, relative to the mirror; None: in all. Needs neither lock nor server, writes nothing.

    A file that this program wrote holds what is on record, and is no edit. What the last run failed on or held is none
    either, until it is touched again; and of all files only those count that no run has seen as they are. A file written
    less than `settle_s` before `now_s` (wall clock) may be half done.
    """
    told = {(trouble.id, trouble.set) for trouble in await mirror.state.troubles()}
    edited: list[DocumentKey] = []
    restless: list[str] = []
    async for page in document_pages(mirror.state):
        rows = [row for row in page if row.base is not None and (paths is None or row.path in paths)]
        for row, fresh in zip(rows, await with_present_files(mirror, rows), strict=True):
            seen_before = fresh is row
            if not _differs(fresh) or (seen_before and (paths is None or (row.key.image, row.key.set) in told)):
                continue
            assert fresh.local is not None
            if 0 <= now_s - fresh.local.stat.mtime_ns / 1e9 < settle_s:
                restless.append(row.path)
            elif fresh.local.digest is not None:
                edited.append(row.key)
    return Found(tuple(edited), tuple(restless))


def _differs(row: DocumentRow) -> bool:
    return row.local is not None and row.base is not None and row.local.digest != row.base.digest


async def push_edits(
    mirror: Mirror, keys: Collection[DocumentKey], stop: anyio.Event | None
) -> tuple[MirrorReport, frozenset[DocumentKey]]:
    """Carry the edits of these documents to the server; the report, and the documents that need a whole run.

    Trouble is in the report, never raised, except for programming errors.
    """
    left = frozenset(keys)

    async def push(run: Run, report: MirrorReport) -> None:
        nonlocal left
        left = await _push(run, report, left)

    return await carry_out(mirror, push, stop), left


async def _push(run: Run, report: MirrorReport, keys: frozenset[DocumentKey]) -> frozenset[DocumentKey]:
    mirror = run.mirror
    dataset = await known_dataset(run, await mirror.state.facts())
    look = Look(
        started_s=mirror.clock.now_s(),
        complete=False,
        confirmed_absent=frozenset(),
        distrust_before_s=0.0,
        categories=dataset.category_names(),
    )
    unsettled = await settle_open_saves(run, dataset, look, may_send=True)
    look = replace(look, unsettled=unsettled, alarms=await mirror.state.journal.alarms())
    await _record_local(run, keys)  # after open saves: those go by what the files held when they were sent
    tally, pushable = Tally(), list[DocumentRow]()
    async for page in document_pages(mirror.state):
        for row in page:
            plan = (plan_edit if row.key in keys else plan_document)(row, look, mirror.policy)
            tally.add_document(plan)
            if row.key in keys and plan.outcome in {Outcome.PUSH, Outcome.MERGE}:
                pushable.append(row)
    if check(tally, Consent()) is not None:  # a whole run has the newest numbers, and says what is amiss
        return keys
    capabilities = await mirror.provider.capabilities()
    pushing = Pushing(run, dataset, look, report.documents, capabilities)
    await pushing.push_rows(pushable)
    report.window = pushing.saving.window
    await mirror.state.set_facts(with_window(await mirror.state.facts(), pushing.saving.window))
    pushed = {row.key for row in pushable}
    await _record_troubles(run, pushed)
    return keys - pushed


async def _record_local(run: Run, keys: frozenset[DocumentKey]) -> None:
    found = await run.mirror.state.rows_of_images(sorted({key.image for key in keys}))
    rows: Sequence[DocumentRow] = [row for row in found if row.key in keys]
    fresh = await with_present_files(run.mirror, rows)
    changed = [(now.key, now.local) for row, now in zip(rows, fresh, strict=True) if now is not row]
    if changed:
        await run.mirror.state.record_local(changed)


async def _record_troubles(run: Run, about: Collection[DocumentKey]) -> None:
    """Put what was met on record, in the place of what the last run met with these documents."""
    known = await run.mirror.state.troubles()
    left = [trouble for trouble in known if DocumentKey(trouble.id, trouble.set) not in about]
    await record_troubles(run.mirror, [*left, *run.troubles])
