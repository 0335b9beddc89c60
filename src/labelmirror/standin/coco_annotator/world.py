"""What a COCO Annotator holds: users, categories, datasets, images and annotations, apart from the talk about them.

Tests look into it and change it in-process, as other people would. Nothing is really deleted by people: it is marked.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from labelmirror.standin import pictures
from labelmirror.standin.clock import ServerClock
from labelmirror.standin.coco_annotator.geometry import measured, to_paper

ROOT = "/datasets/"


@dataclass(slots=True)
class User:
    """Somebody who can log in. An admin owns everything. `preferences` are those of the web pages."""

    name: str
    password: str
    is_admin: bool = False
    preferences: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Category:
    """A class of objects, shared by all datasets. `color` None: taken away."""

    id: int
    name: str
    color: str | None
    creator: str
    supercategory: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    keypoint_edges: list[Any] = field(default_factory=list)
    keypoint_labels: list[Any] = field(default_factory=list)
    keypoint_colors: list[Any] = field(default_factory=list)
    deleted_s: float | None = None
    deleted: bool = False


@dataclass(slots=True)
class Dataset:
    """A folder of images below `directory` (with a slash at its end), the ids of its categories and who sees it."""

    id: int
    name: str
    directory: str
    owner: str
    categories: list[int] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    annotate_url: str = ""
    default_annotation_metadata: dict[str, Any] = field(default_factory=dict)
    deleted_s: float | None = None
    deleted: bool = False


@dataclass(slots=True)
class Image:
    """A picture. `path` is the server's own; `number` is what its drawing follows from, unless there is a `payload`.

    `annotating` are the names of people who have it open; `on_disk` is whether its file is there at all.
    """

    id: int
    dataset_id: int
    path: str
    file_name: str
    width: int
    height: int
    number: int
    mime: str
    modified_s: float
    payload: bytes | None = None
    on_disk: bool = True
    category_ids: list[Any] = field(default_factory=list)
    annotated: bool = False
    annotating: list[str] = field(default_factory=list)
    num_annotations: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    milliseconds: int = 0
    regenerate_thumbnail: bool = False
    deleted_s: float | None = None
    deleted: bool = False

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        if self.payload is not None:
            return self.payload
        return pictures.render(pictures.drawing(self.number % pictures.DRAWINGS, self.mime), f"image {self.id}")


@dataclass(slots=True)
class Annotation:
    """One labelled object. `paper_object` None: as the web editor would draw the segmentation.

    `width` and `height` are the image's when the annotation was made. An annotation whose image was lost has no
    `image_id`. What came from clients may be of any shape.
    """

    id: int
    image_id: int | None
    category_id: int | None
    dataset_id: int
    creator: str
    width: int
    height: int
    color: str | None
    segmentation: Any = field(default_factory=list)
    area: int = 0
    bbox: list[float] = field(default_factory=lambda: [0, 0, 0, 0])
    iscrowd: bool = False
    isbbox: bool = False
    keypoints: Any = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    paper_object: list[Any] | None = field(default_factory=list)
    milliseconds: int = 0
    events: list[Any] = field(default_factory=list)
    deleted_s: float | None = None
    deleted: bool = False

    @property
    def drawn(self) -> list[Any]:
        """The paper.js item."""
        if self.paper_object is None:
            return to_paper(self.segmentation, self.width, self.height)
        return self.paper_object


Deletable = Category | Dataset | Image | Annotation
_D = TypeVar("_D", Category, Dataset, Image, Annotation)


async def _breathe() -> None:
    """Let others have a turn."""
    await asyncio.sleep(0)


class CocoWorld:
    """All that a stand-in COCO Annotator holds, and what people do to it in the server's own pages.

    `between_writes` is awaited after each record that a save of many records writes. With `knows_original` false the
    server is of before October 2024 and sends no file as it is. With `open_to_all` nobody needs to log in. While
    `stalled`, jobs get stuck and never end.
    """

    def __init__(self, clock: ServerClock, seed: int) -> None:
        self.clock = clock
        self.rng = random.Random(seed)
        self.users: dict[str, User] = {}
        self.categories: dict[int, Category] = {}
        self.datasets: dict[int, Dataset] = {}
        self.images: dict[int, Image] = {}
        self.annotations: dict[int, Annotation] = {}
        self.between_writes: Callable[[], Awaitable[None]] = _breathe
        self.knows_original = True
        self.open_to_all = False
        self.stalled = False
        self._last_id: dict[str, int] = defaultdict(int)
        self._of_image: dict[int, list[Annotation]] = defaultdict(list)

    def next_id(self, collection: str, given: int | None = None) -> int:
        """The next id of a collection, or a given one that nothing had. Also what is refused afterwards uses one up."""
        found = given if given is not None else self._last_id[collection] + 1
        self._last_id[collection] = max(self._last_id[collection], found)
        return found

    def colour(self) -> str:
        """Any colour."""
        return f"#{self.rng.randrange(2**24):06x}"

    def dataset(self, name: str) -> Dataset:
        """The dataset with this name, deleted or not. Raises KeyError."""
        return _named(self.datasets.values(), name)

    def category(self, name: str) -> Category:
        """The category with this name, deleted or not. Raises KeyError."""
        return _named(self.categories.values(), name)

    def images_of(self, dataset: Dataset) -> list[Image]:
        """The images of a dataset that are not deleted, oldest first."""
        return [image for image in self.images.values() if image.dataset_id == dataset.id and not image.deleted]

    def annotations_of(self, image: Image, *, deleted_too: bool = False) -> list[Annotation]:
        """The annotations of an image, oldest first."""
        return [annotation for annotation in self._of_image[image.id] if deleted_too or not annotation.deleted]

    def add_user(self, name: str, password: str, *, is_admin: bool = False) -> User:
        """Somebody new."""
        user = self.users[name.casefold()] = User(name, password, is_admin)
        return user

    def add_category(
        self, name: str, creator: str, color: str | None = None, *, category_id: int | None = None, **more: Any
    ) -> Category:
        """A new category; without a colour, it gets any."""
        number = self.next_id("category", category_id)
        category = self.categories[number] = Category(number, name, color or self.colour(), creator, **more)
        return category

    def add_dataset(
        self, name: str, owner: str, categories: Iterable[Category] = (), *, dataset_id: int | None = None
    ) -> Dataset:
        """A new, empty dataset."""
        number = self.next_id("dataset", dataset_id)
        dataset = Dataset(number, name, f"{ROOT}{name}/", owner, [category.id for category in categories])
        self.datasets[number] = dataset
        return dataset

    def add_image(
        self, dataset: Dataset, place: str, payload: bytes | None = None, *, image_id: int | None = None, **more: Any
    ) -> Image:
        """Register a picture at `place` below the dataset's folder; without a payload, one is drawn.

        `more` are attributes of the image; width and height must be among them if there is a payload.
        """
        number = self.next_id("image", image_id)
        mime = mime_of(place)
        drawing = pictures.drawing(number % pictures.DRAWINGS, "image/png" if mime == "image/png" else "image/jpeg")
        known = {"width": drawing.width, "height": drawing.height, "modified_s": self.clock.now_s(), **more}
        image = Image(
            id=number,
            dataset_id=dataset.id,
            path=f"{dataset.directory}{place}",
            file_name=place.rpartition("/")[2],
            number=number,
            mime=mime,
            payload=payload,
            **known,
        )
        self.images[number] = image
        return image

    def create(self, image: Image, category_id: int | None, creator: str, **content: Any) -> Annotation:
        """A new annotation with the dataset's default metadata and any colour, unless `content` says otherwise."""
        dataset = self.datasets[image.dataset_id]
        annotation = Annotation(
            id=self.next_id("annotation"),
            image_id=image.id,
            category_id=category_id,
            dataset_id=dataset.id,
            creator=creator,
            width=image.width,
            height=image.height,
            **{"color": self.colour(), "metadata": dict(dataset.default_annotation_metadata), **content},
        )
        self.annotations[annotation.id] = annotation
        self._of_image[image.id].append(annotation)
        return annotation

    def draw(
        self, image: Image, category: Category, segmentation: Sequence[Sequence[float]], **more: Any
    ) -> Annotation:
        """Annotate an image in the web editor: outlines, measured and counted. `more` are attributes."""
        rings = [[float(number) for number in ring] for ring in segmentation]
        area, bbox = measured(rings, image.width, image.height)
        known = {"segmentation": rings, "area": area, "bbox": bbox, "paper_object": None, **more}
        annotation = self.create(image, category.id, category.creator, **known)
        if category.id not in image.category_ids:
            image.category_ids.append(category.id)
        image.num_annotations += 1
        image.annotated = True
        return annotation

    def annotate(self, image: Image, category: str = "boat") -> Annotation:
        """Add one box to an image, as another person."""
        right, bottom = 1 + image.width // 4, 1 + image.height // 4
        box = [1, 1, right, 1, right, bottom, 1, bottom]
        return self.draw(image, self.category(category), [box], isbbox=True)

    def move_geometry(self, image: Image, annotation: Annotation | None = None, by: float = 1) -> None:
        """Shift outlines and labelled keypoints of one annotation (the first, unless given) to the right; no count changes."""
        moved = annotation or self.annotations_of(image)[0]
        for at in range(0, len(moved.keypoints), 3):
            x, y, flag = moved.keypoints[at : at + 3]
            moved.keypoints[at : at + 3] = [x + by if flag else x, y, flag]
        moved.segmentation = [
            [number + by if at % 2 == 0 else number for at, number in enumerate(ring)] for ring in moved.segmentation
        ]
        moved.area, moved.bbox = measured(moved.segmentation, moved.width, moved.height)
        moved.paper_object = None

    def visit(self, image: Image, stay_ms: int = 2_000) -> None:
        """Open an image in the web editor and leave it: that saves it, to a tenth of a pixel and without what is empty."""
        for annotation in self.annotations_of(image):
            if not annotation.segmentation and not annotation.keypoints:
                self.delete(annotation)
            annotation.segmentation = [[round(number, 1) for number in ring] for ring in annotation.segmentation]
            annotation.area, annotation.bbox = measured(annotation.segmentation, annotation.width, annotation.height)
            annotation.paper_object = None
        image.milliseconds += stay_ms

    def delete(self, item: Deletable) -> None:
        """Mark something as deleted; what it contains is not touched."""
        item.deleted, item.deleted_s = True, self.clock.now_s()

    def restore(self, item: Deletable) -> None:
        """Take a deletion back."""
        item.deleted = False

    def erase(self, item: Deletable) -> None:
        """Delete something for good, with the annotations of an image and the images of a dataset."""
        match item:
            case Category():
                del self.categories[item.id]
            case Dataset():
                for image in [image for image in self.images.values() if image.dataset_id == item.id]:
                    self.erase(image)
                del self.datasets[item.id]
            case Image():
                for annotation in self._of_image.pop(item.id, []):
                    del self.annotations[annotation.id]
                del self.images[item.id]
            case Annotation():
                if item.image_id is not None:
                    self._of_image[item.image_id].remove(item)
                del self.annotations[item.id]

    def lose_image(self, image: Image) -> None:
        """Remove an image's file from the server's disk: its record goes too, its annotations are left without it."""
        del self.images[image.id]
        for annotation in self._of_image.pop(image.id, []):
            annotation.image_id = None

    def replace_file(self, image: Image, payload: bytes) -> None:
        """Put another file in the place of an image's: its width, height and id stay."""
        image.payload, image.modified_s = payload, self.clock.now_s()

    def move_file(self, image: Image, place: str) -> None:
        """Rename an image's file on the server's disk: only its path follows."""
        image.path = f"{self.datasets[image.dataset_id].directory}{place}"


def mime_of(path: str) -> str:
    """The content type that the server makes of a file's extension."""
    kinds = {"png": "image/png", "gif": "image/gif", "bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff"}
    return kinds.get(path.rpartition(".")[2].lower(), "image/jpeg")


def _named(items: Iterable[_D], name: str) -> _D:
    for item in items:
        if getattr(item, "name", None) == name:
            return item
    raise KeyError(name)
