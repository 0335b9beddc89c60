"""Somebody else who works on the sample dataset of a COCO Annotator."""

from dataclasses import dataclass

from labelmirror.standin.coco_annotator.world import CocoWorld

DATASET = "harbour"


@dataclass(frozen=True, slots=True)
class CocoColleague:
    """Somebody else at work; there are no annotation sets here."""

    world: CocoWorld
    dataset: str = DATASET

    def image_count(self) -> int:
        """How many images the sample dataset has."""
        chosen = self.world.dataset(DATASET)
        return sum(not image.deleted for image in self.world.images_of(chosen))

    def annotation_count(self, image: str, _: str) -> int:
        """How many annotations an image has."""
        return len(self.world.annotations_of(self.world.images[int(image)]))

    def move_geometry(self, image: str, _: str) -> None:
        """Shift the first annotation of an image, if it has any."""
        chosen = self.world.images[int(image)]
        if self.world.annotations_of(chosen):
            self.world.move_geometry(chosen, by=2)
