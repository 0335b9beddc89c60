"""COCO Annotator's documents in COCO's words. Pure.

Both fill every ring of an object, so a ring within another adds nothing. Area and box are computed anew: what the server
computed is of before an edit.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from labelmirror.model.coco import CocoAnnotation, CocoCategory, CocoDocument, depths, enclosure, points_of, ring_area
from labelmirror.model.document import Document, JsonObject, JsonValue
from labelmirror.providers.coco_annotator.annotation import name_in, names_of
from labelmirror.providers.coco_annotator.format import annotations_of, metadata_of
from labelmirror.providers.documents import is_number

#: What COCO has no place for, where it says something.
_LOST = ("color", "isbbox", "metadata")


def coco(document: Document) -> CocoDocument:
    """The polygons and keypoints of a document; an annotation without either is left out, and so is a misshapen one."""
    names = names_of(document["categories"])
    annotations: list[CocoAnnotation] = []
    left_out: Counter[str] = Counter()
    lost: Counter[str] = Counter(["image_metadata"] if metadata_of(document) else [])
    for annotation in annotations_of(document):
        name = name_in(names, annotation)
        rings, keypoints = _rings(annotation), _keypoints(annotation)
        if not isinstance(name, str) or rings is None or keypoints is None:
            left_out["invalid"] += 1
        elif not rings and not any(keypoints[2::3]):
            left_out["empty"] += 1
        else:
            annotations.append(_made(annotation, name, rings, keypoints))
            lost.update(key for key in _LOST if annotation.get(key))
    return CocoDocument(annotations, _categories(document), left_out, lost, _size(document))


def _made(
    annotation: JsonObject, name: str, rings: Sequence[Sequence[float]], keypoints: Sequence[float]
) -> CocoAnnotation:
    labelled = zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=True)
    points = [point for ring in rings for point in points_of(ring)] or [(x, y) for x, y, flag in labelled if flag]
    return CocoAnnotation(
        name,
        enclosure(points),
        sum(ring_area(ring) for ring, depth in zip(rings, depths(rings), strict=True) if depth == 0),
        rings,
        keypoints,
        iscrowd=bool(annotation.get("iscrowd")),
        source_id=annotation.get("id"),
    )


def _rings(annotation: JsonObject) -> Sequence[Sequence[float]] | None:
    """The polygons, each of three corners or more; None for anything else."""
    rings = [_numbers(ring) for ring in _items(annotation.get("segmentation"))]
    good = [ring for ring in rings if ring is not None and len(ring) >= 6 and len(ring) % 2 == 0]
    return good if len(good) == len(rings) else None


def _keypoints(annotation: JsonObject) -> Sequence[float] | None:
    """The keypoints, three numbers each; None for anything else."""
    numbers = _numbers(annotation.get("keypoints") or [])
    return numbers if numbers is not None and len(numbers) % 3 == 0 else None


def _numbers(value: JsonValue) -> Sequence[float] | None:
    items = _items(value)
    numbers = [item for item in items if is_number(item)]
    return numbers if len(numbers) == len(items) else None


def _items(value: JsonValue) -> Sequence[JsonValue]:
    """The items of a list; what is none counts as an item, so that it is found unfit."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _categories(document: Document) -> Sequence[CocoCategory]:
    found = document["categories"]
    assert isinstance(found, list)
    rows = [row for row in found if isinstance(row, Mapping) and isinstance(row.get("name"), str)]
    return [
        CocoCategory(
            str(row["name"]),
            str(row.get("supercategory") or ""),
            [str(label) for label in _items(row.get("keypoint_labels"))],
            [pair for pair in map(_pair, _items(row.get("keypoint_edges"))) if pair is not None],
        )
        for row in rows
    ]


def _pair(value: JsonValue) -> Sequence[int] | None:
    numbers = [number for number in _items(value) if isinstance(number, int)]
    return numbers if len(numbers) == 2 else None


def _size(document: Document) -> tuple[int, int] | None:
    image = document["image"]
    assert isinstance(image, Mapping)
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None
