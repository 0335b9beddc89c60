"""A whole set in one answer: JSON, COCO or CSV (contract, section 5.5)."""

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labelmirror.standin.exchange import Call, Memory, Refusal, Reply, Route
from labelmirror.standin.remo import wire
from labelmirror.standin.remo.desk import Desk, lacking, number
from labelmirror.standin.remo.door import Access, broken
from labelmirror.standin.remo.labels import tags_csv
from labelmirror.standin.remo.model import AnnotationSet, Content, Image, Object, Task

_MIMES = {"json": "application/json", "coco": "application/json", "csv": "text/csv"}
#: The numbers below it belong to the 90 categories of COCO, which the real server knows by name; this one does not.
_FIRST_CATEGORY = 91
_FLAGS = ("full_path", "export_tags", "export_without_annotations")


@dataclass(frozen=True, slots=True)
class Order:
    """What an export shall hold."""

    chosen: AnnotationSet
    full_path: bool
    percent: bool
    empty: bool
    tags: frozenset[str]

    def images(self, *, unmarked: bool = False) -> list[tuple[Image, Content]]:
        """The images with what the set holds about them at this moment; with `unmarked`, those saved without as well."""
        found = []
        for image in self.chosen.dataset:
            row = self.chosen.row(image)
            content = row.content if row is not None else Content()
            if self.tags and not self.tags & {name for _, name in self.chosen.tagged(image)}:
                continue
            if content.objects or content.marks or self.empty or (unmarked and row is not None and row.saved):
                found.append((image, content))
        return found

    def name(self, image: Image) -> str:
        """What the export calls an image."""
        return image.linked if self.full_path and image.linked is not None else image.name

    def points(self, image: Image, each: Object) -> list[tuple[float, float]]:
        """The points of an object in pixels or in parts of the image's size."""
        width, height = image.size if self.percent else (1, 1)
        return [(x / width, y / height) if self.percent else (x, y) for x, y in each.points]


class ExportRoutes:
    """The export of a set."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The routes."""
        pattern = "/api/v1/ui/annotation-sets/{set}/export/"
        return (self._desk.route("sets.export", "GET", pattern, self._export, Access.STATED),)

    async def _export(self, call: Call) -> Reply:
        chosen = self._desk.world.find_set(number(call, "set"))
        if chosen is None:
            raise lacking("Annotation set", call.params["set"])
        kind = _choice(call, "annotation_format", ("json", "coco", "csv"), "coco, json or csv")
        flags = {name: _choice(call, name, ("false", "true"), "true or false") == "true" for name in _FLAGS}
        units = _choice(call, "export_coordinates", ("pixel", "percent"), "pixel or percent")
        order = Order(
            chosen=chosen,
            full_path=flags["full_path"],
            percent=units == "percent",
            empty=flags["export_without_annotations"],
            tags=frozenset(filter(None, call.query.get("filter_by_tags", "").split(","))),
        )
        data = _written(order, kind)
        file = f"{chosen.name}.{'csv' if kind == 'csv' else 'json'}"
        if flags["export_tags"]:
            return _archived(chosen, file, data)
        headers = {"Content-Disposition": f'filename="{file}"'}
        return Reply(content=Memory(data), mime=_MIMES[kind], headers=headers)


def _choice(call: Call, name: str, known: Sequence[str], spoken: str) -> str:
    """One of the known words; the first if none is given. Raises Refusal (400)."""
    value = call.query.get(name, known[0])
    if value not in known:
        raise Refusal(400, "error", f"Exporter parameter {name} can be: {spoken}")
    return value


def _written(order: Order, kind: str) -> bytes:
    match kind:
        case "csv":
            return _csv(order)
        case "json":
            return _encoded([_entry(order, image, content) for image, content in order.images()])
        case _:
            return _encoded(_coco(order))


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _archived(chosen: AnnotationSet, file: str, data: bytes) -> Reply:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tags.csv", tags_csv(chosen))
        archive.writestr(file, data)
    headers = {"Content-Disposition": 'attachment; filename="annotations.zip"'}
    return Reply(content=Memory(packed.getvalue()), mime="application/zip", headers=headers)


