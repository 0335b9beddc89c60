"""Save what a mirror holds as a snapshot: the working files as they are, edits and all. Asks no server.

A page of the snapshot is stored when its last image is reached, and the snapshot itself last of all: cut off anywhere,
there is no snapshot, and what was stored is used by the next one or swept.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import anyio

from labelmirror.engine.marker import check_marker
from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, LocalMirror, Progress, local_file, reported
from labelmirror.engine.rows import image_pages
from labelmirror.errors import Stopped, TooLarge, Unreadable, UsageError, command_line
from labelmirror.model.document import ContentId, content_id
from labelmirror.model.events import Phase
from labelmirror.model.report import MirrorReport, RunError
from labelmirror.model.rows import DocumentRow, ImageRecord, ImageRow
from labelmirror.model.snapshot import (
    PAGE_IMAGES_MAX,
    SavedDocument,
    SavedImage,
    SavedStray,
    Snapshot,
    SnapshotHead,
    SnapshotPage,
    ends_page,
)
from labelmirror.model.trouble import Failed, Stage
from labelmirror.ports.clock import Clock
from labelmirror.ports.reporter import Reporter
from labelmirror.ports.snapshots import AddedImage, SnapshotStore

#: Documents wait in memory for their batch, up to so many and so many bytes.
BATCH_DOCUMENTS, BATCH_BYTES = 512, 32 * 2**20


@dataclass(slots=True)
class BackupReport:
    """What became of one mirror's backup; `synced` is the run before it, if one was asked for."""

    name: str
    snapshot: Snapshot | None = None
    failed: list[Failed] = field(default_factory=list)
    synced: MirrorReport | None = None
    error: RunError | None = None


async def backup(
    mirror: LocalMirror,
    store: SnapshotStore,
    *,
    images_from: Path | None,
    clock: Clock,
    reporter: Reporter,
    stop: anyio.Event | None = None,
) -> BackupReport:
    """Make a snapshot. With `images_from`, the mirror's directory, image files are stored too, else only named.

    The caller keeps runs out of the mirror and others out of the store. `stop` ends it behind the file in hand, without a
    snapshot. Raises LabelmirrorError.
    """
    await check_marker(mirror, claim=False)
    facts = await mirror.state.facts()
    if facts.last_sync_s is None or facts.dataset_id is None:
        raise UsageError(
            f"{mirror.name}: was never synced, so there is nothing to save",
            hint=f"{command_line('sync', mirror.name)}, or add --sync",
        )
    report = BackupReport(mirror.name)
    at_s = clock.now_s()
    # The head costs little, but is found only in a file that nobody wrote in another layout.
    summary = await mirror.tree.read_summary_head() or await mirror.tree.read_summary() or {}
    with reported(reporter, mirror.name, Phase.BACKING_UP) as progress:
        saving = _Saving(mirror, store, images_from, report.failed, progress, stop)
        async for page in image_pages(mirror.state):
            await saving.save(page)
        await saving.finish()
    report.snapshot = await store.add_snapshot(
        SnapshotHead(
            store=store.id,
            mirror=mirror.name,
            server=mirror.server,
            dataset_id=facts.dataset_id,
            dataset_name=facts.dataset_name or "",
            at_s=at_s,
            images=saving.images,
            documents=saving.documents,
            images_included=images_from is not None,
            bytes_new=saving.bytes_new,
            summary={key: value for key, value in summary.items() if key != "images"},
            pages=tuple(saving.pages),
        )
    )
    return report


