"""Large files on their way in.

The bytes lie in `.labelmirror/partial/` under a name made from the path; once there are enough of them to be worth
resuming, a note beside them says under which validator they came, and since which start of the machine: bytes that
were not synced survive the death of a process, and not that of the machine.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import anyio.to_thread

from labelmirror.tree.disk import disk_errors
from labelmirror.tree.folders import Folders, split
from labelmirror.tree.names import PARTIAL

#: Bytes gathered before a worker thread writes them, and the size below which nothing is resumed.
RESUME_MIN_BYTES: Final = 2**20
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class DiskPartial:
    """A PartialFile. `path` is where its bytes lie, relative to the root."""

    def __init__(self, root: Path, path: str) -> None:
        self.path = partial_path(path)
        self._root = root
        self._written_bytes = 0
        self._gathered = bytearray()
        self._validator: str | None = None
        self._noted = False

    @property
    def size_bytes(self) -> int:
        """Bytes already there."""
        return self._written_bytes + len(self._gathered)

    @property
    def validator(self) -> str | None:
        """The strong validator under which they came; None: they cannot be resumed."""
        return self._validator

    def load(self, folders: Folders) -> None:
        """Find out what a former run left. What cannot be resumed is begun anew."""
        note = read_note(folders, self.path)
        stat = folders.stat(self.path)
        if note is not None and stat is not None and stat.size_bytes > RESUME_MIN_BYTES:
            self._written_bytes, self._validator, self._noted = stat.size_bytes, note, True
        else:
            remove_partial(folders, self.path)

    async def restart(self, validator: str | None) -> None:
        """Drop what is there and begin under this validator."""
        await self.discard()
        self._validator = validator

    async def write(self, data: bytes) -> None:
        """Append. A worker thread writes once enough has been gathered."""
        self._gathered += data
        if len(self._gathered) >= RESUME_MIN_BYTES:
            await self._on_thread(self.flush)

    async def discard(self) -> None:
        """Remove it."""
        self._gathered.clear()
        if self._written_bytes:
            await self._on_thread(self._remove)
        self._written_bytes, self._validator, self._noted = 0, None, False

    async def head(self, size_bytes: int) -> bytes:
        """The first bytes, for a look at what it is."""
        if not self._written_bytes:
            return bytes(self._gathered[:size_bytes])
        await self._on_thread(self.flush)
        return await anyio.to_thread.run_sync(self._head, size_bytes)

    def flush(self, folders: Folders) -> None:
        """Write what was gathered. Synchronous, for the thread that works on the tree."""
        folder, name = split(self.path)
        with disk_errors(self.path):
            parent = folders.make(folder)
            if self._validator is not None and not self._noted:
                _write_note(folders, self.path, self._validator)
                self._noted = True
            descriptor = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=parent
            )
            try:
                os.ftruncate(descriptor, self._written_bytes)
                view = memoryview(self._gathered)
                while view:
                    view = view[os.write(descriptor, view) :]
                view.release()
            finally:
                os.close(descriptor)
        self._written_bytes += len(self._gathered)
        self._gathered = bytearray()

    def _remove(self, folders: Folders) -> None:
        remove_partial(folders, self.path)

    def _head(self, size_bytes: int) -> bytes:
        with disk_errors(self.path), Folders(self._root) as folders:
            opened = folders.open_file(self.path)
            if opened is None:
                return b""
            try:
                return os.read(opened, size_bytes)
            finally:
                os.close(opened)

    async def _on_thread(self, work: Callable[[Folders], None]) -> None:
        await anyio.to_thread.run_sync(self._with_folders, work)

    def _with_folders(self, work: Callable[[Folders], None]) -> None:
        with disk_errors(self.path), Folders(self._root) as folders:
            work(folders)


def partial_path(path: str) -> str:
    """Where bytes on their way to `path` lie, relative to the root."""
    return f"{PARTIAL}/{hashlib.sha256(path.encode('utf-8', 'surrogatepass')).hexdigest()}"


def read_note(folders: Folders, path: str) -> str | None:
    """The validator of a partial file that can be resumed, None where it cannot."""
    opened = folders.open_file(f"{path}.json")
    if opened is None:
        return None
    with os.fdopen(opened, "rb") as file:
        try:
            note = json.load(file)
        except ValueError:
            return None
    match note:
        case {"validator": str(validator), "boot": str(boot)} if boot == _boot():
            return validator
        case _:
            return None


def remove_partial(folders: Folders, path: str) -> None:
    """Remove a partial file and its note, whichever of them are there."""
    folder, name = split(path)
    parent = folders.find(folder)
    if parent is not None:
        for each in (name, f"{name}.json"):
            with suppress(FileNotFoundError):
                os.unlink(each, dir_fd=parent)


def _write_note(folders: Folders, path: str, validator: str) -> None:
    folder, name = split(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(f"{name}.json", flags, 0o666, dir_fd=folders.make(folder))
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"validator": validator, "boot": _boot()}, file)


@cache
def _boot() -> str:
    """Names the present start of the machine."""
    return _BOOT_ID.read_text("ascii").strip()
