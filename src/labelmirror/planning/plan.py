"""From rows to decisions: what each document and each image of a mirror needs in this run.

A plan is not a list that is kept: it is what these functions say of rows that stand still while a run goes over them,
page by page. So the memory of a plan does not grow with the dataset, and a dry run is the same pass with the actions
left out.
"""

from dataclasses import dataclass

from labelmirror.model.actions import ImageAction
from labelmirror.model.document import Counts
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import MirrorPolicy, OnConflict, OnRemoteDelete
from labelmirror.model.remote import Token
from labelmirror.model.rows import DocumentRow, ImageCondition, ImageRow, RemoteSeen
from labelmirror.model.trouble import HoldReason
from labelmirror.planning.classify import Outcome, Side, Verdict, Void, classify

#: A document that loses at least this many annotations, and at least half of them, is held by itself.
SHRUNK_MIN = 10


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the server established, beside the rows.

    `complete` says that the listing is proven to be whole; `confirmed_absent` are the images whose absence was
    confirmed a second time. A weak token says nothing about a document that was last read at `distrust_before_s` or before.
    Times are wall-clock seconds.
    """

    started_s: float
    complete: bool
    confirmed_absent: frozenset[str]
    distrust_before_s: float
    #: Names of the dataset's categories; None where they are not known.
    categories: frozenset[str] | None = None
    #: Documents in which a save of somebody else was overwritten, until a person has seen it.
    alarms: frozenset[DocumentKey] = frozenset()
    #: Annotation sets on record that are gone, as was confirmed a second time.
    absent_sets: frozenset[str] = frozenset()
    #: Documents with a save of ours whose end is not known: what the server shows may be half of it.
    unsettled: frozenset[DocumentKey] = frozenset()


def distrust_before_s(*, now_s: float, full_check: bool, last_sync_s: float | None, every_s: float) -> float:
    """How old a reading may be to be relied on while the listing shows the same weak token.

    Between full checks any age will do. In a full check only what was read since the last run that came to its end, so
    that a check which was stopped goes on where it was; and never what is older than the time between checks.
    """
    if not full_check:
        return 0.0
    return max(last_sync_s or 0.0, now_s - every_s)


@dataclass(frozen=True, slots=True)
class RemoteView:
    """The remote side of one document as far as it is known. `read` means that it was read, not guessed from a token."""

    side: Side
    counts: Counts
    read: bool
    needs_reading: bool


def remote_view(row: DocumentRow, look: Look) -> RemoteView:
    """Work out what the server holds of a document, and whether it has to be read for that."""
    if row.key in look.unsettled:
        return RemoteView(Void.UNKNOWN, {}, read=False, needs_reading=False)
    if not row.listed:
        absent = look.complete and (row.key.image in look.confirmed_absent or row.key.set in look.absent_sets)
        return RemoteView(Void.ABSENT if absent else Void.UNKNOWN, {}, read=False, needs_reading=False)
    seen, base = row.remote, row.base
    if seen is not None and seen.read_digest is not None and _reading_holds(seen, look):
        return RemoteView(seen.read_digest, seen.read_counts or {}, read=True, needs_reading=False)
    if base is not None and seen is not None and _token_holds(base.token, seen.token, base.checked_at_s, look):
        return RemoteView(base.digest, base.counts, read=False, needs_reading=False)
    return RemoteView(Void.UNKNOWN, {}, read=False, needs_reading=True)


def _reading_holds(seen: RemoteSeen, look: Look) -> bool:
    if seen.read_at_s is None:
        return False
    return seen.read_at_s >= look.started_s or _token_holds(seen.read_token, seen.token, seen.read_at_s, look)


def _token_holds(then: Token | None, now: Token | None, read_at_s: float, look: Look) -> bool:
    """Whether an equal token lets a former reading stand for what the server holds now."""
    return then is not None and then == now and (then.strong or read_at_s > look.distrust_before_s)


@dataclass(frozen=True, slots=True)
class DocumentPlan:
    """What one document needs. `set_gone` says that its annotation set is gone, and not its image."""

    row: DocumentRow
    verdict: Verdict
    remote: RemoteView
    selected: bool
    set_gone: bool = False

    @property
    def outcome(self) -> Outcome:
        """The verdict's outcome."""
        return self.verdict.outcome

    @property
    def overwrites(self) -> bool:
        """Whether carrying it out replaces content that is here: not additive, so the guards have a say."""
        return self.outcome is Outcome.PULL and self.row.local is not None

    @property
    def left_over(self) -> Counts | None:
        """What base's annotations become where content is replaced on either side; None where nothing is."""
        if self.overwrites:
            return self.remote.counts
        if self.outcome is Outcome.RETIRE and self.set_gone:
            return {}
        if self.outcome in {Outcome.PUSH, Outcome.MERGE} and self.row.local is not None:
            return self.row.local.counts
        return None


