"""COCO files of images and datasets, at once or by a job whose file appears later (contract, sections 7 and 9)."""

import json
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from labelmirror.standin.coco_annotator import wire
from labelmirror.standin.coco_annotator.desk import DONE, Desk, broken, flag, forbidden, refusal
from labelmirror.standin.coco_annotator.world import Annotation, Category, Dataset, Image, User
from labelmirror.standin.exchange import Call, Memory, Reply, Route

_LISTED_MAX = 50


@dataclass(slots=True)
class Task:
    """A job. `progress` is in percent; a job that got stuck keeps it for ever."""

    id: int
    group: str
    name: str
    progress: float
    logs: list[str] = field(default_factory=list)

    @property
    def row(self) -> dict[str, Any]:
        """The job in the list of jobs. It counts as completed before its file is there."""
        counts = {"errors": 0, "warnings": 0}
        completed = self.progress >= 100
        return {"id": self.id, "group": self.group, "name": self.name, "completed": completed} | {
            "progress": self.progress,
            **counts,
        }


@dataclass(slots=True)
class Export:
    """A finished export, which shows after `due_s` and once its dataset's exports were asked for `polls_left` times."""

    id: int
    dataset: Dataset
    tags: list[str]
    data: bytes
    due_s: float
    polls_left: int


