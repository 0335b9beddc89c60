"""Image bytes, as they were uploaded: each with a request, and proven by the MD5 that the listing shows.

The list of all files leads to the original, but for large images to a smaller one of another length; only an image by
itself says where the original of these is (contract, 4).
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import anyio

from labelmirror.errors import BodyMismatch, RemoteError, Unavailable
from labelmirror.model.remote import Dataset, ListedImage
from labelmirror.ports.provider import ImageStream
from labelmirror.providers import answers
from labelmirror.providers.remo import routes, wire
from labelmirror.providers.remo.session import Session, page_of


@dataclass(slots=True)
class RemoImages:
    """The ImageSource of a dataset. With `many`, the places of all files are asked for at once, when the first is needed."""

    session: Session
    dataset: Dataset
    many: bool
    _lock: anyio.Lock = field(default_factory=anyio.Lock)
    _listed: Mapping[int, str] | None = None

    @asynccontextmanager
    async def open(
        self,
        image: ListedImage,
        *,
        offset: int = 0,  # noqa: ARG002 - the server knows no ranges: it always starts over
        validator: str | None = None,  # noqa: ARG002 - and has no strong one
    ) -> AsyncIterator[ImageStream]:
        """Start receiving an image. Its chunks end with BodyMismatch where they are not what was uploaded."""
        async with AsyncExitStack() as stack:
            yield await self._entered(stack, image)

    async def _entered(self, stack: AsyncExitStack, image: ListedImage) -> ImageStream:
        if self.many and (url := (await self._places()).get(int(image.id))) is not None:
            async with AsyncExitStack() as own:
                stream = await self._received(own, url)
                if image.size_bytes in {None, stream.size_bytes}:
                    await stack.enter_async_context(own.pop_all())
                    return _proven(stream, image)
        path = routes.image(self.dataset.id, image.id)
        facts = answers.read(wire.ImageFacts, await self.session.get(path), where=f"GET {path}")
        return _proven(await self._received(stack, facts.original or facts.image), image)

    async def _received(self, stack: AsyncExitStack, url: str) -> ImageStream:
        """Start receiving a file, of which the server gives the plain name that lies on its disk."""
        try:
            return await stack.enter_async_context(self.session.stream(quote(url)))
        except Unavailable as error:
            if error.status != 500:
                raise
            # So it says that the file is missing on its disk: the others may be there.
            raise RemoteError(f"{error.message} (is the file there on the server?)", status=500) from None

    async def _places(self) -> Mapping[int, str]:
        async with self._lock:
            if self._listed is None:
                path = routes.files(self.dataset.id)
                where = f"GET {path}"
                page = page_of(await self.session.get(path), where=where)
                rows = [answers.read(wire.FileRow, row, where=where) for row in page.rows]
                self._listed = {row.id: row.url for row in rows}
            return self._listed


def _proven(stream: ImageStream, image: ListedImage) -> ImageStream:
    return stream if image.md5 is None else replace(stream, chunks=_checked(stream.chunks, image, image.md5))


async def _checked(chunks: AsyncIterator[bytes], image: ListedImage, md5: str) -> AsyncIterator[bytes]:
    found = hashlib.md5(usedforsecurity=False)
    async for chunk in chunks:
        found.update(chunk)
        yield chunk
    if found.hexdigest() != md5:
        raise BodyMismatch(f"the image {image.id} is not what was uploaded: its MD5 is another")
