"""Datasets that a stand-in Remo is given ready-made, without annotations."""

from dataclasses import dataclass, field

from labelmirror.standin.remo.model import Dataset, Folder, Task
from labelmirror.standin.remo.world import RemoWorld
from labelmirror.standin.service import Blank, Filling


def begin(world: RemoWorld, blank: Blank) -> Filling:
    """Make a dataset with these annotation sets. Which of the classes each of them had is not known: it gets all."""
    dataset = world.add_dataset(blank.name, dataset_id=int(blank.id))
    names = [str(category["name"]) for category in blank.categories]
    for each in blank.sets:
        world.add_set(dataset, each.name, Task(each.task), names, set_id=int(each.id))
    return _Filling(world, dataset)


@dataclass(frozen=True, slots=True)
class _Filling:
    """A dataset that gets its images, and the folders that they lie in, by path."""

    world: RemoWorld
    dataset: Dataset
    folders: dict[str, Folder | None] = field(default_factory=lambda: {"": None})

    def add_image(self, image: str, directory: str, name: str, size: tuple[int, int] | None) -> None:
        """Take in an image; there may be others of its name."""
        self.world.add_image(self.dataset, name, self._folder(directory), image_id=int(image), size=size)

    def _folder(self, directory: str) -> Folder | None:
        if directory not in self.folders:
            above, _, name = directory.rpartition("/")
            self.folders[directory] = self.world.add_folder(self.dataset, name, self._folder(above))
        return self.folders[directory]
