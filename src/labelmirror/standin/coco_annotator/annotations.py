"""Annotations one by one and in bulk (contract, sections 7 and 8.1)."""

from typing import Any

from labelmirror.standin.coco_annotator import wire
from labelmirror.standin.coco_annotator.desk import DONE, Desk, body_of, broken, invalid, refusal
from labelmirror.standin.coco_annotator.world import Annotation, User
from labelmirror.standin.exchange import Call, Reply, Route


class AnnotationRoutes:
    """What can be done with single annotations."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._world = desk.world

    def routes(self) -> tuple[Route, ...]:
        """The operations."""
        route = self._desk.route
        one = r"/annotation/{id:\d+}"
        return (
            route("annotations.list", "GET", "/annotation/", self._list),
            route("annotations.create", "POST", "/annotation/", self._create),
            route("annotations.get", "GET", one, self._get),
            route("annotations.update", "PUT", one, self._update),
            route("annotations.delete", "DELETE", one, self._delete),
        )

    async def _list(self, _call: Call, user: User) -> Reply:
        seen = {number for number, dataset in self._world.datasets.items() if self._desk.sees(user, dataset)}
        annotations = self._world.annotations.values()
        return Reply([wire.annotation(annotation) for annotation in annotations if annotation.dataset_id in seen])

    async def _create(self, call: Call, user: User) -> Reply:
        body = body_of(call)
        image_id, category_id = _identifier(body, "image_id"), _identifier(body, "category_id")
        if image_id is None:
            raise invalid({"image_id": "Missing required parameter in the JSON body"})
        image = self._desk.image(image_id, user)
        if image is None or image.deleted or category_id is None:
            self._world.next_id("annotation")  # a create that is refused leaves a gap
            raise refusal(400, {"message": "Invalid image id"}) if category_id is not None else broken()
        annotation = self._world.create(
            image,
            category_id,
            user.name,
            segmentation=_listed(body, "segmentation"),
            keypoints=_listed(body, "keypoints"),
            isbbox=bool(body.get("isbbox")),
        )
        return Reply(wire.annotation(annotation, drawn=True))

    async def _get(self, call: Call, user: User) -> Reply:
        return Reply(wire.annotation(self._asked(call, user), drawn=True))

    async def _update(self, call: Call, user: User) -> Reply:
        annotation = self._asked(call, user)
        annotation.category_id = _identifier(body_of(call), "category_id")
        return Reply(wire.annotation(annotation, drawn=True))

    async def _delete(self, call: Call, user: User) -> Reply:
        annotation = self._asked(call, user)
        image = self._world.images.get(annotation.image_id) if annotation.image_id is not None else None
        if image is None or image.deleted:
            raise broken()
        self._world.delete(annotation)
        return Reply(DONE)

    def _asked(self, call: Call, user: User) -> Annotation:
        annotation = self._world.annotations.get(int(call.params["id"]))
        dataset = self._world.datasets.get(annotation.dataset_id) if annotation is not None else None
        if annotation is None or dataset is None or not self._desk.sees(user, dataset):
            raise refusal(400, {"message": "Invalid annotation id"})
        return annotation


def _identifier(body: Any, name: str) -> int | None:
    """A whole number of the body, None if it is absent. Raises Refusal (400) for anything else."""
    value = body.get(name)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise invalid({name: str(error)}) from error


def _listed(body: Any, name: str) -> list[Any]:
    """What the server makes of a list: text becomes its letters, an object its keys, and nothing is checked."""
    value = body.get(name)
    try:
        return [] if value is None else list(value)
    except TypeError as error:
        raise invalid({name: str(error)}) from error
