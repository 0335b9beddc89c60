"""Look at the mirror's files: cheaply where their stat is the recorded one, into them where it is not."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, LocalMirror, Mirror, Run, image_path, local_file
from labelmirror.engine.rows import document_pages, image_pages
from labelmirror.errors import TooLarge
from labelmirror.model.events import Phase
from labelmirror.model.rows import DocumentRow, FileStat, ImageCondition, ImageRecord, ImageRow, LocalFile


async def scan(run: Run, seen: Callable[[Sequence[DocumentRow]], Awaitable[None]]) -> None:
    """Bring the local side on record: documents, images, and files that belong to nothing.

    `seen` is handed each page of documents on the way: a pass over all rows is worth sharing.
    """
    mirror = run.mirror
    with run.phase(Phase.SCANNING) as progress:
        present = 0
        if mirror.policy.content.annotations:
            async for documents in document_pages(mirror.state):
                present += await _scan_documents(mirror, documents)
                await seen(documents)
                progress.add(len(documents))
        if mirror.policy.content.images:
            async for images in image_pages(mirror.state):
                present += await _scan_images(mirror, images)
                progress.add(len(images))
        await _scan_strays(mirror, present)


async def _scan_documents(mirror: Mirror, rows: Sequence[DocumentRow]) -> int:
    fresh = await with_present_files(mirror, rows)
    changed = [(now.key, now.local) for row, now in zip(rows, fresh, strict=True) if now is not row]
    if changed:
        await mirror.state.record_local(changed)
    return sum(row.local is not None for row in fresh)


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
    except TooLarge as error:
        (stat,) = await mirror.tree.stat_many([path])
        return LocalFile(stat, None, {}, error.message) if stat is not None else None
    return local_file(mirror.format, *read) if read is not None else None


async def _scan_images(mirror: Mirror, rows: Sequence[ImageRow]) -> int:
    """Compare images with their records. A file at the path of an image that was never placed is taken over if its size
    is the announced one: then it is what an earlier mirror left, and fetching it again would bring the same bytes.
    """
    records = [(row, row.record) for row in rows if row.record is not None]
    stats = await mirror.tree.stat_many([image_path(record.place) for _, record in records])
    unsure: list[tuple[ImageRow, ImageRecord]] = []
    changed: list[ImageRecord] = []
    for (row, record), stat in zip(records, stats, strict=True):
        if stat is None:
            if record.condition is not ImageCondition.MISSING:
                changed.append(replace(record, condition=ImageCondition.MISSING))
        elif stat != record.stat or record.condition is not ImageCondition.INTACT:
            unsure.append((row, record))
    if unsure:
        hashed = await mirror.tree.hash_many([image_path(record.place) for _, record in unsure])
        for (row, record), found in zip(unsure, hashed, strict=True):
            if found is not None:
                changed.append(_recheck(row, record, found.stat, found.sha256))
    if changed:
        await mirror.state.record_images(changed)
    return sum(stat is not None for stat in stats)


def _recheck(row: ImageRow, record: ImageRecord, stat: FileStat, sha256: str) -> ImageRecord:
    announced = row.listed.size_bytes if row.listed is not None else None
    never_placed = record.sha256 is None
    if sha256 == record.sha256 or (never_placed and announced == stat.size_bytes):
        return replace(record, sha256=sha256, size_bytes=stat.size_bytes, stat=stat, condition=ImageCondition.INTACT)
    return replace(record, stat=stat, condition=ImageCondition.DAMAGED)


async def _scan_strays(mirror: Mirror, expected: int) -> None:
    """Find files that no record knows. Their number tells whether there can be any: only then are names compared."""
    seen = 0
    async for page in mirror.tree.walk():
        seen += len(page)
    strays: list[str] = []
    if seen != expected:
        async for page in mirror.tree.walk():
            known = await mirror.state.known_paths(page)
            strays += [path for path in page if path not in known]
    await mirror.state.record_strays(sorted(strays))
