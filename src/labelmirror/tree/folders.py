"""Folders below one root, reached component by component without following a symbolic link."""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Final, Self

from labelmirror.errors import DiskError
from labelmirror.model.rows import FileStat

_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Descriptors kept open: a batch is sorted or spread over few folders, and a process may have 1024.
_KEPT_OPEN: Final = 64
#: fsync calls under way at a time: the file system joins them into few commits of its journal.
_SYNCS: Final = 16
#: What open says of a component that is no folder; a symbolic link is one of them.
_NO_FOLDER: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class FolderBlocked(Exception):
    """A file stands where a folder would have to be."""


class Folders:
    """Open folders of a tree, for one batch on one thread. Paths are relative to the root, "" for itself.

    The root may itself be a symbolic link, and may be missing: then nothing is found in it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: OrderedDict[str, int] = OrderedDict()
        self._changed: set[str] = set()
        try:
            self._top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._top = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        if self._top >= 0:
            os.close(self._top)

    def find(self, folder: str) -> int | None:
        """A descriptor of the folder; None if it is missing, no folder, or behind a symbolic link.

        It and the one asked for before it are good; older ones may be closed.
        """
        self._trim()
        return self._find(folder)

    def make(self, folder: str) -> int:
        """The same, made if it is missing. Raises FolderBlocked, or DiskError where a symbolic link would be followed."""
        self._trim()
        return self._make(folder)

    def _trim(self) -> None:
        """Close what was not used for longest. Only between calls: one path alone may have more folders than are kept."""
        while len(self._open) > _KEPT_OPEN:
            _, oldest = self._open.popitem(last=False)
            os.close(oldest)

    def _find(self, folder: str) -> int | None:
        if not folder:
            return self._top if self._top >= 0 else None
        if (known := self._open.get(folder)) is not None:
            self._open.move_to_end(folder)
            return known
        above, name = split(folder)
        parent = self._find(above)
        if parent is None:
            return None
        try:
            self._open[folder] = os.open(name, _OPEN_FOLDER, dir_fd=parent)
        except OSError as error:
            if error.errno in {*_NO_FOLDER, errno.ENAMETOOLONG}:
                return None
            raise
        return self._open[folder]

    def _make(self, folder: str) -> int:
        if (known := self._find(folder)) is not None:
            return known
        if not folder:
            raise DiskError(f"{self._root}: the mirror's directory is missing", hint="Is its disk mounted?")
        above, name = split(folder)
        parent = self._make(above)
        try:
            os.mkdir(name, dir_fd=parent)
        except FileExistsError:
            if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise DiskError(
                    f"{self._root / folder}: is a symbolic link; nothing is written through it",
                    hint="Replace it by a folder; a mirror that should lie elsewhere has its `path` changed as a whole.",
                ) from None
            # Somebody may have made it just now.
            if (made := self._find(folder)) is not None:
                return made
            raise FolderBlocked(folder) from None
        self.changed(above)
        self._open[folder] = os.open(name, _OPEN_FOLDER, dir_fd=parent)
        return self._open[folder]

    def changed(self, folder: str) -> None:
        """Note that entries of this folder changed."""
        self._changed.add(folder)

    def sync(self) -> None:
        """Make the entries of changed folders durable: where files went to before where they came from."""
        for ours in (True, False):
            descriptors = [
                os.dup(descriptor)
                for folder in sorted(self._changed)
                if folder.startswith(".") is ours and (descriptor := self.find(folder)) is not None
            ]
            sync_all(descriptors)
        self._changed.clear()

    def remove_emptied(self, folders: Iterable[str]) -> None:
        """Remove folders that have become empty, and those above them, but never the two at the top."""
        waiting = sorted(set(folders))
        while waiting:
            folder = waiting.pop()
            above, name = split(folder)
            parent = self.find(above)
            if not above or parent is None:
                continue
            try:
                os.rmdir(name, dir_fd=parent)
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST, *_NO_FOLDER}:
                    continue
                raise
            if (descriptor := self._open.pop(folder, None)) is not None:
                os.close(descriptor)
            self.changed(above)
            waiting.append(above)

    def names(self, folder: str) -> Sequence[str]:
        """The names of everything in a folder, sorted; none if it is missing."""
        descriptor = self.find(folder)
        if descriptor is None:
            return []
        with os.scandir(descriptor) as entries:
            return sorted(entry.name for entry in entries)

    def stat(self, path: str) -> FileStat | None:
        """Stat a regular file; None for anything else."""
        found = self.lstat(path)
        return file_stat(found) if found is not None and stat.S_ISREG(found.st_mode) else None

    def lstat(self, path: str) -> os.stat_result | None:
        """Stat whatever has this path; None if nothing does, or it lies behind a symbolic link."""
        folder, name = split(path)
        parent = self.find(folder)
        if parent is None:
            return None
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno in {*_NO_FOLDER, errno.ENAMETOOLONG}:
                return None
            raise

    def open_file(self, path: str) -> int | None:
        """A descriptor for reading a regular file; None if there is none."""
        folder, name = split(path)
        parent = self.find(folder)
        if parent is None:
            return None
        try:
            # Not blocking: a named pipe would wait for a writer.
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        except OSError as error:
            if error.errno in {*_NO_FOLDER, errno.ENXIO, errno.ENAMETOOLONG}:
                return None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return descriptor


def split(path: str) -> tuple[str, str]:
    """Folder and name."""
    folder, _, name = path.rpartition("/")
    return folder, name


def file_stat(found: os.stat_result) -> FileStat:
    """What is recorded of a file."""
    return FileStat(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def sync_all(descriptors: Iterable[int]) -> None:
    """Fsync and close all of these; the first error is raised when all are closed."""
    todo = list(descriptors)
    try:
        if len(todo) > 1:
            parts = [todo[first::_SYNCS] for first in range(min(_SYNCS, len(todo)))]
            calls = [_syncers().submit(_sync_each, part) for part in parts]
            wait(calls)
            for call in calls:
                call.result()
        elif todo:
            os.fsync(todo[0])
    finally:
        for descriptor in todo:
            os.close(descriptor)


def _sync_each(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.fsync(descriptor)


@cache
def _syncers() -> ThreadPoolExecutor:
    """Threads for fsync, kept: starting them for each small batch would cost more than their calls."""
    return ThreadPoolExecutor(_SYNCS, thread_name_prefix="sync")
