"""The errors of the program: each knows its code, its exit code and what a person can do about it.

Libraries' errors are translated at the edge that met them. A conflict between two sides is no error: it is an
outcome with every version kept. The published codes are listed in docs/operations.md.
"""

import errno
import shlex
from collections.abc import Iterator
from enum import IntEnum
from typing import ClassVar, Final


def command_line(*words: str) -> str:
    """A command of this program as it is typed in a shell: for hints, in which names may have blanks."""
    return shlex.join(["labelmirror", *words])


class ExitCode(IntEnum):
    """Exit codes of every command (a published interface; docs/operations.md explains each)."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    HELD = 3
    REFUSED = 4
    LOCKED = 5
    KEY_REFUSED = 6
    NEEDS_REPAIR = 7
    BUDGET = 8
    DAMAGED = 10
    UNREACHABLE = 11
    DISK = 12
    INTERRUPTED = 130
    TERMINATED = 143


#: When several apply, the first of these is the one that a run exits with.
EXIT_PRECEDENCE: tuple[ExitCode, ...] = (
    ExitCode.USAGE,
    ExitCode.NEEDS_REPAIR,
    ExitCode.REFUSED,
    ExitCode.DISK,
    ExitCode.KEY_REFUSED,
    ExitCode.HELD,
    ExitCode.DAMAGED,
    ExitCode.SOME_FAILED,
    ExitCode.LOCKED,
    ExitCode.UNREACHABLE,
    ExitCode.BUDGET,
)


class LabelmirrorError(Exception):
    """Something that a person must hear of: `message` says what and where, `hint` what to do about it."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.SOME_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LabelmirrorError):
    """A command line or a configuration that cannot be followed."""

    code = "usage"
    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A configuration file that cannot be used; the message names file, key and the nearest valid name."""

    code = "config"


class UnknownDataset(UsageError):
    """The server is there, the dataset is not."""

    code = "unknown_dataset"


class UnknownSnapshot(UsageError):
    """There is no such snapshot, or more than one is meant."""

    code = "unknown_snapshot"


# --- what a server did ------------------------------------------------------------------------------------------


class RemoteError(LabelmirrorError):
    """The server answered with a refusal, or with something that cannot be understood."""

    code = "remote"

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ProtocolError(RemoteError):
    """An answer that breaks the contract: a missing list key, HTML instead of JSON, a row without an id.

    Never treated as "nothing there".
    """

    code = "protocol"


class KeyRefused(RemoteError):
    """401: the key or password is wrong or expired."""

    code = "key_refused"
    exit_code = ExitCode.KEY_REFUSED


class RoleRefused(RemoteError):
    """403: the key is valid, but its role may not do this."""

    code = "role_refused"
    exit_code = ExitCode.KEY_REFUSED


class NotFound(RemoteError):
    """404 or its like. For an image this is a hint, never yet a deletion."""

    code = "not_found"


class Rejected(RemoteError):
    """The server understood and refused the content (409, 422 and their like)."""

    code = "rejected"


class Limited(RemoteError):
    """429: the quota is spent for `retry_after_s` seconds and longer than this run may wait."""

    code = "limited"
    exit_code = ExitCode.BUDGET

    def __init__(self, message: str, *, retry_after_s: float, hint: str = "") -> None:
        super().__init__(message, hint=hint, status=429)
        self.retry_after_s = retry_after_s


class Unavailable(RemoteError):
    """The server could not be reached or kept answering 5xx; nothing was sent that could have had an effect."""

    code = "unavailable"
    exit_code = ExitCode.UNREACHABLE


class OutcomeUnknown(RemoteError):
    """The connection broke after a write was sent: it may or may not have been applied. Read back, never resend."""

    code = "outcome_unknown"


class UnsafeLink(RemoteError):
    """A link of the server leads where this program does not go: another scheme, or a private address."""

    code = "unsafe_link"


class LinkExpired(RemoteError):
    """The storage host refused a signed link (400, 401, 403, 410): a new one is needed."""

    code = "link_expired"


class BodyMismatch(RemoteError):
    """Bytes arrived that are not what was announced: too few, too many, or not an image."""

    code = "size_mismatch"


class NotAnImage(BodyMismatch):
    """The bytes have the announced size and are no picture."""

    code = "not_an_image"


class TooLarge(RemoteError):
    """An answer passed a bound that this program sets on sizes, depth, pages or inflation."""

    code = "too_large"


# --- what is on this side ---------------------------------------------------------------------------------------


class InvalidDocument(LabelmirrorError):
    """A document that cannot be used: `pointer` is a JSON pointer into it, `line` a line of the file (1-based) or 0."""

    code = "invalid_document"

    def __init__(self, message: str, *, pointer: str = "", line: int = 0, hint: str = "") -> None:
        place = [f"at {pointer}"] if pointer else []
        place += [f"line {line}"] if line else []
        super().__init__(f"{message} ({', '.join(place)})" if place else message, hint=hint)
        self.pointer = pointer
        self.line = line


class PlanOutdated(LabelmirrorError):
    """Something that an item of a kept plan names has moved since the plan was made: the item is left alone."""

    code = "plan_outdated"


class UndoClash(LabelmirrorError):
    """What a save did was changed again since, so that it cannot be taken back: nothing is changed."""

    code = "undo_clash"
    exit_code = ExitCode.HELD


class DiskError(LabelmirrorError):
    """The disk is full, read-only, or failed."""

    code = "disk"
    exit_code = ExitCode.DISK


class Unreadable(DiskError):
    """A file in a mirror that this user may not read: it is left alone, and the others go on."""


_KEPT: Final = "what is done is kept, and the next run goes on from there."
_FULL: Final = f"Make room on its disk or raise the quota; {_KEPT}"
_DISK_HINTS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: f"Its disk is mounted read-only: mount it for writing; {_KEPT}",
    errno.EIO: "The disk fails to read or write: look at the kernel's log, and do not trust this disk.",
}


def disk_error(path: str, error: OSError, *, forbidden: str) -> DiskError:
    """What the system said of a path, with a remedy; `forbidden` is the one for a user who lacks the permission."""
    other = forbidden if isinstance(error, PermissionError) else f"See what is wrong there; {_KEPT}"
    return DiskError(f"{path}: {error.strerror or error}", hint=_DISK_HINTS.get(error.errno or 0, other))


class SnapshotDamaged(LabelmirrorError):
    """A snapshot or its store is not what was written, or belongs to another store."""

    code = "snapshot_damaged"
    exit_code = ExitCode.DAMAGED


class MarkerMismatch(LabelmirrorError):
    """The mirror's directory has no marker though it was mirrored before, or the marker of another store."""

    code = "marker"
    exit_code = ExitCode.REFUSED


