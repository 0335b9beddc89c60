"""What a stand-in server holds: datasets, images and annotations, apart from any way to speak about them.

Tests look into it and change it in-process, as another person would in the server's own pages. Annotations are kept
as the newest generation of Pictograph writes them; a change replaces an image's tuple, and nothing alters one.
"""

import copy
import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from labelmirror.standin import hostile, pictures, sample
from labelmirror.standin.clock import ServerClock
from labelmirror.standin.sample import Annotation, Richness


@dataclass(slots=True)
class Image:
    """One image of a dataset. `directory` is `/` or `/a/b`; `number` is what its sample content follows from.

    `payload` holds an uploaded file, `edited` the annotations once somebody changed them; None: as in the sample.
    `revision` counts the changes of its annotations.
    """

    id: str
    filename: str
    directory: str
    status: str
    number: int
    mime: str
    width: int
    height: int
    size_bytes: int
    created_s: float
    sample_count: int = 0
    richness: Richness = sample.RICH
    split: str | None = None
    tags: tuple[str, ...] = ()
    archived: bool = False
    payload: bytes | None = None
    edited: tuple[Annotation, ...] | None = None
    revision: int = 0

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """What the image is annotated with now. Not to be changed in place."""
        return self.sampled if self.edited is None else self.edited

    @property
    def sampled(self) -> tuple[Annotation, ...]:
        """What the image was annotated with when the world was made."""
        return sample.annotations(self.number, self.sample_count, (self.width, self.height), self.richness)

    @property
    def annotation_count(self) -> int:
        """The length of `annotations`, without making them."""
        return self.sample_count if self.edited is None else len(self.edited)

    @property
    def min_confidence(self) -> float | None:
        """The lowest confidence of the annotations, or None without any."""
        if self.edited is None:
            return sample.confidence(self.number, 0) if self.sample_count else None
        return min((annotation.get("confidence", 1.0) for annotation in self.edited), default=None)

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        if self.payload is not None:
            return self.payload
        return pictures.render(pictures.drawing(self.number % pictures.DRAWINGS, self.mime), self.id.replace("-", ""))

    @property
    def place(self) -> tuple[str, str]:
        """Directory and file name, which are unique within a dataset."""
        return self.directory, self.filename


@dataclass(slots=True)
class Dataset:
    """A dataset and its images, oldest first."""

    id: str
    name: str
    description: str | None
    classes: list[Mapping[str, object]]
    created_s: float
    cold: bool = False
    _images: dict[str, Image] = field(default_factory=dict)
    _by_place: dict[tuple[str, str], Image] = field(default_factory=dict)
    _newest: list[Image] | None = None

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Image]:
        return iter(self._images.values())

    @property
    def active(self) -> list[Image]:
        """Images that are not archived, newest first. Not to be changed."""
        if self._newest is None:
            self._newest = [image for image in reversed(self._images.values()) if not image.archived]
        return self._newest

    @property
    def class_names(self) -> frozenset[str]:
        """The names that annotations may have."""
        return frozenset(str(entry["name"]) for entry in self.classes)

    def image(self, image_id: str) -> Image | None:
        """The image with this id, archived or not."""
        return self._images.get(image_id)

    def at(self, directory: str, filename: str) -> Image | None:
        """The image at this place, archived or not."""
        return self._by_place.get((directory, filename))

    def add(self, image: Image) -> None:
        """Take an image in as the newest. Raises ValueError if its place is taken."""
        if image.place in self._by_place:
            raise ValueError(f"{image.place} already exists")
        self._images[image.id] = image
        self._by_place[image.place] = image
        self._newest = None

    def remove(self, image: Image) -> None:
        """Erase an image for good."""
        del self._images[image.id]
        del self._by_place[image.place]
        self._newest = None

    def move(self, image: Image, directory: str, filename: str) -> None:
        """Put an image elsewhere; its id stays. Raises ValueError if the place is taken."""
        if (directory, filename) in self._by_place:
            raise ValueError(f"{(directory, filename)} already exists")
        del self._by_place[image.place]
        image.directory, image.filename = directory, filename
        self._by_place[image.place] = image

    def archive(self, image: Image) -> None:
        """Hide an image from listings; it can still be read by id."""
        image.archived = True
        self._newest = None


#: Sample images of the small dataset: one in each directory, no name twice, one without annotations.
_MEADOW = (0, 5, 14, 11)


