"""Documents read one by one, as the editor opens an image: the reading that a save needs."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from labelmirror.errors import NotFound, ProtocolError, Rejected
from labelmirror.model.document import Document, JsonObject, JsonValue
from labelmirror.model.pacing import Priority
from labelmirror.model.remote import Dataset, Reading, WantedDocument
from labelmirror.providers.answers import items, read, table
from labelmirror.providers.coco_annotator import convert, wire
from labelmirror.providers.coco_annotator.composing import Surroundings
from labelmirror.providers.reading import OF_ONE_DOCUMENT, read_singly, unread
from labelmirror.transport.api import Api

#: So the server says, with 400, that it has no such image. Other words mean that this user may not see it.
_UNKNOWN = "Could not load image"


@dataclass(frozen=True, slots=True)
class Opened:
    """An image as it was opened: its document, the annotations with all that a save must give back, and what is around."""

    reading: Reading
    document: Document
    annotations: Sequence[JsonObject]
    around: Surroundings


async def open_image(api: Api, dataset: Dataset, image: str, priority: Priority) -> Opened:
    """Read one image. Raises NotFound where it is deleted, unknown or in another dataset, Rejected where it is hidden."""
    path = f"{wire.API}/annotator/data/{image}"
    where = f"GET {path}"
    try:
        answer = await api.get(path, priority=priority)
    except Rejected as error:
        if error.status != 400 or _UNKNOWN not in error.message:
            raise
        raise NotFound(error.message, status=400) from None  # the only way in which this server says so
    return opened(answer, dataset, image, where=where)


def opened(answer: JsonValue, dataset: Dataset, image: str, *, where: str) -> Opened:
    """The image in an answer. Raises NotFound where it is deleted or in another dataset, ProtocolError for anything odd."""
    held = read(wire.Opened, answer, where=where)
    row = read(wire.ImageRow, held.image, where=where)
    if str(row.id) != image:
        raise ProtocolError(f"{where}: the answer is about another image")
    if row.deleted or str(row.dataset_id) != dataset.id:
        raise NotFound(f"{where}: the image is deleted, or in another dataset now")
    categories = convert.categories_of(held.categories, where=where)
    document = convert.document_of(convert.image_fields(row), categories.values(), held_annotations(held, where=where))
    try:
        reading = convert.reading_of(document, being_annotated=bool(row.annotating))
    except ValueError as error:
        raise ProtocolError(f"{where}: {error}") from None
    around = Surroundings(row.id, held.preferences, held.dataset, list(categories.values()))
    return Opened(reading, document, held_annotations(held, where=where), around)


def held_annotations(held: wire.Opened, *, where: str) -> Sequence[JsonObject]:
    """The annotations, which lie in their categories. Those of deleted ones show here alone, and are left out as elsewhere:
    neither are they mirrored nor does a save touch them.
    """
    rows = [
        table(row, where=where)
        for category in held.categories
        if not read(wire.CategoryRow, category, where=where).deleted
        for row in items(category, "annotations", where=where)
    ]
    for row in rows:
        read(wire.AnnotationRow, row, where=where)
    return rows


@dataclass(frozen=True, slots=True)
class SingleReads:
    """Reads documents of one dataset with a request each, `connections` at a time."""

    api: Api
    dataset: Dataset
    connections: int

    async def read(self, wanted: AsyncIterator[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """These documents. Raises Unavailable where none of many could be read."""

        async def one(document: WantedDocument) -> Reading:
            return (await self._one(document, Priority.PULL))[0]

        async with aclosing(read_singly(one, wanted, self.connections)) as found:
            async for reading in found:
                yield reading

    async def again(self, wanted: Sequence[WantedDocument]) -> AsyncGenerator[tuple[Reading, Opened | None], None]:
        """These documents one after the other, before all else that waits for the server; None where one cannot be read."""
        for document in wanted:
            yield await self._one(document, Priority.PUSH)

    async def _one(self, document: WantedDocument, priority: Priority) -> tuple[Reading, Opened | None]:
        """One document, or what is wrong with it; trouble that concerns all is raised."""
        try:
            held = await open_image(self.api, self.dataset, document.key.image, priority)
        except OF_ONE_DOCUMENT as error:
            return unread(document.key, error), None
        return held.reading, held
