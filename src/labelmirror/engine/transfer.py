"""Fetch image files: N workers on one stream of work, and one writer that puts files in place in batches.

The writer's order is the law: bytes checked and on disk first, then one rename each, then one transaction for the
batch. Killed anywhere, the next run finds either the old state or a file that it recognises by its hash.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from labelmirror.engine.mirror import Progress, Run
from labelmirror.engine.rows import image_pages
from labelmirror.errors import BodyMismatch, BudgetSpent, DiskError, KeyRefused, Limited, NotAnImage, RemoteError
from labelmirror.model.actions import ImageAction
from labelmirror.model.events import Phase
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset, ListedImage
from labelmirror.model.report import ImageCounts
from labelmirror.model.rows import ImageCondition, ImageRecord
from labelmirror.model.trouble import Stage
from labelmirror.planning.picture import HEAD_BYTES, problem_with
from labelmirror.planning.plan import Look, plan_image
from labelmirror.ports.provider import ImageSource
from labelmirror.ports.tree import PartialFile, Placement, PlaceOutcome

#: Images up to this size are held in memory until they are written; larger ones go to a file that can be resumed.
IN_MEMORY_BYTES = 2**20
#: The writer takes what is ready, up to so many files and bytes.
BATCH_FILES = 64
BATCH_BYTES = 32 * 2**20
#: A body that is cut short is fetched this often in all, with a rest in between.
BODY_TRIES = 3
BODY_RETRY_S = 0.5
#: No image is larger than this.
IMAGE_LIMIT_BYTES = 4 * 2**30

T = TypeVar("T")

#: Errors that concern the whole run, not one image.
RUN_ENDING = (KeyRefused, Limited, BudgetSpent, DiskError)


@dataclass(frozen=True, slots=True)
class _Wanted:
    record: ImageRecord
    listed: ListedImage


@dataclass(frozen=True, slots=True)
class _Fetched:
    record: ImageRecord
    source: bytes | PartialFile
    size_bytes: int


async def pull_images(
    run: Run, dataset: Dataset, looked: Look, *, wanted: int, additive_only: bool, counts: ImageCounts
) -> None:
    """Fetch the images that are missing or damaged here; with `additive_only` the missing ones alone.

    One image's trouble never stops the others.
    """
    if wanted == 0:
        return
    mirror = run.mirror
    actions = frozenset({ImageAction.PULL} if additive_only else {ImageAction.PULL, ImageAction.REPLACE})
    with run.phase(Phase.PULLING_IMAGES, wanted) as progress:
        async with mirror.provider.images(dataset, wanted) as source, anyio.create_task_group() as tasks:
            work_in, work_out = anyio.create_memory_object_stream[_Wanted](mirror.workers)
            done_in, done_out = anyio.create_memory_object_stream[_Fetched](BATCH_FILES)
            tasks.start_soon(_find_work, run, looked, actions, work_in)
            async with done_in, work_out:
                for _ in range(min(mirror.workers, wanted)):
                    tasks.start_soon(_work, run, source, work_out.clone(), done_in.clone())
            tasks.start_soon(_write, run, done_out, counts, progress)


async def _find_work(
    run: Run, looked: Look, actions: frozenset[ImageAction], work: MemoryObjectSendStream[_Wanted]
) -> None:
    async with work:
        async for page in image_pages(run.mirror.state):
            records = {
                row.id: row.record
                for row in page
                if row.record is not None and plan_image(row, looked, run.mirror.policy).action in actions
            }
            for image in await run.mirror.state.listed(list(records)):
                if run.stopping:
                    return
                await _hand_on(work, _Wanted(records[image.id], image))


async def _work(
    run: Run,
    source: ImageSource,
    work: MemoryObjectReceiveStream[_Wanted],
    done: MemoryObjectSendStream[_Fetched],
) -> None:
    async with work, done:
        async for wanted in work:
            try:
                fetched = await _fetch_with_retries(run, source, wanted)
            except RUN_ENDING:
                raise
            except RemoteError as error:
                run.fail_with(DocumentKey(wanted.listed.id), wanted.record.path, Stage.PULL, error)
            else:
                await _hand_on(done, fetched)


async def _hand_on(stream: MemoryObjectSendStream[T], item: T) -> None:
    """Send, if anybody still receives: a stream that broke means that its reader failed, and its error tells why."""
    with suppress(anyio.BrokenResourceError):
        await stream.send(item)


async def _fetch_with_retries(run: Run, source: ImageSource, wanted: _Wanted) -> _Fetched:
    """Fetch one image; a body that broke off is fetched again, from where it broke off if it can be."""
    for _ in range(BODY_TRIES - 1):
        try:
            return await _fetch(run, source, wanted)
        except NotAnImage:
            raise
        except BodyMismatch:
            await run.mirror.clock.sleep(BODY_RETRY_S)
    return await _fetch(run, source, wanted)


async def _fetch(run: Run, source: ImageSource, wanted: _Wanted) -> _Fetched:
    announced = wanted.listed.size_bytes
    if announced is not None and announced <= IN_MEMORY_BYTES:
        async with source.open(wanted.listed) as stream:
            data = await _collect(stream.chunks, announced)
        _check(wanted, len(data), data[:HEAD_BYTES])
        return _Fetched(wanted.record, data, len(data))
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
    return _Fetched(wanted.record, partial, partial.size_bytes)


async def _collect(chunks: AsyncIterator[bytes], announced: int) -> bytes:
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > announced:
            raise BodyMismatch(f"more than the {announced} bytes that were announced")
    return bytes(data)


def _check(wanted: _Wanted, size_bytes: int, head: bytes) -> None:
    announced = wanted.listed.size_bytes
    if announced is not None and size_bytes != announced:
        raise BodyMismatch(f"{size_bytes} bytes came, {announced} were announced")
    if (problem := problem_with(head, wanted.listed.name)) is not None:
        raise NotAnImage(f"what came is no image: {problem}")


async def _write(run: Run, done: MemoryObjectReceiveStream[_Fetched], counts: ImageCounts, progress: Progress) -> None:
    async with done:
        while True:
            try:
                batch = [await done.receive()]
            except anyio.EndOfStream:
                return
            size_bytes = batch[0].size_bytes
            while len(batch) < BATCH_FILES and size_bytes < BATCH_BYTES:
                try:
                    fetched = done.receive_nowait()
                except (anyio.WouldBlock, anyio.EndOfStream):
                    break
                batch.append(fetched)
                size_bytes += fetched.size_bytes
            # What was fetched is worth keeping: a signal waits for this one batch.
            with anyio.CancelScope(shield=True):
                await _place(run, batch, counts, progress)


async def _place(run: Run, batch: Sequence[_Fetched], counts: ImageCounts, progress: Progress) -> None:
    placed = await run.mirror.tree.place(
        [
            Placement(item.record.path, item.source, item.record.stat if _present(item.record) else None, run.id)
            for item in batch
        ]
    )
    records: list[ImageRecord] = []
    size_bytes = 0
    for item, result in zip(batch, placed, strict=True):
        record = item.record
        if result.outcome is PlaceOutcome.CHANGED:
            message = "the file changed while its replacement was fetched; it was left alone"
            if not _present(record):
                message = "something is in its place that was not there before, or is no ordinary file"
            run.fail(DocumentKey(record.id), record.path, Stage.PULL, "changed_meanwhile", message)
            continue
        size_bytes += item.size_bytes
        records.append(
            ImageRecord(
                record.id,
                record.directory,
                record.name,
                record.place,
                item.size_bytes,
                result.sha256,
                result.stat,
                ImageCondition.INTACT,
            )
        )
    await run.mirror.state.record_images(records)
    counts.pulled += len(records)
    counts.size_bytes += size_bytes
    progress.add(len(records), size_bytes)


def _present(record: ImageRecord) -> bool:
    return record.condition is not ImageCondition.MISSING
