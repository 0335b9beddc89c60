"""How answers leave: whole, in part, slowly, too long, or not at all."""

import asyncio
import json
from collections.abc import Iterator
from email.utils import formatdate

from aiohttp import web

from labelmirror.standin.exchange import Content, Memory, Reply
from labelmirror.standin.faults import FaultKind
from labelmirror.standin.options import StandinOptions
from labelmirror.standin.record import RequestRecord

_DRIPS = 10
_MISSING_BYTES = 7
_PADDING = b" " * 65_536


async def send(
    request: web.Request, reply: Reply, record: RequestRecord, options: StandinOptions, now_s: float
) -> web.StreamResponse:
    """Send an answer, with the fault that the record names where that is one of the sending."""
    content: Content = reply.content if reply.content is not None else Memory(_encoded(reply))
    whole = (content.size_bytes if reply.stop is None else reply.stop) - reply.start
    sent = announced = whole
    match record.fault:
        case FaultKind.SHORT_BODY:
            sent = whole // 2
        case FaultKind.WRONG_LENGTH:
            sent = announced = max(0, whole - _MISSING_BYTES)
        case FaultKind.OVERSIZED:
            announced = max(whole, options.oversized_bytes)
        case _:
            pass
    response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
    response.headers["Date"] = formatdate(now_s, usegmt=True)
    response.content_type = reply.mime
    if reply.close:
        response.force_close()
    if not reply.chunked:
        response.content_length = announced
    if request.method == "HEAD":
        announced = sent = 0
    pieces = content.chunks(reply.start, reply.start + sent)
    pause_s = 0.0
    if record.fault is FaultKind.SLOW_DRIP:
        pieces, pause_s = _drips(pieces, sent), options.hang_s / _DRIPS
    try:
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            record.sent_bytes += len(piece)
            if pause_s:
                await asyncio.sleep(pause_s)
        if record.fault is FaultKind.OVERSIZED:
            await _pad(response, announced - sent)
        if sent < announced and record.fault is FaultKind.SHORT_BODY:
            _transport(request).close()
            return response
        await response.write_eof()
    except ConnectionError:
        return response  # the client has hung up, which is its right
    return response


async def hang(request: web.Request, longest_s: float) -> None:
    """Do nothing until the client gives up or `longest_s` have passed."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + longest_s
    # A client that hangs up sets no event here, so this looks again and again.
    while loop.time() < until_s and request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def drop(request: web.Request) -> web.StreamResponse:
    """Reset the connection. The response is for aiohttp only and goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _encoded(reply: Reply) -> bytes:
    # A hostile name may hold half a surrogate pair; it is sent as it is.
    return json.dumps(reply.payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _drips(pieces: Iterator[bytes], size_bytes: int) -> Iterator[bytes]:
    step = max(1, -(-size_bytes // _DRIPS))
    for piece in pieces:
        for at in range(0, len(piece), step):
            yield piece[at : at + step]


async def _pad(response: web.StreamResponse, size_bytes: int) -> None:
    while size_bytes > 0:
        await response.write(_PADDING[:size_bytes])
        size_bytes -= len(_PADDING)


def _transport(request: web.Request) -> asyncio.Transport:
    if request.transport is None:
        raise ConnectionResetError("the client has gone")
    return request.transport
