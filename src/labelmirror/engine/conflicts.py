"""Conflicts that what is on record shows already, so that a document which waits for a person costs no request."""

from collections.abc import Mapping, Sequence

from labelmirror.engine.mirror import Mirror
from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Document
from labelmirror.model.keys import DocumentKey
from labelmirror.model.rows import DocumentRow
from labelmirror.model.trouble import HoldReason
from labelmirror.planning.classify import Outcome
from labelmirror.planning.plan import Look, plan_document
from labelmirror.planning.push import Side, Step, decide
from labelmirror.ports.provider import DocumentFormat


def side_of(documents: DocumentFormat, document: Document, origin: Document | None) -> Side:
    """A document as it is merged. Where annotations have no ids of their own, they are told apart by those of `origin`.

    Raises InvalidDocument.
    """
    return Side(documents.digest(document), documents.keyed(document, origin))


async def known_conflicts(
    mirror: Mirror, looked: Look, edits: Sequence[tuple[DocumentRow, Document]]
) -> Mapping[DocumentKey, HoldReason]:
    """The edits (each with the working document) that are held, going by the last reading of the server's side.

    Only where that reading still counts as what the server holds. What it does not show to be in conflict is for the
    reading before a save to decide.
    """
    read = {
        row.key: (row.base.content, row.remote.read_content)
        for row, _ in edits
        if row.base is not None
        and row.remote is not None
        and row.remote.read_content is not None
        and plan_document(row, looked, mirror.policy).outcome is Outcome.MERGE
    }
    contents = await mirror.state.contents(sorted({content for pair in read.values() for content in pair}))
    found: dict[DocumentKey, HoldReason] = {}
    for row, local in edits:
        if row.key not in read:
            continue
        base_content, remote_content = read[row.key]
        base = mirror.format.parse(contents[base_content])
        try:
            remote = side_of(mirror.format, mirror.format.parse(contents[remote_content]), base)
            decision = decide(
                side_of(mirror.format, base, base),
                side_of(mirror.format, local, base),
                remote,
                mirror.policy.on_conflict,
                stable_ids=mirror.format.stable_ids,
            )
        except InvalidDocument:
            continue  # told when it is read again
        if decision.step is Step.HOLD and decision.reason is not None:
            found[row.key] = decision.reason
    return found
