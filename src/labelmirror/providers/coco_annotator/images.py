"""Image bytes, with a request each: the files as they lie on the server's disk."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from labelmirror.errors import NotFound, ProtocolError, Rejected, RemoteError, Unavailable
from labelmirror.model.remote import ListedImage
from labelmirror.ports.provider import ImageStream
from labelmirror.providers.coco_annotator import wire
from labelmirror.transport.api import Api


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
        """Start receiving an image. Raises ProtocolError where the server is too old to send the file itself."""
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
        return stream
