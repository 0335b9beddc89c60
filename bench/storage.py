"""A storage host that costs next to nothing, so that clients are compared and not the server."""

import asyncio
from collections.abc import Mapping

from labelmirror.standin import Dataset, Standin

#: A picture's start, and bytes that do not compress, in three sizes around the mean of real ones.
SIZES_BYTES = (40_000, 60_000, 80_000)


def enlarge(dataset: Dataset) -> None:
    """Give every image a file as large as photographs of street scenes are."""
    for image in dataset:
        size_bytes = SIZES_BYTES[image.number % len(SIZES_BYTES)]
        content = image.content
        image.payload = content + bytes(size_bytes - len(content))
        image.size_bytes = size_bytes


async def serve_files(standin: Standin, dataset: Dataset, delay_s: float) -> None:
    """Let the links of a stand-in lead to a quick host of its own from now on, which waits before each answer."""
    answers = {f"/images/{image.id}".encode(): _answer(image.content) for image in dataset}
    loop = asyncio.get_running_loop()
    host = standin.storage_url.removeprefix("http://").partition(":")[0]
    server = await loop.create_server(lambda: _Files(answers, delay_s), host, 0)
    origin = f"http://{host}:{server.sockets[0].getsockname()[1]}"
    signer = standin._signer  # noqa: SLF001 - only a bench moves the storage host
    signed = signer.link

    def link(path: str, now_s: float) -> str:
        found = signed(path, now_s)
        return found.replace(standin.storage_url, origin, 1) if path.startswith("/images/") else found

    signer.link = link  # type: ignore[method-assign]


def _answer(content: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class _Files(asyncio.Protocol):
    """One connection: GET after GET."""

    def __init__(self, answers: Mapping[bytes, bytes], delay_s: float) -> None:
        self._answers = answers
        self._delay_s = delay_s
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            path = self._received.split(b" ", 2)[1].partition(b"?")[0]
            self._received = self._received[end + 4 :]
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._send, path)
            else:
                self._send(path)

    def _send(self, path: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(self._answers[path])
