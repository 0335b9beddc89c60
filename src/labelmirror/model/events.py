"""Facts that the engine reports while it works. Numbers are since the start of the phase."""

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """What a cycle is doing, in a person's words."""

    LISTING = "listing the server"
    SCANNING = "looking at the files"
    READING = "reading annotations"
    PULLING_DOCUMENTS = "writing annotations"
    PULLING_IMAGES = "fetching images"
    PUSHING = "pushing edits"
    RETIRING = "moving deleted items to the trash"
    VERIFYING = "checking files"
    BACKING_UP = "saving a snapshot"
    RESTORING = "restoring"
    EXPORTING = "exporting"


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    """A phase began; `total` items are expected, None if that is unknown."""

    mirror: str
    phase: Phase
    total: int | None


@dataclass(frozen=True, slots=True)
class Progressed:
    """So many items and bytes of the phase are done."""

    mirror: str
    phase: Phase
    items: int
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """The phase is over."""

    mirror: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """One item could not be done; the others go on."""

    mirror: str
    item: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something a person may want to know; `text` is a whole sentence."""

    mirror: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A request to a server's API came to its end. `route` is method and path with `:id` for what names one thing.

    `outcome` is `answered`, `failed` (4xx, 5xx), `limited` (429), `lost` (no answer) or `unsent`. `remaining` is the quota that
    the answer announced, None if it announced none.
    """

    server: str
    route: str
    outcome: str
    remaining: int | None


@dataclass(frozen=True, slots=True)
class Waited:
    """Requests to a server waited for its quota, for this cause and so long."""

    server: str
    cause: str
    seconds: float


Event = PhaseBegan | Progressed | PhaseEnded | ItemFailed | Noticed | Answered | Waited
