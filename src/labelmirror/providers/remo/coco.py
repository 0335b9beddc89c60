"""Remo's documents in COCO's words. Pure.

COCO gives an object one category: the first of its classes, as Remo's own export does. Classes of a whole image have no
place in it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from labelmirror.model.coco import CocoAnnotation, CocoDocument, enclosure, ring_area
from labelmirror.model.document import Document, JsonObject, JsonValue
from labelmirror.providers.documents import is_number
from labelmirror.providers.remo.format import RemoFormat, tags_of

_FORMAT = RemoFormat()


def coco(document: Document) -> CocoDocument:
    """The boxes and polygons of a document; objects without a class are left out, and so are misshapen ones."""
    annotations: list[CocoAnnotation] = []
    left_out: Counter[str] = Counter()
    lost: Counter[str] = Counter(["tags"] if tags_of(document) else [])
    lost.update(["status"] if document.get("status") is not None else [])
    for item in _FORMAT.annotations(document):
        if "coordinates" not in item:
            left_out["image_class"] += 1
            continue
        classes, points = _classes(item.get("classes")), _points(item["coordinates"])
        if not classes or points is None:
            left_out["unclassified" if points is not None else "invalid"] += 1
            continue
        annotations.append(_made(item, str(classes[0]["name"]), points))
        lost.update(["classes"] if len(classes) > 1 else [])
        lost.update(["questionable"] if any(entry.get("questionable") for entry in classes) else [])
        lost.update(["auto_created"] if item.get("auto_created") else [])
    return CocoDocument(annotations, left_out=left_out, lost=lost)


def _made(item: JsonObject, name: str, points: Sequence[tuple[float, float]]) -> CocoAnnotation:
    """Two points are opposite corners of a box, more are a polygon."""
    box = enclosure(points)
    if len(points) == 2:
        return CocoAnnotation(name, box, box[2] * box[3], source_id=item.get("name"))
    ring = [number for point in points for number in point]
    return CocoAnnotation(name, box, ring_area(ring), [ring], source_id=item.get("name"))


def _points(value: JsonValue) -> Sequence[tuple[float, float]] | None:
    """At least two points; None for anything else."""
    items = value if isinstance(value, list) else []
    pairs = [(item.get("x"), item.get("y")) for item in items if isinstance(item, Mapping)]
    points = [(x, y) for x, y in pairs if is_number(x) and is_number(y)]
    return points if len(points) == len(items) > 1 else None


def _classes(value: JsonValue) -> Sequence[JsonObject]:
    """The classes that have a name."""
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, Mapping) and isinstance(item.get("name"), str)]
