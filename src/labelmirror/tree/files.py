"""Batches of files put in place, kept, retired and moved. Synchronous; one thread at a time works on a tree.

The order of steps is the law. New content is written beside its place and synced; then the old version is linked into
history and that synced; then the working file is looked at a last time and replaced by one rename; then folders are
synced. Cut off anywhere, every path has a whole former or a whole new version.
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from labelmirror.errors import DiskError
from labelmirror.model.rows import FileStat
from labelmirror.ports.tree import HashedFile, Placed, Placement, PlaceOutcome
from labelmirror.tree.disk import disk_errors
from labelmirror.tree.folders import FolderBlocked, Folders, file_stat, split, sync_all
from labelmirror.tree.names import HISTORY, PARTIAL, TRASH, temporary
from labelmirror.tree.partial import DiskPartial, remove_partial

#: Files that are synced together; each holds a descriptor meanwhile.
GROUP_FILES: Final = 128
_CHUNK_BYTES: Final = 2**20
_CHANGED: Final = Placed(PlaceOutcome.CHANGED, None, None)
#: What link says on a file system that has no hard links, or not for this file.
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.ENOSYS, errno.EINVAL}


@dataclass(slots=True)
class _Staged:
    """A placement whose content is on disk: `source` is its temporary path, `kept` the old version's path in history.

    `expected` is the stat that the working file must have at the last look.
    """

    path: str
    source: str
    sha256: str
    expected: FileStat | None
    run: str
    kept: str | None = None
    result: Placed = _CHANGED


def place(folders: Folders, placements: Sequence[Placement]) -> Sequence[Placed]:
    """See WorkingTree.place. Raises DiskError; what was placed before stays placed."""
    results: list[Placed] = []
    for start in range(0, len(placements), GROUP_FILES):
        results += _place_group(folders, placements[start : start + GROUP_FILES])
    return results


def _place_group(folders: Folders, placements: Sequence[Placement]) -> Sequence[Placed]:
    staged: list[_Staged | None] = []
    descriptors: list[int] = []
    try:
        for placement in placements:
            with disk_errors(placement.path):
                staged.append(_stage(folders, placement, descriptors))
        # From here on sync_all closes them, whatever happens.
        group, descriptors = descriptors, []
        with disk_errors(placements[0].path):
            sync_all(group)
        todo = [item for item in staged if item is not None]
        for item in todo:
            if item.expected is not None:
                with disk_errors(item.path):
                    _keep_old(folders, item)
        folders.sync()
        for item in todo:
            with disk_errors(item.path):
                _swap(folders, item)
        folders.sync()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        _clean(folders, [item for item in staged if item is not None])
    results = [item.result if item is not None else _CHANGED for item in staged]
    for placement, result in zip(placements, results, strict=True):
        if result is _CHANGED and isinstance(placement.source, DiskPartial):
            remove_partial(folders, placement.source.path)
    return results


def _stage(folders: Folders, placement: Placement, descriptors: list[int]) -> _Staged | None:
    """Write the content beside its place and open it for syncing; None where the working file is not as expected."""
    path, source = placement.path, placement.source
    if not _is_as_expected(folders, path, placement.expected):
        return None
    folder, _ = split(path)
    try:
        parent = folders.make(folder)
    except FolderBlocked:
        return None
    if isinstance(source, bytes):
        name = temporary()
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=parent)
        descriptors.append(descriptor)
        item = _Staged(path, f"{folder}/{name}", hashlib.sha256(source).hexdigest(), placement.expected, placement.run)
        try:
            write_whole(descriptor, source)
        except BaseException:
            _clean(folders, [item])
            raise
        return item
    assert isinstance(source, DiskPartial), "a partial file comes from the tree that it is placed in"
    source.flush(folders)
    opened = folders.open_file(source.path)
    if opened is None:
        raise DiskError(f"{path}: what was fetched of it is gone", hint="Nothing to do: the next run fetches it again.")
    descriptors.append(opened)
    return _Staged(path, source.path, _sha256(opened), placement.expected, placement.run)


def _is_as_expected(folders: Folders, path: str, expected: FileStat | None) -> bool:
    return folders.lstat(path) is None if expected is None else folders.stat(path) == expected


def _keep_old(folders: Folders, item: _Staged) -> None:
    """Link the working file into history, and take its stat anew: the link moves its ctime."""
    before = item.expected
    item.kept = keep(folders, item.path, HISTORY, item.run)
    after = folders.stat(item.path)
    same = after is not None and before is not None and _content_of(after) == _content_of(before)
    # Where it is not the same any more, the last look finds that too.
    item.expected = after if same else before


def _content_of(stat: FileStat) -> tuple[int, int, int]:
    return stat.size_bytes, stat.mtime_ns, stat.inode


def _swap(folders: Folders, item: _Staged) -> None:
    """Look a last time, and replace."""
    if not _is_as_expected(folders, item.path, item.expected):
        return
    folder, name = split(item.path)
    source_folder, source_name = split(item.source)
    target = folders.make(folder)
    source = folders.find(source_folder)
    os.rename(source_name, name, src_dir_fd=source, dst_dir_fd=target)
    folders.changed(folder)
    item.result = Placed(PlaceOutcome.PLACED, folders.stat(item.path), item.sha256)
    if source_folder == PARTIAL:
        remove_partial(folders, item.source)


def _clean(folders: Folders, staged: Sequence[_Staged]) -> None:
    """Remove what was made for placements that did not happen; what was fetched of a large file stays, to be resumed.

    A disk that fails here has failed before, and that was reported; `drop_leftovers` comes by again.
    """
    for item in staged:
        if item.result is not _CHANGED:
            continue
        for path in (item.source, item.kept):
            if path is not None and not path.startswith(PARTIAL):
                with suppress(OSError):
                    unlink(folders, path)


def keep(folders: Folders, path: str, store: str, run: str) -> str | None:
    """Link a file into history under `run`, or copy it where there are no links; its path there, None if it is missing."""
    folder, name = split(path)
    parent = folders.find(folder)
    if parent is None or folders.stat(path) is None:
        return None
    for target in _versions(f"{store}/{run}/{path}"):
        kept_folder, kept_name = split(target)
        kept = folders.make(kept_folder)
        parent = folders.find(folder)
        try:
            os.link(name, kept_name, src_dir_fd=parent, dst_dir_fd=kept, follow_symlinks=False)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not _copy(folders, path, target):
                continue
        folders.changed(kept_folder)
        return target
    raise AssertionError("versions never end")


def _versions(path: str) -> Iterator[str]:
    """Where versions of one file go that were replaced in one run."""
    yield path
    number = 2
    while True:
        yield f"{path}~{number}"
        number += 1


def _copy(folders: Folders, source: str, target: str) -> bool:
    """Copy a file, durably; False if the target is there."""
    folder, name = split(target)
    opened = folders.open_file(source)
    if opened is None:
        return True
    try:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            copy = os.open(name, flags, 0o666, dir_fd=folders.make(folder))
        except FileExistsError:
            return False
        try:
            while chunk := os.read(opened, _CHUNK_BYTES):
                write_whole(copy, chunk)
        except BaseException:
            os.close(copy)
            raise
        sync_all([copy])
    finally:
        os.close(opened)
    return True


def retire(folders: Folders, files: Sequence[tuple[str, FileStat]], run: str) -> Sequence[bool]:
    """See WorkingTree.retire."""
    done: list[bool] = []
    left: set[str] = set()
    for path, expected in files:
        with disk_errors(path):
            if folders.lstat(path) is None:
                done.append(True)
                continue
            if folders.stat(path) != expected:
                done.append(False)
                continue
            target = next(version for version in _versions(f"{TRASH}/{run}/{path}") if folders.lstat(version) is None)
            _rename(folders, path, target)
            left.add(split(path)[0])
            done.append(True)
    folders.remove_emptied(left)
    folders.sync()
    return done


def move(folders: Folders, pairs: Sequence[tuple[str, str]]) -> Sequence[bool]:
    """See WorkingTree.move."""
    done: list[bool] = []
    left: set[str] = set()
    for source, target in pairs:
        with disk_errors(target):
            here, there = folders.stat(source) is not None, folders.lstat(target) is not None
            if here and not there:
                try:
                    _rename(folders, source, target)
                except FolderBlocked:
                    done.append(False)
                    continue
                left.add(split(source)[0])
            done.append(here != there)
    folders.remove_emptied(left)
    folders.sync()
    return done


def _rename(folders: Folders, source: str, target: str) -> None:
    source_folder, source_name = split(source)
    target_folder, target_name = split(target)
    there = folders.make(target_folder)
    here = folders.find(source_folder)
    os.rename(source_name, target_name, src_dir_fd=here, dst_dir_fd=there)
    folders.changed(source_folder)
    folders.changed(target_folder)


def hash_file(folders: Folders, path: str) -> HashedFile | None:
    """Read a file and hash it. The stat is from before: a change while it is read shows at the next look."""
    opened = folders.open_file(path)
    if opened is None:
        return None
    try:
        stat = file_stat(os.fstat(opened))
        return HashedFile(stat, _sha256(opened))
    finally:
        os.close(opened)


def write_atomically(folders: Folders, path: str, data: bytes, *, durably: bool = True) -> None:
    """Write one of this program's own files whole; `durably` so that it outlasts a crash of the machine."""
    folder, name = split(path)
    parent = folders.make(folder)
    unfinished = temporary()
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=parent)
    try:
        write_whole(descriptor, data)
        if durably:
            os.fsync(descriptor)
        os.rename(unfinished, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        os.unlink(unfinished, dir_fd=parent)
        raise
    finally:
        os.close(descriptor)
    if durably:
        folders.changed(folder)
        folders.sync()


def unlink(folders: Folders, path: str) -> None:
    """Remove a file if it is there."""
    folder, name = split(path)
    parent = folders.find(folder)
    if parent is not None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of it: a nearly full disk may take less at first."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sha256(descriptor: int) -> str:
    digest = hashlib.sha256()
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
