"""Somebody else who works on the sample dataset of a Remo."""

from dataclasses import dataclass

from labelmirror.standin.remo.model import AnnotationSet, Row
from labelmirror.standin.remo.world import RemoWorld

DATASET = "harbour"


@dataclass(frozen=True, slots=True)
class RemoColleague:
    """Somebody else at work, in one annotation set at a time."""

    world: RemoWorld
    dataset: str = DATASET

    def image_count(self) -> int:
        """How many images the sample dataset has."""
        return len(self.world.dataset(DATASET))

    def annotation_count(self, image: str, annotation_set: str) -> int:
        """How many objects, or classes, a set holds about an image."""
        row = self._row(image, annotation_set)
        return len(row.objects) + len(row.marks) if row is not None else 0

    def move_geometry(self, image: str, annotation_set: str) -> None:
        """Shift the first object of an image, if it has any in the set."""
        row = self._row(image, annotation_set)
        if row is not None and row.objects:
            self.world.move_geometry(self._set(annotation_set), self.world.image(image), by=2)

    def _row(self, image: str, annotation_set: str) -> Row | None:
        return self._set(annotation_set).row(self.world.image(image))

    def _set(self, annotation_set: str) -> AnnotationSet:
        return self.world.dataset(DATASET).sets[int(annotation_set)]
