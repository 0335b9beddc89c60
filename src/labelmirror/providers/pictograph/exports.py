"""An export on the server: asked for, waited for, fetched to a temporary file, removed.

Its name is remembered before it is asked for, so that whatever a run leaves behind is removed by a later one. It is never
used then: it shows the documents as they were when it was made.
"""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio

from labelmirror.errors import (
    BodyMismatch,
    BudgetSpent,
    LinkExpired,
    NotFound,
    Rejected,
    RemoteError,
    RoleRefused,
    TooLarge,
    Unavailable,
)
from labelmirror.model.document import JsonObject
from labelmirror.model.remote import Dataset
from labelmirror.ports.clock import Clock
from labelmirror.ports.provider import ImageStream, ProviderMemory
from labelmirror.providers import answers
from labelmirror.providers.pictograph import wire
from labelmirror.providers.pictograph.dialect import API, Dialect, Request
from labelmirror.providers.temporary import temporary_file
from labelmirror.transport.http import Http

#: Under this name the provider remembers exports that may still be on the server.
MEMORY = "exports"
#: So many exports of earlier runs are removed by one run.
REMOVALS = 3
#: A download that breaks off is taken up again this often in all.
DOWNLOAD_TRIES = 4
#: An archive may take this share of what is free on the disk: what comes out of it needs room too.
FREE_SHARE = 0.5
#: Bytes are handed to the writing thread in pieces of this size.
WRITE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class ExportRules:
    """How an export is waited for: delays double from `first_poll_s` to `longest_poll_s`.

    In all it may take `patience_s`, and `patience_per_image_s` for each image: exports are said to take seconds for hundreds
    of images; one that takes much longer is stuck, and the documents can be read in another way.
    """

    first_poll_s: float = 1.0
    longest_poll_s: float = 60.0
    patience_s: float = 60.0
    patience_per_image_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Exports:
    """Exports of one server. `folder` takes temporary files; `draw` gives uniform numbers in [0, 1)."""

    http: Http
    dialect: Dialect
    memory: ProviderMemory
    clock: Clock
    draw: Callable[[], float]
    folder: Path
    rules: ExportRules
    size_max_bytes: int

    @asynccontextmanager
    async def archive(self, dataset: Dataset, images_of: str | None = None) -> AsyncIterator[IO[bytes]]:
        """All documents of a dataset as an open ZIP file, or those with the status `images_of` together with their images;
        the export is gone from the server by then.

        Call it only where `Dialect.export` has a path for the dataset. Raises RoleRefused or Rejected where this key or
        dataset can have none, and another RemoteError where it failed.
        """
        await self._remove_left_behind()
        with temporary_file(self.folder) as file:
            try:
                await self._fetch(dataset, images_of, file)
            except Unavailable as error:
                if error.status is None:
                    raise
                # The server is there and only exports fail: another way of reading may be open.
                raise RemoteError(error.message, status=error.status) from None
            yield file

    async def _fetch(self, dataset: Dataset, images_of: str | None, file: IO[bytes]) -> None:
        name = f"labelmirror-{int(self.draw() * 2**48):012x}"
        await self._remember(dataset.name, name)
        try:
            row = await self._create(self.dialect.create_export(dataset, name, images_of))
        except (RoleRefused, Rejected):
            await self._forget(dataset.name, name)
            raise
        row = await self._finished(dataset, name, row)
        free_bytes = (await anyio.to_thread.run_sync(shutil.disk_usage, self.folder)).free
        if row.file_size is not None and row.file_size > free_bytes * FREE_SHARE:
            await self._remove(dataset.name, name)
            raise TooLarge(f"the export has {row.file_size} bytes, and its disk has {free_bytes} left")
        await self._download(dataset, name, row.file_size, file)
        await self._remove(dataset.name, name)

    async def _create(self, order: JsonObject) -> wire.ExportRow:
        path = f"{API}/exports/"
        answer = await self.http.api.send("POST", path, body=order)
        return answers.read(wire.ExportRow, self.dialect.single(answer, "export", where=path), where=path)

    async def _finished(self, dataset: Dataset, name: str, row: wire.ExportRow) -> wire.ExportRow:
        """Wait until it is done: with growing delays, because every look costs a request."""
        request = self._at(dataset, name)
        # Counted are the delays: waiting for the quota in between is no fault of the export.
        waited_s, delay_s = 0.0, self.rules.first_poll_s
        patience_s = self.rules.patience_s + self.rules.patience_per_image_s * (dataset.images or 0)
        while row.status not in {"completed", "failed"}:
            if waited_s >= patience_s:
                raise RemoteError(f"the export was not ready after {patience_s:.0f} s")
            await self.clock.sleep(delay_s)
            waited_s += delay_s
            delay_s = min(delay_s * 2, self.rules.longest_poll_s)
            answer = await self.http.api.get(request.path, request.query)
            row = answers.read(
                wire.ExportRow, self.dialect.single(answer, "export", where=request.path), where=request.path
            )
        if row.status == "failed":
            await self._remove(dataset.name, name)
            raise RemoteError("the server could not make the export")
        return row

    async def _download(self, dataset: Dataset, name: str, size_bytes: int | None, file: IO[bytes]) -> None:
        """Fetch the archive; taken up where it broke off if the storage host allows, with a new link if it expired."""
        validator: str | None = None
        link = await self._link(dataset, name)
        for left in reversed(range(DOWNLOAD_TRIES)):
            try:
                async with self.http.storage.open(
                    link, offset=file.tell(), validator=validator, size_max_bytes=self.size_max_bytes
                ) as stream:
                    file.seek(stream.offset)
                    file.truncate()
                    validator = stream.validator
                    await _spool(stream, file)
                break
            except LinkExpired:
                if left == 0:
                    raise
                link = await self._link(dataset, name)
            except BodyMismatch:
                if left == 0:
                    raise
            except Unavailable as error:
                raise RemoteError(f"the export cannot be fetched: {error.message}", status=error.status) from None
        if size_bytes is not None and file.tell() != size_bytes:
            raise BodyMismatch(f"the export has {file.tell()} bytes, {size_bytes} were announced")

    async def _link(self, dataset: Dataset, name: str) -> str:
        request = self._at(dataset, name, download=True)
        answer = await self.http.api.get(request.path, request.query)
        return answers.read(
            wire.ExportLink, self.dialect.unwrapped(answer, where=request.path), where=request.path
        ).download_url

    def _at(self, dataset: Dataset, name: str, *, download: bool = False) -> Request:
        request = self.dialect.export(dataset.name, name, download=download)
        assert request is not None, "exports are offered only where they have a path"
        return request

    # --- leaving nothing behind ------------------------------------------------------------------------------------

    async def _remove_left_behind(self) -> None:
        for entry in (await self._left())[:REMOVALS]:
            await self._remove(str(entry["dataset"]), str(entry["name"]))

    async def _remove(self, dataset: str, name: str) -> None:
        """Remove an export. What cannot be removed now stays remembered; what this key may never remove does not.

        The server itself drops exports after some time.
        """
        request = self.dialect.export(dataset, name)
        if request is not None:
            try:
                await self.http.api.send("DELETE", request.path, request.query)
            except (NotFound, RoleRefused):
                pass
            except (RemoteError, BudgetSpent):
                return
        await self._forget(dataset, name)

    async def _left(self) -> list[JsonObject]:
        held = await self.memory.get(MEMORY)
        return [entry for entry in held if isinstance(entry, dict)] if isinstance(held, list) else []

    async def _remember(self, dataset: str, name: str) -> None:
        await self.memory.put(MEMORY, [*await self._left(), {"dataset": dataset, "name": name}])

    async def _forget(self, dataset: str, name: str) -> None:
        left = [entry for entry in await self._left() if (entry["dataset"], entry["name"]) != (dataset, name)]
        await self.memory.put(MEMORY, left or None)


async def _spool(stream: ImageStream, file: IO[bytes]) -> None:
    """Write a body to a file, in a thread and in large pieces; what came before an error is written too."""
    piece = bytearray()
    try:
        async for chunk in stream.chunks:
            piece += chunk
            if len(piece) >= WRITE_BYTES:
                full, piece = bytes(piece), bytearray()
                await anyio.to_thread.run_sync(file.write, full)
    finally:
        file.write(piece)
