"""Snapshots: what a mirror held at one moment, by the digests of its contents."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from labelmirror.model.document import ContentId, Digest, JsonObject
from labelmirror.model.keys import DocumentKey

#: A page ends behind an image of which the spread is 0, one in so many, so that a change alters one page only.
PAGE_IMAGES = 64
#: A page is never longer, whatever the spread says.
PAGE_IMAGES_MAX = 1024


@dataclass(frozen=True, slots=True)
class SavedDocument:
    """A document as its working file was. `path` is relative to the mirror; `digest` None: it was no valid document."""

    key: DocumentKey
    path: str
    content: ContentId
    digest: Digest | None


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image of a snapshot with its documents, one for each annotation set.

    `path` is relative to the mirror. `content` names the file's bytes, as they are in the store if `included`, else as
    they were last placed or verified; None if they never were.
    """

    id: str
    directory: str
    name: str
    path: str
    size_bytes: int | None
    content: ContentId | None
    included: bool
    documents: tuple[SavedDocument, ...]


@dataclass(frozen=True, slots=True)
class SavedStray:
    """A document in the mirror that belonged to no image of the server."""

    path: str
    content: ContentId


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """A part of a snapshot, stored once for all snapshots that have it."""

    images: tuple[SavedImage, ...] = ()
    strays: tuple[SavedStray, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """What a snapshot is of, and the names of its pages in their order.

    `store` is the id of the store that holds it, `at_s` wall-clock time. `bytes_new` is what its contents and pages took
    that no earlier snapshot had. `summary` is the head of the mirror's dataset.json.
    """

    store: str
    mirror: str
    server: str
    dataset_id: str
    dataset_name: str
    at_s: float
    images: int
    documents: int
    images_included: bool
    bytes_new: int
    summary: JsonObject
    pages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot. `id` is the hex SHA-256 of its manifest, so that it proves the whole."""

    id: str
    head: SnapshotHead


@dataclass(frozen=True, slots=True)
class SnapshotList:
    """All snapshots of a store, oldest first, and why each manifest that cannot be used cannot, by its id."""

    snapshots: Sequence[Snapshot]
    unusable: Sequence[tuple[str, str]]


class Access(Enum):
    """What is meant to be done with a store."""

    READ = "read"
    #: Needs a store, as READ does, and nobody else in it.
    CHANGE = "change"
    #: The same, and makes it if there is none.
    CREATE = "create"


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed."""

    files: int
    size_bytes: int


def ends_page(image: str) -> bool:
    """Whether a page ends behind this image: decided by its id alone, so that pages stay as they are."""
    spread = hashlib.sha256(image.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(spread[:4], "big") % PAGE_IMAGES == 0
