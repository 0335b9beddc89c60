"""What a run, a plan and a look at the state say of one mirror: the values behind the published JSON answers."""

from dataclasses import dataclass, field
from enum import Enum

from labelmirror.model.actions import Forecast, PlanItem, Refusal
from labelmirror.model.remote import Traffic
from labelmirror.model.trouble import Trouble


class MirrorOutcome(Enum):
    """How a run over one mirror ended."""

    SYNCED = "synced"
    PARTIAL = "partial"
    HELD = "held"
    REFUSED = "refused"
    FAILED = "failed"
    STOPPED = "stopped"
    LOCKED = "locked"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class RunError:
    """The error that ended a run: its code, sentence, remedy and exit code."""

    code: str
    message: str
    hint: str
    exit_code: int


@dataclass(slots=True)
class ImageCounts:
    """What a run did with images. `total` images are listed and selected; `size_bytes` were fetched."""

    total: int = 0
    pulled: int = 0
    size_bytes: int = 0
    retired: int = 0


@dataclass(slots=True)
class DocumentCounts:
    """What a run did with documents. `ahead` are edited here and kept, because the mirror does not push."""

    pulled: int = 0
    pushed: int = 0
    merged: int = 0
    adopted: int = 0
    held: int = 0
    retired: int = 0
    ahead: int = 0


@dataclass(slots=True)
class Window:
    """How long the windows of a run's saves were, in seconds: from the last read of a document to its save's arrival."""

    last_s: float | None = None
    max_s: float | None = None

    def add(self, seconds: float) -> None:
        """One more window."""
        self.last_s = seconds
        self.max_s = max(seconds, self.max_s or 0.0)


@dataclass(slots=True)
class MirrorReport:
    """One run over one mirror."""

    name: str
    run: str = ""
    outcome: MirrorOutcome = MirrorOutcome.SYNCED
    images: ImageCounts = field(default_factory=ImageCounts)
    documents: DocumentCounts = field(default_factory=DocumentCounts)
    troubles: list[Trouble] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)
    duration_s: float = 0.0
    window: Window = field(default_factory=Window)
    refused: Refusal | None = None
    error: RunError | None = None


@dataclass(slots=True)
class PlanReport:
    """What a run would do with one mirror. `items` are in the order of their keys; `strategy` names the ways used to look.

    `ahead` documents are edited here, and would be kept without being sent, because the mirror does not push.
    """

    name: str
    pull_images: int = 0
    pull_documents: int = 0
    push: int = 0
    merge: int = 0
    hold: int = 0
    retire: int = 0
    ahead: int = 0
    items: list[PlanItem] = field(default_factory=list)
    forecast: Forecast | None = None
    strategy: str = "listing"
    requests_spent: int = 0
    refused: Refusal | None = None
    troubles: list[Trouble] = field(default_factory=list)
    error: RunError | None = None
    store_id: str = ""
