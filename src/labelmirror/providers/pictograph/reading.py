"""Documents read one by one."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from labelmirror.errors import (
    InvalidDocument,
    LabelmirrorError,
    NotFound,
    ProtocolError,
    Rejected,
    TooLarge,
    Unavailable,
)
from labelmirror.model.document import Document, render
from labelmirror.model.keys import DocumentKey
from labelmirror.model.pacing import Priority
from labelmirror.model.remote import Dataset, ListedImage, Reading, ReadProblem, WantedDocument
from labelmirror.providers import answers
from labelmirror.providers.pictograph import convert, wire
from labelmirror.providers.pictograph.dialect import Dialect
from labelmirror.providers.pictograph.format import PictographFormat
from labelmirror.transport.api import Api, pinned
from labelmirror.transport.parallel import in_parallel

#: Images are taken from the stream of wanted ones in slices of so many for each connection.
SLICE_PER_CONNECTION = 16
#: If none of at least so many reads got through, the server is in trouble, not the images.
ALL_FAILED_MIN = 8

_FORMAT = PictographFormat()


def reading_of(image: str, document: Document) -> Reading:
    """A document that was read. Raises InvalidDocument where it is none."""
    data = render(document)
    parsed = _FORMAT.parse(data)
    return Reading(DocumentKey(image), data, _FORMAT.digest(parsed), _FORMAT.counts(parsed))


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
            reading = await self._one(document.image, self._path, Priority.PUSH)
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
        async def read(image: ListedImage) -> Reading | None:
            return await self._one(image, path_of, Priority.PULL)

        async for images in _slices(wanted, SLICE_PER_CONNECTION * self.connections):
            readings = [item for item in await in_parallel(read, images, self.connections) if item is not None]
            failed = [item.problem for item in readings if item.problem and item.problem.code == Unavailable.code]
            if len(failed) >= ALL_FAILED_MIN and len(failed) == len(readings):
                raise Unavailable(failed[0].message)
            for reading in readings:
                yield reading

    async def _one(
        self, image: ListedImage, path_of: Callable[[ListedImage], str | None], priority: Priority
    ) -> Reading | None:
        """One document, or what is wrong with it; trouble that concerns all is raised. None: it has no path."""
        try:
            path = path_of(image)
            if path is None:
                return None
            answer = await self.api.get(path, priority=priority)
            where = f"GET {path}"
            return reading_of(
                image.id, convert.document_of(answer, str(self.api.origin), self.dataset, image, where=where)
            )
        except (InvalidDocument, NotFound, ProtocolError, Rejected, TooLarge, Unavailable) as error:
            return _problem(image, error)


def _problem(image: ListedImage, error: LabelmirrorError) -> Reading:
    return Reading(DocumentKey(image.id), None, None, {}, ReadProblem(error.code, error.message))


async def _slices(wanted: AsyncIterator[WantedDocument], size: int) -> AsyncIterator[Sequence[ListedImage]]:
    images: list[ListedImage] = []
    async for document in wanted:
        images.append(document.image)
        if len(images) == size:
            yield images
            images = []
    if images:
        yield images