def _entry(order: Order, image: Image, content: Content) -> dict[str, Any]:
    width, height = image.size
    common = {
        "file_name": order.name(image),
        "height": height,
        "tags": [name for _, name in order.chosen.tagged(image)],
        "task": order.chosen.task.value,
        "width": width,
    }
    if content.marks:
        return {"classes": wire.names(order.chosen, content.marks), **common}
    return {"annotations": [_labelled(order, image, each) for each in content.objects], **common}


def _labelled(order: Order, image: Image, each: Object) -> dict[str, Any]:
    classes, points = wire.names(order.chosen, each.marks), order.points(image, each)
    if order.chosen.task is Task.SEGMENTATION:
        return {"classes": classes, "segments": [{"x": x, "y": y} for x, y in points]}
    (left, top), (right, bottom) = _corners(points)
    return {"bbox": {"xmax": right, "xmin": left, "ymax": bottom, "ymin": top}, "classes": classes}


def _corners(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The two corners of a box. Raises Refusal (500) for any other number: one such object breaks the export."""
    if len(points) != 2:
        raise broken()
    return points


def _coco(order: Order) -> dict[str, Any]:
    if order.chosen.task is Task.CLASSIFICATION:
        msg = f"Exporter for {order.chosen.task.value} task in format coco not implemented"
        raise Refusal(404, "error", msg)
    images = order.images()
    used = sorted(
        {
            wire.names(order.chosen, each.marks)[0].lower()
            for _, content in images
            for each in content.objects
            if each.marks
        }
    )
    numbers = {name: number for number, name in enumerate(used, _FIRST_CATEGORY)}
    return {
        "annotations": [
            told for image, content in images for told in _coco_annotations(order, image, content, numbers)
        ],
        "categories": [{"id": number, "name": name, "supercategory": name} for name, number in numbers.items()],
        "images": [
            {
                "date_captured": "",
                "file_name": order.name(image),
                "height": image.size[1],
                "id": image.id,
                "license": 0,
                "url": "",
                "width": image.size[0],
            }
            for image, _ in images
        ],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
        "licences": [{"id": "", "name": "", "url": ""}],
    }


def _coco_annotations(order: Order, image: Image, content: Content, numbers: dict[str, int]) -> list[dict[str, Any]]:
    common: dict[str, Any] = {"category_id": 0, "id": 0, "image_id": image.id, "iscrowd": 0}
    if not content.objects:
        return [{"area": 0, "bbox": [], **common, "segmentation": []}]
    told = []
    for each in content.objects:
        points = order.points(image, each)
        if not points:
            raise broken()
        area: float = 0
        if order.chosen.task is Task.DETECTION:
            (left, top), (right, bottom) = _corners(points)
            area = (right - left) * (bottom - top)
            ring = [left, top, left, bottom, right, bottom, right, top]
        else:
            left, top = (min(values) for values in zip(*points, strict=True))
            right, bottom = (max(values) for values in zip(*points, strict=True))
            ring = [value for point in points for value in point]
        first = wire.names(order.chosen, each.marks)[:1]
        told.append(
            {
                "area": area,
                "bbox": [left, top, right - left, bottom - top],
                **common,
                "category_id": numbers[first[0].lower()] if first else 0,
                "id": each.id,
                "segmentation": [ring],
            }
        )
    return told


def _csv(order: Order) -> bytes:
    table = io.StringIO()
    rows = csv.writer(table)
    columns = {
        Task.DETECTION: ["xmin", "ymin", "xmax", "ymax"],
        Task.SEGMENTATION: ["coordinates"],
        Task.CLASSIFICATION: [],
    }[order.chosen.task]
    rows.writerow(["file_name", "classes", *columns])
    for image, content in order.images(unmarked=order.chosen.task is Task.CLASSIFICATION):
        name = order.name(image)
        if not content.objects:
            rows.writerow([name, "; ".join(wire.distinct(order.chosen, content.marks)), *([""] * len(columns))])
        for each in content.objects:
            values = [value for point in order.points(image, each) for value in point]
            told = values if order.chosen.task is Task.DETECTION else ["; ".join(str(value) for value in values)]
            rows.writerow([name, "; ".join(wire.names(order.chosen, each.marks)), *told])
    return table.getvalue().encode("utf-8", "surrogatepass")
