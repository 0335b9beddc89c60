"""Documents read one by one."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from labelmirror.errors import NotFound
from labelmirror.model.document import Document, render
from labelmirror.model.keys import DocumentKey
from labelmirror.model.pacing import Priority
from labelmirror.model.remote import Dataset, ListedImage, Reading, WantedDocument
from labelmirror.providers import answers
from labelmirror.providers.pictograph import convert, wire
from labelmirror.providers.pictograph.dialect import Dialect
from labelmirror.providers.pictograph.format import PictographFormat
from labelmirror.providers.reading import OF_ONE_DOCUMENT, read_singly, unread
from labelmirror.transport.api import Api, pinned

_FORMAT = PictographFormat()


def reading_of(image: str, document: Document) -> Reading:
    """A document that was read. Raises InvalidDocument where it is none."""
    data = render(document)
    return _reading(image, data, _FORMAT.parse(data))


def reading_of_parsed(image: str, document: Document) -> Reading:
    """The same of what the format has parsed: that needs no second look, unless its texts have no UTF-8."""
    data = render(document)
    return _reading(image, data, document if _is_utf8(data) else _FORMAT.parse(data))


def _reading(image: str, data: bytes, document: Document) -> Reading:
    return Reading(DocumentKey(image), data, _FORMAT.digest(document), _FORMAT.counts(document))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class SingleReads:
    """Reads documents of one dataset with a request each, `connections` at a time."""

    api: Api
    dialect: Dialect
    dataset: Dataset
    connections: int

    async def by_image(self, wanted: AsyncIterator[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """The annotations of each image, as documents composed around them."""
        async with aclosing(self._read(wanted, self._path)) as found:
            async for reading in found:
                yield reading

    async def again(self, wanted: Sequence[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """The annotations of each image, one after the other and before all else that waits for the server."""
        for document in wanted:
            reading = await self._one(document, self._path, Priority.PUSH)
            assert reading is not None, "every image has a path"
            yield reading

    def _path(self, image: ListedImage) -> str:
        return self.dialect.annotations(self.dataset, image)

    async def by_file(self, wanted: AsyncIterator[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """The server's own document of each image that its list of documents names."""
        request = self.dialect.annotation_files(self.dataset)
        if request is None:
            raise NotFound("this generation of the server has no list of documents")
        where = f"GET {request.path}"
        listed = answers.items(await self.api.get(request.path, request.query), "annotations", where=where)
        files = [answers.read(wire.FileItem, item, where=where) for item in listed]
        paths = {file.image_id: pinned(file.url) for file in files}
        async with aclosing(self._read(wanted, lambda image: paths.get(image.id))) as found:
            async for reading in found:
                yield reading

    async def _read(
        self, wanted: AsyncIterator[WantedDocument], path_of: Callable[[ListedImage], str | None]
    ) -> AsyncGenerator[Reading, None]:
        async def read(document: WantedDocument) -> Reading | None:
            return await self._one(document, path_of, Priority.PULL)

        async with aclosing(read_singly(read, wanted, self.connections)) as found:
            async for reading in found:
                yield reading

    async def _one(
        self, document: WantedDocument, path_of: Callable[[ListedImage], str | None], priority: Priority
    ) -> Reading | None:
        """One document, or what is wrong with it; trouble that concerns all is raised. None: it has no path."""
        image = document.image
        try:
            path = path_of(image)
            if path is None:
                return None
            answer = await self.api.get(path, priority=priority)
            where = f"GET {path}"
            return reading_of(
                image.id, convert.document_of(answer, str(self.api.origin), self.dataset, image, where=where)
            )
        except OF_ONE_DOCUMENT as error:
            return unread(document.key, error)
