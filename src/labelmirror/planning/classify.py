"""The decision table: what one document needs, from what is on its three sides.

This is the whole rule of what happens to documents; docs/design.md shows it as a table, and the tests enumerate it.
"""

from dataclasses import dataclass
from enum import Enum

from labelmirror.model.document import Digest
from labelmirror.model.trouble import HoldReason


class Void(Enum):
    """A side that has no digest, and why."""

    ABSENT = "absent"
    INVALID = "invalid"
    UNKNOWN = "unknown"


#: One side of a document. An emptied document is not absent: it has the digest of an empty list.
Side = Digest | Void


class Outcome(Enum):
    """What is to be done with one document."""

    IN_STEP = "in_step"
    PULL = "pull"
    PUSH = "push"
    MERGE = "merge"
    ADOPT = "adopt"
    RETIRE = "retire"
    FORGET = "forget"
    HOLD = "hold"
    #: A file that no server document belongs to; it is reported and left alone.
    LOCAL_ONLY = "local_only"
    #: The local file is unreadable or no document; reported, never pushed, never overwritten.
    INVALID = "invalid"
    #: The server's side is not known this time; nothing happens.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, and for HOLD the reason that a person is told."""

    outcome: Outcome
    reason: HoldReason | None = None


def classify(base: Digest | None, local: Side, remote: Side) -> Verdict:
    """Say what one document needs. `base` is None when the two sides never agreed on anything.

    Absence on the remote side must have been confirmed by the caller; until then it is UNKNOWN.
    """
    if local is Void.INVALID:
        return Verdict(Outcome.INVALID)
    if local is Void.UNKNOWN or (isinstance(remote, Void) and remote is not Void.ABSENT):
        return Verdict(Outcome.UNKNOWN)
    if base is None:
        return _without_base(local, remote)
    if local is Void.ABSENT:
        # A missing file is a lost copy, never an order to clear anything on the server.
        return Verdict(Outcome.FORGET if remote is Void.ABSENT else Outcome.PULL)
    if remote is Void.ABSENT:
        if local == base:
            return Verdict(Outcome.RETIRE)
        return Verdict(Outcome.HOLD, HoldReason.EDITED_AND_DELETED)
    if local == remote:  # both moved to the same content; also every crash after the content was written
        return Verdict(Outcome.IN_STEP if remote == base else Outcome.ADOPT)
    if local == base:
        return Verdict(Outcome.PULL)
    return Verdict(Outcome.PUSH if remote == base else Outcome.MERGE)


def _without_base(local: Side, remote: Side) -> Verdict:
    if local is Void.ABSENT:
        return Verdict(Outcome.IN_STEP if remote is Void.ABSENT else Outcome.PULL)
    if remote is Void.ABSENT:
        return Verdict(Outcome.LOCAL_ONLY)
    if local == remote:
        return Verdict(Outcome.ADOPT)
    return Verdict(Outcome.HOLD, HoldReason.BOTH_ADDED)
