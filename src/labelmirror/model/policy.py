"""What a configuration wants of one mirror, as planning and the engine need it."""

from dataclasses import dataclass
from enum import Enum


class Content(Enum):
    """What a mirror holds."""

    ALL = "all"
    IMAGES = "images"
    ANNOTATIONS = "annotations"

    @property
    def images(self) -> bool:
        """Whether image files are mirrored."""
        return self is not Content.ANNOTATIONS

    @property
    def annotations(self) -> bool:
        """Whether documents are mirrored."""
        return self is not Content.IMAGES


class Directions(Enum):
    """Which ways a run goes."""

    BOTH = "both"
    PULL = "pull"
    PUSH = "push"

    @property
    def pushes(self) -> bool:
        """Whether edits are carried to the server."""
        return self is not Directions.PULL

    @property
    def pulls(self) -> bool:
        """Whether changes are brought here."""
        return self is not Directions.PUSH


class OnConflict(Enum):
    """What happens to a document that both sides changed and that does not merge cleanly; HOLD does not even merge."""

    MERGE = "merge"
    HOLD = "hold"
    REMOTE = "remote"
    LOCAL = "local"


class OnRemoteDelete(Enum):
    """What happens to local files whose image the server no longer has."""

    TRASH = "trash"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class MirrorPolicy:
    """The wishes of one `[datasets.NAME]` entry. `statuses` is the filter; None takes every image."""

    content: Content = Content.ALL
    push: bool = False
    on_conflict: OnConflict = OnConflict.MERGE
    push_window_s: float = 10.0
    on_remote_delete: OnRemoteDelete = OnRemoteDelete.TRASH
    statuses: frozenset[str] | None = None
    full_check_every_s: float = 24 * 3600.0
    history_s: float = 90 * 24 * 3600.0
    trash_s: float = 90 * 24 * 3600.0

    def selects(self, status: str | None) -> bool:
        """Whether an image of this status passes the filter."""
        return self.statuses is None or status in self.statuses


@dataclass(frozen=True, slots=True)
class Consent:
    """Numbers that a person gave to lift a guard; None where none was given."""

    deletes: int | None = None
    changes: int | None = None
