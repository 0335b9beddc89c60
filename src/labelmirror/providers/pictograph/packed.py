"""Images to which no link leads, out of exports with images: a status can have more of them than one answer has links for.

How such an archive is laid out is not published, so names of folders in it say nothing. A file in it is an image's if the
image has a document there, and this file alone has its name and its size; for all other images the API is asked.
"""

import json
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import IO

import anyio
import anyio.to_thread

from labelmirror.errors import BodyMismatch, KeyRefused, Limited, RemoteError
from labelmirror.model.remote import Dataset, ListedImage
from labelmirror.ports.provider import ImageStream
from labelmirror.providers.pictograph.archive import BROKEN, ArchiveRules, content, opened
from labelmirror.providers.pictograph.dialect import STATUSES
from labelmirror.providers.pictograph.exports import Exports

#: So many images of a status are fetched with a request each before an export is made: it brings the others a second time.
SINGLES = 100
#: Bytes read by one visit to the thread.
CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of an archive by name and size, those that are alone with theirs, and the images that have documents there."""

    archive: zipfile.ZipFile
    images: frozenset[str]
    by_name: Mapping[tuple[str, int], zipfile.ZipInfo]


@dataclass(slots=True)
class _Status:
    """What is known of one status. `files` is None until an export was made, and when none could be."""

    asked: int = 0
    was_made: bool = False
    files: _Files | None = None


class PackedImages:
    """The images of a dataset out of exports, one for each status of which many are asked for.

    Archives stay open until `stack` is closed. An export that cannot be had is not tried twice.
    """

    def __init__(self, exports: Exports, dataset: Dataset, rules: ArchiveRules, stack: AsyncExitStack) -> None:
        self._exports = exports
        self._dataset = dataset
        self._rules = rules
        self._stack = stack
        self._statuses: dict[str, _Status] = {}
        # One after the other: an export removes what others left on the server.
        self._making = anyio.Lock(fast_acquire=True)

    async def open(self, image: ListedImage) -> ImageStream | None:
        """The image's bytes; None if the API is to be asked for them."""
        if image.status is None or image.status not in STATUSES or image.size_bytes is None:
            return None
        status = self._statuses.setdefault(image.status, _Status())
        status.asked += 1
        if status.asked <= SINGLES:
            return None
        async with self._making:
            if not status.was_made:
                status.was_made = True
                status.files = await self._made(image.status)
        if status.files is None or image.id not in status.files.images:
            return None
        member = status.files.by_name.get((image.name, image.size_bytes))
        if member is None:
            return None
        return ImageStream(0, image.size_bytes, None, _chunks(status.files.archive, member))

    async def _made(self, status: str) -> _Files | None:
        try:
            file = await self._stack.enter_async_context(self._exports.archive(self._dataset, images_of=status))
            return await anyio.to_thread.run_sync(_files, file, self._rules)
        except (KeyRefused, Limited):
            raise
        except RemoteError:
            # No role, no room, or the export failed: then each image costs a request.
            return None


def _files(file: IO[bytes], rules: ArchiveRules) -> _Files:
    archive = opened(file, rules)
    members = [info for info in archive.infolist() if not info.is_dir()]
    documents = [info for info in members if info.filename.endswith(".json")]
    names = [(info.filename.rpartition("/")[2], info.file_size) for info in members]
    often = Counter(names)
    files = _Files(
        archive,
        frozenset(_images_of(archive, documents, rules)),
        {
            name: info
            for name, info in zip(names, members, strict=True)
            if often[name] == 1 and not info.filename.endswith(".json")
        },
    )
    # Members are opened by their entries: the library's own lists of all of them would only take memory.
    archive.infolist().clear()
    archive.NameToInfo.clear()
    return files


def _images_of(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], rules: ArchiveRules) -> Sequence[str]:
    """The ids in the documents among these files."""
    found: list[str] = []
    for info in members:
        try:
            document = json.loads(content(archive, info, rules))
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and isinstance(image := document.get("image_uuid"), str):
            found.append(image)
    return found


async def _chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> AsyncIterator[bytes]:
    """The bytes of a file in an archive. Raises BodyMismatch where it is damaged."""
    try:
        with await anyio.to_thread.run_sync(archive.open, member) as packed:
            while chunk := await anyio.to_thread.run_sync(packed.read, CHUNK_BYTES):
                yield chunk
    except BROKEN as error:
        raise BodyMismatch("an image in the export is damaged or encrypted") from error
