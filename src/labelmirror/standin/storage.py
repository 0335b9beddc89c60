"""The storage host: files behind signed links, without keys and without quotas."""

import email.utils
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from labelmirror.standin.clock import ServerClock
from labelmirror.standin.exchange import Call, Content, Memory, Reply, Route
from labelmirror.standin.links import LinkSigner
from labelmirror.standin.world import World

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_REFUSED = (
    b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code>"
    b"<Message>The link is not or no longer good.</Message></Error>"
)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that the storage host can serve; `etag` is strong and belongs to exactly this content."""

    content: Content
    mime: str
    etag: str
    modified_s: float


class Storage:
    """Serves images, finished exports and uploads, as long as their links are good.

    `archive` finds an export's file by its name. Uploads wait in `uploads`, by their path, until a registration takes them.
    """

    def __init__(
        self, clock: ServerClock, signer: LinkSigner, world: World, archive: Callable[[str], StoredFile | None]
    ) -> None:
        self.uploads: dict[str, bytes] = {}
        self._archive = archive
        self._clock = clock
        self._signer = signer
        self._world = world

    def link(self, path: str) -> str:
        """A fresh signed link to a path of this host."""
        return self._signer.link(path, self._clock.now_s())

    def routes(self) -> tuple[Route, ...]:
        """What the host serves."""
        return (
            Route("storage.image", "GET", "/images/{image}", self._image, None),
            Route("storage.export", "GET", "/exports/{export}", self._export, None),
            Route("storage.upload", "PUT", "/uploads/{upload}", self._upload, None),
        )

    async def _image(self, call: Call) -> Reply:
        if not self._good(call):
            return _refused(call)
        try:
            image = self._world.image(call.params["image"])
        except KeyError:
            return Reply(status=404, content=Memory(_REFUSED % b"NoSuchKey"), mime="application/xml")
        return serve(call, image_file(image.content, image.mime, image.created_s))

    async def _export(self, call: Call) -> Reply:
        if not self._good(call):
            return _refused(call)
        stored = self._archive(call.params["export"])
        if stored is None:
            return Reply(status=404, content=Memory(_REFUSED % b"NoSuchKey"), mime="application/xml")
        return serve(call, stored)

    async def _upload(self, call: Call) -> Reply:
        if not self._good(call):
            return _refused(call)
        self.uploads[call.path] = call.body
        return Reply(content=Memory(b""), mime="text/plain")

    def _good(self, call: Call) -> bool:
        return self._signer.holds(call.path, call.query, self._clock.now_s())


def image_file(data: bytes, mime: str, modified_s: float) -> StoredFile:
    """A picture as a stored file."""
    etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    return StoredFile(content=Memory(data), mime=mime, etag=etag, modified_s=modified_s)


def serve(call: Call, stored: StoredFile) -> Reply:
    """Answer a GET for a file: whole, or one range of it (RFC 9110, 14), guarded by If-Range."""
    size_bytes = stored.content.size_bytes
    headers = {
        "ETag": stored.etag,
        "Last-Modified": email.utils.formatdate(stored.modified_s, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    whole = Reply(content=stored.content, mime=stored.mime, headers=headers)
    asked = _RANGE.fullmatch(call.headers.get("Range", ""))
    if asked is None or call.headers.get("If-Range", stored.etag) != stored.etag:
        return whole
    start = int(asked[1])
    stop = min(size_bytes, int(asked[2]) + 1) if asked[2] else size_bytes
    if start >= size_bytes or stop <= start:
        unsatisfied = {**headers, "Content-Range": f"bytes */{size_bytes}"}
        return Reply(status=416, content=Memory(b""), mime="text/plain", headers=unsatisfied)
    ranged = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size_bytes}"}
    return Reply(status=206, content=stored.content, mime=stored.mime, headers=ranged, start=start, stop=stop)


def _refused(call: Call) -> Reply:
    code = b"ExpiredToken" if "X-Goog-Signature" in call.query else b"AccessDenied"
    return Reply(status=403, content=Memory(_REFUSED % code), mime="application/xml")