class GuardRefused(LabelmirrorError):
    """A plan would remove or change more than goes without consent, or work on another dataset than before."""

    code = "guard"
    exit_code = ExitCode.REFUSED


class Locked(LabelmirrorError):
    """Another run works on this mirror."""

    code = "locked"
    exit_code = ExitCode.LOCKED


class StateDamaged(LabelmirrorError):
    """The state database is missing, unreadable or from a newer version."""

    code = "state"
    exit_code = ExitCode.NEEDS_REPAIR


class StateForeign(StateDamaged):
    """The file in the place of the state is whole, and a newer version's or another program's: it is left alone."""


class Stopped(LabelmirrorError):
    """Somebody asked the run to end; what was finished is on record."""

    code = "stopped"
    exit_code = ExitCode.BUDGET


class BudgetSpent(LabelmirrorError):
    """The run's own budget of requests or time is used up; what is done is recorded."""

    code = "budget"
    exit_code = ExitCode.BUDGET


def weightiest(group: ExceptionGroup[LabelmirrorError]) -> LabelmirrorError:
    """Of errors that came together the one that is told: the first by the precedence of their exit codes."""
    return min(_leaves(group), key=_weight)


def _leaves(group: ExceptionGroup[LabelmirrorError]) -> Iterator[LabelmirrorError]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _weight(error: LabelmirrorError) -> int:
    code = error.exit_code
    return EXIT_PRECEDENCE.index(code) if code in EXIT_PRECEDENCE else len(EXIT_PRECEDENCE)
