"""One image on its way in: fetched, as often as may help, and checked before anything is done with it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from labelmirror.engine.mirror import Run
from labelmirror.errors import BodyMismatch, NotAnImage
from labelmirror.model.remote import ListedImage
from labelmirror.model.rows import ImageRecord
from labelmirror.planning.picture import HEAD_BYTES, problem_with
from labelmirror.ports.provider import ImageSource
from labelmirror.ports.tree import PartialFile

#: Images up to this size are held in memory until they are written; larger ones go to a file that can be resumed.
IN_MEMORY_BYTES = 2**20
#: A body that is cut short is fetched this often in all, with a rest in between.
BODY_TRIES = 3
BODY_RETRY_S = 0.5
#: No image is larger than this.
IMAGE_LIMIT_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that is to be fetched."""

    record: ImageRecord
    listed: ListedImage


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image that came whole and may be put in place."""

    record: ImageRecord
    source: bytes | PartialFile
    size_bytes: int


async def fetch(run: Run, source: ImageSource, wanted: Wanted) -> Fetched:
    """Fetch one image; a body that broke off is fetched again, from where it broke off if it can be."""
    for _ in range(BODY_TRIES - 1):
        try:
            return await _once(run, source, wanted)
        except NotAnImage:
            raise
        except BodyMismatch:
            await run.mirror.clock.sleep(BODY_RETRY_S)
    return await _once(run, source, wanted)


async def _once(run: Run, source: ImageSource, wanted: Wanted) -> Fetched:
    announced = wanted.listed.size_bytes
    if announced is not None and announced <= IN_MEMORY_BYTES:
        async with source.open(wanted.listed) as stream:
            data = await _collect(stream.chunks, announced)
        _check(wanted, len(data), data[:HEAD_BYTES])
        return Fetched(wanted.record, data, len(data))
    partial = await run.mirror.tree.partial(wanted.record.path)
    async with source.open(wanted.listed, offset=partial.size_bytes, validator=partial.validator) as stream:
        if stream.offset != partial.size_bytes or stream.offset == 0:
            await partial.restart(stream.validator)
        limit = announced if announced is not None else stream.size_bytes or IMAGE_LIMIT_BYTES
        async for chunk in stream.chunks:
            if partial.size_bytes + len(chunk) > limit:
                await partial.discard()
                raise BodyMismatch(f"more than the {limit} bytes that were announced")
            await partial.write(chunk)
    try:
        _check(wanted, partial.size_bytes, await partial.head(HEAD_BYTES))
    except BodyMismatch:
        await partial.discard()
        raise
    return Fetched(wanted.record, partial, partial.size_bytes)


async def _collect(chunks: AsyncIterator[bytes], announced: int) -> bytes:
    pieces: list[bytes] = []
    size_bytes = 0
    async for chunk in chunks:
        pieces.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > announced:
            raise BodyMismatch(f"more than the {announced} bytes that were announced")
    return b"".join(pieces)


def _check(wanted: Wanted, size_bytes: int, head: bytes) -> None:
    announced = wanted.listed.size_bytes
    if announced is not None and size_bytes != announced:
        raise BodyMismatch(f"{size_bytes} bytes came, {announced} were announced")
    if (problem := problem_with(head, wanted.listed.name)) is not None:
        raise NotAnImage(f"what came is no image: {problem}")
