"""A server in memory, for the engine's tests and the simulator: a real implementation of the port, with dials for faults.

Its listing shows the number of annotations and nothing else, as the hardest of the real servers does.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import cast

from labelmirror.errors import InvalidDocument, NotFound, UnknownDataset
from labelmirror.model.document import Counts, Digest, Document, JsonObject, digest_of, render
from labelmirror.model.keyed import Keyed
from labelmirror.model.keys import DatasetRef, DocumentKey
from labelmirror.model.remote import (
    Capabilities,
    ChangeSignal,
    Dataset,
    ListedDocument,
    ListedImage,
    ListingEnd,
    Quota,
    Reading,
    ReadProblem,
    ReadWay,
    Token,
    Traffic,
    WantedDocument,
)
from labelmirror.model.saving import Save, SaveAnswer, SaveResult
from labelmirror.ports.provider import DocumentFormat, ImageStream, PageSink

JPEG = b"\xff\xd8\xff\xe0"

#: A class that no dataset has.
UNKNOWN_CLASS = "no such class"

SINGLE = ReadWay("single", fixed_requests=0, documents_per_request=1)
ARCHIVE = ReadWay("archive", fixed_requests=5, documents_per_request=1, covers_all=True, fidelity=1)
#: What the listing brought along already, as on COCO Annotator.
WHOLE = ReadWay("whole", fixed_requests=0, documents_per_request=1, covers_all=True)


@dataclass(frozen=True, slots=True)
class PlainFormat:
    """Documents of the in-memory server: {"image": id, "annotations": [{"id", "name", …}]}."""

    atomic_saves: bool = True

    def parse(self, data: bytes) -> Document:
        try:
            value = json.loads(data)
        except ValueError as error:
            raise InvalidDocument("this is not JSON", line=getattr(error, "lineno", 0)) from error
        if not isinstance(value, dict) or not isinstance(value.get("annotations"), list):
            raise InvalidDocument('an object with a list "annotations" is expected', pointer="/annotations")
        if not all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in value["annotations"]):
            raise InvalidDocument("every annotation needs a name", pointer="/annotations")
        return value

    def digest(self, document: Document) -> Digest:
        annotations = sorted(self.annotations(document), key=_id_of)
        return digest_of(annotations)

    def annotations(self, document: Document) -> Sequence[JsonObject]:
        annotations = document["annotations"]
        assert isinstance(annotations, list)
        return cast("list[JsonObject]", annotations)

    @property
    def stable_ids(self) -> bool:
        return True

    def keyed(self, document: Document, base: Document | None = None) -> Sequence[Keyed]:
        items = [Keyed(str(item["id"]), digest_of(item), item) for item in self.annotations(document)]
        if len({item.key for item in items}) < len(items):
            raise InvalidDocument("two annotations have one id", pointer="/annotations")
        return items

    def rebuilt(self, document: Document, parts: Sequence[Keyed]) -> Document:
        return {**document, "annotations": [part.value for part in parts]}

    def translated(self, document: Document, into: Document) -> Document:
        return document

    def half_saved(self, before: Document, body: Document, found: Document) -> bool:
        if self.atomic_saves:
            return False
        sent = {digest_of(item) for item in self.annotations(body)}
        return {digest_of(item) for item in self.annotations(found)} < sent

    def counts(self, document: Document) -> Counts:
        counts: dict[str, int] = {}
        for item in self.annotations(document):
            counts[str(item["name"])] = counts.get(str(item["name"]), 0) + 1
        return counts


@dataclass(slots=True)
class MemoryImage:
    """An image on the in-memory server; change it freely."""

    id: str
    name: str
    directory: str = ""
    status: str = "complete"
    data: bytes = JPEG
    annotations: list[JsonObject] = field(default_factory=list)

    def document(self) -> Document:
        return {"image": self.id, "annotations": list(self.annotations)}


def _id_of(annotation: JsonObject) -> str:
    return str(annotation.get("id"))


def _unanswered(save: Save) -> SaveResult:
    return SaveResult(save.key, SaveAnswer.UNKNOWN, message="the answer was lost")


async def _at_once(_point: str) -> None:
    return


#: Called before every request with its name; may wait (time passes, others act) or raise (a fault).
Door = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class MemoryProvider:
    """The port over `images`. `page` rows come in one answer."""

    images_by_id: dict[str, MemoryImage] = field(default_factory=dict)
    name: str = "street"
    dataset_id: str = "ds"
    page: int = 7
    door: Door = _at_once
    ways: Sequence[ReadWay] = (SINGLE, ARCHIVE)
    save_batch: int = 200
    atomic_saves: bool = True
    sent: Traffic = field(default_factory=Traffic)
    #: The documents as the last listing found them.
    kept: dict[str, Reading] = field(default_factory=dict)
    #: What a listing page becomes on its way; a fault drops or repeats rows here.
    garble_page: Callable[[list[MemoryImage]], list[MemoryImage]] = list
    #: Whether a pass over the listing leaves an image out, in rows and total alike, as a lagging replica does.
    hides: Callable[[], bool] = bool
    #: Ids of images of which a listing says that they have no annotations, whatever they have.
    called_empty: set[str] = field(default_factory=set)
    #: What the server says of whether its listing may have changed.
    stamped: Callable[[], str | None] = lambda: None
    #: Images that somebody has open in an editor.
    open_in_editor: set[str] = field(default_factory=set)
    #: What an image's bytes become on their way.
    garble_bytes: Callable[[bytes], bytes] = bytes
    #: Whether the answer to a batch of saves is lost, before it took effect or after.
    loses_save: Callable[[], bool] = bool
    loses_save_answer: Callable[[], bool] = bool
    #: How many saves of a batch take effect before the connection breaks; None: all of them.
    applies_only: Callable[[], int | None] = lambda: None
    #: How many of a save's annotations are stored before the connection breaks; None: all. Not on a server of atomic saves.
    tears: Callable[[int], int | None] = lambda _count: None
    #: Told of each save that is cut off, before it takes effect.
    on_torn_save: Callable[[MemoryImage, Save], None] = lambda _image, _save: None
    #: Told of each save that takes effect: the image, what it held before, and what the sender had read.
    on_save: Callable[[MemoryImage, Save], None] = lambda _image, _save: None

    @property
    def format(self) -> DocumentFormat:
        return PlainFormat(self.atomic_saves)

    def add(self, image: MemoryImage) -> MemoryImage:
        self.images_by_id[image.id] = image
        return image

    def traffic(self) -> Traffic:
        return self.sent

    def quota(self) -> Quota:
        return Quota()

    async def _request(self, point: str) -> None:
        if point == "bytes":
            self.sent = Traffic(self.sent.api, self.sent.storage + 1)
        else:
            self.sent = Traffic(self.sent.api + 1, self.sent.storage)
        await self.door(point)

    async def capabilities(self) -> Capabilities:
        return Capabilities(
            "memory",
            ChangeSignal.WEAK,
            self.page,
            image_batch=1000,
            safety_level=1,
            save_batch=self.save_batch,
            atomic_saves=self.atomic_saves,
        )

    async def datasets(self) -> Sequence[Dataset]:
        return [await self.dataset(DatasetRef(name=self.name))]

    async def dataset(self, ref: DatasetRef) -> Dataset:
        await self._request("dataset")
        if self.name != ref.name and ref.id != self.dataset_id:
            raise UnknownDataset(f"there is no dataset {ref}; there is {self.name}")
        total = sum(len(image.annotations) for image in self.images_by_id.values())
        return Dataset(self.dataset_id, self.name, len(self.images_by_id), total)

    async def stamp(self, dataset: Dataset) -> str | None:
        return self.stamped()

    async def list_images(self, dataset: Dataset, sink: PageSink) -> ListingEnd:
        self.kept = {id_: self._reading(id_) for id_ in self.images_by_id} if WHOLE in self.ways else {}
        offset, pages = 0, 0
        hidden = set(list(self.images_by_id)[:1]) if self.hides() else set()
        totals: set[int] = set()
        while True:
            await self._request("list")
            newest_first = reversed(self.images_by_id.values())  # as on Pictograph
            images = [image for image in newest_first if image.id not in hidden]
            totals.add(len(images))
            rows = images[offset : offset + self.page]
            pages += 1
            await sink([self._listed(image) for image in self.garble_page(rows)])
            offset += len(rows)
            if not rows or offset >= len(images):
                return ListingEnd(max(totals), len(totals) == 1, pages)

    def _listed(self, image: MemoryImage) -> ListedImage:
        count = 0 if image.id in self.called_empty else len(image.annotations)
        document = ListedDocument("", Token(str(count), strong=False), empty=count == 0)
        return ListedImage(
            image.id, image.directory, image.name, image.status, len(image.data), None, None, None, count, (document,)
        )

    async def confirm_absent(self, dataset: Dataset, images: Sequence[str]) -> frozenset[str]:
        gone = set()
        for image in images:
            await self._request("confirm")
            if image not in self.images_by_id:
                gone.add(image)
        return frozenset(gone)

    async def read_ways(self, dataset: Dataset) -> Sequence[ReadWay]:
        return self.ways

    async def read(
        self, dataset: Dataset, way: ReadWay, wanted: AsyncIterator[WantedDocument]
    ) -> AsyncIterator[Reading]:
        if way == WHOLE:
            for reading in self.kept.values():
                yield reading
            return
        if way.covers_all:
            for _ in range(way.fixed_requests):
                await self._request("archive")
            for image in list(self.images_by_id.values()):
                yield self._reading(image.id)
            return
        async for document in wanted:
            await self._request("read")
            yield self._reading(document.key.image)

    def _reading(self, image_id: str) -> Reading:
        image = self.images_by_id.get(image_id)
        if image is None:
            return Reading(
                DocumentKey(image_id), None, None, {}, ReadProblem("not_found", f"image {image_id} is not there")
            )
        document = image.document()
        return Reading(
            DocumentKey(image_id), render(document), self.format.digest(document), self.format.counts(document)
        )

    async def reread(self, dataset: Dataset, wanted: Sequence[WantedDocument]) -> AsyncGenerator[Reading, None]:
        for document in wanted:
            await self._request("reread")
            reading = self._reading(document.key.image)
            yield replace(reading, being_annotated=document.key.image in self.open_in_editor)

    async def problems(self, dataset: Dataset, key: DocumentKey, data: bytes) -> Sequence[InvalidDocument]:
        try:
            document = self.format.parse(data)
        except InvalidDocument as error:
            return [error]
        if document.get("image", key.image) != key.image:
            return [InvalidDocument("this is the document of another image", pointer="/image", line=2)]
        return self._problems(document)

    def _problems(self, document: Document) -> Sequence[InvalidDocument]:
        found: list[InvalidDocument] = []
        seen = {""}
        for index, item in enumerate(self.format.annotations(document)):
            where, key = f"/annotations/{index}", str(item.get("id") or "")
            if key in seen:
                found.append(InvalidDocument("every annotation needs an id of its own", pointer=f"{where}/id", line=3))
            if item["name"] == UNKNOWN_CLASS:
                found.append(InvalidDocument("the dataset has no such class", pointer=f"{where}/name", line=3))
            seen.add(key)
        return found

    async def save_many(self, dataset: Dataset, saves: Sequence[Save]) -> Sequence[SaveResult]:
        await self._request("save")
        if self.loses_save():
            return [_unanswered(save) for save in saves]
        applied = self.applies_only()
        results: list[SaveResult] = []
        for save in saves[:applied]:
            if not self.atomic_saves and self._tear(save):
                return [_unanswered(save) for save in saves]
            results.append(self._save(save))
        await self._request("saved")
        if applied is not None or self.loses_save_answer():
            return [_unanswered(save) for save in saves]
        return results

    def _tear(self, save: Save) -> bool:
        """Store the first annotations of a save and no more; whether it was cut off."""
        image = self.images_by_id.get(save.key.image)
        annotations = self.format.annotations(save.wanted)
        if image is None or self._problems(save.wanted) or (kept := self.tears(len(annotations))) is None:
            return False
        self.on_torn_save(image, save)
        image.annotations = list(annotations[:kept])
        return True

    def _save(self, save: Save) -> SaveResult:
        image = self.images_by_id.get(save.key.image)
        if image is None:
            return SaveResult(save.key, SaveAnswer.GONE, message="no such image")
        if problems := self._problems(save.wanted):
            return SaveResult(save.key, SaveAnswer.REFUSED, message=problems[0].message)
        previous = len(image.annotations)
        self.on_save(image, save)
        image.annotations = list(self.format.annotations(save.wanted))
        return SaveResult(save.key, SaveAnswer.CLAIMED, previous)

    def empty(self, dataset: Dataset, image: ListedImage, document: ListedDocument) -> Reading:
        body: Document = {"image": image.id, "annotations": []}
        return Reading(DocumentKey(image.id), render(body), self.format.digest(body), {})

    @asynccontextmanager
    async def images(self, dataset: Dataset, wanted: int) -> AsyncIterator["MemorySource"]:
        await self._request("links")
        yield MemorySource(self)


@dataclass(frozen=True, slots=True)
class MemorySource:
    """Image bytes of the in-memory server."""

    provider: MemoryProvider

    @asynccontextmanager
    async def open(
        self, image: ListedImage, *, offset: int = 0, validator: str | None = None
    ) -> AsyncIterator[ImageStream]:
        await self.provider._request("bytes")
        held = self.provider.images_by_id.get(image.id)
        if held is None:
            raise NotFound(f"image {image.id} is not there", status=404)
        start = offset if validator == '"v1"' else 0

        async def chunks() -> AsyncIterator[bytes]:
            yield self.provider.garble_bytes(held.data)[start:]

        yield ImageStream(start, len(held.data), '"v1"', chunks())