class World:
    """All datasets of a stand-in, and what another person can do to them.

    Methods take the image itself or its id.
    """

    def __init__(self, clock: ServerClock, seed: int) -> None:
        self.clock = clock
        self.datasets: dict[str, Dataset] = {}
        self._rng = random.Random(seed)
        self._dataset_of: dict[str, Dataset] = {}

    def new_id(self) -> str:
        """A fresh UUID, the same for the same seed and history."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def dataset(self, name_or_id: str) -> Dataset:
        """The dataset with this name or id. Raises KeyError."""
        if name_or_id in self.datasets:
            return self.datasets[name_or_id]
        for dataset in self.datasets.values():
            if dataset.name == name_or_id:
                return dataset
        raise KeyError(name_or_id)

    def image(self, image_id: str) -> Image:
        """The image with this id, whatever its dataset. Raises KeyError."""
        return self._resolve(image_id)

    def dataset_of(self, image: Image | str) -> Dataset:
        """The dataset that holds an image. Raises KeyError."""
        return self._dataset_of[image if isinstance(image, str) else image.id]

    def add_dataset(
        self, name: str, classes: Iterable[Mapping[str, object]] = sample.CLASSES, *, dataset_id: str | None = None
    ) -> Dataset:
        """A new, empty dataset."""
        dataset = Dataset(
            id=dataset_id or self.new_id(),
            name=name,
            description=f"Sample dataset {name}",
            classes=list(classes),
            created_s=self.clock.now_s(),
        )
        self.datasets[dataset.id] = dataset
        return dataset

    def add_image(
        self,
        dataset: Dataset,
        filename: str,
        directory: str = "/",
        *,
        image_id: str | None = None,
        payload: bytes | None = None,
        mime: str = "image/png",
        size: tuple[int, int] | None = None,
        status: str = "new",
        annotations: Sequence[Annotation] = (),
    ) -> Image:
        """Upload a picture; without a payload, one is drawn. Raises ValueError if the place is taken."""
        number = len(dataset)
        base = pictures.drawing(number % pictures.DRAWINGS, mime)
        width, height = size if size is not None else (base.width, base.height)
        image = Image(
            id=image_id or self.new_id(),
            filename=filename,
            directory=directory,
            status=status,
            number=number,
            mime=mime,
            width=width,
            height=height,
            size_bytes=pictures.size_bytes(base) if payload is None else len(payload),
            created_s=self.clock.now_s(),
            payload=payload,
            edited=tuple(copy.deepcopy(list(annotations))),
        )
        self.adopt(dataset, image)
        return image

    def adopt(self, dataset: Dataset, image: Image) -> None:
        """Take a ready-made image into a dataset. Raises ValueError if its place is taken."""
        dataset.add(image)
        self._dataset_of[image.id] = dataset

    def remove_image(self, image: Image | str) -> None:
        """Erase an image and its annotations."""
        image = self._resolve(image)
        self._dataset_of.pop(image.id).remove(image)

    def archive_image(self, image: Image | str) -> None:
        """Hide an image from listings."""
        self.dataset_of(image).archive(self._resolve(image))

    def move_image(self, image: Image | str, directory: str, filename: str | None = None) -> None:
        """Put an image into another directory, perhaps under another name."""
        image = self._resolve(image)
        self.dataset_of(image).move(image, directory, filename if filename is not None else image.filename)

    def save(self, image: Image | str, annotations: Sequence[Annotation]) -> None:
        """Replace all annotations of an image."""
        image = self._resolve(image)
        image.edited = tuple(copy.deepcopy(list(annotations)))
        image.revision += 1

    def annotate(self, image: Image | str, name: str = "boat") -> str:
        """Add one box of this class to an image; the id of the new annotation."""
        image = self._resolve(image)
        added = {
            "id": f"person-{self.new_id()[:8]}",
            "name": name,
            "type": "bbox",
            "bounding_box": {"x": 1, "y": 1, "w": image.width // 4, "h": image.height // 4},
            "confidence": 1.0,
            "created_by": "person@example.org",
            "attributes": [],
        }
        self.save(image, [*image.annotations, added])
        return str(added["id"])

    def move_geometry(self, image: Image | str, annotation_id: str | None = None, by: float = 1) -> None:
        """Shift one annotation (the first, unless named) to the right; no count changes."""
        image = self._resolve(image)
        chosen = annotation_id if annotation_id is not None else image.annotations[0]["id"]
        self._edit(image, chosen, lambda annotation: _shifted(annotation, by))

    def erase_annotation(self, image: Image | str, annotation_id: str) -> None:
        """Delete one annotation of an image."""
        image = self._resolve(image)
        self.save(image, [annotation for annotation in image.annotations if annotation["id"] != annotation_id])

    def rename_class(self, dataset: Dataset, old: str, new: str) -> tuple[int, int]:
        """Rename a class and every annotation that has it; how many images and annotations that changed."""
        dataset.classes = [{**entry, "name": new} if entry["name"] == old else entry for entry in dataset.classes]
        return self._rewrite(
            dataset, lambda annotation: {**annotation, "name": new} if annotation["name"] == old else annotation
        )

    def delete_class(self, dataset: Dataset, name: str, *, annotations_too: bool) -> tuple[int, int]:
        """Drop a class, with its annotations if asked; how many images and annotations that changed."""
        dataset.classes = [entry for entry in dataset.classes if entry["name"] != name]
        if not annotations_too:
            return 0, 0
        return self._rewrite(dataset, lambda annotation: None if annotation["name"] == name else annotation)

    def _rewrite(self, dataset: Dataset, change: Callable[[Annotation], Annotation | None]) -> tuple[int, int]:
        images = annotations = 0
        for image in dataset:
            before = image.annotations
            after = [change(annotation) for annotation in before]
            changed = sum(new is not old for new, old in zip(after, before, strict=True))
            if changed:
                self.save(image, [annotation for annotation in after if annotation is not None])
                images, annotations = images + 1, annotations + changed
        return images, annotations

    def _edit(self, image: Image, annotation_id: str, change: Callable[[Annotation], Annotation]) -> None:
        if all(annotation["id"] != annotation_id for annotation in image.annotations):
            raise KeyError(annotation_id)
        self.save(
            image,
            [
                change(annotation) if annotation["id"] == annotation_id else annotation
                for annotation in image.annotations
            ],
        )

    def _resolve(self, image: Image | str) -> Image:
        if isinstance(image, Image):
            return image
        found = self._dataset_of[image].image(image)
        if found is None:
            raise KeyError(image)
        return found


def _shifted(annotation: Annotation, by: float) -> Annotation:
    moved = copy.deepcopy(dict(annotation))
    match moved["type"]:
        case "bbox":
            moved["bounding_box"]["x"] += by
            if "oriented_box" in moved:
                moved["oriented_box"]["cx"] += by
        case "polygon":
            for ring in moved["polygon"]["paths"]:
                for point in ring:
                    point["x"] += by
        case "polyline":
            for point in moved["polyline"]["path"]:
                point["x"] += by
        case _:
            moved["keypoint"]["x"] += by
    return sample.with_enclosure(moved)


def sample_world(
    clock: ServerClock,
    *,
    images: int,
    unannotated_every: int,
    hostile_names: bool,
    richness: Richness,
    seed: int,
) -> World:
    """A world with the dataset `harbour` of this many images and a small one called `meadow & shore`.

    With hostile names, the first images of `harbour` bear them.
    """
    world = World(clock, seed)
    harbour = world.add_dataset("harbour")
    bad = hostile.HOSTILE_PLACES[:images] if hostile_names else ()
    for number in range(images):
        directory, filename = bad[number] if number < len(bad) else sample.place(number)
        world.adopt(harbour, _sample_image(world, number, directory, filename, unannotated_every, richness))
    meadow = world.add_dataset("meadow & shore")
    for number in _MEADOW:
        world.adopt(meadow, _sample_image(world, number, *sample.place(number), unannotated_every, richness))
    return world


def _sample_image(
    world: World, number: int, directory: str, filename: str, unannotated_every: int, richness: Richness
) -> Image:
    mime = "image/jpeg" if filename.endswith(".jpg") else "image/png"
    base = pictures.drawing(number % pictures.DRAWINGS, mime)
    return Image(
        id=world.new_id(),
        filename=filename,
        directory=directory,
        status=sample.STATUSES[(number // 3) % len(sample.STATUSES)],
        number=number,
        mime=mime,
        width=base.width,
        height=base.height,
        size_bytes=pictures.size_bytes(base),
        created_s=world.clock.now_s() - 86_400 + number / 10,
        sample_count=sample.annotation_count(number, unannotated_every),
        richness=richness,
    )
