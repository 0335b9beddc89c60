"""Datasets and their listings of images (contract, sections 4, 5 and 12)."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from labelmirror.standin.coco_annotator import wire
from labelmirror.standin.coco_annotator.desk import (
    DONE,
    Desk,
    body_of,
    broken,
    forbidden,
    invalid,
    refusal,
    time_ms,
    whole,
)
from labelmirror.standin.coco_annotator.world import Category, Dataset, Image, User
from labelmirror.standin.exchange import Call, Reply, Route

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class DatasetRoutes:
    """What can be done with datasets."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._world = desk.world

    def routes(self) -> tuple[Route, ...]:
        """The operations."""
        route = self._desk.route
        one = r"/dataset/{id:\d+}"
        return (
            route("datasets.list", "GET", "/dataset/", self._list),
            route("datasets.create", "POST", "/dataset/", self._create),
            route("datasets.page", "GET", "/dataset/data", self._page),
            route("datasets.images", "GET", f"{one}/data", self._images),
            route("datasets.wipe-metadata", "GET", f"{one}/reset/metadata", self._wipe_metadata),
            Route("datasets.update", "POST", f"/api{one}", self._update, None, open=True),
            route("datasets.delete", "DELETE", one, self._delete),
        )

    def _visible(self, user: User) -> list[Dataset]:
        datasets = self._world.datasets.values()
        return [dataset for dataset in datasets if not dataset.deleted and self._desk.sees(user, dataset)]

    async def _list(self, _call: Call, user: User) -> Reply:
        return Reply([wire.dataset(dataset) for dataset in self._visible(user)])

    async def _page(self, call: Call, user: User) -> Reply:
        page, limit = max(1, whole(call, "page", 1)), whole(call, "limit", 20)
        if limit < 1:
            raise broken()
        datasets = self._visible(user)
        pages = -(-len(datasets) // limit)
        start = (page - 1) * limit
        shown = datasets[start : start + limit]
        pagination = {
            "start": start,
            "end": start + len(shown),
            "pages": pages,
            "page": min(page, max(1, pages)),
            "total": len(datasets),
            "showing": len(shown),
        }
        categories = [category for category in self._world.categories.values() if not category.deleted]
        return Reply(
            {
                "pagination": pagination,
                "folder": "",
                "datasets": [self._counted(dataset, user) for dataset in shown],
                "categories": [wire.category(category) for category in categories],
            }
        )

    def _counted(self, dataset: Dataset, user: User) -> dict[str, Any]:
        images = self._world.images_of(dataset)
        return {
            **wire.dataset(dataset),
            "numberImages": len(images),
            "numberAnnotated": sum(image.annotated for image in images),
            **({"first_image_id": images[0].id} if images else {}),
            "permissions": self._desk.permissions(user, dataset),
        }

    async def _create(self, call: Call, user: User) -> Reply:
        body = body_of(call) if call.body else {}
        name = body.get("name") or call.query.get("name")
        if not name:
            raise invalid({"name": "Missing required parameter in the JSON body"})
        if any(dataset.name == name for dataset in self._world.datasets.values()):
            raise refusal(400, {"message": "Dataset already exists. Check the undo tab to fully delete the dataset."})
        categories = [self._made(wanted, user.name) for wanted in body.get("categories", [])]
        return Reply(wire.dataset(self._world.add_dataset(name, user.name, categories)))

    async def _update(self, call: Call) -> Reply:
        dataset = self._world.datasets.get(int(call.params["id"]))
        if dataset is None or dataset.deleted:
            raise refusal(400, {"message": "Invalid dataset id"})
        body = body_of(call)
        if body.get("categories") is not None:
            dataset.categories = wire.ids(self._made(name, dataset.owner) for name in body["categories"])
        metadata = body.get("default_annotation_metadata")
        if metadata is not None:
            dataset.default_annotation_metadata = metadata
            for annotation in self._world.annotations.values():
                if annotation.dataset_id == dataset.id:
                    annotation.metadata = {**metadata, **annotation.metadata}
        return Reply(DONE)

    def _made(self, name: str, creator: str) -> Category:
        try:
            return self._world.category(name)
        except KeyError:
            return self._world.add_category(name, creator)

    async def _delete(self, call: Call, user: User) -> Reply:
        dataset = self._world.datasets.get(int(call.params["id"]))
        if dataset is None or dataset.deleted:
            raise refusal(400, {"message": "Invalid dataset id"})
        if not self._desk.owns(user, dataset):
            raise forbidden("delete the dataset")
        self._world.delete(dataset)
        return Reply(DONE)

    async def _wipe_metadata(self, call: Call, user: User) -> Reply:
        dataset = self._desk.dataset(call, user)
        if dataset is None:
            raise refusal(400, {"message": "Invalid dataset id"})
        for annotation in self._world.annotations.values():
            if annotation.dataset_id == dataset.id:
                annotation.metadata = {}
        for image in self._world.images_of(dataset):
            image.metadata = {}
        return Reply(DONE)

    async def _images(self, call: Call, user: User) -> Reply:
        dataset = self._desk.dataset(call, user)
        limit, page = whole(call, "limit", 20), whole(call, "page", 1)
        if dataset is None or dataset.deleted or limit == 0 or page < 1:
            raise broken()
        folder = call.query.get("folder", "").strip("/")
        inside = f"{dataset.directory}{folder}/" if folder else dataset.directory
        images = [image for image in self._world.images_of(dataset) if image.path.startswith(inside)]
        if folder and not images:
            raise refusal(400, {"message": "Directory does not exist."})
        folders = {image.path[len(inside) :].partition("/")[0] for image in images if "/" in image.path[len(inside) :]}
        known = {"page", "limit", "folder", "order"}
        for name, wanted in call.query.items():
            if name not in known:
                images = [image for image in images if _matches(image, name, wanted)]
        images = self._ordered(images, call.query.get("order", "file_name"))
        start = (page - 1) * limit
        shown = images[start : start + limit] if limit > 0 else images[:1]
        return Reply(
            {
                "total": len(images),
                "per_page": limit,
                "pages": len(images) // limit + 1,
                "page": page - 1,
                "images": [wire.listed_image(image) for image in shown],
                "folder": folder,
                "directory": inside,
                "dataset": wire.dataset(dataset),
                "categories": [
                    {"id": category.id, "name": category.name} for category in self._desk.categories(dataset)
                ],
                "subdirectories": sorted(folders),
                "time_ms": time_ms(),
            }
        )

    def _ordered(self, images: list[Image], order: str) -> list[Image]:
        """Images in the asked order; equals come in any, another one each time."""
        name = order.lstrip("+-")
        if name not in Image.__slots__:
            raise broken()
        rng = self._world.rng
        return sorted(images, key=lambda image: (getattr(image, name), rng.random()), reverse=order.startswith("-"))


def _matches(image: Image, name: str, wanted: str) -> bool:
    """Whether an image passes a filter such as `id__gt=4`. Of an unknown field, no image does."""
    field, _, comparison = name.partition("__")
    held = wire.image(image).get(field)
    if held is None:
        return False
    value: Any = wanted
    try:
        if isinstance(held, bool):
            value = wanted.lower() in {"true", "1"}
        elif isinstance(held, int):
            value = int(wanted)
        return _COMPARED[comparison](held, value)
    except (KeyError, ValueError, TypeError) as error:
        raise broken() from error
