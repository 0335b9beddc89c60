"""Image bytes, with a request each: the files as they lie on the server's disk, of the size that their ETag names."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from labelmirror.errors import BodyMismatch, NotFound, ProtocolError, Rejected, RemoteError, Unavailable
from labelmirror.model.remote import ListedImage
from labelmirror.ports.provider import ImageStream
from labelmirror.providers.coco_annotator import wire
from labelmirror.transport.api import Api

#: The time, the size and a checksum of the path of a file (contract, 6).
_TAG = re.compile(r'"[\d.]+-(\d+)-\d+"')


@dataclass(frozen=True, slots=True)
class CocoAnnotatorImages:
    """The ImageSource of a dataset. The server sends no parts of files, so each begins at its start."""

    api: Api

    @asynccontextmanager
    async def open(
        self,
        image: ListedImage,
        *,
        offset: int = 0,  # noqa: ARG002 - the port's
        validator: str | None = None,  # noqa: ARG002 - the port's
    ) -> AsyncIterator[ImageStream]:
        """Start receiving an image. Raises ProtocolError where the server is too old to send the file itself.

        Its chunks end with BodyMismatch where they are not as many as the file has.
        """
        async with AsyncExitStack() as stack:
            yield await self._entered(stack, image)

    async def _entered(self, stack: AsyncExitStack, image: ListedImage) -> ImageStream:
        # Anything that is not empty means yes; without it, every picture is made a JPEG anew (contract, 6).
        path = f"{wire.API}/image/{image.id}?original=true"
        try:
            stream = await stack.enter_async_context(self.api.stream(path))
        except Rejected as error:
            if error.status != 400:
                raise
            raise NotFound(error.message, status=400) from None
        except Unavailable as error:
            if error.status != 500:
                raise
            # So it says that the file is missing on its disk: the others may be there.
            raise RemoteError(f"{error.message} (is the file there on the server?)", status=500) from None
        if stream.validator is None:
            raise ProtocolError(
                f"GET {wire.API}/image/{image.id} sent a picture that the server made, not the file that it holds",
                hint="The server is older than October 2024: update it, or mirror annotations only.",
            )
        told = _TAG.fullmatch(stream.validator)
        return stream if told is None else replace(stream, chunks=_whole(stream.chunks, int(told[1]), image))


async def _whole(chunks: AsyncIterator[bytes], size_bytes: int, image: ListedImage) -> AsyncIterator[bytes]:
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        yield chunk
    if received != size_bytes:
        raise BodyMismatch(f"the image {image.id} came with {received} bytes of {size_bytes} that its file has")
