# ruff: noqa: D102 - the port says what each method promises
"""WorkingTree on a directory. Every method is one hop to a worker thread, for a page or a batch."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import aiofiles
import anyio
import anyio.to_thread

from labelmirror.errors import MarkerMismatch, TooLarge, Unreadable
from labelmirror.model.document import JsonObject
from labelmirror.model.rows import FileStat
from labelmirror.ports.tree import HashedFile, Marker, PartialFile, Placed, Placement
from labelmirror.tree import files as batches
from labelmirror.tree.disk import disk_errors
from labelmirror.tree.folders import Folders, file_stat, split
from labelmirror.tree.lines import json_line
from labelmirror.tree.names import HISTORY, MARKER, OURS, PARTIAL, SUMMARY, TEMPORARY, TOPS, TRASH, temporary
from labelmirror.tree.partial import RESUME_MIN_BYTES, DiskPartial, read_note, remove_partial

T = TypeVar("T")

_PAGE: Final = 1000
_CHUNK_BYTES: Final = 2**20
#: No dataset.json of any use is larger.
_SUMMARY_LIMIT_BYTES: Final = 2**30
_HEAD_LIMIT_BYTES: Final = 2**26
#: How the list of images begins in it.
_IMAGES: Final = '  "images": ['


class DirectoryTree:
    """The working directory at `root`, which may itself be a symbolic link. Work on it is one batch at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> str:
        return str(self._root)

    async def marker(self) -> Marker | None:
        return await self._run(self._marker)

    async def write_marker(self, marker: Marker) -> None:
        text = json.dumps({"store_id": marker.store_id, "mirror": marker.mirror}, indent=2) + "\n"
        await anyio.to_thread.run_sync(self._make_root)
        await self._run(lambda folders: batches.write_atomically(folders, MARKER, text.encode()))

    async def stat_many(self, paths: Sequence[str]) -> Sequence[FileStat | None]:
        return await self._run(lambda folders: [folders.stat(path) for path in paths])

    async def walk(self) -> AsyncIterator[Sequence[str]]:
        with Folders(self._root) as folders:
            found = (path for top in TOPS for path in _walk(folders, top, lambda name: not _is_temporary(name)))
            while page := await anyio.to_thread.run_sync(_take, str(self._root), found):
                yield page

    async def read(self, path: str, *, limit_bytes: int) -> tuple[bytes, FileStat] | None:
        return await self._run(lambda folders: _read(folders, path, limit_bytes))

    async def hash_many(self, paths: Sequence[str]) -> Sequence[HashedFile | None]:
        return await self._run(lambda folders: [batches.hash_file(folders, path) for path in paths])

    async def place(self, placements: Sequence[Placement]) -> Sequence[Placed]:
        return await self._run(lambda folders: batches.place(folders, placements))

    async def retire(self, files: Sequence[tuple[str, FileStat]], *, run: str) -> Sequence[bool]:
        return await self._run(lambda folders: batches.retire(folders, files, run))

    async def move(self, pairs: Sequence[tuple[str, str]]) -> Sequence[bool]:
        return await self._run(lambda folders: batches.move(folders, pairs))

    async def partial(self, path: str) -> PartialFile:
        partial = DiskPartial(self._root, path)
        await self._run(partial.load)
        return partial

    async def lay_out(self, folder: str, files: Mapping[str, bytes]) -> None:
        def write(folders: Folders) -> None:
            for path, data in files.items():
                # Every run lays them out anew, and there may be thousands.
                batches.write_atomically(folders, path, data, durably=False)

        await self._run(lambda folders: _clear(folders, folder))
        if files:
            await self._run(write)

    async def write_summary(self, head: JsonObject, images: AsyncIterator[Sequence[JsonObject]]) -> None:
        name = temporary()
        path = self._root / name
        with disk_errors(SUMMARY):
            try:
                async with aiofiles.open(path, "x", encoding="utf-8") as file:
                    opening = "{\n" + "".join(
                        f"  {json_line(key)}: {json_line(value)},\n" for key, value in head.items()
                    )
                    await file.write(opening + _IMAGES)
                    comma = "\n"
                    async for page in images:
                        lines = ",\n".join(f"    {json_line(image)}" for image in page)
                        if lines:
                            await file.write(comma + lines)
                            comma = ",\n"
                    await file.write("\n  ]\n}\n")
                await self._run(lambda folders: _replace_if_changed(folders, name, SUMMARY))
            finally:
                with anyio.CancelScope(shield=True):
                    await self._run(lambda folders: batches.unlink(folders, name))

    async def read_summary(self) -> JsonObject | None:
        try:
            found = await self._run(lambda folders: _read(folders, SUMMARY, _SUMMARY_LIMIT_BYTES))
            summary = json.loads(found[0]) if found is not None else None
        except (ValueError, TooLarge):
            return None
        return summary if isinstance(summary, dict) else None

    async def read_summary_head(self) -> JsonObject | None:
        return await self._run(_summary_head)

    async def picture_sizes(self, paths: Sequence[str]) -> Sequence[tuple[int, int] | None]:
        return await self._run(lambda folders: [_picture_size(folders, path) for path in paths])

    async def drop_old(self, now_s: float, *, history_s: float, trash_s: float) -> None:
        def work(folders: Folders) -> None:
            _drop_runs(folders, HISTORY, now_s - history_s)
            _drop_runs(folders, TRASH, now_s - trash_s)

        await self._run(work)

    async def drop_leftovers(self) -> None:
        await self._run(_drop_leftovers)

    # --- on the worker thread ----------------------------------------------------------------------------------------

    async def _run(self, work: Callable[[Folders], T]) -> T:
        return await anyio.to_thread.run_sync(self._work, work)

    def _work(self, work: Callable[[Folders], T]) -> T:
        with disk_errors(str(self._root)), Folders(self._root) as folders:
            return work(folders)

    def _make_root(self) -> None:
        with disk_errors(str(self._root)):
            self._root.mkdir(parents=True, exist_ok=True)

    def _marker(self, folders: Folders) -> Marker | None:
        found = _read(folders, MARKER, _CHUNK_BYTES)
        if found is None:
            return None
        try:
            match json.loads(found[0]):
                case {"store_id": str(store_id), "mirror": str(mirror)}:
                    return Marker(store_id, mirror)
        except ValueError:
            pass
        raise MarkerMismatch(
            f"{self._root / MARKER}: cannot be read as a marker",
            hint="Put it back from a backup; if the directory is this mirror's, remove the marker and run: labelmirror repair",
        )


