"""Datasets that a stand-in Pictograph is given ready-made, without annotations."""

from dataclasses import dataclass

from labelmirror.standin.service import Blank, Filling
from labelmirror.standin.world import Dataset, World


def begin(world: World, blank: Blank) -> Filling:
    """Make a dataset with these classes."""
    return _Filling(world, world.add_dataset(blank.name, blank.categories, dataset_id=blank.id))


@dataclass(frozen=True, slots=True)
class _Filling:
    """A dataset that gets its images."""

    world: World
    dataset: Dataset

    def add_image(self, image: str, directory: str, name: str, size: tuple[int, int] | None) -> None:
        """Take in an image. Raises ValueError where another one has its place."""
        self.world.add_image(self.dataset, name, f"/{directory}", image_id=image, size=size)
