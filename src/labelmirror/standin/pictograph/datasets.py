"""Datasets, their batch downloads, aggregates and directories (contract, section 4)."""

import uuid
from collections import Counter
from typing import Any

from labelmirror.standin.clock import iso
from labelmirror.standin.exchange import Call, Refusal, Reply, Route
from labelmirror.standin.pictograph.desk import UUID, Desk, flag, number
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.pictograph.wire import DEV
from labelmirror.standin.world import Dataset

_MODES = ("full", "images_only", "annotations_only")
_BATCH_MAX = 10_000
_PAGE_MAX = 1_000


class DatasetRoutes:
    """What can be asked about datasets."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The routes of the generation."""
        at = f"{DEV}/datasets"
        lists = (Route("datasets.list", "GET", f"{at}/", self._list),)
        if self._desk.generation is Generation.G2:
            return (
                *lists,
                Route("datasets.get", "GET", at + "/{dataset}", self._get),
                Route("datasets.download", "GET", at + "/{dataset}/download", self._download),
                Route("datasets.insights", "GET", at + "/{dataset}/insights", self._insights),
                Route("directories.list", "GET", DEV + "/directories/{dataset}", self._directories),
                Route("directories.tree", "GET", DEV + "/directories/{dataset}/tree", self._tree),
            )
        by_id = f"{at}/{{dataset:{UUID}}}"
        routes = (
            *lists,
            Route("datasets.download", "GET", at + "/by-name/{name}/download", self._download),
            Route("datasets.download", "GET", f"{by_id}/download", self._download),
            Route("datasets.get", "GET", by_id, self._get),
        )
        if self._desk.generation is Generation.G0:
            return routes
        return (*routes, Route("datasets.get", "GET", at + "/by-name/{name}", self._get))

    async def _list(self, call: Call) -> Reply:
        desk = self._desk
        desk.only(call, "limit", "offset", "archived")
        limit = number(call, "limit", 100, at_least=1, at_most=_PAGE_MAX)
        offset = number(call, "offset", 0, at_least=0)
        datasets = [] if flag(call, "archived") else list(desk.world.datasets.values())
        rows = [desk.wire.dataset(dataset) for dataset in datasets[offset : offset + limit]]
        return Reply(desk.wire.listing("dataset", rows, limit=limit, offset=offset, total=len(datasets)))

    async def _get(self, call: Call) -> Reply:
        desk = self._desk
        desk.only(call, "include_images", "images_limit", "images_offset")
        dataset = self._asked(call)
        row = desk.wire.dataset(dataset)
        if desk.generation is Generation.G0 or flag(call, "include_images"):
            limit = number(call, "images_limit", 1_000, at_least=1, at_most=_BATCH_MAX)
            offset = number(call, "images_offset", 0, at_least=0)
            page = dataset.active[offset : offset + min(limit, desk.options.batch_cap)]
            row["images"] = [desk.wire.image(dataset, image) for image in page]
        return Reply(desk.wire.single("dataset", row))

    async def _download(self, call: Call) -> Reply:
        desk = self._desk
        desk.only(call, "mode", "limit", "status_filter")
        dataset = self._asked(call)
        mode = call.query.get("mode", "full")
        if mode not in _MODES:
            raise Refusal(422, "validation_error", f"mode must be one of {', '.join(_MODES)}")
        limit = number(call, "limit", 1_000, at_least=1, at_most=_BATCH_MAX)
        status = call.query.get("status_filter")
        images = [image for image in dataset.active if status is None or image.status == status]
        items = [
            desk.wire.batch_item(
                image, mode, None if mode == "annotations_only" else desk.storage.link(f"/images/{image.id}")
            )
            for image in images[: min(limit, desk.options.batch_cap)]
        ]
        return Reply(desk.wire.batch(dataset, items))

    async def _insights(self, call: Call) -> Reply:
        self._desk.only(call)
        dataset = self._asked(call)
        images = dataset.active
        classes: Counter[str] = Counter()
        class_images: Counter[str] = Counter()
        types: Counter[str] = Counter()
        for image in images:
            names = [annotation["name"] for annotation in image.annotations]
            classes.update(names)
            class_images.update(set(names))
            types.update(annotation["type"] for annotation in image.annotations)
        counts = [image.annotation_count for image in images]
        return Reply(
            {
                "data": {
                    "total_images": len(images),
                    "total_annotations": sum(counts),
                    "annotated_images": sum(count > 0 for count in counts),
                    "unannotated_images": counts.count(0),
                    "avg_annotations_per_image": sum(counts) / len(counts) if counts else 0.0,
                    "total_bytes": sum(image.size_bytes for image in images),
                    "status_counts": dict(Counter(image.status for image in images)),
                    "class_annotation_counts": dict(classes),
                    "class_image_counts": dict(class_images),
                    "type_counts": dict(types),
                }
            }
        )

    async def _directories(self, call: Call) -> Reply:
        self._desk.only(call, "parent_path")
        dataset = self._asked(call)
        parent = call.query.get("parent_path")
        rows = [
            self._directory(dataset, path)
            for path in _directories(dataset)
            if parent is None or _parent(path) == parent
        ]
        return Reply(rows)

    async def _tree(self, call: Call) -> Reply:
        self._desk.only(call)
        dataset = self._asked(call)
        nodes: dict[str, dict[str, Any]] = {
            path: {**self._directory(dataset, path), "children": []} for path in _directories(dataset)
        }
        roots: list[dict[str, Any]] = []
        for path, node in nodes.items():
            parent = nodes.get(_parent(path))
            (roots if parent is None else parent["children"]).append(node)
        return Reply(roots)

    def _directory(self, dataset: Dataset, path: str) -> dict[str, Any]:
        within = [image for image in dataset.active if f"{image.directory}/".startswith(f"{path}/")]
        return {
            "id": str(uuid.uuid5(uuid.UUID(dataset.id), path)),
            "project_id": dataset.id,
            "name": path.rpartition("/")[2],
            "full_path": path,
            "image_count": sum(image.directory == path for image in within),
            "nested_image_count": len(within),
            "created_at": iso(dataset.created_s),
            "updated_at": iso(dataset.created_s),
        }

    def _asked(self, call: Call) -> Dataset:
        if "name" in call.params:
            return self._desk.named_dataset(call.params["name"])
        return self._desk.dataset(call.params["dataset"])


def _directories(dataset: Dataset) -> list[str]:
    """All directories that hold images or such directories, without the root, parents first."""
    found = set()
    for directory in {image.directory for image in dataset.active}:
        path = directory
        while path not in {"/", ""}:
            found.add(path)
            path = _parent(path)
    return sorted(found)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
