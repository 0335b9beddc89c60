"""Check the mirror's files against what was recorded of them, and bring back what is damaged.

An edited document is not damage. A document is damaged when its bytes are others than were placed although its stat
says that nobody touched it, or when it is no document at all.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from labelmirror.engine.marker import check_marker
from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, Mirror, Run, local_file
from labelmirror.engine.rows import document_pages, image_pages
from labelmirror.engine.runs import new_run, run_error
from labelmirror.engine.transfer import image_pull
from labelmirror.errors import LabelmirrorError, TooLarge, Unreadable
from labelmirror.model.document import content_id
from labelmirror.model.events import Phase
from labelmirror.model.report import ImageCounts, RunError
from labelmirror.model.rows import DocumentRow, FileStat, ImageCondition, ImageRecord, LocalFile
from labelmirror.planning.plan import Look
from labelmirror.ports.tree import Placement, PlaceOutcome

#: The problem of a file that may be whole, and that nobody but its owner can mend.
_UNREADABLE: Final = "unreadable"


class Depth(Enum):
    """How closely to look: at size and time, or at every byte."""

    QUICK = "quick"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Subset:
    """Part `part` of `parts` (1-based), so that a whole mirror can be checked a piece a day."""

    part: int = 1
    parts: int = 1

    def has(self, image: str) -> bool:
        """Whether an image belongs to this part; spread by its id, so that parts stay as they are."""
        spread = int.from_bytes(hashlib.sha256(image.encode("utf-8", "surrogatepass")).digest()[:4], "big")
        return spread % self.parts == self.part - 1


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what was recorded.

    `problem` is "missing", "size", "time", "digest", "invalid_document" or "unreadable".
    """

    path: str
    problem: str
    repaired: bool


@dataclass(slots=True)
class VerifyReport:
    """What a check found."""

    name: str
    checked: int = 0
    damaged: list[Damage] = field(default_factory=list)
    error: RunError | None = None


async def verify(mirror: Mirror, depth: Depth, subset: Subset) -> VerifyReport:
    """Check, and repair: documents from what is on record here, images by fetching them again."""
    run = new_run(mirror)
    report = VerifyReport(mirror.name)
    try:
        await check_marker(mirror, claim=False)
        with run.phase(Phase.VERIFYING) as progress:
            async for rows in document_pages(mirror.state):
                part = [
                    row for row in rows if row.local is not None and row.base is not None and subset.has(row.key.image)
                ]
                report.damaged += await _verify_documents(run, part, depth)
                report.checked += len(part)
                progress.add(len(part))
            damaged: list[tuple[ImageRecord, str]] = []
            async for images in image_pages(mirror.state):
                records = [row.record for row in images if row.record is not None and row.record.sha256 is not None]
                chosen = [record for record in records if subset.has(record.id)]
                damaged += await _damaged_images(run, chosen, depth)
                report.checked += len(chosen)
                progress.add(len(chosen))
        report.damaged += await _repair_images(run, damaged)
    except (LabelmirrorError, ExceptionGroup) as error:
        report.error = run_error(error)
    return report


async def _verify_documents(run: Run, rows: Sequence[DocumentRow], depth: Depth) -> list[Damage]:
    mirror = run.mirror
    damages: list[Damage] = []
    stats = await mirror.tree.stat_many([row.path for row in rows])
    for row, stat in zip(rows, stats, strict=True):
        assert row.local is not None
        if stat is None:
            damages.append(Damage(row.path, "missing", await _restore(run, row, None)))
        elif depth is Depth.FULL:
            problem = await _problem_in(mirror, row)
            if problem is not None:
                may_restore = problem != _UNREADABLE and stat == row.local.stat
                damages.append(Damage(row.path, problem, may_restore and await _restore(run, row, stat)))
    return damages


async def _problem_in(mirror: Mirror, row: DocumentRow) -> str | None:
    assert row.base is not None
    assert row.local is not None
    try:
        read = await mirror.tree.read(row.path, limit_bytes=DOCUMENT_LIMIT_BYTES)
    except TooLarge:
        return "invalid_document"
    except Unreadable:
        return _UNREADABLE
    if read is None:
        return "missing"
    data, stat = read
    if content_id(data) == row.base.content:
        return None
    found = local_file(mirror.format, data, stat)
    if found.digest is None:
        return "invalid_document"
    return "digest" if stat == row.local.stat and found.digest != row.local.digest else None


async def _restore(run: Run, row: DocumentRow, present: FileStat | None) -> bool:
    """Put base back in place of a damaged document, of which history gets a copy. True if that was done."""
    mirror, base = run.mirror, row.base
    assert base is not None
    contents = await mirror.state.contents([base.content])
    (placed,) = await mirror.tree.place([Placement(row.path, contents[base.content], present, run.id)])
    if placed.outcome is PlaceOutcome.CHANGED or placed.stat is None:
        return False
    await mirror.state.record_local([(row.key, LocalFile(placed.stat, base.digest, base.counts))])
    return True


async def _damaged_images(run: Run, records: Sequence[ImageRecord], depth: Depth) -> list[tuple[ImageRecord, str]]:
    tree = run.mirror.tree
    found: list[tuple[ImageRecord, str]] = []
    stats = await tree.stat_many([record.path for record in records])
    for record, stat in zip(records, stats, strict=True):
        if stat is None:
            found.append((replace(record, condition=ImageCondition.MISSING), "missing"))
        elif stat.size_bytes != record.size_bytes:
            found.append((replace(record, stat=stat, condition=ImageCondition.DAMAGED), "size"))
        elif depth is Depth.QUICK and record.stat is not None and stat.mtime_ns != record.stat.mtime_ns:
            found.append((replace(record, stat=stat, condition=ImageCondition.DAMAGED), "time"))
    if depth is Depth.FULL:
        bad = {record.id for record, _ in found}
        whole = [record for record in records if record.id not in bad]
        hashes = await tree.hash_many([record.path for record in whole])
        for record, hashed in zip(whole, hashes, strict=True):
            if hashed is not None and hashed.sha256 != record.sha256:
                found.append((replace(record, stat=hashed.stat, condition=ImageCondition.DAMAGED), "digest"))
    if found:
        await run.mirror.state.record_images([record for record, _ in found])
    return found


async def _repair_images(run: Run, damaged: Sequence[tuple[ImageRecord, str]]) -> list[Damage]:
    """Fetch damaged images again, from the rows of the last listing."""
    if not damaged:
        return []
    mirror = run.mirror
    try:
        dataset = await mirror.provider.dataset(mirror.ref)
        looked = Look(mirror.clock.now_s(), complete=False, confirmed_absent=frozenset(), distrust_before_s=0.0)
        async with image_pull(run, ImageCounts()) as images:
            await images.pull(dataset, looked, wanted=len(damaged), additive_only=False)
    except (LabelmirrorError, ExceptionGroup) as error:
        run.notice("repair_failed", run_error(error).message)
    intact: set[str] = set()
    async for page in image_pages(mirror.state):
        intact |= {row.id for row in page if row.record and row.record.condition is ImageCondition.INTACT}
    return [Damage(record.path, problem, record.id in intact) for record, problem in damaged]
