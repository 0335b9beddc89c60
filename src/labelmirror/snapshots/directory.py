# ruff: noqa: D102 - the port says what each method promises
"""SnapshotStore in a folder. Every method is one hop to a worker thread."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

from anyio import to_thread

from labelmirror.errors import DiskError, SnapshotDamaged, UsageError
from labelmirror.model.document import ContentId, content_id
from labelmirror.model.snapshot import Access, Snapshot, SnapshotHead, SnapshotList, SnapshotPage, Swept
from labelmirror.ports.snapshots import AddedImage, References
from labelmirror.snapshots import contents as kept
from labelmirror.snapshots.contents import DOCUMENTS, IMAGES, PAGES, PASSING
from labelmirror.snapshots.wire import manifest_in, manifest_out, page_in, page_out, store_in, store_out
from labelmirror.tree.disk import disk_errors
from labelmirror.tree.files import unlink, write_atomically
from labelmirror.tree.folders import FolderBlocked, Folders, sync_all
from labelmirror.tree.names import TEMPORARY

T = TypeVar("T")

STORE: Final = "store.json"
LOCK: Final = "lock"
SNAPSHOTS: Final = "snapshots"
_CHUNK_BYTES: Final = 2**20
_LIMIT_BYTES: Final = 64 * 2**20


class DirectoryStore:
    """The store at `root`."""

    def __init__(self, root: Path, store_id: str) -> None:
        self._root = root
        self._id = store_id

    @property
    def id(self) -> str:
        return self._id

    async def snapshots(self) -> SnapshotList:
        return await self._run(self._snapshots)

    async def page(self, page: str) -> SnapshotPage:
        data = await self._run(lambda folders: kept.unpacked(folders, PAGES, page))
        if data is None:
            raise self._damaged(kept.place(PAGES, page), "is missing or damaged")
        try:
            return page_in(data)
        except ValueError as error:
            raise self._damaged(kept.place(PAGES, page), "is of another version of labelmirror") from error

    async def documents(self, contents: Sequence[ContentId]) -> Mapping[ContentId, bytes]:
        def work(folders: Folders) -> Mapping[ContentId, bytes]:
            found = ((content, kept.unpacked(folders, DOCUMENTS, content)) for content in contents)
            return {content: data for content, data in found if data is not None}

        return await self._run(work)

    async def image(self, content: ContentId) -> AsyncIterator[bytes]:
        path = kept.place(IMAGES, content)
        opened = await self._run(lambda folders: folders.open_file(path))
        if opened is None:
            raise self._damaged(path, "is missing")
        digest = hashlib.sha256()
        with os.fdopen(opened, "rb") as file:
            while chunk := await self._run(lambda _: file.read(_CHUNK_BYTES)):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != content:
            raise self._damaged(path, "is damaged")

    async def has_image(self, content: ContentId, size_bytes: int) -> bool:
        stat = await self._run(lambda folders: folders.stat(kept.place(IMAGES, content)))
        return stat is not None and stat.size_bytes == size_bytes

    async def add_documents(self, documents: Mapping[ContentId, bytes]) -> int:
        return await self._run(lambda folders: kept.add(folders, DOCUMENTS, documents))

    async def add_image(self, folder: Path, path: str) -> AddedImage | None:
        return await self._run(lambda folders: kept.add_image(folders, folder, path))

    async def add_page(self, page: SnapshotPage) -> tuple[str, int]:
        data = page_out(page)
        name = content_id(data)
        return name, await self._run(lambda folders: kept.add(folders, PAGES, {name: data}))

    async def add_snapshot(self, head: SnapshotHead) -> Snapshot:
        data = manifest_out(head)
        made = Snapshot(content_id(data), manifest_in(data))
        await self._run(lambda folders: write_atomically(folders, _manifest(made.id), data))
        return made

    async def remove_snapshots(self, ids: AbstractSet[str]) -> None:
        def work(folders: Folders) -> None:
            for each in sorted(ids):
                unlink(folders, _manifest(each))
            folders.changed(SNAPSHOTS)
            folders.sync()

        await self._run(work)

    async def sweep(self, references: References) -> Swept:
        return await self._run(lambda folders: _sweep(folders, references))

    # --- on the worker thread ----------------------------------------------------------------------------------------

    async def _run(self, work: Callable[[Folders], T]) -> T:
        return await to_thread.run_sync(self._work, work)

    def _work(self, work: Callable[[Folders], T]) -> T:
        try:
            with disk_errors(str(self._root)), Folders(self._root) as folders:
                return work(folders)
        except FolderBlocked as error:
            raise DiskError(
                f"{self._root / str(error)}: is no folder", hint="Move away what is in its place."
            ) from error

    def _snapshots(self, folders: Folders) -> SnapshotList:
        found: list[Snapshot] = []
        unusable: list[tuple[str, str]] = []
        for entry in folders.names(SNAPSHOTS):
            each, _, suffix = entry.partition(".")
            if suffix != "json":
                continue
            read = self._read_manifest(folders, each)
            if isinstance(read, SnapshotHead):
                found.append(Snapshot(each, read))
            else:
                unusable.append((each, read))
        return SnapshotList(sorted(found, key=lambda each: (each.head.at_s, each.id)), unusable)

    def _read_manifest(self, folders: Folders, each: str) -> SnapshotHead | str:
        """A manifest, or why it cannot be used."""
        opened = folders.open_file(_manifest(each))
        if opened is None:
            return "is no ordinary file"
        with os.fdopen(opened, "rb") as file:
            data = file.read(_LIMIT_BYTES)
        if content_id(data) != each:
            return "is damaged"
        try:
            head = manifest_in(data)
        except ValueError:
            return "is of another version of labelmirror"
        return head if head.store == self._id else f"belongs to another store ({head.store[:8]})"

    def _damaged(self, path: str, what: str) -> SnapshotDamaged:
        return SnapshotDamaged(
            f"{self._root / path}: {what}",
            hint="Remove that file if it is there: the next backup stores anew what the mirror still holds. What a snapshot "
            "lacks then, verify --snapshot tells.",
        )


async def open_store(root: Path, access: Access) -> DirectoryStore:
    """The store at `root`. Raises UsageError where there is none to read, or something else in its place; SnapshotDamaged."""
    return await to_thread.run_sync(_open, root, access)


def _open(root: Path, access: Access) -> DirectoryStore:
    with disk_errors(str(root)), Folders(root) as folders:
        opened = folders.open_file(STORE)
        if opened is None:
            return DirectoryStore(root, _create(root, folders, access))
        with os.fdopen(opened, "rb") as file:
            data = file.read(_CHUNK_BYTES)
    try:
        return DirectoryStore(root, store_in(data))
    except ValueError as error:
        raise SnapshotDamaged(
            f"{root / STORE}: is damaged, or of another version of labelmirror",
            hint="Put it back from a copy of the store, or let [backup] path name another folder.",
        ) from error


def _create(root: Path, folders: Folders, access: Access) -> str:
    if access is not Access.CREATE:
        raise UsageError(f"{root} holds no snapshots", hint="make one with: labelmirror backup")
    strangers = [name for name in folders.names("") if name != LOCK and not name.startswith(TEMPORARY)]
    if strangers:
        raise UsageError(
            f"{root} is no store of snapshots and not empty (there is {strangers[0]!r})",
            hint="let [backup] path name an empty or a new folder",
        )
    store_id = uuid4().hex
    write_atomically(folders, STORE, store_out(store_id))
    # The folder itself may be new.
    sync_all([os.open(root.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)])
    return store_id


def _manifest(snapshot: str) -> str:
    return f"{SNAPSHOTS}/{snapshot}.json"


def _sweep(folders: Folders, references: References) -> Swept:
    files, size_bytes = 0, 0
    doomed = [
        f"{folder}/{name}"
        for folder in (PASSING, SNAPSHOTS, "")
        for name in folders.names(folder)
        if name.startswith(TEMPORARY)
    ]
    # Pages go first: a page that is there has its contents.
    for kind, wanted in ((PAGES, references.pages), (DOCUMENTS, references.documents), (IMAGES, references.images)):
        doomed += [path for name, path in kept.names(folders, kind) if name not in wanted]
    for path in doomed:
        stat = folders.stat(path)
        if stat is not None:
            files, size_bytes = files + 1, size_bytes + stat.size_bytes
            unlink(folders, path)
    return Swept(files, size_bytes)
