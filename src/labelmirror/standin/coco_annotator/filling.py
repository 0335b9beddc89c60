"""Datasets that a stand-in COCO Annotator is given ready-made, without annotations."""

from dataclasses import dataclass
from typing import Any, Final

from labelmirror.standin.coco_annotator.sample import ADMIN
from labelmirror.standin.coco_annotator.world import CocoWorld, Dataset
from labelmirror.standin.service import Blank, Filling

#: What else a category says of itself.
_FIELDS: Final = ("supercategory", "metadata", "keypoint_edges", "keypoint_labels", "keypoint_colors")
#: A server never gives an id of an annotation that is gone to another one.
_ANNOTATIONS_BEFORE: Final = 10**9


def begin(world: CocoWorld, blank: Blank) -> Filling:
    """Make a dataset and its categories, which the world must not have yet."""
    categories = [
        world.add_category(
            each["name"],
            ADMIN,
            each.get("color"),
            category_id=each["id"],
            **{key: each[key] for key in _FIELDS if key in each},
        )
        for each in blank.categories
    ]
    world.next_id("annotation", _ANNOTATIONS_BEFORE)
    return _Filling(world, world.add_dataset(blank.name, ADMIN, categories, dataset_id=int(blank.id)))


@dataclass(frozen=True, slots=True)
class _Filling:
    """A dataset that gets its images."""

    world: CocoWorld
    dataset: Dataset

    def add_image(self, image: str, directory: str, name: str, size: tuple[int, int] | None) -> None:
        """Take in an image."""
        pixels: dict[str, Any] = {} if size is None else {"width": size[0], "height": size[1]}
        place = f"{directory}/{name}" if directory else name
        self.world.add_image(self.dataset, place, image_id=int(image), **pixels)
