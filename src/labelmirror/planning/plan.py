"""From rows to decisions: what each document and each image of a mirror needs in this run.

A plan is not a list that is kept: it is what these functions say of rows that stand still while a run goes over them,
page by page. So the memory of a plan does not grow with the dataset, and a dry run is the same pass with the actions
left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from labelmirror.model.actions import Agreed, ImageAction, PlanItem, Sides
from labelmirror.model.document import Counts, digest_of
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Directions, MirrorPolicy, OnConflict, OnRemoteDelete
from labelmirror.model.remote import Token
from labelmirror.model.rows import Base, DocumentRow, ImageCondition, ImageRow, RemoteSeen
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
    #: Names of the categories in each annotation set, "" without sets; missing where they are not known.
    categories: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: Documents in which a save of somebody else was overwritten, until a person has seen it.
    alarms: frozenset[DocumentKey] = frozenset()
    #: Annotation sets on record that are gone, as was confirmed a second time.
    absent_sets: frozenset[str] = frozenset()
    #: Documents with a save of ours whose end is not known: what the server shows may be half of it.
    unsettled: frozenset[DocumentKey] = frozenset()
    #: What alone is to be done in this run; None: whatever the rows need.
    agreed: Agreed | None = None


def distrust_before_s(*, now_s: float, full_check: bool, last_end_s: float | None, every_s: float) -> float:
    """How old a reading may be to be relied on while the listing shows the same weak token.

    Between full checks any age will do. In a full check only what was read since the last run that came to its end, so
    that a check which was stopped goes on where it was; and never what is older than the time between checks.
    """
    if not full_check:
        return 0.0
    return max(last_end_s or 0.0, now_s - every_s)


@dataclass(frozen=True, slots=True)
class RemoteView:
    """The remote side of one document as far as it is known. `read` means that a reading tells it, not base or a token."""

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
    if base is not None and is_newer_than_look(row, look):
        return RemoteView(base.digest, base.counts, read=False, needs_reading=False)
    if base is not None and seen is not None and _token_holds(base.token, seen.token, base.checked_at_s, look):
        if not _read_otherwise(seen, base):
            return RemoteView(base.digest, base.counts, read=False, needs_reading=False)
        if seen.read_digest is not None and local_side(row) not in {base.digest, seen.read_digest}:
            # Both sides moved, as was read before a save that was not sent. Nothing is done on that without another look.
            return RemoteView(seen.read_digest, seen.read_counts or {}, read=False, needs_reading=False)
    concerned = look.agreed is None or row.key in look.agreed.documents
    return RemoteView(Void.UNKNOWN, {}, read=False, needs_reading=concerned)


def is_newer_than_look(row: DocumentRow, look: Look) -> bool:
    """Whether base was seen on the server since the look began.

    A push beside the listing, or the end of an earlier save, brought both sides in step then. What the listing shows of the
    document, and all that came with it, may be from before.
    """
    return row.base is not None and row.base.checked_at_s > look.started_s


def _reading_holds(seen: RemoteSeen, look: Look) -> bool:
    if seen.read_at_s is None:
        return False
    return seen.read_at_s >= look.started_s or _token_holds(seen.read_token, seen.token, seen.read_at_s, look)


def _read_otherwise(seen: RemoteSeen, base: Base) -> bool:
    """Whether the server was seen to hold something else than base since that was last checked."""
    return seen.read_digest not in {None, base.digest} and (seen.read_at_s or 0.0) > base.checked_at_s


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
    """Decide about one document. Outside of what was agreed on, and where that moved, nothing is to be done."""
    plan = _plan_document(row, look, policy)
    if look.agreed is None or plan.outcome is Outcome.IN_STEP or _is_agreed(plan, look.agreed):
        return plan
    return replace(plan, verdict=Verdict(Outcome.UNKNOWN))


def _is_agreed(plan: DocumentPlan, agreed: Agreed) -> bool:
    if plan.outcome in WAITING:
        # Somebody's work in a document keeps the files of an image that was to go, and that must be told.
        item = agreed.images.get(plan.row.key.image)
        return item is not None and item.action in {ImageAction.RETIRE.value, ImageAction.KEEP.value}
    return agreed.documents.get(plan.row.key) == document_item(plan)


def _plan_document(row: DocumentRow, look: Look, policy: MirrorPolicy) -> DocumentPlan:
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


def plan_edit(row: DocumentRow, look: Look, policy: MirrorPolicy) -> DocumentPlan:
    """Decide about a document that is known to be edited here before the server was looked at.

    Where nothing is known of the server's side it counts as unchanged: what it holds is read again before any save.
    """
    planned = plan_document(row, look, policy)
    if planned.outcome is not Outcome.UNKNOWN or row.base is None or not row.listed:
        return planned
    base = row.base
    as_base = RemoteSeen(None, False, base.digest, base.content, base.counts, read_at_s=look.started_s)
    return replace(plan_document(replace(row, remote=as_base), look, policy), row=row)


#: Choices that decide a conflict without a person.
_CHOICES = frozenset({OnConflict.LOCAL, OnConflict.REMOTE})


def _push_verdict(row: DocumentRow, look: Look, verdict: Verdict) -> Verdict:
    """What stands in the way of sending an edit, as far as a row can tell."""
    assert row.base is not None
    assert row.local is not None
    # An annotation without a category, which counts under "", has none to lose.
    known = look.categories.get(row.key.set)
    if known is not None and (row.local.counts.keys() & row.base.counts.keys()) - known - {""}:
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
    plan = ImagePlan(row, _image_action(row, look, policy, selected=selected), selected)
    if look.agreed is None or plan.action is ImageAction.NOTHING or image_item(plan) == look.agreed.images.get(row.id):
        return plan
    return replace(plan, action=ImageAction.UNKNOWN)


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


# --- items: plans that are kept, and agreed on ---------------------------------------------------------------------------

#: Outcomes that a run only tells of.
WAITING = frozenset({Outcome.HOLD, Outcome.LOCAL_ONLY, Outcome.INVALID})

_PUSHES = frozenset({Outcome.PUSH, Outcome.MERGE})
_PULLS = frozenset({Outcome.PULL, Outcome.ADOPT, Outcome.RETIRE, Outcome.FORGET})
_FILES = frozenset({ImageAction.PULL, ImageAction.REPLACE, ImageAction.RETIRE, ImageAction.KEEP})


def carries_out(action: Outcome | ImageAction, policy: MirrorPolicy, directions: Directions) -> bool:
    """Whether a run that goes these ways does something where this is planned."""
    if action in _PUSHES:
        return policy.push and directions.pushes
    return directions.pulls and (action in _PULLS or action in _FILES)


def document_item(plan: DocumentPlan) -> PlanItem:
    """A document's line in a plan; its sides are digests of documents."""
    row = plan.row
    base = row.base.digest if row.base is not None else None
    local, remote = (None if isinstance(side, Void) else side for side in (local_side(row), plan.remote.side))
    return PlanItem(row.key, row.path, plan.outcome.value, Sides(base, local, remote), plan.outcome in WAITING)


