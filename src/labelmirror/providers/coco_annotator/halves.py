"""Whether a document is what a composed save leaves behind when it is cut off. Pure.

Each annotation that is wanted passes through stages; one that is created comes into being at the second. All reach `MOVED`
before the first goes on, then one after the other is stored: its marks first, its polygons after them. Deletions are last.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import IntEnum

from labelmirror.model.document import JsonObject, digest_of
from labelmirror.providers.coco_annotator.annotation import comparable, id_of, outline
from labelmirror.providers.coco_annotator.composing import Steps, Target, compose, in_order


class Stage(IntEnum):
    """How far one annotation has come."""

    BEFORE = 0
    #: Created, or in its wanted category.
    MOVED = 1
    MARKED = 2
    STORED = 3


@dataclass(frozen=True, slots=True)
class Content:
    """What a document holds: the metadata of its image, and its annotations."""

    metadata: JsonObject
    annotations: Sequence[JsonObject]


#: The stages that an annotation can be in, as far as it shows; none where somebody else changed it.
Stages = AbstractSet[Stage]


def is_between(before: Content, body: Content, found: Content) -> bool:
    """Whether a save of `body` over `before` was begun, is not ended, and can have left exactly `found`.

    A creation whose answer came late may be there twice: nothing but a later attempt removes the second.
    """
    steps = compose(body.annotations, before.annotations)
    old, there = _by_id(before.annotations), _by_id(found.annotations)
    gone = [number for number in steps.surplus if number not in there]
    if gone != list(steps.surplus[: len(gone)]):
        return False
    if any(not _same(there[number], old[number]) for number in steps.surplus[len(gone) :]):
        return False
    fresh = [annotation for number, annotation in sorted(there.items()) if number not in old]
    made = _made([target.wanted for target in steps.targets if target.held is None], fresh)
    if made is None:
        return False
    created = iter(made)
    stages = [next(created) if target.held is None else _stages(target, there) for target in steps.targets]
    was, wanted, held = (digest_of(content.metadata) for content in (before, body, found))
    described, as_before = held == wanted, held == was
    if not (described or as_before):
        return False
    if described and len(gone) == len(steps.surplus) and len(fresh) == len(made) and _all_at(Stage.STORED, stages):
        return False
    if as_before and not gone and not fresh and _all_at(Stage.BEFORE, stages):
        return False
    if gone:
        return described and _all_at(Stage.STORED, stages)
    return (as_before and _is_opening(steps, stages)) or _is_storing(steps, stages)


def _made(wanted: Sequence[JsonObject], fresh: Sequence[JsonObject]) -> Sequence[Stages] | None:
    """The stages of what is to be created; None if anything is new that this save did not make."""
    stages: list[Stages] = [{Stage.BEFORE}] * len(wanted)
    free = list(range(len(wanted)))
    for annotation in fresh:
        whole = [index for index in free if _same(annotation, Target(wanted[index], None).stored)]
        bare = _is_bare(annotation)
        alike = [
            i for i, item in enumerate(wanted) if bare and digest_of(outline(item)) == digest_of(outline(annotation))
        ]
        if not whole and not alike:
            return None
        for index in (whole or [index for index in alike if index in free])[:1]:
            free.remove(index)
            stages[index] = {*({Stage.MARKED, Stage.STORED} if whole else ()), *({Stage.MOVED} if alike else ())}
    return stages


def _is_bare(annotation: JsonObject) -> bool:
    """Whether it may have been created and not been stored since: only a data save computes area and bbox."""
    box = annotation.get("bbox") or []
    return not annotation.get("area") and isinstance(box, list) and not any(box)


def _stages(target: Target, there: Mapping[int, JsonObject]) -> Stages:
    """The stages at which an annotation of the server would look as it does."""
    assert target.held is not None
    found = there.get(id_of(target.held) or 0)
    if found is None:
        return frozenset()
    moved = {**target.held, "category_id": target.wanted.get("category_id")}
    marked = {**target.stored, "segmentation": target.held.get("segmentation")}
    looks = (target.held, moved, marked, target.stored)
    return {stage for stage, look in zip(Stage, looks, strict=True) if _same(found, look)}


def _is_opening(steps: Steps, stages: Sequence[Stages]) -> bool:
    """Whether creations, and after them the moves to other categories, can have come so far one by one."""
    pairs = list(zip(steps.targets, stages, strict=True))
    ordered = [found for target, found in pairs if target.held is None]
    ordered += [found for target, found in pairs if target.moves]
    still = [found for target, found in pairs if target.held is not None and not target.moves]
    if not all(Stage.BEFORE in found for found in still):
        return False
    done = next((index for index, found in enumerate(ordered) if Stage.MOVED not in found), len(ordered))
    return all(Stage.BEFORE in found for found in ordered[done:])


def _is_storing(steps: Steps, stages: Sequence[Stages]) -> bool:
    """Whether the annotations can have been stored so far one by one."""
    by_target = {id(target): found for target, found in zip(steps.targets, stages, strict=True)}
    ordered = [by_target[id(target)] for target in in_order(steps.targets)]
    done = next((index for index, found in enumerate(ordered) if Stage.STORED not in found), len(ordered))
    rest = ordered[done:]
    return all(found & {Stage.MOVED, Stage.MARKED} for found in rest[:1]) and _all_at(Stage.MOVED, rest[1:])


def _all_at(stage: Stage, stages: Sequence[Stages]) -> bool:
    return all(stage in found for found in stages)


def _by_id(annotations: Sequence[JsonObject]) -> Mapping[int, JsonObject]:
    return {id_of(annotation) or 0: annotation for annotation in annotations}


def _same(first: JsonObject, second: JsonObject) -> bool:
    return digest_of(comparable(first)) == digest_of(comparable(second))
