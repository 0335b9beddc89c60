"""Fetch image files: workers that take one after the other, and one writer that puts files in place in batches.

The writer's order is the law: bytes checked and on disk first, then one rename each, then one transaction for the
batch. Killed anywhere, the next run finds either the old state or a file that it recognises by its hash.
"""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from labelmirror.engine.fetch import Fetched, Wanted, fetch
from labelmirror.engine.mirror import PAGE, Progress, Run
from labelmirror.errors import BudgetSpent, DiskError, KeyRefused, LabelmirrorError, Limited, RemoteError
from labelmirror.model.actions import ImageAction
from labelmirror.model.events import Phase
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset
from labelmirror.model.report import ImageCounts
from labelmirror.model.rows import ImageCondition, ImageRecord
from labelmirror.model.trouble import Stage
from labelmirror.planning.plan import Look, plan_image
from labelmirror.ports.provider import ImageSource
from labelmirror.ports.tree import Placement, PlaceOutcome

#: The writer takes what is ready, up to so many files and bytes.
BATCH_FILES = 64
BATCH_BYTES = 32 * 2**20

#: With fewer images left to give out, the next page is looked for.
FEW = 64

#: Errors that concern the whole run, not one image.
RUN_ENDING = (KeyRefused, Limited, BudgetSpent, DiskError)

#: What a run may do to images whatever the guards say, and what it does if they have nothing against it.
ADDING = frozenset({ImageAction.PULL})
PULLING = frozenset({ImageAction.PULL, ImageAction.REPLACE})


@asynccontextmanager
async def image_pull(run: Run, counts: ImageCounts) -> AsyncIterator["ImagePull"]:
    """The fetching of a run's images, which it may do in several parts: they share links, and what failed is not tried again."""
    async with AsyncExitStack() as stack:
        yield ImagePull(run, counts, stack)


class ImagePull:
    """See `image_pull`. One image's trouble never stops the others."""

    def __init__(self, run: Run, counts: ImageCounts, stack: AsyncExitStack) -> None:
        self._run = run
        self._counts = counts
        self._stack = stack
        self._source: ImageSource | None = None
        self._failed: set[str] = set()

    @asynccontextmanager
    async def ahead(self, dataset: Dataset, looked: Look, *, missing: int) -> AsyncIterator[None]:
        """Fetch images that are missing here while the block waits for something else; its end leaves the rest to `pull`."""
        work = _Work(self._run, looked, ADDING, self._failed)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._try, dataset, work, missing)
            yield
            work.over = True

    async def _try(self, dataset: Dataset, work: "_Work", wanted: int) -> None:
        try:
            await self._pull(dataset, work, wanted)
        except* RUN_ENDING:
            # Not at the cost of what the block does: `pull` meets it again.
            work.over = True

    async def pull(self, dataset: Dataset, looked: Look, *, wanted: int, additive_only: bool) -> None:
        """Fetch the images that are missing or damaged here; with `additive_only` the missing ones alone."""
        if wanted > len(self._failed):
            work = _Work(self._run, looked, ADDING if additive_only else PULLING, self._failed)
            await self._pull(dataset, work, wanted - len(self._failed))

    async def _pull(self, dataset: Dataset, work: "_Work", wanted: int) -> None:
        mirror = self._run.mirror
        with self._run.phase(Phase.PULLING_IMAGES, wanted) as progress:
            if self._source is None:
                self._source = await self._stack.enter_async_context(mirror.provider.images(dataset, wanted))
            async with anyio.create_task_group() as tasks:
                done_in, done_out = anyio.create_memory_object_stream[Fetched](BATCH_FILES)
                async with done_in:
                    for _ in range(min(mirror.workers, wanted)):
                        tasks.start_soon(self._work, self._source, work, done_in.clone())
                tasks.start_soon(_write, self._run, done_out, self._counts, progress)
            if work.trouble is not None:
                raise work.trouble

    async def _work(self, source: ImageSource, work: "_Work", done: MemoryObjectSendStream[Fetched]) -> None:
        async with done:
            while (wanted := await work.take()) is not None:
                try:
                    fetched = await fetch(self._run, source, wanted)
                except RUN_ENDING as error:
                    work.end(error)
                except RemoteError as error:
                    self._failed.add(wanted.listed.id)
                    self._run.fail_with(DocumentKey(wanted.listed.id), wanted.record.path, Stage.PULL, error)
                else:
                    await _hand_on(done, fetched)


@dataclass(slots=True)
class _Work:
    """The images of which something of `actions` is planned, by id, page by page; without those that failed before.

    Whoever finds few left turns the page, while the others go on with those. Once it is `over` nothing more is given out;
    `trouble` is what ended it.
    """

    run: Run
    looked: Look
    actions: frozenset[ImageAction]
    without: set[str]
    over: bool = False
    trouble: LabelmirrorError | None = None
    _all_found: bool = False
    _after: str | None = None
    _page: deque[Wanted] = field(default_factory=deque)
    _turning: anyio.Lock = field(default_factory=lambda: anyio.Lock(fast_acquire=True))

    async def take(self) -> Wanted | None:
        """The next image; None if there is none, or nothing more is to be begun."""
        while not (self.over or self.run.stopping):
            if self._page and (len(self._page) >= FEW or self._all_found or self._turning.locked()):
                return self._page.popleft()
            if self._all_found:
                break
            async with self._turning:
                if len(self._page) < FEW and not self._all_found:
                    await self._turn()
        return None

    def end(self, trouble: LabelmirrorError) -> None:
        """Give out nothing more. What is in hand was paid for, and is finished and written before `trouble` is raised."""
        self.over, self.trouble = True, self.trouble or trouble

    async def _turn(self) -> None:
        state, policy = self.run.mirror.state, self.run.mirror.policy
        page = await state.image_rows(self._after, PAGE)
        if not page:
            self._all_found = True
            return
        self._after = page[-1].id
        records = {
            row.id: row.record
            for row in page
            if row.record is not None
            and row.id not in self.without
            and plan_image(row, self.looked, policy).action in self.actions
        }
        self._page.extend(Wanted(records[image.id], image) for image in await state.listed(list(records)))


async def _hand_on(done: MemoryObjectSendStream[Fetched], fetched: Fetched) -> None:
    """Send, if anybody still receives: a stream that broke means that its reader failed, and its error tells why."""
    with suppress(anyio.BrokenResourceError):
        try:
            done.send_nowait(fetched)
        except anyio.WouldBlock:
            await done.send(fetched)


async def _write(run: Run, done: MemoryObjectReceiveStream[Fetched], counts: ImageCounts, progress: Progress) -> None:
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


async def _place(run: Run, batch: Sequence[Fetched], counts: ImageCounts, progress: Progress) -> None:
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
