"""Polygons as COCO Annotator stores them, and as its editor sends them (contract, 8.3). Pure.

Coordinates of a segmentation are pixels from the image's upper left corner. A compound path is the JSON of paper.js; its
points lie around the centre of the annotation's `width` and `height`, which are the image's when it was made.
"""

from collections.abc import Mapping, Sequence

from labelmirror.model.document import JsonValue
from labelmirror.providers.documents import is_number

#: What clears the polygons of an annotation.
NOTHING: JsonValue = ["CompoundPath", {}]


def rounded(segmentation: JsonValue) -> JsonValue:
    """The polygons with the two decimals that a save keeps. What is no list of lists of numbers comes back as it is."""
    if not isinstance(segmentation, list) or not all(
        isinstance(ring, list) and all(map(is_number, ring)) for ring in segmentation
    ):
        return segmentation
    return [[round(float(number), 2) for number in ring] for ring in segmentation]


def compound_path(segmentation: Sequence[Sequence[float]], width: int, height: int) -> JsonValue:
    """The path that the server turns into exactly these polygons, as long as they have two decimals."""
    if not segmentation:
        return NOTHING
    children: list[JsonValue] = []
    for ring in segmentation:
        segments = [[x - width / 2, y - height / 2] for x, y in zip(ring[::2], ring[1::2], strict=True)]
        children.append(["Path", {"applyMatrix": True, "segments": segments, "closed": True}])
    return ["CompoundPath", {"applyMatrix": True, "children": children}]


def segmentation_of(path: JsonValue, width: int, height: int) -> JsonValue:
    """The polygons that the server makes of a compound path; None for what it passes over or cannot take."""
    if not isinstance(path, list) or len(path) != 2 or not isinstance(path[1], Mapping):
        return None
    children = [path] if path[0] == "Path" else path[1].get("children", [])
    if not isinstance(children, list):
        return None
    rings: list[JsonValue] = []
    for child in children:
        ring = _ring(child, width, height)
        if ring is None:
            return None
        if len(ring) != 4 and sum(ring) != 0 and not _is_corner(ring, width, height):
            rings.append(ring)
    return rings


def _ring(child: JsonValue, width: int, height: int) -> list[float] | None:
    if not isinstance(child, list) or len(child) != 2 or not isinstance(child[1], Mapping):
        return None
    segments = child[1].get("segments", [])
    if not isinstance(segments, list):
        return None
    ring: list[float] = []
    for segment in segments:
        point = segment[0] if isinstance(segment, list) and len(segment) == 4 else segment
        if not isinstance(point, list) or not all(map(is_number, point)):
            return None
        if len(point) == 2:
            ring += [round(width / 2 + point[0], 2), round(height / 2 + point[1], 2)]
    return ring


def is_dropped(ring: Sequence[float], width: int, height: int) -> bool:
    """Whether the server drops a polygon, or fails on it, however it is sent."""
    return len(ring) < 6 or sum(ring) == 0 or _is_corner(ring, width, height)


def is_flat(ring: Sequence[float]) -> bool:
    """Whether a polygon has no width or no height, so that nobody will ever see it or take hold of it."""
    return len(set(ring[::2])) == 1 or len(set(ring[1::2])) == 1


def _is_corner(ring: Sequence[float], width: int, height: int) -> bool:
    return all(number in {width, height} for number in ring)
