"""The steps of a save, which the server does not have as one: creations, moves to other categories, one data save of
everything that is wanted, deletions (contract, 8.4). Pure.

What is to be done follows from what is wanted and what is there now, at whatever point an earlier attempt was cut off: an
annotation that such an attempt created is taken for the addition that it was made for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from labelmirror.model.document import JsonObject, JsonValue, digest_of
from labelmirror.providers.coco_annotator.annotation import color_of, id_of, outline
from labelmirror.providers.coco_annotator.geometry import compound_path, segmentation_of

#: What a data save empties on the category itself where it is left out.
KEYPOINT_FIELDS = ("keypoint_edges", "keypoint_labels", "keypoint_colors")


@dataclass(frozen=True, slots=True)
class Target:
    """An annotation that is wanted, and the one on the server that shall become it; None: it is created."""

    wanted: JsonObject
    held: JsonObject | None

    @property
    def moves(self) -> bool:
        """Whether its category has to be changed by a request of its own."""
        return self.held is not None and self.held.get("category_id") != self.wanted.get("category_id")

    @property
    def is_addition(self) -> bool:
        """Whether it was not there under this id before."""
        return self.held is None or id_of(self.held) != id_of(self.wanted)

    @property
    def color(self) -> JsonValue:
        """The colour to send; None where it has none and stays without."""
        return self.wanted.get("color") or (color_of(self.wanted) if self.is_addition else None)

    @property
    def stored(self) -> JsonObject:
        """What the server holds of it when the data save is done, without what it computes."""
        kept = {} if self.held is None else {"iscrowd": self.held.get("iscrowd")}
        return {**kept, **outline(self.wanted), "color": self.color, "metadata": self.wanted.get("metadata")}


@dataclass(frozen=True, slots=True)
class Steps:
    """What a save has to do, in this order: create and move `targets`, store all of them, delete `surplus` (ids)."""

    targets: Sequence[Target]
    surplus: Sequence[int]


def compose(wanted: Sequence[JsonObject], held: Sequence[JsonObject]) -> Steps:
    """What makes the one out of the other. Held annotations have ids, and no two the same."""
    there = {id_of(annotation): annotation for annotation in sorted(held, key=lambda item: id_of(item) or 0)}
    named = {id_of(annotation) for annotation in wanted}
    left: dict[str, list[JsonObject]] = {}
    for number, annotation in there.items():
        if number not in named:
            left.setdefault(digest_of(outline(annotation)), []).append(annotation)
    targets: list[Target] = []
    for annotation in wanted:
        found = there.get(id_of(annotation))
        if found is None and (alike := left.get(digest_of(outline(annotation)))):
            found = alike.pop(0)
        targets.append(Target(annotation, found))
    surplus = sorted(number for alike in left.values() for item in alike if (number := id_of(item)) is not None)
    return Steps(targets, surplus)


def creation(image: int, wanted: JsonObject) -> JsonObject:
    """The body that creates an annotation."""
    return {"image_id": image, **outline(wanted)}


@dataclass(frozen=True, slots=True)
class Stored:
    """A target with the id that it has by now, and the size that its path is relative to; None where it has none."""

    target: Target
    id: int
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a data save must repeat so that it stays: the caller's preferences, and rows of the dataset and its categories."""

    image: int
    preferences: JsonValue
    dataset: JsonObject
    categories: Sequence[JsonObject]


def data_save(around: Surroundings, metadata: JsonObject, stored: Sequence[Stored]) -> JsonObject:
    """The body that stores everything wanted. What is left out of one is wiped (contract, 8.2).

    Only the categories that are used are named: one that is not named stays as it is, whoever is changing it just now.
    """
    used = sorted({category_of(item.target) for item in stored})
    rows = {row["id"]: row for row in around.categories}
    return {
        "mode": "segment",
        "user": around.preferences,
        "dataset": {"id": around.dataset.get("id"), "annotate_url": around.dataset.get("annotate_url", "")},
        "image": {"id": around.image, "metadata": metadata, "category_ids": used},
        "categories": [
            {
                "id": category,
                "name": rows[category].get("name"),
                "color": rows[category].get("color"),
                **{key: rows[category].get(key) or [] for key in KEYPOINT_FIELDS},
                "annotations": [_stored(item) for item in stored if category_of(item.target) == category],
            }
            for category in used
        ],
    }


def in_order(targets: Sequence[Target]) -> Sequence[Target]:
    """In the order in which a data save stores them."""
    return sorted(targets, key=category_of)


def _stored(item: Stored) -> JsonObject:
    wanted = item.target.stored
    return {
        "id": item.id,
        "isbbox": wanted["isbbox"],
        "color": wanted["color"],
        "metadata": wanted["metadata"] or {},
        "keypoints": wanted["keypoints"],
        **_path(item, wanted["segmentation"]),
        "sessions": [],
    }


def _path(item: Stored, segmentation: JsonValue) -> JsonObject:
    """The editor's own path where it still says the same, else one made from the polygons.

    None for an annotation without a size, on which the server would break: its polygons stay as they are then, and
    `schema.unsavable` lets no others be wanted.
    """
    if item.width is None or item.height is None:
        return {}
    own = item.target.held.get("paper_object") if item.target.held is not None else None
    if own and segmentation_of(own, item.width, item.height) == segmentation:
        return {"compoundPath": own}
    return {"compoundPath": compound_path(cast("list[list[float]]", segmentation), item.width, item.height)}


def category_of(target: Target) -> int:
    """The id of the category that it shall have; a document that has no problem gives one."""
    category = target.wanted.get("category_id")
    return category if isinstance(category, int) else 0
