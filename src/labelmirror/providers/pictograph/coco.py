"""Pictograph's documents in COCO's words. Pure.

COCO has no open lines; it has no holes either: the rings of a polygon go along, and readers fill all of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from labelmirror.model.coco import CocoAnnotation, CocoCategory, CocoDocument, depths, enclosure, points_of, ring_area
from labelmirror.model.document import Document, JsonObject, JsonValue
from labelmirror.providers.documents import is_number
from labelmirror.providers.pictograph.format import PictographFormat, comparable, upgraded

_FORMAT = PictographFormat()
#: What every annotation has and COCO has a place for, beside its shape.
_CARRIED = frozenset({"id", "name", "type", "bounding_box", "polygon", "keypoint"})
_VISIBLE = 2


class _UnfitError(ValueError):
    """A shape that is not one."""


def coco(document: Document) -> CocoDocument:
    """The boxes, polygons and single points of a document; lines are left out, and so is what has no proper shape."""
    annotations: list[CocoAnnotation] = []
    posed: dict[str, CocoCategory] = {}
    left_out: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for annotation in _FORMAT.annotations(document):
        kind, name = annotation.get("type"), annotation.get("name")
        if kind == "polyline":
            left_out["polyline"] += 1
            continue
        try:
            made, holes = _made(upgraded(annotation))
        except _UnfitError:
            left_out["invalid"] += 1
            continue
        annotations.append(made)
        lost.update(["holes"] if holes else [])
        lost.update(key for key in comparable(annotation) if key not in _CARRIED)
        lost.update(["created_by"] if annotation.get("created_by") is not None else [])
        if kind == "keypoint":
            # Each annotation is a single point, so its class has one, which bears the name of the class.
            posed[str(name)] = CocoCategory(str(name), keypoints=[str(name)])
    return CocoDocument(annotations, list(posed.values()), left_out, lost)


def _made(annotation: JsonObject) -> tuple[CocoAnnotation, int]:
    """The annotation, and how many holes it has. Raises _UnfitError."""
    name, key = annotation.get("name"), annotation.get("id")
    if not isinstance(name, str):
        raise _UnfitError("no class")
    match annotation.get("type"):
        case "bbox":
            left, top, width, height = _numbers(annotation.get("bounding_box"), "xywh")
            return CocoAnnotation(name, (left, top, width, height), width * height, source_id=key), 0
        case "polygon":
            rings = _rings(annotation.get("polygon"))
            areas = [-ring_area(ring) if depth % 2 else ring_area(ring) for ring, depth in _nested(rings)]
            box = enclosure([point for ring in rings for point in points_of(ring)])
            holes = sum(area < 0 for area in areas)
            return CocoAnnotation(name, box, sum(areas), rings, source_id=key), holes
        case "keypoint":
            x, y = _numbers(annotation.get("keypoint"), "xy")
            return CocoAnnotation(name, (x, y, 0, 0), 0, keypoints=[x, y, _VISIBLE], source_id=key), 0
        case _:
            raise _UnfitError("no known type")


def _nested(rings: Sequence[Sequence[float]]) -> Sequence[tuple[Sequence[float], int]]:
    return list(zip(rings, depths(rings), strict=True))


def _rings(polygon: JsonValue) -> Sequence[Sequence[float]]:
    paths = polygon.get("paths") if isinstance(polygon, Mapping) else None
    if not isinstance(paths, list) or not paths or not all(isinstance(ring, list) and len(ring) > 2 for ring in paths):
        raise _UnfitError("no rings of three points or more")
    return [[number for point in ring for number in _numbers(point, "xy")] for ring in paths]


def _numbers(value: JsonValue, names: str) -> Sequence[float]:
    found = [value.get(name) for name in names] if isinstance(value, Mapping) else []
    numbers = [number for number in found if is_number(number)]
    if len(numbers) != len(names):
        raise _UnfitError(f"no numbers {', '.join(names)}")
    return numbers
