"""Contents in their folders, each under the SHA-256 of its bytes. Synchronous; one thread at a time works on a store.

A content is written beside the others under a passing name, synced, renamed, its folder synced, and read back. It never
changes after that, so a snapshot that names it is what it was.
"""

import fcntl
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from labelmirror.errors import DiskError
from labelmirror.model.document import ContentId, content_id
from labelmirror.ports.snapshots import AddedImage
from labelmirror.tree.disk import disk_errors
from labelmirror.tree.files import GROUP_FILES, write_whole
from labelmirror.tree.folders import Folders, split, sync_all
from labelmirror.tree.names import temporary

#: Below the store: documents and pages are compressed with gzip, images lie as they are.
DOCUMENTS: Final = "documents"
PAGES: Final = "pages"
IMAGES: Final = "images"
#: Files that have no name yet, so that what a run leaves which died is found without a search.
PASSING: Final = "passing"
#: No document or page is larger unpacked.
UNPACKED_LIMIT_BYTES: Final = 256 * 2**20

_CHUNK_BYTES: Final = 2**20
#: The ioctl that lets a file share another's blocks until one of the two is changed (linux/fs.h).
_FICLONE: Final = 0x40049409


def place(kind: str, name: str) -> str:
    """The path of a content, relative to the store."""
    return f"{kind}/{name[:2]}/{name}" + ("" if kind == IMAGES else ".json.gz")


def unpacked(folders: Folders, kind: str, name: str) -> bytes | None:
    """A compressed content; None if it is missing or is not what its name says."""
    opened = folders.open_file(place(kind, name))
    if opened is None:
        return None
    with os.fdopen(opened, "rb") as file:
        packed = file.read()
    inflater = zlib.decompressobj(wbits=31)
    try:
        data = inflater.decompress(packed, UNPACKED_LIMIT_BYTES)
    except zlib.error:
        return None
    whole = inflater.eof and not inflater.unused_data
    return data if whole and content_id(data) == name else None


def add(folders: Folders, kind: str, contents: Mapping[ContentId, bytes]) -> int:
    """Store what is not there, or is damaged there; the bytes that this took. Raises OSError and DiskError."""
    fresh = [name for name in contents if unpacked(folders, kind, name) is None]
    return sum(
        _add_group(folders, kind, {name: contents[name] for name in fresh[start : start + GROUP_FILES]})
        for start in range(0, len(fresh), GROUP_FILES)
    )


def _add_group(folders: Folders, kind: str, contents: Mapping[ContentId, bytes]) -> int:
    size_bytes = 0
    passing: dict[ContentId, str] = {}
    descriptors: list[int] = []
    try:
        for name, data in contents.items():
            passing[name], descriptor = _create(folders)
            descriptors.append(descriptor)
            packed = _packed(data)
            write_whole(descriptor, packed)
            size_bytes += len(packed)
        group, descriptors = descriptors, []
        sync_all(group)
        for name in contents:
            _settle(folders, passing.pop(name), place(kind, name))
        folders.sync()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        for left in passing.values():
            _drop(folders, left)
    for name in contents:
        if unpacked(folders, kind, name) is None:
            raise DiskError(
                f"{place(kind, name)}: what was read back is not what was written",
                hint="Do not trust this disk: look at the kernel's log.",
            )
    return size_bytes


def _packed(data: bytes) -> bytes:
    # Without a time in the header: equal contents give equal files, and zcat reads them.
    deflater = zlib.compressobj(wbits=31)
    return deflater.compress(data) + deflater.flush()


def add_image(folders: Folders, mirror: Path, path: str) -> AddedImage | None:
    """Store a file of a mirror; None if there is no such file.

    The file's blocks are shared where the file system can (reflink), else copied. Never by a hard link: that would be the
    same file, and a program that changes the mirror's image in place would change the snapshot. The name is the digest of
    what was stored, read from there. Raises DiskError for the mirror's disk, OSError for the store's.
    """
    with Folders(mirror) as theirs, disk_errors(path):
        source = theirs.open_file(path)
    if source is None:
        return None
    try:
        passing, target = _create(folders, os.O_RDWR)
        try:
            _share(source, target, path)
            os.fsync(target)
            name, size_bytes = _hashed(target)
            known = folders.stat(place(IMAGES, name))
            _settle(folders, passing, place(IMAGES, name))
            folders.sync()
        except BaseException:
            _drop(folders, passing)
            raise
        finally:
            os.close(target)
    finally:
        os.close(source)
    return AddedImage(ContentId(name), size_bytes, 0 if known is not None else size_bytes)


def _share(source: int, target: int, path: str) -> None:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:  # not this file system, not these two: whatever it is, a copy does as well
        while chunk := _read(source, path):
            write_whole(target, chunk)


def _read(source: int, path: str) -> bytes:
    with disk_errors(path):
        return os.read(source, _CHUNK_BYTES)


def _hashed(descriptor: int) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, size_bytes):
        digest.update(chunk)
        size_bytes += len(chunk)
    return digest.hexdigest(), size_bytes


def names(folders: Folders, kind: str) -> Iterator[tuple[str, str]]:
    """All contents of a kind, as (name, path)."""
    for shard in folders.names(kind):
        for entry in folders.names(f"{kind}/{shard}"):
            yield entry.partition(".")[0], f"{kind}/{shard}/{entry}"


def _create(folders: Folders, access: int = os.O_WRONLY) -> tuple[str, int]:
    name = temporary()
    flags = access | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return f"{PASSING}/{name}", os.open(name, flags, 0o444, dir_fd=folders.make(PASSING))


def _settle(folders: Folders, passing: str, path: str) -> None:
    folder, name = split(path)
    target = folders.make(folder)
    source = folders.find(PASSING)
    os.rename(split(passing)[1], name, src_dir_fd=source, dst_dir_fd=target)
    folders.changed(folder)


def _drop(folders: Folders, passing: str) -> None:
    os.unlink(split(passing)[1], dir_fd=folders.make(PASSING))
