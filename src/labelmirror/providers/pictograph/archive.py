"""Documents out of an export's ZIP file. Nothing is unpacked to disk, and no name inside is trusted or used."""

import struct
import zipfile
import zlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import IO

import anyio

from labelmirror.errors import BodyMismatch, InvalidDocument, ProtocolError, TooLarge
from labelmirror.model.remote import Reading
from labelmirror.providers.pictograph.format import PictographFormat
from labelmirror.providers.pictograph.reading import reading_of_parsed

#: Members read by one visit to the thread.
BATCH = 256
#: Small members inflate well without being a bomb.
INFLATION_FREE_BYTES = 2**20

#: What the library raises for archives that are damaged, encrypted or of a kind it does not know.
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError)
#: The other ways of packing are rare, and raise errors of their own.
PACKED = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

_FORMAT = PictographFormat()


@dataclass(frozen=True, slots=True)
class ArchiveRules:
    """Bounds on an archive: its bytes, its members, the bytes of one, and how many bytes one byte of it may become."""

    size_bytes: int = 64 * 2**30
    members: int = 2_000_000
    member_bytes: int = 64 * 2**20
    inflation: int = 200


async def documents(file: IO[bytes], rules: ArchiveRules) -> AsyncGenerator[Sequence[Reading], None]:
    """The documents in an archive, in batches.

    A member is a document if it is JSON with `image_uuid` and a list `annotations`; all others are passed over, and so is
    a document that cannot be read: it is then missing, and read in another way. Raises BodyMismatch for a damaged
    archive, TooLarge beyond the bounds, ProtocolError where one image has two documents.
    """
    archive = await anyio.to_thread.run_sync(opened, file, rules)
    seen: set[str] = set()
    with archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        for start in range(0, len(members), BATCH):
            batch = await anyio.to_thread.run_sync(_read, archive, members[start : start + BATCH], rules)
            for reading in batch:
                if reading.key.image in seen:
                    raise ProtocolError(f"the export has two documents of image {reading.key.image}")
                seen.add(reading.key.image)
            yield batch


def opened(file: IO[bytes], rules: ArchiveRules) -> zipfile.ZipFile:
    """The archive in a file. Raises BodyMismatch where it is none, TooLarge where it has too many members."""
    try:
        archive = zipfile.ZipFile(file)
    except BROKEN as error:
        raise BodyMismatch("the export is no ZIP archive, or not all of it") from error
    if len(archive.infolist()) > rules.members:
        raise TooLarge(f"the export has more than {rules.members} files")
    return archive


def _read(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], rules: ArchiveRules) -> Sequence[Reading]:
    readings = []
    for info in members:
        reading = _document(content(archive, info, rules))
        if reading is not None:
            readings.append(reading)
    return readings


def content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, rules: ArchiveRules) -> bytes:
    """One member whole. Raises BodyMismatch for a damaged or encrypted one, TooLarge beyond the bounds."""
    if info.compress_type not in PACKED:
        raise BodyMismatch("a file in the export is packed in an unknown way")
    bound = min(rules.member_bytes, max(INFLATION_FREE_BYTES, info.compress_size * rules.inflation))
    try:
        with archive.open(info) as member:
            data = member.read(bound + 1)
    except BROKEN as error:
        raise BodyMismatch("a file in the export is damaged or encrypted") from error
    if len(data) > bound:
        raise TooLarge(f"a file in the export unpacks to more than {bound} bytes")
    return data


def _document(data: bytes) -> Reading | None:
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None
    try:
        document = _FORMAT.parse(data)
        image = document.get("image_uuid")
        return reading_of_parsed(image, document) if isinstance(image, str) and image else None
    except InvalidDocument:
        return None