def plan_document(row: DocumentRow, look: Look, policy: MirrorPolicy) -> DocumentPlan:
    """Decide about one document."""
    remote = remote_view(row, look)
    selected = not row.listed or policy.selects(row.status)
    if not selected:
        return DocumentPlan(row, Verdict(Outcome.IN_STEP), remote, selected=False)
    verdict = classify(row.base.digest if row.base else None, local_side(row), remote.side)
    if row.key in look.alarms:
        verdict = Verdict(Outcome.HOLD, HoldReason.FOREIGN_SAVE_OVERWRITTEN)
    elif verdict.outcome in {Outcome.PUSH, Outcome.MERGE} and policy.push:
        verdict = _push_verdict(row, look, verdict)
    elif verdict.outcome is Outcome.MERGE:
        verdict = Verdict(Outcome.HOLD, HoldReason.BOTH_EDITED)
    elif verdict.reason is HoldReason.BOTH_ADDED and policy.push and policy.on_conflict in _CHOICES:
        verdict = Verdict(Outcome.MERGE)
    elif verdict.outcome is Outcome.PULL and row.local is not None and row.base is not None:
        if shrinks(row.base.counts, remote.counts):
            verdict = Verdict(Outcome.HOLD, HoldReason.SHRUNK)
    elif verdict.outcome is Outcome.RETIRE and policy.on_remote_delete is OnRemoteDelete.KEEP:
        verdict = Verdict(Outcome.FORGET)
    return DocumentPlan(row, verdict, remote, selected=True, set_gone=row.key.set in look.absent_sets)


#: Choices that decide a conflict without a person.
_CHOICES = frozenset({OnConflict.LOCAL, OnConflict.REMOTE})


def _push_verdict(row: DocumentRow, look: Look, verdict: Verdict) -> Verdict:
    """What stands in the way of sending an edit, as far as a row can tell."""
    assert row.base is not None
    assert row.local is not None
    # An annotation without a category, which counts under "", has none to lose.
    if look.categories is not None and (row.local.counts.keys() & row.base.counts.keys()) - look.categories - {""}:
        return Verdict(Outcome.HOLD, HoldReason.CATEGORY_GONE)
    if shrinks(row.base.counts, row.local.counts):
        return Verdict(Outcome.HOLD, HoldReason.SHRUNK)
    return verdict


def local_side(row: DocumentRow) -> Side:
    """The local side as the last scan found it."""
    if row.local is None:
        return Void.ABSENT
    return row.local.digest if row.local.digest is not None else Void.INVALID


def shrinks(before: Counts, after: Counts) -> bool:
    """Whether one document loses so much that a person should see it first: half of it, and at least ten."""
    had, has = sum(before.values()), sum(after.values())
    return had - has >= SHRUNK_MIN and 2 * (had - has) >= had


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What the bytes of one image need. `selected`: it is listed and passes the filter."""

    row: ImageRow
    action: ImageAction
    selected: bool


def plan_image(row: ImageRow, look: Look, policy: MirrorPolicy) -> ImagePlan:
    """Decide about the bytes of one image. Images are only ever pulled."""
    selected = row.listed is not None and policy.selects(row.listed.status)
    return ImagePlan(row, _image_action(row, look, policy, selected=selected), selected)


def _image_action(row: ImageRow, look: Look, policy: MirrorPolicy, *, selected: bool) -> ImageAction:
    record, listed = row.record, row.listed
    if listed is None:
        if record is None or not look.complete or row.id not in look.confirmed_absent:
            return ImageAction.UNKNOWN
        return ImageAction.RETIRE if policy.on_remote_delete is OnRemoteDelete.TRASH else ImageAction.KEEP
    if not selected or not policy.content.images or record is None:
        return ImageAction.NOTHING
    if record.condition is ImageCondition.MISSING:
        return ImageAction.PULL
    if record.condition is ImageCondition.DAMAGED or _other_bytes(record.size_bytes, listed.size_bytes):
        return ImageAction.REPLACE
    return ImageAction.NOTHING


def _other_bytes(recorded: int | None, announced: int | None) -> bool:
    return recorded is not None and announced is not None and recorded != announced
