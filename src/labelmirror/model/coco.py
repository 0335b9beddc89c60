"""What of a document can be said in COCO's words, and the geometry that it takes. Pure.

All coordinates are pixels of the image, x to the right and y down. A ring is a flat list x, y, x, y, …, closed implicitly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from labelmirror.model.document import Counts, JsonValue

Ring = Sequence[float]
#: Left, top, width, height.
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class CocoCategory:
    """A class of objects. `keypoints` are the names of its points, `skeleton` pairs of their 1-based numbers."""

    name: str
    supercategory: str = ""
    keypoints: Sequence[str] = ()
    skeleton: Sequence[Sequence[int]] = ()


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """One object. `keypoints` is a flat list of x, y and visibility (0 not labelled, 1 hidden, 2 visible).

    `source_id` is what the annotation is called on its server: its id, or its name there; None where it has neither.
    """

    category: str
    bbox: Box
    area: float
    segmentation: Sequence[Ring] = ()
    keypoints: Sequence[float] = ()
    iscrowd: bool = False
    source_id: JsonValue = None


@dataclass(frozen=True, slots=True)
class CocoDocument:
    """A document in COCO's words, and what was not carried.

    `left_out` counts annotations that COCO has no shape for, by type; `lost` counts what the carried ones could not take
    along, by field. `categories` are those that have more to say than a name. `size` is the image's width and height,
    None where the document does not say.
    """

    annotations: Sequence[CocoAnnotation]
    categories: Sequence[CocoCategory] = ()
    left_out: Counts = field(default_factory=dict)
    lost: Counts = field(default_factory=dict)
    size: tuple[int, int] | None = None


def enclosure(points: Sequence[tuple[float, float]]) -> Box:
    """The smallest upright box around at least one point."""
    across, down = [x for x, _ in points], [y for _, y in points]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def points_of(ring: Ring) -> list[tuple[float, float]]:
    """The corners of a ring. Raises ValueError for an odd number of coordinates."""
    return list(zip(ring[::2], ring[1::2], strict=True))


def ring_area(ring: Ring) -> float:
    """The area inside a ring that does not cross itself (the shoelace formula), in square pixels."""
    points = points_of(ring)
    turned = [*points[1:], *points[:1]]
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in zip(points, turned, strict=True))) / 2


def depths(rings: Sequence[Ring]) -> Sequence[int]:
    """In how many of the others each ring lies. One that lies partly in another counts where most of its corners are."""
    if len(rings) == 1:
        return [0]
    corners = [points_of(ring) for ring in rings]
    return [
        sum(
            2 * sum(_is_inside(corner, around) for corner in inner) > len(inner)
            for other, around in enumerate(corners)
            if other != number
        )
        for number, inner in enumerate(corners)
    ]


def _is_inside(point: tuple[float, float], corners: Sequence[tuple[float, float]]) -> bool:
    """Whether a ray from the point to the right crosses the ring an odd number of times."""
    x, y = point
    inside = False
    for (from_x, from_y), (to_x, to_y) in zip(corners, [*corners[1:], *corners[:1]], strict=True):
        if (from_y > y) != (to_y > y) and x < from_x + (y - from_y) / (to_y - from_y) * (to_x - from_x):
            inside = not inside
    return inside
