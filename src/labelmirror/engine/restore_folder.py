"""Lay a snapshot out in a folder, as it lay in the mirror. Overwrites nothing; run again, it goes on where it was."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import anyio

from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, Progress, reported
from labelmirror.engine.runs import outcome_of, run_error
from labelmirror.errors import LabelmirrorError, SnapshotDamaged, Stopped, TooLarge, Unreadable, UsageError
from labelmirror.model.actions import PlanItem
from labelmirror.model.document import ContentId, JsonObject
from labelmirror.model.events import ItemFailed, Phase
from labelmirror.model.keys import DocumentKey
from labelmirror.model.report import MirrorReport, PlanReport
from labelmirror.model.snapshot import SavedImage, Snapshot, SnapshotPage
from labelmirror.model.trouble import Failed, Stage
from labelmirror.ports.clock import Clock
from labelmirror.ports.reporter import Reporter
from labelmirror.ports.snapshots import SnapshotStore
from labelmirror.ports.tree import Placement, PlaceOutcome, WorkingTree

_SUMMARY = "dataset.json"


@dataclass(frozen=True, slots=True)
class _File:
    """A file to be laid out: its document, or its image's id without a set."""

    key: DocumentKey
    path: str
    content: ContentId


async def restore_to_folder(
    store: SnapshotStore,
    snapshot: Snapshot,
    tree: WorkingTree,
    *,
    clock: Clock,
    reporter: Reporter,
    stop: anyio.Event | None = None,
) -> MirrorReport:
    """Lay documents out, and the images that the snapshot includes. `adopted` counts what was there already.

    `stop` ends it behind the file in hand.
    """
    began_s = clock.monotonic_s()
    report = MirrorReport(snapshot.head.mirror)
    try:
        await _refuse_mirror(tree)
        with reported(reporter, report.name, Phase.RESTORING, snapshot.head.images) as progress:
            laying = _Laying(store, tree, report, progress, reporter, snapshot.id, stop)
            for page in snapshot.head.pages:
                await laying.lay_out(page)
            await laying.lay_summary(snapshot)
            await tree.drop_leftovers()
    except (LabelmirrorError, ExceptionGroup) as error:
        report.error = run_error(error)
    report.duration_s = clock.monotonic_s() - began_s
    report.outcome = outcome_of(report)
    return report


async def plan_restore_to_folder(store: SnapshotStore, snapshot: Snapshot, tree: WorkingTree) -> PlanReport:
    """What that would write. Looks, and writes nothing."""
    report = PlanReport(snapshot.head.mirror, strategy="snapshot")
    try:
        await _refuse_mirror(tree)
        for name in snapshot.head.pages:
            page = await store.page(name)
            for files, is_image in ((_documents(page), False), (_images(page), True)):
                stats = await tree.stat_many([file.path for file in files])
                missing = [file for file, stat in zip(files, stats, strict=True) if stat is None]
                report.pull_images += len(missing) if is_image else 0
                report.pull_documents += 0 if is_image else len(missing)
                report.items += [PlanItem(file.key, file.path, "pull") for file in missing]
    except LabelmirrorError as error:
        report.error = run_error(error)
    return report


async def _refuse_mirror(tree: WorkingTree) -> None:
    if (marker := await tree.marker()) is not None:
        raise UsageError(
            f"that folder is the mirror {marker.mirror}: files restored there would count as edits",
            hint="name another folder, or bring the documents back on the server with --to-server",
        )


def _documents(page: SnapshotPage) -> Sequence[_File]:
    saved = [_File(one.key, one.path, one.content) for image in page.images for one in image.documents]
    return [*saved, *(_File(DocumentKey(""), stray.path, stray.content) for stray in page.strays)]


def _images(page: SnapshotPage) -> Sequence[_File]:
    return [
        _File(DocumentKey(image.id), image.path, image.content)
        for image in page.images
        if image.included and image.content is not None
    ]


