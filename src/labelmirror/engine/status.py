"""How a mirror stands: from what is on record and the files as they are now. Asks no server and writes nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby

from labelmirror.engine.mirror import LocalMirror
from labelmirror.engine.rows import image_pages
from labelmirror.engine.scan import strays, with_present_files
from labelmirror.model.rows import DocumentRow, ImageCondition, ImageRecord, MirrorFacts
from labelmirror.model.trouble import Failed, Held, Trouble
from labelmirror.planning.classify import Outcome
from labelmirror.planning.plan import Look, plan_document


class Standing(Enum):
    """How one image, or a whole mirror, stands (published names)."""

    IN_STEP = "in_step"
    AHEAD = "ahead"
    BEHIND = "behind"
    DIVERGED = "diverged"
    HELD = "held"
    FAILED = "failed"
    LOCAL_ONLY = "local_only"
    UNSELECTED = "unselected"
    NEVER = "never"


#: A look that saw what is on record and proved nothing.
_LAST_LOOK = Look(started_s=float("inf"), complete=False, confirmed_absent=frozenset(), distrust_before_s=0.0)

#: From worst to best; what is only here or outside the filter does not worsen a mirror.
_WORST_FIRST = (Standing.FAILED, Standing.HELD, Standing.DIVERGED, Standing.BEHIND, Standing.AHEAD)

_OF_OUTCOME = {
    Outcome.IN_STEP: Standing.IN_STEP,
    Outcome.PULL: Standing.BEHIND,
    Outcome.PUSH: Standing.AHEAD,
    Outcome.MERGE: Standing.DIVERGED,
    Outcome.ADOPT: Standing.BEHIND,
    Outcome.RETIRE: Standing.BEHIND,
    Outcome.FORGET: Standing.BEHIND,
    Outcome.HOLD: Standing.HELD,
    Outcome.LOCAL_ONLY: Standing.LOCAL_ONLY,
    Outcome.INVALID: Standing.FAILED,
}


@dataclass(frozen=True, slots=True)
class ImageStanding:
    """How one image, or one annotation set of it, stands. Paths are relative to the mirror.

    A file that is only here is of no image of the server: its `id` is "", and only its own path is there.
    """

    id: str
    set: str
    directory: str
    name: str
    image_path: str
    document_path: str
    standing: Standing
    reason: str | None


@dataclass(slots=True)
class MirrorStanding:
    """How a mirror stands as a whole. `images` is empty unless it was asked for."""

    name: str
    facts: MirrorFacts
    standing: Standing = Standing.NEVER
    counts: Counter[str] = field(default_factory=Counter)
    images: list[ImageStanding] = field(default_factory=list)


async def status(mirror: LocalMirror, *, with_images: bool) -> MirrorStanding:
    """Work out how a mirror stands."""
    result = MirrorStanding(mirror.name, await mirror.state.facts())
    troubles = {(trouble.id, trouble.set): trouble for trouble in await mirror.state.troubles()}
    standings: Counter[Standing] = Counter()
    async for page in image_pages(mirror.state):
        rows = await with_present_files(mirror, await mirror.state.rows_of_images([image.id for image in page]))
        result.counts["documents"] += sum(row.local is not None for row in rows)
        by_image = {key: list(group) for key, group in groupby(rows, lambda row: row.key.image)}
        for image in page:
            if image.record is None:
                continue
            result.counts["images"] += 1
            for standing in _of_image(mirror, image.record, by_image.get(image.id, []), troubles):
                standings[standing.standing] += 1
                if with_images:
                    result.images.append(standing)
    async for paths in strays(mirror):
        standings[Standing.LOCAL_ONLY] += len(paths)
        if with_images:
            result.images += map(_stray, paths)
    for name in (Standing.AHEAD, Standing.BEHIND, Standing.HELD, Standing.FAILED, Standing.LOCAL_ONLY):
        result.counts[name.value] = standings[name]
    if result.facts.last_sync_s is not None:
        result.standing = next((standing for standing in _WORST_FIRST if standings[standing]), Standing.IN_STEP)
    return result


def _of_image(
    mirror: LocalMirror, record: ImageRecord, rows: Sequence[DocumentRow], troubles: Mapping[tuple[str, str], Trouble]
) -> Sequence[ImageStanding]:
    """One entry for each document of an image, or one for the image itself where no documents are mirrored."""
    lost = mirror.policy.content.images and record.condition is not ImageCondition.INTACT
    entries: list[ImageStanding] = []
    for row in rows if mirror.policy.content.annotations else ():
        standing, reason = _of_document(mirror, row, troubles.get((row.key.image, row.key.set)))
        if lost and standing is Standing.IN_STEP:
            standing, reason = Standing.BEHIND, f"image {record.condition.value}"
        entries.append(_entry(record, row.key.set, row.path, standing, reason))
    if not entries:
        standing, reason = (Standing.BEHIND, f"image {record.condition.value}") if lost else (Standing.IN_STEP, None)
        entries.append(_entry(record, "", "", standing, reason))
    return entries


def _entry(
    record: ImageRecord, annotation_set: str, document_path: str, standing: Standing, reason: str | None
) -> ImageStanding:
    return ImageStanding(
        record.id, annotation_set, record.directory, record.name, record.path, document_path, standing, reason
    )


def _stray(path: str) -> ImageStanding:
    """The entry of a file that belongs to no image; its name is the image's that it would belong to."""
    top, _, rest = path.partition("/")
    directory, _, name = rest.rpartition("/")
    of_image = top == "images"
    return ImageStanding(
        id="",
        set="",
        directory=directory,
        name=name if of_image else name.removesuffix(".json"),
        image_path=path if of_image else "",
        document_path="" if of_image else path,
        standing=Standing.LOCAL_ONLY,
        reason=None,
    )


def _of_document(mirror: LocalMirror, row: DocumentRow, trouble: Trouble | None) -> tuple[Standing, str | None]:
    """The table's word for a document, with what the last look saw of the server; the last run's trouble explains it."""
    if row.listed and not mirror.policy.selects(row.status):
        return Standing.UNSELECTED, None
    plan = plan_document(row, _LAST_LOOK, mirror.policy)
    if isinstance(trouble, Failed):
        return Standing.FAILED, trouble.code
    if isinstance(trouble, Held):
        return Standing.HELD, trouble.reason.value
    if plan.outcome is Outcome.UNKNOWN:
        return _without_remote(row), None
    standing = _OF_OUTCOME[plan.outcome]
    return standing, plan.verdict.reason.value if plan.verdict.reason is not None else None


def _without_remote(row: DocumentRow) -> Standing:
    """What can be said when the server's side is not known: nothing here yet, edited here, or as agreed."""
    if row.local is None:
        return Standing.BEHIND
    if row.local.digest is None:
        return Standing.FAILED
    if row.base is None:
        return Standing.LOCAL_ONLY
    return Standing.IN_STEP if row.local.digest == row.base.digest else Standing.AHEAD
