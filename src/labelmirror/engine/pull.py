"""Bring documents in step with what was read of the server: write what changed there, record what both sides hold.

Order of writes: file first, base last. Killed in between, both sides hold the same content and the table says: adopt.
"""

from collections.abc import Sequence

from labelmirror.engine.mirror import Run, image_path
from labelmirror.engine.rows import document_pages
from labelmirror.engine.scan import read_local
from labelmirror.errors import InvalidDocument
from labelmirror.model.events import Phase
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Token
from labelmirror.model.report import DocumentCounts
from labelmirror.model.rows import Base, DocumentRow, LocalFile, RemoteSeen
from labelmirror.model.trouble import Stage
from labelmirror.planning.classify import Outcome
from labelmirror.planning.plan import DocumentPlan, Look, plan_document
from labelmirror.ports.state import DocumentRecorded
from labelmirror.ports.tree import Placement, PlaceOutcome


async def pull_documents(run: Run, looked: Look, *, additive_only: bool, counts: DocumentCounts) -> None:
    """Carry out what the plan says of documents, except retiring. With `additive_only` nothing that is here is replaced."""
    mirror = run.mirror
    with run.phase(Phase.PULLING_DOCUMENTS) as progress:
        async for page in document_pages(mirror.state):
            if run.stopping:
                return
            plans = [plan_document(row, looked, mirror.policy) for row in page]
            _report(run, plans, counts)
            await _settle(run, plans)
            counts.adopted += await _adopt(run, plans)
            pulls = [plan for plan in plans if plan.outcome is Outcome.PULL and not (additive_only and plan.overwrites)]
            counts.pulled += await _pull(run, pulls)
            forgotten = [plan.row.key for plan in plans if plan.outcome is Outcome.FORGET]
            if forgotten:
                await mirror.state.forget_documents(forgotten)
            progress.add(len(page))


async def report_documents(run: Run, looked: Look, counts: DocumentCounts) -> None:
    """Say of documents what waits for a person, and do nothing: for a run that brings nothing here."""
    async for page in document_pages(run.mirror.state):
        _report(run, [plan_document(row, looked, run.mirror.policy) for row in page], counts)


def _report(run: Run, plans: Sequence[DocumentPlan], counts: DocumentCounts) -> None:
    """Put held and invalid documents on the list of what is left undone."""
    for plan in plans:
        row = plan.row
        if plan.verdict.reason is not None:
            run.hold(row, plan.verdict.reason, counts)
        elif plan.outcome is Outcome.INVALID:
            report_invalid(run, row)


def report_invalid(run: Run, row: DocumentRow) -> None:
    """Put a file that is no document on the list of failures, with the reason that the last scan found."""
    problem = row.local.problem if row.local is not None else None
    message = f"{row.path}: {problem or 'unreadable'}"
    run.fail(row.key, image_path(row.place), Stage.VALIDATE, InvalidDocument.code, message)


async def _settle(run: Run, plans: Sequence[DocumentPlan]) -> None:
    """Documents that were read and found to be as base: base was checked just now, under the newest token."""
    checked: list[tuple[DocumentKey, Token | None, float]] = []
    for plan in plans:
        row = plan.row
        if row.base is None or row.remote is None or row.remote.read_at_s is None:
            continue
        if plan.remote.read and plan.remote.side == row.base.digest:
            checked.append((row.key, row.remote.read_token, row.remote.read_at_s))
    if checked:
        await run.mirror.state.record_checked(checked)


async def _adopt(run: Run, plans: Sequence[DocumentPlan]) -> int:
    """Both sides hold the same already: that is base now."""
    records = [
        DocumentRecorded(plan.row.key, read_base(plan.row.remote), plan.row.local)
        for plan in plans
        if plan.outcome is Outcome.ADOPT and plan.row.local is not None and plan.row.remote is not None
    ]
    if records:
        await run.mirror.state.record_documents(records)
    return len(records)


async def _pull(run: Run, plans: Sequence[DocumentPlan]) -> int:
    """Write what the server holds. A file that was touched since it was planned is left for the next run to decide."""
    if not plans:
        return 0
    mirror = run.mirror
    bases = [_base_of(plan.row) for plan in plans]
    contents = await mirror.state.contents([base.content for base in bases])
    placed = await mirror.tree.place(
        [
            Placement(plan.row.path, contents[base.content], plan.row.local.stat if plan.row.local else None, run.id)
            for plan, base in zip(plans, bases, strict=True)
        ]
    )
    records: list[DocumentRecorded] = []
    for plan, base, result in zip(plans, bases, placed, strict=True):
        row = plan.row
        if result.outcome is PlaceOutcome.CHANGED or result.stat is None:
            message = f"{row.path} was edited while its new version was fetched; the next run decides"
            if row.local is None:
                message = f"{row.path}: something is in its place that was not there before, or is no ordinary file"
            run.fail(row.key, image_path(row.place), Stage.PULL, "changed_meanwhile", message)
            await mirror.state.record_local([(row.key, await read_local(mirror, row.path))])
            continue
        records.append(DocumentRecorded(row.key, base, LocalFile(result.stat, base.digest, base.counts)))
    if records:
        await mirror.state.record_documents(records)
    return len(records)


def _base_of(row: DocumentRow) -> Base:
    """The base that pulling this document will leave: what was read, or, for a lost file, base as it stands."""
    if row.remote is not None and row.remote.read_digest is not None:
        return read_base(row.remote)
    assert row.base is not None, "a document is pulled because it was read, or because its file is missing"
    return row.base


def read_base(remote: RemoteSeen | None) -> Base:
    """What was read of the server, as a base."""
    assert remote is not None
    assert remote.read_digest is not None
    assert remote.read_content is not None
    assert remote.read_at_s is not None
    return Base(remote.read_digest, remote.read_content, remote.read_counts or {}, remote.read_token, remote.read_at_s)
