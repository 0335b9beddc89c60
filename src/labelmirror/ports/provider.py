"""A server, as the engine sees it: narrow, with its differences declared as values.

The laws that every implementation keeps are in tests/contracts/provider.py.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Counts, Digest, Document, JsonObject, JsonValue
from labelmirror.model.keyed import Keyed
from labelmirror.model.keys import DatasetRef, DocumentKey
from labelmirror.model.remote import (
    Capabilities,
    Dataset,
    ListedDocument,
    ListedImage,
    ListingEnd,
    Quota,
    Reading,
    ReadWay,
    Traffic,
    WantedDocument,
)
from labelmirror.model.saving import Save, SaveResult


class DocumentFormat(Protocol):
    """What a kind of server's documents look like. Pure: no I/O, no clock."""

    def parse(self, data: bytes) -> Document:
        """Read a working document. Raises InvalidDocument with pointer and line for anything that is not one."""
        ...

    def digest(self, document: Document) -> Digest:
        """Hash what people edit: key order, number spelling, defaults, order of annotations and server-filled fields do not count."""
        ...

    def annotations(self, document: Document) -> Sequence[JsonObject]:
        """The annotation list, in the document's order."""
        ...

    def counts(self, document: Document) -> Counts:
        """How many annotations of each category it has."""
        ...

    @property
    def stable_ids(self) -> bool:
        """Whether the server's annotations have ids that stay. If not, `keyed` matches them with those of base."""
        ...

    def keyed(self, document: Document, base: Document | None = None) -> Sequence[Keyed]:
        """The parts by which a document is merged, with their keys: its annotations, in order, and what else people edit.

        A part that descends from one of `base` has that one's key; equal additions have equal keys. Raises InvalidDocument
        where two parts have one key.
        """
        ...

    def rebuilt(self, document: Document, parts: Sequence[Keyed]) -> Document:
        """The same document around other parts, as `keyed` gives them; what counts annotations is brought in line."""
        ...

    def translated(self, document: Document, into: Document) -> Document:
        """What people edited in a document, for another dataset or another image, whose own document is `into`.

        It has no ids that mean something else there. Raises InvalidDocument where something of it is not known there.
        """
        ...

    def half_saved(self, before: Document, body: Document, found: Document) -> bool:
        """Whether `found` is what a save of `body` over `before` can leave behind when it is cut off halfway.

        False where a save is all or nothing, and where anything in `found` comes from neither of the two.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImageStream:
    """Bytes of an image on their way. `offset` is 0 when the server started over; `validator` is strong, or None.

    `size_bytes` is the whole image's size as announced by this answer, None when it announced none.
    """

    offset: int
    size_bytes: int | None
    validator: str | None
    chunks: AsyncIterator[bytes]


class ImageSource(Protocol):
    """Image bytes of one batch of wanted images. Links are taken late, shared, and renewed once for all who wait."""

    def open(
        self, image: ListedImage, *, offset: int = 0, validator: str | None = None
    ) -> AbstractAsyncContextManager[ImageStream]:
        """Start receiving an image, from `offset` on if the server agrees and its strong validator is still `validator`.

        Retries what is safe and renews expired links by itself. Raises RemoteError when that did not help.
        """
        ...


class ProviderMemory(Protocol):
    """A few small facts that a provider keeps from run to run (the generation found, an export left behind)."""

    async def get(self, name: str) -> JsonValue:
        """What was put under this name, None if nothing was."""
        ...

    async def put(self, name: str, value: JsonValue) -> None:
        """Remember, durably; None forgets."""
        ...


#: Takes over one page of listing rows; returning means that they are on record.
PageSink = Callable[[Sequence[ListedImage]], Awaitable[None]]


class Provider(Protocol):
    """One server with one key. Every request passes the server's pacer; every error is a RemoteError."""

    @property
    def format(self) -> DocumentFormat:
        """How this kind of server's documents look."""
        ...

    async def capabilities(self) -> Capabilities:
        """What the server can do; asks it the first time."""
        ...

    def traffic(self) -> Traffic:
        """What was sent to this server so far."""
        ...

    def quota(self) -> Quota:
        """What the server still allows."""
        ...

    async def datasets(self) -> Sequence[Dataset]:
        """All datasets that the key may see."""
        ...

    async def dataset(self, ref: DatasetRef) -> Dataset:
        """The dataset meant. Raises UnknownDataset, naming the nearest names."""
        ...

    async def stamp(self, dataset: Dataset) -> str | None:
        """A sign, got for few requests, that moves whenever the listing may show something else than before.

        None where the server has none, or while it cannot be relied on because something is being written just now.
        """
        ...

    async def list_images(self, dataset: Dataset, sink: PageSink) -> ListingEnd:
        """Pass once over the unfiltered listing, handing each page to `sink`; rows may repeat.

        Never takes a missing list for an empty one: raises ProtocolError.
        """
        ...

    async def confirm_absent(self, dataset: Dataset, images: Sequence[str]) -> frozenset[str]:
        """Ask for each of these images by itself; the ones that the server says are gone. Costs a request each."""
        ...

    async def read_ways(self, dataset: Dataset) -> Sequence[ReadWay]:
        """The ways in which documents of this dataset can be read now, with their prices."""
        ...

    def read(self, dataset: Dataset, way: ReadWay, wanted: AsyncIterator[WantedDocument]) -> AsyncIterator[Reading]:
        """Read these documents in one of `read_ways`; a way that covers all may bring others too.

        `wanted` is drawn from as needed. One document's trouble is a reading with a problem, and the others go on; what
        a way that covers all did not contain is missing from the result. Raises RoleRefused or another RemoteError when
        this way is not open to this key or dataset; another way may be.
        """
        ...

    def empty(self, dataset: Dataset, image: ListedImage, document: ListedDocument) -> Reading:
        """The document of an image of which the listing says that it has no annotation. Pure."""
        ...

    def reread(self, dataset: Dataset, wanted: Sequence[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """Read these documents now, one by one and in this order, ahead of all bulk work: a save follows."""
        ...

    async def problems(self, dataset: Dataset, key: DocumentKey, data: bytes) -> Sequence[InvalidDocument]:
        """Why a working document cannot be saved as it is; empty if it can. Looks at it only, sends nothing."""
        ...

    async def save_many(self, dataset: Dataset, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """Overwrite documents on the server, in as few requests as it allows; a result for each save, in their order.

        One bad document never stops the others. Nothing is ever sent again whose effect is not known: that save's answer
        is UNKNOWN. Raises RoleRefused, KeyRefused, Limited, BudgetSpent or Unavailable while the server has not taken in
        anything of the batch; after that, what was not sent for such a reason is UNKNOWN too.
        """
        ...

    def images(self, dataset: Dataset, wanted: int) -> AbstractAsyncContextManager[ImageSource]:
        """A source of image bytes, told how many images will be asked for, so that it can choose the cheapest way."""
        ...
