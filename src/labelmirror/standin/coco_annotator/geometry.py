"""Outlines as the server computes with them: from paper.js to segmentations, and to pixels (contract, section 8.3)."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

#: Polygons as flat lists x, y, x, y, …, in pixels of the image.
Segmentation = list[list[float]]
#: One side of a polygon: y and lower y, x at the former, and how far x goes for each row.
_Edge = tuple[float, float, float, float]


class Unreadable(ValueError):
    """A paper.js object at which the server breaks."""


def from_paper(item: Any, width: int, height: int) -> Segmentation:
    """The polygons of a paper.js item, whose points are relative to the middle of the image.

    Raises Unreadable where the server answers 500.
    """
    try:
        polygons = [_polygon(path, width, height) for path in _paths(item)]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(str(error)) from error
    return [polygon for polygon in polygons if _kept(polygon, width, height)]


def to_paper(segmentation: Sequence[Sequence[float]], width: int, height: int) -> list[Any]:
    """The paper.js item that the web editor makes of polygons."""
    children = [
        [
            "Path",
            {
                "applyMatrix": True,
                "segments": [[x - width / 2, y - height / 2] for x, y in zip(ring[::2], ring[1::2], strict=True)],
                "closed": True,
            },
        ]
        for ring in segmentation
    ]
    return ["CompoundPath", {"applyMatrix": True, "children": children}]


def measured(segmentation: Segmentation, width: int, height: int) -> tuple[int, list[float]]:
    """Area and box `[x, y, w, h]` of the pixels whose middle lies in any of the polygons, in whole pixels."""
    rings = [_edges(ring) for ring in segmentation]
    heights = [y for ring in rings for edge in ring for y in edge[:2]]
    area = 0
    left, top, right, bottom = width, height, 0, 0
    for row in range(max(0, math.floor(min(heights, default=0))), min(height, math.ceil(max(heights, default=0)))):
        columns = _columns(rings, row + 0.5, width)
        if columns:
            area += sum([stop - start for start, stop in columns])
            left, right = min(left, columns[0][0]), max(right, columns[-1][1])
            top, bottom = min(top, row), row + 1
    if not area:
        return 0, [0.0, 0.0, 0.0, 0.0]
    return area, [float(left), float(top), float(right - left), float(bottom - top)]


def _paths(item: Any) -> Iterator[Any]:
    kind, content = item
    if kind == "Path":
        yield content
    else:
        yield from (child[1] for child in content.get("children", []))


def _polygon(path: Any, width: int, height: int) -> list[float]:
    points = [point for segment in path.get("segments", []) if (point := _point(segment)) is not None]
    if len(points) == 1:
        raise Unreadable("a polygon of one point")
    return [round(side / 2 + offset, 2) for x, y in points for side, offset in ((width, x), (height, y))]


def _point(segment: Any) -> Any:
    """The point of a segment; a segment of four items begins with its point, one of any other length is skipped."""
    if len(segment) == 4:
        segment = segment[0]
    return segment if len(segment) == 2 else None


def _kept(polygon: list[float], width: int, height: int) -> bool:
    if len(polygon) == 4 or sum(polygon) == 0:
        return False
    return any(number not in {width, height} for number in polygon)


def _edges(ring: Sequence[float]) -> list[_Edge]:
    """The sides of a polygon that are not level, each from its upper end."""
    points = list(zip(ring[1::2], ring[::2], strict=False))
    pairs = [sorted(pair) for pair in zip(points, points[1:] + points[:1], strict=True)]
    return [(y, below_y, x, (below_x - x) / (below_y - y)) for (y, x), (below_y, below_x) in pairs if y < below_y]


def _columns(rings: Sequence[Sequence[_Edge]], middle: float, width: int) -> list[tuple[int, int]]:
    """The stretches of columns that are covered in a row, from left to right, none touching the next."""
    spans: list[tuple[int, int]] = []
    for edges in rings:
        crossings = sorted([x + (middle - y) * slope for y, below_y, x, slope in edges if y < middle <= below_y])
        for start, stop in zip(crossings[::2], crossings[1::2], strict=True):
            span = max(0, math.floor(start + 0.5)), min(width, math.floor(stop + 0.5))
            if span[0] < span[1]:
                spans.append(span)
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