@dataclass(slots=True)
class _Laying:
    """A restore under way."""

    store: SnapshotStore
    tree: WorkingTree
    report: MirrorReport
    progress: Progress
    reporter: Reporter
    #: History would keep a replaced file under this name; nothing is replaced.
    run: str
    stop: anyio.Event | None
    #: Whether every page of the snapshot could be read.
    whole: bool = True

    async def lay_out(self, name: str) -> None:
        """One page: its documents in one batch, then its images. Raises Stopped."""
        self._heed_stop()
        try:
            page = await self.store.page(name)
        except SnapshotDamaged as error:
            self._fail(_File(DocumentKey(""), "", ContentId("")), error.code, error.message)
            self.whole = False
            return
        self.report.images.total += len(page.images)
        await self._lay_documents(_documents(page))
        for file in _images(page):
            self._heed_stop()
            await self._lay_image(file)
        self.progress.add(len(page.images))

    async def lay_summary(self, snapshot: Snapshot) -> None:
        """dataset.json, once it can name every image, unless another one is there."""
        if not self.whole:
            return
        there = await self.tree.hash_many([_SUMMARY])
        if there[0] is None:
            await self.tree.write_summary(snapshot.head.summary, _summary_images(self.store, snapshot))
            return
        images = [image async for page in _summary_images(self.store, snapshot) for image in page]
        if await self.tree.read_summary() != {**snapshot.head.summary, "images": images}:
            self._block(_File(DocumentKey(""), _SUMMARY, ContentId("")))

    def _heed_stop(self) -> None:
        if self.stop is not None and self.stop.is_set():
            raise Stopped("stopped on request; what is there is whole", hint="Run it again: it goes on from here.")

    async def _lay_documents(self, files: Sequence[_File]) -> None:
        missing = await self._missing(files)
        contents = await self.store.documents([file.content for file in missing])
        for file in missing:
            if file.content not in contents:
                self._fail(file, SnapshotDamaged.code, "what is stored of it is missing or damaged")
        whole = [file for file in missing if file.content in contents]
        placed = await self.tree.place([Placement(file.path, contents[file.content], None, self.run) for file in whole])
        for file, result in zip(whole, placed, strict=True):
            if result.outcome is PlaceOutcome.CHANGED:
                self._block(file)
            else:
                self.report.documents.pulled += 1

    async def _missing(self, files: Sequence[_File]) -> Sequence[_File]:
        """The documents that are not there; another file in the place of one is reported."""
        missing: list[_File] = []
        for file in files:
            try:
                read = await self.tree.read(file.path, limit_bytes=DOCUMENT_LIMIT_BYTES)
            except (TooLarge, Unreadable):
                self._block(file)
                continue
            if read is None:
                missing.append(file)
            elif hashlib.sha256(read[0]).hexdigest() == file.content:
                self.report.documents.adopted += 1
            else:
                self._block(file)
        return missing

    async def _lay_image(self, file: _File) -> None:
        (there,) = await self.tree.hash_many([file.path])
        if there is not None:
            if there.sha256 != file.content:
                self._block(file)
            return
        partial = await self.tree.partial(file.path)
        await partial.restart(None)
        try:
            async for chunk in self.store.image(file.content):
                await partial.write(chunk)
        except SnapshotDamaged as error:
            await partial.discard()
            self._fail(file, error.code, error.message)
            return
        size_bytes = partial.size_bytes
        (placed,) = await self.tree.place([Placement(file.path, partial, None, self.run)])
        if placed.outcome is PlaceOutcome.CHANGED:
            self._block(file)
            return
        self.report.images.pulled += 1
        self.report.images.size_bytes += size_bytes

    def _block(self, file: _File) -> None:
        self._fail(file, "in_the_way", "another file is in its place, and was left alone")

    def _fail(self, file: _File, code: str, message: str) -> None:
        self.report.troubles.append(Failed(file.key.image, file.key.set, file.path, Stage.PULL, code, message))
        self.reporter.emit(ItemFailed(self.report.name, file.path, code, message))


async def _summary_images(store: SnapshotStore, snapshot: Snapshot) -> AsyncIterator[Sequence[JsonObject]]:
    for name in snapshot.head.pages:
        yield [_summary_image(image) for image in (await store.page(name)).images]


def _summary_image(image: SavedImage) -> JsonObject:
    return {"id": image.id, "directory": image.directory, "name": image.name, "path": image.path}