def image_item(plan: ImagePlan) -> PlanItem | None:
    """An image's line in a plan, None before it has a place.

    Its sides are SHA-256 of the bytes that were placed and of those that are here (of the file's stat where those are
    others), and the digest of what the listing says of it.
    """
    record, listed = plan.row.record, plan.row.listed
    if record is None:
        return None
    here: str | None = None
    if record.condition is ImageCondition.INTACT:
        here = record.sha256
    elif record.condition is ImageCondition.DAMAGED and record.stat is not None:
        here = digest_of([record.stat.size_bytes, record.stat.mtime_ns, record.stat.ctime_ns, record.stat.inode])
    there = None
    if listed is not None:
        there = digest_of([listed.status, listed.size_bytes])
    return PlanItem(DocumentKey(plan.row.id), record.path, plan.action.value, Sides(record.sha256, here, there))


def why_outdated(planned: PlanItem, now: PlanItem | None) -> str:
    """What became of an item since it was planned, for whoever asks why it was left alone."""
    if now is None:
        return "it is not on record any more"
    if now.action == Outcome.UNKNOWN.value:
        return "what the server holds of it is not known now"
    if now.action in {Outcome.IN_STEP.value, ImageAction.NOTHING.value}:
        return "there is nothing left to do"
    if now.path != planned.path:
        return f"its place is {now.path} now"
    words = (("base", "what both sides agreed on"), ("local", "the file here"), ("remote", "the server's version"))
    moved = [word for side, word in words if getattr(planned.sides, side) != getattr(now.sides, side)]
    return f"{' and '.join(moved)} changed" if moved else f"it would be {now.action} now, not {planned.action}"
