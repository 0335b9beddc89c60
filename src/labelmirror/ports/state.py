"""What the program remembers of one mirror between runs.

Every call is one transaction, durable when it returns. Rows come in pages, in the order of their keys, so that memory
does not grow with the dataset. The laws are in tests/contracts/state.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from labelmirror.model.document import ContentId
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import ListedImage, Reading, Token
from labelmirror.model.rows import (
    Base,
    DocumentRow,
    ImageRecord,
    ImageRow,
    LocalFile,
    MirrorFacts,
    Move,
    SetRecord,
    Unplaced,
)
from labelmirror.model.trouble import Trouble
from labelmirror.ports.journal import SaveJournal
from labelmirror.ports.provider import ProviderMemory


@dataclass(frozen=True, slots=True)
class DocumentRecorded:
    """A document that both sides now hold: base and the local file as it was placed or found."""

    key: DocumentKey
    base: Base
    local: LocalFile


class MirrorState(Protocol):
    """The memory of one mirror. Raises StateDamaged when it cannot be trusted."""

    memory: ProviderMemory
    journal: SaveJournal

    async def facts(self) -> MirrorFacts:
        """What is known of the mirror as a whole."""
        ...

    async def set_facts(self, facts: MirrorFacts) -> None:
        """Replace them."""
        ...

    async def reset(self, store_id: str) -> None:
        """Forget everything about this mirror and go on under this store id."""
        ...

    async def forget_future(self, now_s: float) -> None:
        """Let what was read after this moment count as read at no known time: the clock was wrong then, or is now."""
        ...

    # --- looking at the server -------------------------------------------------------------------------------------
    # Listed is what the last listing that ended showed. A row that was put on record since counts too, as it is then: until
    # a listing ends, nothing is missing in it.

    async def begin_listing(self) -> None:
        """Start a new listing, in the place of one that did not end. Whatever is listed stays so for now."""
        ...

    async def add_listed(self, images: Sequence[ListedImage], folds: Sequence[str]) -> None:
        """Put rows of the listing begun last on record (again is harmless). `folds` are their folded paths."""
        ...

    async def listed_count(self) -> int:
        """The number of distinct images in the listing begun last, ended or not."""
        ...

    async def end_listing(self) -> None:
        """The listing begun last has come to its end: what it did not show is no longer listed. Readings stay."""
        ...

    async def listed(self, ids: Sequence[str]) -> Sequence[ListedImage]:
        """The newest rows of these images, in the order of `ids`; what is not listed is left out."""
        ...

    async def add_readings(self, readings: Sequence[tuple[Reading, Token | None]], at_s: float) -> None:
        """Put readings on record with the token that the listing shows for them; a content equal to base is not stored twice."""
        ...

    async def unlisted(self) -> Sequence[str]:
        """The images on record that are not listed, sorted."""
        ...

    # --- rows ------------------------------------------------------------------------------------------------------

    async def image_rows(self, after: str | None, limit: int) -> Sequence[ImageRow]:
        """The next images that are on record or listed, by id."""
        ...

    async def document_rows(self, after: DocumentKey | None, limit: int) -> Sequence[DocumentRow]:
        """The next documents that have a base, a local file or a place in the listing, by key."""
        ...

    async def unrecorded(self, after: DocumentKey | None, limit: int) -> Sequence[DocumentRow]:
        """The next documents with a reading that is not base, listed or not: a run that died may have written them."""
        ...

    async def rows_of_images(self, images: Sequence[str]) -> Sequence[DocumentRow]:
        """All documents of these images, by key."""
        ...

    async def unplaced(self, after: tuple[str, str] | None, limit: int) -> Sequence[Unplaced]:
        """The next images to be given a place, by (folded path, id); groups are never torn: the last one is completed."""
        ...

    async def begin_moves(self, moves: Sequence[Move]) -> None:
        """Note where these images' files are about to go, before the first one does."""
        ...

    async def unfinished_moves(self) -> Sequence[Move]:
        """Moves that were begun and not ended, from what is on record now."""
        ...

    async def end_moves(self, records: Sequence[ImageRecord]) -> None:
        """Put images on record where their files are after a move."""
        ...

    async def occupied(self, folds: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
        """Which of these folded paths are those of (recorded files, recorded folders)."""
        ...

    async def sets(self) -> Sequence[SetRecord]:
        """The annotation sets on record, by id; those that no document refers to are forgotten by `compact`."""
        ...

    async def record_sets(self, sets: Sequence[SetRecord]) -> None:
        """Put annotation sets on record, before rows with documents of them; a folder on record stays."""
        ...

    async def known_paths(self, paths: Sequence[str]) -> frozenset[str]:
        """Which of these paths (with images/ or annotations/) belong to a record."""
        ...

    async def contents(self, ids: Sequence[ContentId]) -> Mapping[ContentId, bytes]:
        """Stored document contents."""
        ...

    # --- recording -------------------------------------------------------------------------------------------------

    async def record_images(self, records: Sequence[ImageRecord]) -> None:
        """Put images on record, replacing what was known of them. A move that was begun stays begun."""
        ...

    async def record_documents(self, records: Sequence[DocumentRecorded]) -> None:
        """Record base and local file. The base's content must be on record as a reading or as a base already."""
        ...

    async def record_local(self, found: Sequence[tuple[DocumentKey, LocalFile | None]]) -> None:
        """What the scan found at documents' paths; None for a missing file."""
        ...

    async def record_checked(self, checked: Sequence[tuple[DocumentKey, Token | None, float]]) -> None:
        """A reading showed that the server still holds base: its token and time are base's now, and it is dropped."""
        ...

    async def forget_images(self, ids: Sequence[str]) -> None:
        """Forget images, with their documents and readings."""
        ...

    async def forget_documents(self, keys: Sequence[DocumentKey]) -> None:
        """Forget base, local file and reading of these documents."""
        ...

    # --- what went wrong -------------------------------------------------------------------------------------------

    async def set_troubles(self, troubles: Sequence[Trouble]) -> None:
        """Replace the list of failed and held items of this mirror by that of the newest run."""
        ...

    async def troubles(self) -> Sequence[Trouble]:
        """Failed and held items, as the newest run left them."""
        ...

    async def compact(self) -> None:
        """Drop contents that nothing refers to any more."""
        ...
