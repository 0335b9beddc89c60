"""What one document needs on its way up, decided on what the server was just read to hold.

Pure. The plan that named the document is older than the reading; so the table is asked again, and where both sides moved
the merge, and where that is not clean the person's choice for conflicts.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from labelmirror.model.document import Digest
from labelmirror.model.keyed import Keyed
from labelmirror.model.policy import OnConflict
from labelmirror.model.saving import SaveAnswer, WishKind
from labelmirror.model.trouble import HoldReason
from labelmirror.planning.classify import Outcome, classify
from labelmirror.planning.merge import merge


class Step(Enum):
    """What is to be done with one document."""

    #: Send the local annotations.
    SEND = "send"
    #: Send the merged annotations, and write them here too.
    SEND_MERGED = "send_merged"
    #: Write what the server holds here; nothing is sent.
    TAKE_REMOTE = "take_remote"
    #: Nothing to send: both sides hold the same.
    ADOPT = "adopt"
    HOLD = "hold"
    #: Not undone: what is to be taken back was changed again since.
    CLASH = "clash"
    #: Not this time.
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Decision:
    """A step; `parts` are what both sides shall hold after SEND_MERGED, `reason` is of HOLD, `clashing` of CLASH: the keys
    of the annotations.
    """

    step: Step
    parts: Sequence[Keyed] = ()
    reason: HoldReason | None = None
    clashing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One side's document: its digest and the parts by which it is merged, keyed by those of base."""

    digest: Digest
    parts: Sequence[Keyed]


def decide(
    base: Side | None, local: Side, remote: Side, on_conflict: OnConflict, *, stable_ids: bool = True
) -> Decision:
    """Decide about one document of which all three sides are known. `base` None: the sides never agreed on anything."""
    match classify(base.digest if base else None, local.digest, remote.digest).outcome:
        case Outcome.PUSH:
            return Decision(Step.SEND)
        case Outcome.ADOPT | Outcome.IN_STEP:
            return Decision(Step.ADOPT)
        case Outcome.MERGE if base is not None and on_conflict is not OnConflict.HOLD:
            merged = merge(base.parts, local.parts, remote.parts, stable_ids=stable_ids)
            if merged.clean:
                return _merged(merged.parts, remote)
            return _conflict(HoldReason.BOTH_EDITED, on_conflict)
        case Outcome.MERGE:
            return Decision(Step.HOLD, reason=HoldReason.BOTH_EDITED)
        case Outcome.HOLD:
            return _conflict(HoldReason.BOTH_ADDED, on_conflict)
        case _:  # the local file went back to base meanwhile: the server's version is pulled by the next run
            return Decision(Step.LEAVE)


def restored(saved: Sequence[Keyed], remote: Sequence[Keyed], *, exact: bool) -> Sequence[Keyed]:
    """What a snapshot's parts and the server's make: all that was saved, as it was saved, then what was added since.

    What the server holds under another key, because it was deleted and restored meanwhile, is recognised by its content.
    """
    known, there = {part.key for part in saved}, {part.key: part for part in remote}
    strangers: dict[Digest, list[Keyed]] = defaultdict(list)
    for part in remote:
        if part.key not in known:
            strangers[part.digest].append(part)
    parts: list[Keyed] = []
    for part in saved:
        held = there.get(part.key)
        if held is None and strangers[part.digest]:
            held = strangers[part.digest].pop(0)
        parts.append(held if held is not None and held.digest == part.digest else part)
    taken = {part.key for part in parts}
    return [*parts, *(part for part in remote if part.key not in taken and not exact)]


def same_parts(first: Sequence[Keyed], second: Sequence[Keyed]) -> bool:
    """Whether two documents have the same parts, in whatever order."""
    return {part.key: part.digest for part in first} == {part.key: part.digest for part in second}


def _merged(parts: Sequence[Keyed], remote: Side) -> Decision:
    """A clean merge that only brings what the server holds already needs no save."""
    return Decision(Step.TAKE_REMOTE) if same_parts(parts, remote.parts) else Decision(Step.SEND_MERGED, parts)


def _conflict(reason: HoldReason, on_conflict: OnConflict) -> Decision:
    match on_conflict:
        case OnConflict.LOCAL:
            return Decision(Step.SEND)
        case OnConflict.REMOTE:
            return Decision(Step.TAKE_REMOTE)
        case _:
            return Decision(Step.HOLD, reason=reason)


def decide_wish(
    kind: WishKind,
    base: Side | None,
    local: Side | None,
    remote: Side,
    former: tuple[Side, Side] | None,
    *,
    stable_ids: bool = True,
) -> Decision:
    """Do a person's will with one document. `former` are the versions from which and to which it leads back: what a save
    sent and what it replaced, or a snapshot's twice. A version that is to be taken must be there.
    """
    match kind:
        case WishKind.LOCAL:
            assert local is not None, "there is a file to take"
            return Decision(Step.ADOPT if local.digest == remote.digest else Step.SEND)
        case WishKind.BASE:
            assert base is not None, "there is a base to take"
            return _merged(base.parts, remote)
        case WishKind.REMOTE:
            return Decision(Step.TAKE_REMOTE)
        case _:
            assert former is not None, "there is something to lead back to"
            body, before = former
    if local is not None and local.digest not in {remote.digest, before.digest, base.digest if base else None}:
        return Decision(Step.LEAVE)
    if kind is not WishKind.UNDO:
        return _merged(restored(before.parts, remote.parts, exact=kind is WishKind.RESTORE_EXACT), remote)
    merged = merge(body.parts, before.parts, remote.parts, stable_ids=stable_ids)
    if not merged.clean:
        return Decision(Step.CLASH, clashing=[clash.key for clash in merged.clashes])
    return _merged(merged.parts, remote)


class Ending(Enum):
    """What reading back showed of a save."""

    #: The server holds what was sent.
    STANDS = "stands"
    #: A save of somebody else was overwritten, whatever the server holds by now.
    FOREIGN_OVERWRITTEN = "foreign_overwritten"
    #: The server holds what it held before: nothing was applied, it may be sent again.
    NOT_APPLIED = "not_applied"
    #: Somebody saved over what may have been half of it: what is missing there need not be their deletion.
    SAVED_OVER = "saved_over"
    #: The server holds something else: somebody saved, or it did not store what was sent.
    MOVED = "moved"
    REFUSED = "refused"


def ending(
    answer: SaveAnswer,
    *,
    wanted: Digest,
    before: Digest,
    found: Digest | None,
    read_count: int,
    previous_count: int | None,
    atomic: bool,
) -> Ending | None:
    """Judge a save by its answer and by what was read back; None when it could not be read back.

    `atomic`: the server never holds half of a save.
    """
    if answer in {SaveAnswer.REFUSED, SaveAnswer.GONE}:
        return Ending.REFUSED
    if previous_count is not None and previous_count != read_count:
        # Whatever the server holds by now, and even if it cannot be read: what was overwritten is gone, and must be told.
        return Ending.FOREIGN_OVERWRITTEN
    if found is None:
        return None
    if found == wanted:
        return Ending.STANDS
    if found == before:
        return Ending.NOT_APPLIED
    return Ending.SAVED_OVER if answer is SaveAnswer.UNKNOWN and not atomic else Ending.MOVED
