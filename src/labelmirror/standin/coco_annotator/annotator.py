"""The web editor's reading and saving of one image (contract, sections 7 and 8.2)."""

from collections.abc import Mapping
from typing import Any

from labelmirror.standin.coco_annotator import wire
from labelmirror.standin.coco_annotator.desk import DONE, Desk, body_of, broken, refusal, time_ms
from labelmirror.standin.coco_annotator.geometry import Unreadable, from_paper, measured
from labelmirror.standin.coco_annotator.world import Annotation, Dataset, Image, User
from labelmirror.standin.exchange import Call, Reply, Route

_KEYPOINT_FIELDS = ("keypoint_edges", "keypoint_labels", "keypoint_colors")


class AnnotatorRoutes:
    """What the web editor does."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._world = desk.world

    def routes(self) -> tuple[Route, ...]:
        """The operations."""
        return (
            self._desk.route("annotator.read", "GET", r"/annotator/data/{id:\d+}", self._read),
            self._desk.route("annotator.save", "POST", "/annotator/data", self._save),
        )

    async def _read(self, call: Call, user: User) -> Reply:
        image = self._world.images.get(int(call.params["id"]))
        if image is None:
            raise refusal(400, {"success": False, "message": "Could not load image"})
        dataset = self._world.datasets[image.dataset_id]
        if not self._desk.sees(user, dataset):
            raise refusal(400, {"success": False, "message": "Could not find associated dataset"})
        permissions = self._desk.permissions(user, dataset)
        return Reply(
            {
                "image": {**wire.image(image), **self._neighbours(image, dataset)},
                "categories": self._groups(image, dataset),
                "dataset": wire.dataset(dataset),
                "preferences": user.preferences,
                "permissions": {
                    "dataset": permissions,
                    "image": {name: permissions[name] for name in ("delete", "download")},
                },
                "time_ms": time_ms(),
            }
        )

    def _groups(self, image: Image, dataset: Dataset) -> list[dict[str, Any]]:
        """The categories of the dataset, each with its annotations in the image. Those of others do not show.

        Deleted ones do: the server asks for those that are not, and its database driver forgets that over the ids.
        """
        annotations = self._world.annotations_of(image)
        known = [self._world.categories[number] for number in dataset.categories if number in self._world.categories]
        return [
            {
                **wire.category(category),
                "show": True,
                "visualize": False,
                "annotations": [
                    wire.annotation(annotation, drawn=True, events=False)
                    for annotation in annotations
                    if annotation.category_id == category.id
                ],
            }
            for category in known
        ]

    def _neighbours(self, image: Image, dataset: Dataset) -> dict[str, int | None]:
        here = (image.file_name, image.id)
        others = [(other.file_name, other.id) for other in self._world.images_of(dataset)]
        before = max((other for other in others if other < here), default=None)
        after = min((other for other in others if other > here), default=None)
        return {"previous": before[1] if before else None, "next": after[1] if after else None}

    async def _save(self, call: Call, user: User) -> Reply:
        """Write what the body names, record by record; what a record lacks in the body is wiped from it."""
        body = body_of(call)
        try:
            image = self._world.images.get(body["image"]["id"])
        except (KeyError, TypeError) as error:
            raise broken() from error
        if image is None:
            raise refusal(400, {"success": False, "message": "Image does not exist"})
        if body.get("dataset") is None:
            return Reply({"success": False, "message": "Could not find associated dataset"})
        dataset = self._world.datasets[image.dataset_id]
        if not self._desk.sees(user, dataset):
            raise broken()
        try:
            return await self._written(body, image, dataset, user)
        except (AttributeError, KeyError, TypeError, Unreadable, ValueError) as error:
            raise broken() from error

    async def _written(self, body: Any, image: Image, dataset: Dataset, user: User) -> Reply:
        dataset.annotate_url = body["dataset"].get("annotate_url", "")
        user.preferences = body.get("user", {})
        counted = 0
        for group in body.get("categories", []):
            category = self._world.categories.get(group.get("id"))
            if category is None:
                continue
            category.color = group.get("color")
            if self._desk.edits(user, category):
                for name in _KEYPOINT_FIELDS:
                    setattr(category, name, group.get(name, []))
            await self._world.between_writes()
            for given in group.get("annotations", []):
                annotation = self._world.annotations.get(_present(given, "id"))
                if annotation is None or annotation.image_id != image.id:
                    continue
                counted += _overwrite(annotation, given, user)
                await self._world.between_writes()
        image.metadata = body["image"].get("metadata", {})
        image.category_ids = body["image"].get("category_ids", [])
        image.annotated, image.num_annotations = counted > 0, counted
        image.regenerate_thumbnail = True
        return Reply({**DONE, "time_ms": time_ms()})


def _overwrite(annotation: Annotation, given: Mapping[str, Any], user: User) -> bool:
    """Write one annotation; whether it counts as one. Raises where the server breaks, and some is written by then."""
    sessions = [
        {
            "_cls": "SessionEvent",
            "user": user.name,
            "created_at": _present(session, "start"),
            "milliseconds": _present(session, "milliseconds"),
            "tools_used": session.get("tools", []),
        }
        for session in given.get("sessions", [])
    ]
    annotation.events = [*annotation.events, *sessions]
    annotation.milliseconds += sum(session["milliseconds"] for session in sessions)
    annotation.isbbox = bool(given.get("isbbox", False))
    annotation.keypoints = given.get("keypoints", [])
    annotation.metadata = given.get("metadata", {})
    annotation.color = given.get("color")
    paper = given.get("compoundPath", [])
    if not isinstance(paper, list):
        raise Unreadable("compoundPath must be a list")
    counts = bool(annotation.keypoints)
    if len(paper) == 2:
        annotation.segmentation = from_paper(paper, annotation.width, annotation.height)
        annotation.area, annotation.bbox = measured(annotation.segmentation, annotation.width, annotation.height)
        annotation.paper_object = paper
        counts = counts or annotation.area > 0
    return counts


def _present(given: Mapping[str, Any], name: str) -> Any:
    """A member that the server cannot do without. Raises KeyError if it is absent or null."""
    value = given[name]
    if value is None:
        raise KeyError(name)
    return value
