"""A file for other programs, outside of every mirror: it appears whole, or what was there before stays."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import anyio
from anyio import to_thread

from labelmirror.model.document import JsonObject
from labelmirror.ports.export import RowsFile
from labelmirror.tree.disk import disk_errors
from labelmirror.tree.lines import json_line
from labelmirror.tree.names import temporary


@asynccontextmanager
async def rows_file(path: Path, sections: Sequence[str]) -> AsyncIterator[RowsFile]:
    """An object of lists with these names, in this order, which is at `path` once the block has ended well."""
    async with AsyncExitStack() as stack:
        parts = _Parts(path)
        stack.callback(parts.close)
        await to_thread.run_sync(parts.open, sections)
        yield parts
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(parts.join)


class _Parts:
    """The lists, each in a file without a name that is gone when it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, IO[bytes]] = {}

    def open(self, sections: Sequence[str]) -> None:
        """Begin each list."""
        with disk_errors(str(self._path)):
            for section in sections:
                self._files[section] = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115 - close() does

    async def add(self, section: str, rows: Sequence[JsonObject]) -> None:
        """Append rows to a list."""
        await to_thread.run_sync(self._add, section, rows)

    def _add(self, section: str, rows: Sequence[JsonObject]) -> None:
        file = self._files[section]
        with disk_errors(str(self._path)):
            for row in rows:
                file.write(f"{',' if file.tell() else ''}\n{json_line(row)}".encode())

    def join(self) -> None:
        """Put the lists together in the place of what is at the path."""
        unfinished = self._path.with_name(temporary())
        with disk_errors(str(self._path)):
            try:
                with unfinished.open("xb") as file:
                    for number, (section, part) in enumerate(self._files.items()):
                        file.write(f"{',' if number else '{'}\n{json_line(section)}: [".encode())
                        part.seek(0)
                        shutil.copyfileobj(part, file)
                        file.write(b"\n]")
                    file.write(b"\n}\n")
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(self._path)
            finally:
                with suppress(FileNotFoundError):
                    unfinished.unlink()

    def close(self) -> None:
        """Drop the lists."""
        for file in self._files.values():
            # On a full disk it fails once more over what is still in the buffer, which nobody wants any longer.
            with suppress(OSError):
                file.close()
