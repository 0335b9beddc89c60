"""Where snapshots lie. Contents are named by their digest, so that what two snapshots share is stored once.

Whatever a method adds is whole, durable and read back when it returns; a snapshot is added last, so that one that is
listed has all its contents. The laws are in tests/contracts/snapshots.py.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from labelmirror.model.document import ContentId
from labelmirror.model.snapshot import Snapshot, SnapshotHead, SnapshotList, SnapshotPage, Swept


@dataclass(frozen=True, slots=True)
class AddedImage:
    """An image that the store holds. `bytes_new` is 0 when it had it before."""

    content: ContentId
    size_bytes: int
    bytes_new: int


@dataclass(slots=True)
class References:
    """The contents that snapshots name."""

    pages: set[str] = field(default_factory=set)
    documents: set[ContentId] = field(default_factory=set)
    images: set[ContentId] = field(default_factory=set)


class SnapshotStore(Protocol):
    """A store of snapshots. Raises DiskError when the disk is full, read-only or failing."""

    @property
    def id(self) -> str:
        """The id of the store."""
        ...

    async def snapshots(self) -> SnapshotList:
        """All snapshots, and the manifests that cannot be used."""
        ...

    async def page(self, page: str) -> SnapshotPage:
        """A page of a snapshot. Raises SnapshotDamaged when it is missing or not what its name says."""
        ...

    async def documents(self, contents: Sequence[ContentId]) -> Mapping[ContentId, bytes]:
        """Stored documents; what is missing or damaged is left out."""
        ...

    def image(self, content: ContentId) -> AsyncIterator[bytes]:
        """A stored image piece by piece. Raises SnapshotDamaged when it is missing, or at its end when it is another."""
        ...

    async def has_image(self, content: ContentId, size_bytes: int) -> bool:
        """Whether there is an image of this name and size. Its bytes are not looked at."""
        ...

    async def add_documents(self, documents: Mapping[ContentId, bytes]) -> int:
        """Store documents; what is there and damaged is mended. The number of bytes that this took."""
        ...

    async def add_image(self, folder: Path, path: str) -> AddedImage | None:
        """Store a file of a mirror at `folder`; None if it is missing. The file itself is not touched."""
        ...

    async def add_page(self, page: SnapshotPage) -> tuple[str, int]:
        """Store a page: its name, and the number of bytes that this took."""
        ...

    async def add_snapshot(self, head: SnapshotHead) -> Snapshot:
        """Store a snapshot of which everything is stored."""
        ...

    async def remove_snapshots(self, ids: AbstractSet[str]) -> None:
        """Forget snapshots, durably. Their contents stay until they are swept."""
        ...

    async def sweep(self, kept: References) -> Swept:
        """Remove every content that is not kept, and what runs that died left half written."""
        ...
