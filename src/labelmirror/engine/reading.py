"""Read the documents that may have changed, in the cheapest way, and put what was read on record."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from labelmirror.engine.mirror import Run, image_path
from labelmirror.engine.rows import document_pages
from labelmirror.errors import BudgetSpent, KeyRefused, Limited, RemoteError, Unavailable
from labelmirror.model.events import Phase
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import (
    Dataset,
    ListedImage,
    Reading,
    ReadProblem,
    ReadWay,
    Token,
    WantedDocument,
)
from labelmirror.model.rows import DocumentRow
from labelmirror.model.trouble import Stage
from labelmirror.planning.plan import DocumentPlan, Look, is_newer_than_look, remote_view
from labelmirror.planning.strategy import choose_way

#: Readings are put on record in batches of this many, or of what came in so long where that is less.
READING_BATCH, READING_BATCH_S = 500, 2.0
#: Documents of an archive whose number of annotations is not the listing's are read again singly, up to this many.
REREADS_MIN, REREADS_PERCENT = 200, 1

#: Errors that end a run: another way of reading would meet them as well.
RUN_ENDING = (KeyRefused, Limited, BudgetSpent, Unavailable)


@dataclass(slots=True)
class Readings:
    """Reading the documents that may have changed. `needed` counts those that the rows alone could not tell, `wanted`
    those of them that are still to be read.
    """

    run: Run
    dataset: Dataset
    looked: Look
    needed: int = 0
    wanted: int = 0
    #: Documents that were saved since the look began: what covers all may show them as they were before.
    _newer: set[DocumentKey] = field(default_factory=set)

    async def note(self, plans: Sequence[DocumentPlan]) -> None:
        """Put documents that the listing shows to be empty on record as read, and count those still to be read.

        A number in a listing is a hint: it saves reading what was never known to have annotations, but what would lose
        some by it is read.
        """
        state, provider = self.run.mirror.state, self.run.mirror.provider
        self._newer |= {plan.row.key for plan in plans if is_newer_than_look(plan.row, self.looked)}
        needed = [plan.row for plan in plans if plan.selected and plan.remote.needs_reading]
        empty = {row.key for row in needed if row.remote is not None and row.remote.empty and _is_bare(row)}
        self.needed += len(needed)
        self.wanted += len(needed) - len(empty)
        if not empty:
            return
        readings = [
            (provider.empty(self.dataset, image, document), document.token)
            for image in await state.listed(sorted({key.image for key in empty}))
            for document in image.documents
            if DocumentKey(image.id, document.set) in empty
        ]
        await state.add_readings(readings, self.run.mirror.clock.now_s())

    async def read(self) -> tuple[str, ...]:
        """Read what is wanted, in the cheapest way that the server allows; the names of the ways used."""
        if self.wanted == 0:
            return ()
        used: list[str] = []
        problems: dict[DocumentKey, ReadProblem] = {}
        missing = ReadProblem("unread", "the server did not give its annotations")
        ways = list(await self.run.mirror.provider.read_ways(self.dataset))
        while (way := choose_way(ways, self.wanted)) is not None:
            ways.remove(way)
            used.append(way.name)
            try:
                problems |= await self._read_in(way)
            except RUN_ENDING:
                raise
            except RemoteError as error:
                missing = ReadProblem(error.code, error.message)
                self.run.notice(
                    "way_refused", f"Reading by {way.name} did not work ({error.message}); trying another way."
                )
            await self._count()
        if self.wanted:
            await self._report_unread(problems, missing)
        return tuple(used)

    def _is_wanted(self, row: DocumentRow) -> bool:
        return row.listed and self.run.mirror.policy.selects(row.status) and remote_view(row, self.looked).needs_reading

    async def _count(self) -> None:
        self.wanted = 0
        async for page in document_pages(self.run.mirror.state):
            self.wanted += sum(self._is_wanted(row) for row in page)

    async def _wanted(self) -> AsyncIterator[WantedDocument]:
        async for page in document_pages(self.run.mirror.state):
            keys = [row.key for row in page if self._is_wanted(row)]
            listed = await self.run.mirror.state.listed(sorted({key.image for key in keys}))
            images = {image.id: image for image in listed}
            for key in keys:
                if key.image in images:
                    yield WantedDocument(key, images[key.image])

    async def _read_in(self, way: ReadWay) -> dict[DocumentKey, ReadProblem]:
        """Read in one way and put the readings on record; what could not be read, and why."""
        problems: dict[DocumentKey, ReadProblem] = {}
        batch: list[Reading] = []
        rereads = max(REREADS_MIN, self.wanted * REREADS_PERCENT // 100) if way.covers_all else 0
        clock = self.run.mirror.clock
        with self.run.phase(Phase.READING, self.wanted) as progress:
            recorded_s = clock.monotonic_s()
            try:
                async for reading in self.run.mirror.provider.read(self.dataset, way, self._wanted()):
                    if reading.problem is not None:
                        problems[reading.key] = reading.problem
                        continue
                    batch.append(reading)
                    if len(batch) >= READING_BATCH or clock.monotonic_s() - recorded_s >= READING_BATCH_S:
                        full, batch = batch, []
                        rereads -= await self._record(full, way, rereads)
                        progress.add(len(full))
                        recorded_s = clock.monotonic_s()
            finally:
                # What was read was paid for: a spent budget, an error or a signal waits for this one batch.
                with anyio.CancelScope(shield=True):
                    await self._record(batch, way, rereads)
                progress.add(len(batch))
        return problems

    async def _record(self, batch: Sequence[Reading], way: ReadWay, rereads: int) -> int:
        """Put a batch of readings on record; how many were left out so that they are read again singly.

        An archive may have been made before the listing: where the numbers of annotations differ, the document is read
        again. Where that would be too many, it is taken as it is, reported, and its token left open so that the next run
        reads it. Left open is also that of a document that was taken for empty: the archive knows better than the listing.
        """
        state = self.run.mirror.state
        listed = {image.id: image for image in await state.listed([reading.key.image for reading in batch])}
        differing = [
            reading.key.image
            for reading in batch
            if way.covers_all and reading.key.image in listed and _differs(reading, listed[reading.key.image])
        ]
        wanted = {row.key: row for row in await state.rows_of_images(differing) if self._is_wanted(row)}
        kept: list[tuple[Reading, Token | None]] = []
        left_out = 0
        for reading in batch:
            image = listed.get(reading.key.image)
            if image is None or reading.key in self._newer:
                continue
            token = next((document.token for document in image.documents if document.set == reading.key.set), None)
            if way.covers_all and _differs(reading, image):
                row = wanted.get(reading.key)
                if row is not None and left_out < rereads:
                    left_out += 1
                    continue
                if row is not None:
                    message = f"{way.name} and listing differ in its annotations; the next run reads it again"
                    self.run.fail(row.key, image_path(row.place), Stage.PULL, "doubtful", message)
                token = None
            kept.append((reading, token))
        await state.add_readings(kept, self.run.mirror.clock.now_s())
        return left_out

    async def _report_unread(self, problems: Mapping[DocumentKey, ReadProblem], missing: ReadProblem) -> None:
        """Report what no way of reading brought; `missing` speaks for those of which no answer came."""
        async for page in document_pages(self.run.mirror.state):
            for row in page:
                if self._is_wanted(row):
                    problem = problems.get(row.key, missing)
                    path = image_path(row.place)
                    self.run.fail(row.key, path, Stage.PULL, problem.code, problem.message)


def _is_bare(row: DocumentRow) -> bool:
    """Whether neither side was ever known to have annotations here."""
    return row.base is None or not sum(row.base.counts.values())


def _differs(reading: Reading, image: ListedImage) -> bool:
    """Whether a document has another number of annotations than the listing says."""
    return image.annotations not in {None, sum(reading.counts.values())}