def _is_temporary(name: str) -> bool:
    return name.startswith(TEMPORARY)


def _walk(folders: Folders, top: str, is_wanted: Callable[[str], bool]) -> Iterator[str]:
    """The regular files below a folder whose names are wanted, sorted within each folder."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        descriptor = folders.find(folder)
        if descriptor is None:
            continue
        below: list[str] = []
        found: list[str] = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
                elif is_wanted(entry.name) and entry.is_file(follow_symlinks=False):
                    found.append(entry.name)
        waiting += [f"{folder}/{name}" for name in sorted(below, reverse=True)]
        yield from (f"{folder}/{name}" for name in sorted(found))


def _take(root: str, paths: Iterator[str]) -> Sequence[str]:
    with disk_errors(root):
        return list(islice(paths, _PAGE))


def _read(folders: Folders, path: str, limit_bytes: int) -> tuple[bytes, FileStat] | None:
    """The stat is from before: a change while the file is read shows at the next look."""
    try:
        opened = folders.open_file(path)
    except PermissionError as error:
        raise Unreadable(f"{path}: {error.strerror}", hint="Whoever wrote it must let this user read it.") from error
    if opened is None:
        return None
    with disk_errors(path), os.fdopen(opened, "rb") as file:
        found = file_stat(os.fstat(opened))
        # Room for what was announced, and only for a file that grew meanwhile room for what is allowed.
        data = file.read(found.size_bytes + 1) if found.size_bytes <= limit_bytes else b""
        if len(data) > found.size_bytes:
            data += file.read(limit_bytes + 1 - len(data))
    if found.size_bytes > limit_bytes or len(data) > limit_bytes:
        raise TooLarge(f"{path}: {found.size_bytes} bytes are more than the {limit_bytes} that are looked into")
    return data, found


def _summary_head(folders: Folders) -> JsonObject | None:
    """What stands before the list of images, which takes a line for each."""
    opened = folders.open_file(SUMMARY)
    if opened is None:
        return None
    head = b""
    with os.fdopen(opened, "rb") as file:
        for line in file:
            if line.startswith(_IMAGES.encode()):
                break
            head += line
            if len(head) > _HEAD_LIMIT_BYTES:
                return None
    try:
        summary = json.loads(head.rstrip().removesuffix(b",") + b"}")
    except ValueError:
        return None
    return summary if isinstance(summary, dict) else None


def _picture_size(folders: Folders, path: str) -> tuple[int, int] | None:
    opened = folders.open_file(path)
    if opened is None:
        return None
    from PIL import Image

    # Only headers are read: no picture is too large for that.
    Image.MAX_IMAGE_PIXELS = None
    with disk_errors(path), os.fdopen(opened, "rb") as file:
        try:
            with Image.open(file) as picture:
                return picture.size
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) is not None:  # the disk's word, not the decoder's
                raise
            return None


def _replace_if_changed(folders: Folders, name: str, path: str) -> None:
    new, old = batches.hash_file(folders, name), batches.hash_file(folders, path)
    if new is None or (old is not None and old.sha256 == new.sha256):
        return
    top = folders.make("")
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(name, path, src_dir_fd=top, dst_dir_fd=top)
    folders.changed("")
    folders.sync()


def _drop_runs(folders: Folders, store: str, before_s: float) -> None:
    """Remove the folders of runs that began before; what is not named like a run is not ours to remove."""
    for name in folders.names(store):
        began_s = _began_s(name)
        if began_s is not None and began_s < before_s and folders.find(f"{store}/{name}") is not None:
            with disk_errors(f"{store}/{name}"):
                shutil.rmtree(name, dir_fd=folders.make(store))


def _began_s(run: str) -> float | None:
    try:
        return datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _clear(folders: Folders, folder: str) -> None:
    if folders.find(folder) is not None:
        above, name = split(folder)
        with disk_errors(folder):
            shutil.rmtree(name, dir_fd=folders.make(above))


def _drop_leftovers(folders: Folders) -> None:
    for top in TOPS:
        for path in _walk(folders, top, _is_temporary):
            batches.unlink(folders, path)
    for folder in ("", f"{OURS}/"):
        for name in filter(_is_temporary, folders.names(folder.rstrip("/"))):
            batches.unlink(folders, folder + name)
    for name in sorted({name.removesuffix(".json") for name in folders.names(PARTIAL)}):
        path = f"{PARTIAL}/{name}"
        found = folders.stat(path)
        if found is None or found.size_bytes <= RESUME_MIN_BYTES or read_note(folders, path) is None:
            remove_partial(folders, path)
