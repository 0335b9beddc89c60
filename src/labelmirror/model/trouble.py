"""Items that a run left undone: failed, or held for a person."""

from dataclasses import dataclass
from enum import Enum


class Stage(Enum):
    """Where an item failed."""

    LIST = "list"
    PULL = "pull"
    VALIDATE = "validate"
    PUSH = "push"
    VERIFY = "verify"


class HoldReason(Enum):
    """Why a document waits for a person (published names)."""

    BOTH_EDITED = "both_edited"
    EDITED_AND_DELETED = "edited_and_deleted"
    BOTH_ADDED = "both_added"
    SHRUNK = "shrunk"
    CATEGORY_GONE = "category_gone"
    FOREIGN_SAVE_OVERWRITTEN = "foreign_save_overwritten"
    BEING_ANNOTATED = "being_annotated"


@dataclass(frozen=True, slots=True)
class Failed:
    """An item that could not be done. `image` is a path relative to the mirror, "" when no single image is meant."""

    id: str
    set: str
    image: str
    stage: Stage
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Held:
    """A document left alone on both sides. `image` is the path of its image, relative to the mirror."""

    id: str
    set: str
    image: str
    reason: HoldReason


Trouble = Failed | Held
