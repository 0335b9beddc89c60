"""What can be done to the world of a Remo, by its server and by people in a test, with the stamps that move.

Which stamp moves with what is copied from the real server (contract, section 7): U and L of a set move when a change
begins, the dataset's with saves and with images that come and go, and adding a known tag moves nothing at all.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from labelmirror.standin import pictures
from labelmirror.standin.clock import ServerClock
from labelmirror.standin.remo.model import (
    AnnotationSet,
    Content,
    Dataset,
    Folder,
    Image,
    Mark,
    Object,
    Points,
    Row,
    Sketch,
    Status,
    Task,
    drawn,
)


class HalfSaved(Exception):
    """The database refused something in the middle of a save; what was done before it stays done."""


class RemoWorld:
    """Everything that one Remo holds.

    `step_s` passes between the steps of a save that a request asks for, so that readers can see it half done;
    `import_s` between the completion of an upload and its images.
    """

    def __init__(self, clock: ServerClock, seed: int) -> None:
        self.clock = clock
        self.step_s = 0.0
        self.import_s = 0.05
        self.datasets: dict[int, Dataset] = {}
        self._rng = random.Random(seed)
        self._by_md5: dict[str, dict[int, Image]] = {}
        self._classes: dict[str, int] = {}
        self._tags: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def token(self) -> str:
        """Forty random hexadecimal digits, the same for the same seed and history."""
        return f"{self._rng.getrandbits(160):040x}"

    def dataset(self, name: str) -> Dataset:
        """The dataset with this name. Raises KeyError."""
        for dataset in self.datasets.values():
            if dataset.name == name:
                return dataset
        raise KeyError(name)

    def image(self, image_id: int | str) -> Image:
        """The image with this id, whatever its dataset. Raises KeyError."""
        for dataset in self.datasets.values():
            if int(image_id) in dataset.images:
                return dataset.images[int(image_id)]
        raise KeyError(image_id)

    def stored(self, md5: str) -> Image:
        """An image whose original has this digest. Raises KeyError."""
        return next(iter(self._by_md5[md5].values()))

    def find_set(self, set_id: int) -> AnnotationSet | None:
        """The annotation set with this id, whatever its dataset, if there is one."""
        for dataset in self.datasets.values():
            if set_id in dataset.sets:
                return dataset.sets[set_id]
        return None

    # Datasets, folders and images.

    def add_dataset(self, name: str, *, dataset_id: int | None = None) -> Dataset:
        """A new, empty dataset."""
        now_s = self.clock.now_s()
        dataset = Dataset(id=self._next("dataset", dataset_id), name=name, created_s=now_s, updated_s=now_s)
        self.datasets[dataset.id] = dataset
        return dataset

    def remove_dataset(self, dataset: Dataset) -> None:
        """Erase a dataset with everything in it."""
        for image in list(dataset):
            self.remove_image(image)
        del self.datasets[dataset.id]

    def add_folder(self, dataset: Dataset, name: str, parent: Folder | None = None) -> Folder:
        """A new folder."""
        folder = Folder(self._next("folder"), name, parent.id if parent else None, self.clock.now_s())
        dataset.folders[folder.id] = folder
        return folder

    def add_image(
        self,
        dataset: Dataset,
        name: str,
        folder: Folder | None = None,
        *,
        image_id: int | None = None,
        payload: bytes | None = None,
        mime: str = "image/jpeg",
        size: tuple[int, int] | None = None,
        reduced: tuple[bytes, tuple[int, int]] | None = None,
        linked: str | None = None,
    ) -> Image:
        """Take in an image; without a payload, one is drawn. Its name may be taken. `size` is in pixels."""
        image_id = self._next("image", image_id)
        content = payload if payload is not None else drawn(image_id, mime)
        base = pictures.drawing(image_id % pictures.DRAWINGS, mime)
        dataset.last_number += 1
        image = Image(
            id=image_id,
            name=name,
            dataset=dataset,
            folder=folder.id if folder else None,
            number=dataset.last_number,
            mime=mime,
            size=size if size is not None else (base.width, base.height),
            size_bytes=len(content),
            md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
            created_s=self.clock.now_s(),
            payload=payload,
            reduced=reduced,
            linked=linked,
        )
        self._freeze(dataset)
        dataset.images[image.id] = image
        self._by_md5.setdefault(image.md5, {})[image.id] = image
        dataset.updated_s = self.clock.now_s()
        return image

    def remove_image(self, image: Image) -> None:
        """Erase an image and what all sets hold about it."""
        self._freeze(image.dataset)
        del image.dataset.images[image.id]
        twins = self._by_md5[image.md5]
        del twins[image.id]
        if not twins:
            del self._by_md5[image.md5]
        for each in image.dataset.sets.values():
            each.rows.pop(image.id, None)
        image.dataset.updated_s = self.clock.now_s()

    def remove_folder(self, dataset: Dataset, folder: Folder) -> None:
        """Erase a folder with all folders and images in it."""
        for image in dataset.images_in(folder.id):
            self.remove_image(image)
        for each in dataset.folders_in(folder.id):
            self.remove_folder(dataset, each)
        del dataset.folders[folder.id]

    # Annotation sets, their classes and tags.

    def add_set(
        self, dataset: Dataset, name: str, task: Task, classes: Iterable[str] = (), *, set_id: int | None = None
    ) -> AnnotationSet:
        """A new annotation set. Raises ValueError if the dataset has one of this name."""
        if any(each.name == name for each in dataset.sets.values()):
            raise ValueError(name)
        now_s = self.clock.now_s()
        added = AnnotationSet(
            id=self._next("set", set_id), name=name, task=task, dataset=dataset, created_s=now_s, updated_s=now_s
        )
        for each in classes:
            added.classes[self._class_id(each)] = each
        dataset.sets[added.id] = added
        return added

    def remove_set(self, chosen: AnnotationSet) -> None:
        """Erase an annotation set with everything in it."""
        del chosen.dataset.sets[chosen.id]

    def rename_set(self, chosen: AnnotationSet, name: str) -> None:
        """Give an annotation set another name. Raises ValueError if the dataset has one of this name."""
        if any(each.name == name for each in chosen.dataset.sets.values()):
            raise ValueError(name)
        chosen.name = name
        chosen.updated_s = self.clock.now_s()

    def add_class(self, chosen: AnnotationSet, name: str) -> tuple[int, bool]:
        """Let a set have a class; its id, and whether the set had it not before."""
        class_id = self._class_id(name)
        if class_id in chosen.classes:
            return class_id, False
        chosen.classes[class_id] = name
        chosen.updated_s = self.clock.now_s()
        chosen.recount()
        return class_id, True

    def rename_class(self, chosen: AnnotationSet, class_id: int, name: str) -> int:
        """Put another class in the place of one, in the set and in all its objects; the id of the other."""
        if chosen.classes[class_id] == name:
            return class_id
        old = chosen.classes.pop(class_id)
        other = self._class_id(name)
        chosen.classes[other] = name
        for row in chosen.rows.values():
            row.objects = [replace(each, marks=_renamed(each.marks, old, name)) for each in row.objects]
            row.marks = list(_renamed(tuple(row.marks), old, name))
            row.settled = row.content
        self._touch_classes(chosen)
        return other

    def drop_class(self, chosen: AnnotationSet, class_id: int) -> None:
        """Take a class out of a set; objects that had no other vanish. Raises KeyError."""
        name = chosen.classes.pop(class_id)
        for row in chosen.rows.values():
            kept = [(each, tuple(mark for mark in each.marks if mark.name != name)) for each in row.objects]
            row.objects = [replace(each, marks=marks) for each, marks in kept if marks or not each.marks]
            row.marks = [mark for mark in row.marks if mark.name != name]
            row.settled = row.content
        self._touch_classes(chosen)

    def tag(self, chosen: AnnotationSet, image: Image, name: str) -> tuple[int, bool]:
        """Put a tag on an image in a set; its id, and whether the image had it not before."""
        tag_id = self._tag_id(name)
        row = chosen.row(image)
        if row is None:
            row = self._new_row(chosen, image)
            self._touch(chosen)
            # The row is counted before it has its tag.
            chosen.counts()
        if tag_id not in chosen.tags:
            chosen.tags[tag_id] = name
            chosen.retag()
        if tag_id in row.tags:
            return tag_id, False
        row.tags.append(tag_id)
        return tag_id, True

    def untag(self, chosen: AnnotationSet, image: Image, tag_id: int) -> None:
        """Take a tag off an image, if it is there."""
        row = chosen.row(image)
        if row is not None and tag_id in row.tags:
            row.tags.remove(tag_id)

    def rename_tag(self, chosen: AnnotationSet, tag_id: int, name: str) -> int:
        """Put another tag in the place of one on all images of a set; the id of the other. Raises KeyError."""
        del chosen.tags[tag_id]
        other = self._tag_id(name)
        chosen.tags[other] = name
        for row in chosen.rows.values():
            if tag_id in row.tags:
                row.tags = [tag for tag in row.tags if tag not in {tag_id, other}] + [other]
        chosen.recount()
        return other

    def drop_tag(self, chosen: AnnotationSet, tag_id: int) -> None:
        """Take a tag off all images of a set. Raises KeyError."""
        del chosen.tags[tag_id]
        for row in chosen.rows.values():
            row.tags = [tag for tag in row.tags if tag != tag_id]
        chosen.recount()

    # What a set says about an image.

    def save(
        self, chosen: AnnotationSet, image: Image, objects: Iterable[Sketch] = (), marks: Iterable[Mark] = ()
    ) -> None:
        """Replace all that a set says about an image, in one go, as a person alone on the server would."""
        for _ in self.saving(chosen, image, tuple(objects), tuple(marks), status=chosen.status(image)):
            pass

    def saving(
        self,
        chosen: AnnotationSet,
        image: Image,
        objects: tuple[Sketch, ...],
        marks: tuple[Mark, ...],
        *,
        status: Status,
        new_classes: bool = True,
    ) -> Iterator[None]:
        """The steps of a save, with everybody else's work in between: the stamps, everything out, one by one in.

        An object is left out whose name or points one that is there has. Without `new_classes`, marks of classes that
        the set lacks are left out. Raises HalfSaved for a mark that cannot be stored, and where another save removed an
        object before its classes could be added.
        """
        chosen.dataset.updated_s = self.clock.now_s()
        row = chosen.row(image) or self._new_row(chosen, image)
        row.updated_s = self.clock.now_s()
        row.status = status
        chosen.annotated_s = chosen.updated_s = self.clock.now_s()
        yield
        row.saved = True
        row.objects.clear()
        row.marks.clear()
        yield
        for mark in marks:
            if self._admit(chosen, mark, new_classes=new_classes):
                row.marks.append(mark)
                yield
        position = 0
        for sketch in objects:
            if any(sketch.points == each.points for each in row.objects):
                continue
            # An object whose name is taken uses up its number all the same.
            position += 1
            if any(sketch.name == each.name for each in row.objects):
                continue
            bare = Object(self._next("object"), sketch.name, sketch.points, (), sketch.auto_created, position)
            row.objects.append(bare)
            yield
            kept = tuple(mark for mark in sketch.marks if self._admit(chosen, mark, new_classes=new_classes))
            if all(each.id != bare.id for each in row.objects):
                raise HalfSaved(sketch.name)
            row.objects = [replace(each, marks=kept) if each.id == bare.id else each for each in row.objects]
            yield
        chosen.recount()
        row.settled = row.content

    def clear(self, chosen: AnnotationSet, image: Image) -> None:
        """Take everything but the tags off an image in a set. Raises KeyError if it never had anything."""
        row = chosen.rows[image.id]
        row.objects, row.marks, row.settled = [], [], Content()
        row.status, row.saved = Status.NOT_ANNOTATED, False
        row.updated_s = self.clock.now_s()
        self._touch(chosen)

    def set_status(self, chosen: AnnotationSet, image: Image, status: Status) -> None:
        """Say how far the work on an image is."""
        row = chosen.row(image) or self._new_row(chosen, image)
        row.status = status
        self._touch(chosen)

    # What tests and demonstrations do as other people.

    def annotate(self, chosen: AnnotationSet, image: Image, class_name: str = "Boat") -> str:
        """Add one object to an image; its name."""
        drawn_before = self._sketches(chosen, image)
        number = 1 + max((each.position for each in _objects(chosen, image)), default=0)
        points: Points = ((number, number), (number + 9, number + 7))
        if chosen.task is Task.SEGMENTATION:
            points += ((number, number + 7),)
        added = Sketch(name=f"OBJ {number}", points=points, marks=(Mark(class_name),))
        self.save(chosen, image, (*drawn_before, added))
        return added.name

    def move_geometry(self, chosen: AnnotationSet, image: Image, name: str | None = None, by: int = 1) -> None:
        """Shift one object (the first, unless named) to the right; no count changes. Raises IndexError."""
        sketches = self._sketches(chosen, image)
        moved = sketches[0].name if name is None else name
        self.save(
            chosen,
            image,
            [
                replace(each, points=tuple((x + by, y) for x, y in each.points)) if each.name == moved else each
                for each in sketches
            ],
        )

    def erase(self, chosen: AnnotationSet, image: Image, name: str) -> None:
        """Delete one object of an image."""
        self.save(chosen, image, [each for each in self._sketches(chosen, image) if each.name != name])

    def _sketches(self, chosen: AnnotationSet, image: Image) -> list[Sketch]:
        return [
            Sketch(name=each.name, points=each.points, marks=each.marks, auto_created=each.auto_created)
            for each in _objects(chosen, image)
        ]

    def _admit(self, chosen: AnnotationSet, mark: Mark, *, new_classes: bool) -> bool:
        """Whether a mark is stored; its class joins the set where that is allowed. Raises HalfSaved."""
        if not mark.storable:
            raise HalfSaved(mark.name)
        if mark.name in chosen.classes.values():
            return True
        if not new_classes:
            return False
        chosen.classes[self._class_id(mark.name)] = mark.name
        return True

    def _new_row(self, chosen: AnnotationSet, image: Image) -> Row:
        now_s = self.clock.now_s()
        row = chosen.rows[image.id] = Row(self._next("row"), now_s, now_s)
        return row

    def _touch(self, chosen: AnnotationSet) -> None:
        chosen.annotated_s = chosen.updated_s = self.clock.now_s()
        chosen.recount()

    def _touch_classes(self, chosen: AnnotationSet) -> None:
        chosen.updated_s = chosen.dataset.updated_s = self.clock.now_s()
        chosen.recount()

    def _freeze(self, dataset: Dataset) -> None:
        for each in dataset.sets.values():
            each.counts()

    def _class_id(self, name: str) -> int:
        if name not in self._classes:
            self._classes[name] = self._next("class")
        return self._classes[name]

    def _tag_id(self, name: str) -> int:
        if name not in self._tags:
            self._tags[name] = self._next("tag")
        return self._tags[name]

    def _next(self, kind: str, given: int | None = None) -> int:
        """An id that nothing of this kind had: the next one, or a given one."""
        last = self._last.get(kind, 0)
        found = given if given is not None else last + 1
        self._last[kind] = max(last, found)
        return found


def spelt(name: str) -> str:
    """A class name as the calls for sets and classes spell it (saves take any spelling)."""
    return name.strip().capitalize()


def _renamed(marks: tuple[Mark, ...], old: str, new: str) -> tuple[Mark, ...]:
    if all(mark.name != old for mark in marks):
        return marks
    others = tuple(mark for mark in marks if mark.name not in {old, new})
    return (*others, *(replace(mark, name=new) for mark in marks if mark.name == old))


def _objects(chosen: AnnotationSet, image: Image) -> list[Object]:
    row = chosen.row(image)
    return sorted(row.objects, key=lambda each: each.position) if row is not None else []
