"""Somebody else who works on the sample dataset of a Pictograph."""

from dataclasses import dataclass

from labelmirror.standin.world import World

DATASET = "harbour"


@dataclass(frozen=True, slots=True)
class PictographColleague:
    """Somebody else at work; there are no annotation sets here."""

    world: World
    dataset: str = DATASET

    def image_count(self) -> int:
        """How many images the sample dataset has."""
        return len(self.world.dataset(DATASET))

    def annotation_count(self, image: str, _: str) -> int:
        """How many annotations an image has."""
        return self.world.image(image).annotation_count

    def move_geometry(self, image: str, _: str) -> None:
        """Shift the first annotation of an image."""
        self.world.move_geometry(image, by=2)
