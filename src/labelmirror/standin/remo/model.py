"""What a Remo holds: datasets with folders and images, and annotation sets with what they say about each image."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from labelmirror.standin import pictures

#: Points in whole pixels of the original, x before y.
Points = tuple[tuple[int, int], ...]


class Task(StrEnum):
    """What an annotation set is for, in the server's words."""

    DETECTION = "Object detection"
    SEGMENTATION = "Instance segmentation"
    CLASSIFICATION = "Image classification"


class Status(Enum):
    """How far the work on an image is: the word, and the number that the answer to a save has instead."""

    DONE = ("done", 1)
    SKIPPED = ("skipped", 0)
    NOT_ANNOTATED = ("not_annotated", -1)

    def __init__(self, word: str, number: int) -> None:
        self.word = word
        self.number = number

    @classmethod
    def of(cls, word: object) -> "Status":
        """The status with this word. Raises ValueError."""
        for status in cls:
            if status.word == word:
                return status
        raise ValueError(word)


@dataclass(frozen=True, slots=True)
class Mark:
    """A class given to an object, or to an image in a classification.

    One that is not `storable` breaks the save that brings it, at the moment at which it would be stored.
    """

    name: str
    questionable: bool = False
    score: float | None = None
    storable: bool = True


@dataclass(frozen=True, slots=True)
class Object:
    """One labelled object. `position` is its number in the save that brought it, from 1; `id` is new with every save."""

    id: int
    name: str
    points: Points
    marks: tuple[Mark, ...] = ()
    auto_created: bool = False
    position: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """An object as somebody wants it, before the server has given it an id and a position."""

    name: str
    points: Points
    marks: tuple[Mark, ...] = ()
    auto_created: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What one set says about one image: objects, or marks where the task is classification."""

    objects: tuple[Object, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(slots=True)
class Row:
    """The record of one image in one set. It appears with the first save, status or tag and stays until the image goes.

    `settled` is the content as the folders' contents show it: it changes in one step, at the end of a save. `tags` are
    ids. `saved` says whether anything was ever saved since the row was last cleared.
    """

    id: int
    created_s: float
    updated_s: float
    status: Status = Status.NOT_ANNOTATED
    objects: list[Object] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    settled: Content = Content()
    tags: list[int] = field(default_factory=list)
    saved: bool = False

    @property
    def content(self) -> Content:
        """What the row holds at this moment, in the middle of a save as well."""
        return Content(tuple(self.objects), tuple(self.marks))


@dataclass(slots=True)
class AnnotationSet:
    """One task on one dataset. `rows` are by the id of the image, `classes` and `tags` names by id.

    `updated_s` and `annotated_s` (None: never) move when a change begins. `counts` are the statistics as the last
    change of the set left them: images that come and go do not alter them.
    """

    id: int
    name: str
    task: Task
    dataset: "Dataset"
    created_s: float
    updated_s: float
    annotated_s: float | None = None
    classes: dict[int, str] = field(default_factory=dict)
    tags: dict[int, str] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)
    _counts: dict[str, Any] | None = None

    def ordered(self, names: Iterable[str]) -> list[str]:
        """Names of classes of the set, in the order of their ids."""
        ids = {name: class_id for class_id, name in self.classes.items()}
        return sorted(names, key=lambda name: ids[name])

    def row(self, image: "Image") -> Row | None:
        """What the set holds about an image, if anything."""
        return self.rows.get(image.id)

    def status(self, image: "Image") -> Status:
        """How far the work on an image is."""
        row = self.row(image)
        return row.status if row is not None else Status.NOT_ANNOTATED

    def tagged(self, image: "Image") -> list[tuple[int, str]]:
        """Id and name of each tag of an image, by id."""
        row = self.row(image)
        return [(tag, self.tags[tag]) for tag in sorted(row.tags)] if row is not None else []

    def counts(self) -> Mapping[str, Any]:
        """The statistics."""
        if self._counts is None:
            self._counts = self._counted()
        return self._counts

    def recount(self) -> None:
        """Let the statistics be made anew."""
        self._counts = None

    def retag(self) -> None:
        """Let the statistics name the tags of now; all else stays as it was counted."""
        self._counts = {**self.counts(), **self._tag_names()}

    def _tag_names(self) -> dict[str, list[str]]:
        return {"tags": sorted(self.tags.values())}

    def _annotated(self, row: Row) -> bool:
        # A classification keeps its classes in an object of its own, which is there even without any.
        return bool(row.objects or row.tags) or (self.task is Task.CLASSIFICATION and row.saved)

    def _counted(self) -> dict[str, Any]:
        rows = self.rows.values()
        classes = Counter(mark.name for row in rows for marks in _marks(row) for mark in marks)
        done = sum(row.status is Status.DONE for row in rows)
        skipped = sum(row.status is Status.SKIPPED for row in rows)
        annotated = sum(self._annotated(row) for row in rows)
        return {
            "annotated_images_count": annotated,
            "done_count": done,
            "skipped_count": skipped,
            "todo_count": len(self.dataset) - done - skipped,
            "top3_classes": top3(classes),
            "all_classes": [{"name": name, "count": classes[name]} for name in self.ordered(classes)],
            **self._tag_names(),
            "total_classes": len(self.classes),
            "total_annotation_objects": sum(len(row.objects) for row in rows),
            "images_without_annotations": len(self.dataset) - annotated,
        }


def top3(classes: Counter[str]) -> list[dict[str, Any]]:
    """The three most frequent classes."""
    ranked = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
    return [{"name": name, "count": count} for name, count in ranked[:3]]


def _marks(row: Row) -> Iterator[Sequence[Mark]]:
    yield row.marks
    for each in row.objects:
        yield each.marks


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a dataset. `parent` None: at the root."""

    id: int
    name: str
    parent: int | None
    created_s: float


