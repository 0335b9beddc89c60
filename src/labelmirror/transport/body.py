"""Image bytes on their way in: every body is proven whole, bounded, and making progress."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from aiolimiter import AsyncLimiter

from labelmirror.errors import BodyMismatch, ProtocolError, TooLarge
from labelmirror.ports.clock import Clock
from labelmirror.ports.provider import ImageStream

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class BodyRules:
    """Bounds on one body. Fewer than `progress_bytes` in `progress_s` seconds count as a broken connection."""

    size_max_bytes: int = 2**30
    progress_bytes: int = 2**16
    progress_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Meter:
    """What passes through it is bounded by the bandwidth that a person allows; None: it is not."""

    limiter: AsyncLimiter | None

    async def pass_on(self, size_bytes: int) -> None:
        """Wait until so many bytes may have come."""
        if self.limiter is None:
            return
        while size_bytes > 0:
            part = min(size_bytes, int(self.limiter.max_rate))
            await self.limiter.acquire(part)
            size_bytes -= part


def range_headers(offset: int, validator: str | None) -> dict[str, str]:
    """Ask for the rest of a file of which `offset` bytes are here under a strong validator, else for all of it.

    Identity, because a compressed body has another length than the file, and can be a bomb.
    """
    headers = {"Accept-Encoding": "identity"}
    if offset > 0 and validator is not None:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    return headers


def image_stream(
    response: aiohttp.ClientResponse, *, asked_offset: int, rules: BodyRules, clock: Clock, meter: Meter, where: str
) -> ImageStream:
    """The body of a 200 or 206 answer. Raises ProtocolError, BodyMismatch or TooLarge where its headers do not fit.

    Its chunks raise BodyMismatch when the body is cut short, too long, or drips too slowly.
    """
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ProtocolError(f"{where} sent a compressed body that was not asked for")
    length = response.content_length
    offset, size_bytes = 0, length
    if response.status == 206:
        offset, size_bytes = _resumed(response.headers.get("Content-Range", ""), asked_offset, length, where)
    if size_bytes is not None and size_bytes > rules.size_max_bytes:
        raise TooLarge(f"{where} announced {size_bytes} bytes, more than the {rules.size_max_bytes} that are allowed")
    tag = response.headers.get("ETag", "")
    validator = tag if len(tag) > 2 and tag.startswith('"') and tag.endswith('"') else None
    left = None if size_bytes is None else size_bytes - offset
    return ImageStream(offset, size_bytes, validator, _chunks(response, left, rules, clock, meter, where))


def _resumed(content_range: str, asked_offset: int, length: int | None, where: str) -> tuple[int, int | None]:
    found = _CONTENT_RANGE.fullmatch(content_range.strip())
    if found is None or int(found[1]) != asked_offset:
        raise BodyMismatch(f"{where} sent another part of the file than was asked for")
    size_bytes = None if found[3] == "*" else int(found[3])
    if size_bytes is not None and int(found[2]) != size_bytes - 1:
        raise BodyMismatch(f"{where} sent less than the rest of the file")
    if length is not None and length != int(found[2]) - asked_offset + 1:
        raise BodyMismatch(f"{where} announced two different sizes")
    return asked_offset, size_bytes


async def _chunks(
    response: aiohttp.ClientResponse, left: int | None, rules: BodyRules, clock: Clock, meter: Meter, where: str
) -> AsyncIterator[bytes]:
    received, mark_bytes, mark_s = 0, 0, clock.monotonic_s()
    try:
        async for chunk in response.content.iter_any():
            received += len(chunk)
            if received > (rules.size_max_bytes if left is None else left):
                raise BodyMismatch(f"{where} sent more bytes than it announced, or than are allowed")
            now_s = clock.monotonic_s()
            if now_s - mark_s >= rules.progress_s:
                if received - mark_bytes < rules.progress_bytes and received != left:
                    raise BodyMismatch(
                        f"{where} sends too slowly: {received - mark_bytes} bytes in {now_s - mark_s:.0f} s"
                    )
                mark_bytes, mark_s = received, now_s
            await meter.pass_on(len(chunk))
            yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BodyMismatch(f"{where} broke off after {received} bytes ({type(error).__name__})") from None
    if left is not None and received != left:
        raise BodyMismatch(f"{where} sent {received} bytes of {left} that it announced")
