"""Look at the mirror's files: cheaply where their stat is the recorded one, into them where it is not."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, LocalMirror, Mirror, image_path, local_file
from labelmirror.engine.rows import document_pages, image_pages
from labelmirror.errors import TooLarge, Unreadable
from labelmirror.model.rows import DocumentRow, FileStat, ImageCondition, ImageRecord, ImageRow, LocalFile


async def scanned_documents(mirror: Mirror) -> AsyncIterator[Sequence[DocumentRow]]:
    """All documents by key, each page with its local side as it is now, and on record."""
    async for rows in document_pages(mirror.state):
        fresh = await with_present_files(mirror, rows)
        changed = [(now.key, now.local) for row, now in zip(rows, fresh, strict=True) if now is not row]
        if changed:
            await mirror.state.record_local(changed)
        yield fresh


async def with_present_files(mirror: LocalMirror, rows: Sequence[DocumentRow]) -> Sequence[DocumentRow]:
    """The rows with their local side as it is now; a row whose file is as recorded is the same object."""
    fresh: list[DocumentRow] = []
    for row, stat in zip(rows, await mirror.tree.stat_many([row.path for row in rows]), strict=True):
        if stat == (row.local.stat if row.local is not None else None):
            fresh.append(row)
        else:
            fresh.append(replace(row, local=await read_local(mirror, row.path)))
    return fresh


async def read_local(mirror: LocalMirror, path: str) -> LocalFile | None:
    """Look into one working document; None if it is not there."""
    try:
        read = await mirror.tree.read(path, limit_bytes=DOCUMENT_LIMIT_BYTES)
    except (TooLarge, Unreadable) as error:
        (stat,) = await mirror.tree.stat_many([path])
        return LocalFile(stat, None, {}, error.message.removeprefix(f"{path}: ")) if stat is not None else None
    return local_file(mirror.format, *read) if read is not None else None


async def scanned_images(mirror: Mirror) -> AsyncIterator[Sequence[ImageRow]]:
    """All images by id, each page with its files as they are now, and on record."""
    async for rows in image_pages(mirror.state):
        changed = await _changed_images(mirror, rows)
        if changed:
            await mirror.state.record_images(list(changed.values()))
            yield [replace(row, record=changed.get(row.id, row.record)) for row in rows]
        else:
            yield rows


async def _changed_images(mirror: Mirror, rows: Sequence[ImageRow]) -> Mapping[str, ImageRecord]:
    """Compare images with their records; the new ones by id. A file at the path of an image that was never placed is
    taken over if its size is the announced one: then it is what an earlier mirror left, and fetching it again would bring
    the same bytes.
    """
    records = [(row, row.record) for row in rows if row.record is not None]
    stats = await mirror.tree.stat_many([image_path(record.place) for _, record in records])
    unsure: list[tuple[ImageRow, ImageRecord]] = []
    changed: dict[str, ImageRecord] = {}
    for (row, record), stat in zip(records, stats, strict=True):
        if stat is None:
            if record.condition is not ImageCondition.MISSING:
                changed[row.id] = replace(record, condition=ImageCondition.MISSING)
        elif stat != record.stat or record.condition is not ImageCondition.INTACT:
            unsure.append((row, record))
    if unsure:
        hashed = await mirror.tree.hash_many([image_path(record.place) for _, record in unsure])
        for (row, record), found in zip(unsure, hashed, strict=True):
            if found is not None:
                changed[row.id] = _recheck(row, record, found.stat, found.sha256)
    return changed


def _recheck(row: ImageRow, record: ImageRecord, stat: FileStat, sha256: str) -> ImageRecord:
    announced = row.listed.size_bytes if row.listed is not None else None
    never_placed = record.sha256 is None
    if sha256 == record.sha256 or (never_placed and announced == stat.size_bytes):
        return replace(record, sha256=sha256, size_bytes=stat.size_bytes, stat=stat, condition=ImageCondition.INTACT)
    return replace(record, stat=stat, condition=ImageCondition.DAMAGED)


async def strays(mirror: LocalMirror) -> AsyncIterator[Sequence[str]]:
    """Paths of files in the mirror that belong to no record, in pages."""
    async for page in mirror.tree.walk():
        known = await mirror.state.known_paths(page)
        yield [path for path in page if path not in known]