@dataclass(slots=True)
class Image:
    """One image. Its content never changes; names may repeat, also within a dataset.

    `number` is its place in the dataset's order, from 1. `payload` None: a small drawing that follows from the id.
    `reduced` is a smaller rendering, with its size in pixels, of one that is too large to be shown whole. `linked` is
    the path of a file that the server was only pointed to.
    """

    id: int
    name: str
    dataset: "Dataset"
    folder: int | None
    number: int
    mime: str
    size: tuple[int, int]
    size_bytes: int
    md5: str
    created_s: float
    payload: bytes | None = None
    reduced: tuple[bytes, tuple[int, int]] | None = None
    linked: str | None = None

    @property
    def content(self) -> bytes:
        """The bytes of the original."""
        return self.payload if self.payload is not None else drawn(self.id, self.mime)


def drawn(image_id: int, mime: str) -> bytes:
    """The small drawing that an image without a payload has, different for every id."""
    return pictures.render(pictures.drawing(image_id % pictures.DRAWINGS, mime), f"image-{image_id}")


@dataclass(slots=True)
class Dataset:
    """A dataset. `images` are in the order in which they came."""

    id: int
    name: str
    created_s: float
    updated_s: float
    archived: bool = False
    folders: dict[int, Folder] = field(default_factory=dict)
    images: dict[int, Image] = field(default_factory=dict)
    sets: dict[int, AnnotationSet] = field(default_factory=dict)
    last_number: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Image]:
        return iter(self.images.values())

    def set(self, name: str) -> AnnotationSet:
        """The annotation set with this name. Raises KeyError."""
        for each in self.sets.values():
            if each.name == name:
                return each
        raise KeyError(name)

    def named(self, name: str) -> Image:
        """The first image with this name. Raises KeyError."""
        for image in self:
            if image.name == name:
                return image
        raise KeyError(name)

    def folders_in(self, parent: int | None) -> list[Folder]:
        """The folders directly in a folder, or at the root."""
        return [folder for folder in self.folders.values() if folder.parent == parent]

    def images_in(self, folder: int | None) -> list[Image]:
        """The images directly in a folder, or at the root."""
        return [image for image in self if image.folder == folder]

    def within(self, folder: int) -> list[Image]:
        """The images in a folder and in all folders below it."""
        found = self.images_in(folder)
        for each in self.folders_in(folder):
            found.extend(self.within(each.id))
        return found