@dataclass(slots=True)
class _Saving:
    """A snapshot in the making."""

    mirror: LocalMirror
    store: SnapshotStore
    images_from: Path | None
    failed: list[Failed]
    progress: Progress
    stop: anyio.Event | None
    pages: list[str] = field(default_factory=list)
    images: int = 0
    documents: int = 0
    bytes_new: int = 0
    _page: list[SavedImage] = field(default_factory=list)
    _waiting: dict[ContentId, bytes] = field(default_factory=dict)
    _waiting_bytes: int = 0

    async def save(self, rows: Sequence[ImageRow]) -> None:
        """Save images, which come in the order of their ids, with their documents."""
        mirror = self.mirror
        chosen = [
            (row.id, row.record)
            for row in rows
            if row.record is not None and (row.listed is None or mirror.policy.selects(row.listed.status))
        ]
        documents = await mirror.state.rows_of_images([each for each, _ in chosen])
        by_image = {key: list(group) for key, group in groupby(documents, lambda row: row.key.image)}
        for each, record in chosen:
            self._heed_stop()
            saved = [await self._save_document(row) for row in by_image.get(each, ())]
            self._page.append(await self._save_image(record, tuple(one for one in saved if one is not None)))
            if ends_page(each) or len(self._page) == PAGE_IMAGES_MAX:
                await self._turn(SnapshotPage(images=tuple(self._page)))
                self._page.clear()
        self.progress.add(len(chosen))

    async def finish(self) -> None:
        """Save what is left, and the documents that belong to no image."""
        if self._page:
            await self._turn(SnapshotPage(images=tuple(self._page)))
        async for strays in self._strays():
            await self._turn(SnapshotPage(strays=tuple(strays)))
        await self._store_waiting()

    async def _turn(self, page: SnapshotPage) -> None:
        name, new = await self.store.add_page(page)
        self.pages.append(name)
        self.bytes_new += new
        self.images += len(page.images)
        self.documents += len(page.strays) + sum(len(image.documents) for image in page.images)

    async def _save_document(self, row: DocumentRow) -> SavedDocument | None:
        """The working file; for one that is missing, which is a lost copy, what both sides last agreed on."""
        try:
            read = await self.mirror.tree.read(row.path, limit_bytes=DOCUMENT_LIMIT_BYTES)
        except (TooLarge, Unreadable) as error:
            self._fail(row.key.image, row.path, error)
            return None
        if read is None:
            if row.base is None:
                return None
            base = row.base
            contents = await self.mirror.state.contents([base.content])
            return SavedDocument(row.key, row.path, await self._hand_in(contents[base.content]), base.digest)
        data, stat = read
        known = row.local if row.local is not None and row.local.stat == stat else None
        found = known or local_file(self.mirror.format, data, stat)
        return SavedDocument(row.key, row.path, await self._hand_in(data), found.digest)

    async def _save_image(self, record: ImageRecord, documents: tuple[SavedDocument, ...]) -> SavedImage:
        stored = await self._store_image(record) if self.images_from is not None else None
        return SavedImage(
            id=record.id,
            directory=record.directory,
            name=record.name,
            path=record.path,
            size_bytes=stored.size_bytes if stored is not None else record.size_bytes,
            content=stored.content if stored is not None else ContentId(record.sha256) if record.sha256 else None,
            included=stored is not None,
            documents=documents,
        )

    async def _store_image(self, record: ImageRecord) -> AddedImage | None:
        """The image's file as it is; one that nobody touched since it was hashed is not read again. None if it is missing."""
        assert self.images_from is not None
        (stat,) = await self.mirror.tree.stat_many([record.path])
        if stat is not None and stat == record.stat and record.sha256 is not None:
            known = ContentId(record.sha256)
            if await self.store.has_image(known, stat.size_bytes):
                return AddedImage(known, stat.size_bytes, 0)
        added = await self.store.add_image(self.images_from, record.path) if stat is not None else None
        self.bytes_new += added.bytes_new if added is not None else 0
        return added

    async def _strays(self) -> AsyncIterator[list[SavedStray]]:
        async for paths in self.mirror.tree.walk():
            documents = [path for path in paths if path.startswith("annotations/")]
            known = await self.mirror.state.known_paths(documents)
            strays: list[SavedStray] = []
            for path in documents:
                if path in known:
                    continue
                self._heed_stop()
                try:
                    read = await self.mirror.tree.read(path, limit_bytes=DOCUMENT_LIMIT_BYTES)
                except (TooLarge, Unreadable) as error:
                    self._fail("", path, error)
                    continue
                if read is not None:
                    strays.append(SavedStray(path, await self._hand_in(read[0])))
            if strays:
                yield strays

    async def _hand_in(self, data: bytes) -> ContentId:
        content = content_id(data)
        if content not in self._waiting:
            self._waiting[content] = data
            self._waiting_bytes += len(data)
            if len(self._waiting) >= BATCH_DOCUMENTS or self._waiting_bytes >= BATCH_BYTES:
                await self._store_waiting()
        return content

    async def _store_waiting(self) -> None:
        self.bytes_new += await self.store.add_documents(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _heed_stop(self) -> None:
        if self.stop is not None and self.stop.is_set():
            raise Stopped(
                "stopped on request; no snapshot was made", hint="Run it again: what is stored already costs nothing."
            )

    def _fail(self, image: str, path: str, error: TooLarge | Unreadable) -> None:
        self.failed.append(Failed(image, "", path, Stage.VALIDATE, error.code, error.message))