class ExportRoutes:
    """What can be exported. Only who owns a dataset may, except that anybody may set a job going."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._world = desk.world
        self._tasks: dict[int, Task] = {}
        self._exports: dict[int, Export] = {}

    def routes(self) -> tuple[Route, ...]:
        """The operations."""
        route = self._desk.route
        dataset, export = r"/dataset/{id:\d+}", r"/export/{id:\d+}"
        return (
            route("images.coco", "GET", r"/image/{id:\d+}/coco", self._image_coco),
            route("datasets.coco", "GET", f"{dataset}/coco", self._dataset_coco),
            route("exports.create", "GET", f"{dataset}/export", self._create),
            route("exports.list", "GET", f"{dataset}/exports", self._list),
            route("exports.get", "GET", export, self._get),
            route("exports.download", "GET", f"{export}/download", self._download),
            route("exports.delete", "DELETE", export, self._delete),
            route("tasks.list", "GET", "/tasks/", self._list_tasks),
            route("tasks.logs", "GET", r"/tasks/{id:\d+}/logs", self._logs),
        )

    async def _image_coco(self, call: Call, user: User) -> Reply:
        image = self._desk.image(int(call.params["id"]), user)
        if image is None:
            raise refusal(400, {"message": "Invalid image ID"})
        dataset = self._world.datasets[image.dataset_id]
        if not self._desk.owns(user, dataset):
            raise forbidden("download the images's annotations")
        categories = {category.id: category for category in self._desk.categories(dataset)}
        annotations = self._shown(image, categories)
        used = {annotation.category_id for annotation in annotations}
        identity = {
            name: wire.image(image)[name] for name in ("id", "dataset_id", "path", "width", "height", "file_name")
        }
        try:
            return Reply(
                {
                    "images": [identity],
                    "categories": [
                        wire.coco_category(category) for number, category in categories.items() if number in used
                    ],
                    "annotations": [wire.coco_annotation(annotation) for annotation in annotations],
                }
            )
        except TypeError as error:
            raise broken() from error

    async def _dataset_coco(self, call: Call, user: User) -> Reply:
        dataset = self._owned(call, user)
        images, annotations = [], []
        try:
            for image in self._world.images_of(dataset):
                shown = [entry for entry in self._world.annotations_of(image) if not wire.is_empty(entry)]
                if shown:
                    images.append(wire.raw_coco_image(image))
                    annotations += [wire.raw_coco_annotation(annotation) for annotation in shown]
        except TypeError as error:
            raise broken() from error
        categories = [wire.coco_category(category) for category in self._desk.categories(dataset)]
        return Reply({"images": images, "categories": categories, "annotations": annotations})

    async def _create(self, call: Call, _user: User) -> Reply:
        dataset = self._world.datasets.get(int(call.params["id"]))
        if dataset is None or "categories" not in call.query:
            raise broken()
        try:
            wanted = {int(number) for number in call.query["categories"].split(",") if number}
        except ValueError as error:
            raise broken() from error
        categories = [category for category in self._desk.categories(dataset) if not wanted or category.id in wanted]
        data = self._attempted(dataset, categories, with_empty_images=flag(call, "with_empty_images"))
        task = Task(
            self._world.next_id("task"),
            "Annotation Export",
            f"Exporting {dataset.name} into COCO format",
            40.0 if data is None else 100.0,
        )
        self._tasks[task.id] = task
        if data is not None:
            export = Export(
                id=self._world.next_id("export"),
                dataset=dataset,
                tags=["COCO", *(category.name for category in categories)],
                data=data,
                due_s=self._desk.clock.now_s() + self._desk.options.export_build_s,
                polls_left=self._desk.options.export_polls,
            )
            self._exports[export.id] = export
        celery_id = str(uuid.UUID(int=self._world.rng.getrandbits(128), version=4))
        return Reply({"celery_id": celery_id, "id": task.id, "name": task.name})

    def _attempted(self, dataset: Dataset, categories: list[Category], *, with_empty_images: bool) -> bytes | None:
        """The file, None where the job gets stuck or crashes: the server never tells the one from the other."""
        try:
            return None if self._world.stalled else self._built(dataset, categories, with_empty_images)
        except TypeError:
            return None

    def _built(self, dataset: Dataset, categories: list[Category], with_empty_images: bool) -> bytes:
        wanted = {category.id for category in categories}
        images, annotations = [], []
        for image in self._world.images_of(dataset):
            shown = self._shown(image, wanted)
            if shown or with_empty_images:
                images.append(wire.exported_image(image))
            for annotation in shown:
                form = wire.coco_annotation(annotation)
                annotations.append(form if form["keypoints"] else {**form, "keypoints": None})
        made = [wire.coco_category(category) for category in categories]
        kept = [{name: value for name, value in form.items() if value is not None} for form in annotations]
        file = {"images": images, "categories": made, "annotations": kept}
        return json.dumps(file, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def _shown(self, image: Image, categories: Iterable[int]) -> list[Annotation]:
        """The annotations of an image that are not empty, in any of the categories."""
        known = set(categories)
        annotations = self._world.annotations_of(image)
        return [entry for entry in annotations if entry.category_id in known and not wire.is_empty(entry)]

    async def _list(self, call: Call, user: User) -> Reply:
        dataset = self._owned(call, user)
        rows = []
        for export in reversed(self._exports.values()):
            if export.dataset is not dataset:
                continue
            if export.polls_left <= 0 and export.due_s <= self._desk.clock.now_s():
                rows.append({"id": export.id, "ago": "a few seconds ago", "tags": export.tags})
            export.polls_left -= 1
        return Reply(rows[:_LISTED_MAX])

    async def _get(self, call: Call, user: User) -> Reply:
        export = self._asked(call, user)
        return Reply({"id": export.id, "dataset_id": export.dataset.id, "tags": export.tags})

    async def _download(self, call: Call, user: User) -> Reply:
        export = self._asked(call, user)
        name = f"{export.dataset.name.encode()!r}-{'-'.join(export.tags).encode()!r}.json"
        headers = {
            "ETag": f'"{export.due_s:.6f}-{len(export.data)}-{zlib.adler32(name.encode())}"',
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        return Reply(content=Memory(export.data), headers=headers)

    async def _delete(self, call: Call, user: User) -> Reply:
        del self._exports[self._asked(call, user).id]
        return Reply(DONE)

    async def _list_tasks(self, _call: Call, _user: User) -> Reply:
        return Reply([task.row for task in self._tasks.values()])

    async def _logs(self, call: Call, _user: User) -> Reply:
        task = self._tasks.get(int(call.params["id"]))
        if task is None:
            raise refusal(400, {"message": "Invalid task id"})
        return Reply({"logs": task.logs})

    def _owned(self, call: Call, user: User) -> Dataset:
        dataset = self._desk.dataset(call, user)
        if dataset is None:
            raise refusal(400, {"message": "Invalid dataset ID"})
        if not self._desk.owns(user, dataset):
            raise forbidden("download the dataset's annotations")
        return dataset

    def _asked(self, call: Call, user: User) -> Export:
        export = self._exports.get(int(call.params["id"]))
        if export is None or not self._desk.sees(user, export.dataset):
            raise refusal(400, {"message": "Invalid export ID"})
        if not self._desk.owns(user, export.dataset):
            raise forbidden("download the dataset's annotations")
        return export
