"""Saves: what is sent to a server, what it answered, and the record by which it can be understood and undone."""

from dataclasses import dataclass
from enum import Enum

from labelmirror.model.document import ContentId, Digest, Document
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import ListedImage, Reading


@dataclass(frozen=True, slots=True)
class Save:
    """One full overwrite to be sent. `wanted` is the document that the server shall hold, `expected` what it was just
    read to hold. The idempotency key belongs to this one save and its retries, never to its content.
    """

    key: DocumentKey
    image: ListedImage
    wanted: Document
    expected: Reading
    idempotency_key: str


class SaveAnswer(Enum):
    """What came back for a save."""

    #: The server says that it did it. A claim: reading back decides.
    CLAIMED = "claimed"
    #: The server refused the content; nothing was changed.
    REFUSED = "refused"
    #: The image is not there.
    GONE = "gone"
    #: Somebody else saved first, and nothing of it is there.
    OVERTAKEN = "overtaken"
    #: No answer, or one that says nothing: it may have been done or not.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SaveResult:
    """The answer to one save. `previous_count` is how many annotations the server says that it overwrote, None if it
    does not say.
    """

    key: DocumentKey
    answer: SaveAnswer
    previous_count: int | None = None
    message: str = ""


class WishKind(Enum):
    """What a person wants of one document: that both sides hold one of its versions, or what undoes a save.

    RESTORE brings back what a snapshot holds and keeps what was added since, RESTORE_EXACT keeps nothing else.
    """

    LOCAL = "local"
    REMOTE = "remote"
    BASE = "base"
    UNDO = "undo"
    RESTORE = "restore"
    RESTORE_EXACT = "restore_exact"


class SaveOutcome(Enum):
    """How a save ended, as history shows it."""

    OPEN = "open"
    SAVED = "saved"
    REFUSED = "refused"
    NOT_APPLIED = "not_applied"
    #: It was done, and a save of somebody else was overwritten by it.
    FOREIGN_OVERWRITTEN = "foreign_save_overwritten"
    #: Something else is there now.
    SUPERSEDED = "superseded"

    @property
    def had_effect(self) -> bool:
        """Whether the server took the save in, so that there is something to undo."""
        return self in {SaveOutcome.SAVED, SaveOutcome.FOREIGN_OVERWRITTEN, SaveOutcome.SUPERSEDED}


@dataclass(frozen=True, slots=True)
class SaveRecord:
    """The undo record of one save, durable before it is sent.

    Contents name stored documents: `base` is what both sides last agreed on, `before` what the server held, `body` what
    was sent. `read_count` is the number of annotations that were read just before, `previous_count` the number that the
    server says it overwrote (None: not known). `image` is the image's place, `at_s` wall-clock time.
    """

    id: str
    run: str
    key: DocumentKey
    image: str
    at_s: float
    base: ContentId | None
    before: ContentId
    before_digest: Digest
    body: ContentId
    body_digest: Digest
    idempotency_key: str
    read_count: int
    new_count: int
    previous_count: int | None = None
    outcome: SaveOutcome = SaveOutcome.OPEN
