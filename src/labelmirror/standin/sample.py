"""The content of the sample world: what an image shows follows from its number alone, so nothing need be kept."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: An annotation as the newest generation of Pictograph writes it: the form in which all worlds keep annotations.
Annotation = Mapping[str, Any]

CLASSES: tuple[Mapping[str, Any], ...] = (
    {"name": "boat", "type": "bbox", "color": "#e6194b"},
    {"name": "ship", "type": "bbox", "color": "#3cb44b"},
    {"name": "building", "type": "polygon", "color": "#4363d8"},
    {"name": "lane", "type": "polyline", "color": "#f58231"},
    {"name": "eye", "type": "keypoint", "color": "#911eb4"},
)
DIRECTORIES = ("/", "/day", "/night", "/night/rain")
STATUSES = ("new", "annotate", "review", "complete")
UNICODE_STEM = "Möwe-überm-Hafen-日本"


@dataclass(frozen=True, slots=True)
class Richness:
    """What annotations a server can hold beyond plain boxes, outlines, lines and points."""

    holes: bool = True
    oriented: bool = True
    instances: bool = True


RICH = Richness()


def place(number: int) -> tuple[str, str]:
    """Directory and file name of a sample image: every name occurs in each directory, one is not ASCII."""
    directory = DIRECTORIES[number % len(DIRECTORIES)]
    row = number // len(DIRECTORIES)
    stem = UNICODE_STEM if number == len(DIRECTORIES) else f"pier-{row:05d}"
    return directory, f"{stem}{'.jpg' if row % 3 == 2 else '.png'}"


def annotation_count(number: int, unannotated_every: int) -> int:
    """How many annotations the sample image has."""
    if unannotated_every and number % unannotated_every == unannotated_every - 1:
        return 0
    return 2 + number % 4


def confidence(number: int, index: int) -> float:
    """A few annotations come from a model and say how sure it was."""
    return 0.83 if number % 7 == 3 and index == 0 else 1.0


def annotations(number: int, count: int, size: tuple[int, int], richness: Richness) -> tuple[Annotation, ...]:
    """The `count` annotations of a sample image of this size in pixels: the kinds take turns over the images."""
    rng = random.Random(number)
    return tuple(_annotation(rng, number, index, size, richness) for index in range(count))


def _annotation(
    rng: random.Random, number: int, index: int, size: tuple[int, int], richness: Richness
) -> dict[str, Any]:
    width, height = size
    left, top = rng.randrange(width // 2), rng.randrange(height // 2)
    right, bottom = left + 4 + rng.randrange(width // 3), top + 4 + rng.randrange(height // 3)
    common: dict[str, Any] = {"id": f"a{number}-{index}"}
    match (number + index) % 5:
        case 0:
            shape: dict[str, Any] = {"name": "boat", "type": "bbox", "bounding_box": _box(left, top, right, bottom)}
        case 1:
            shape = {"name": "ship", "type": "bbox", "bounding_box": _box(left, top, right, bottom)}
            if richness.oriented:
                # A turn by a right angle: the enclosure of the turned box is exact in whole pixels.
                shape["oriented_box"] = {
                    "cx": (left + right) / 2,
                    "cy": (top + bottom) / 2,
                    "w": bottom - top,
                    "h": right - left,
                    "angle": 90.0,
                }
        case 2:
            rings = [_ring(left, top, right, bottom)]
            if richness.holes:
                rings.append(_ring(left + 1, top + 1, left + 3, top + 3))
            shape = {"name": "building", "type": "polygon", "polygon": {"paths": rings}}
        case 3:
            points = [{"x": left, "y": top}, {"x": right, "y": top + 1.5}, {"x": right, "y": bottom}]
            shape = {"name": "lane", "type": "polyline", "polyline": {"path": points}}
        case _:
            shape = {"name": "eye", "type": "keypoint", "keypoint": {"x": left + 0.5, "y": top}}
            if richness.instances:
                shape["instance_id"] = 1 + index
    shape = common | shape | {"confidence": confidence(number, index), "created_by": None, "attributes": []}
    return with_enclosure(shape)


def with_enclosure(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """The annotation with the bounding box that servers compute for polygons and polylines.

    A line along an axis gets none: its box would have no height or width, and SDKs refuse to read such boxes.
    """
    plain = {name: value for name, value in annotation.items() if name != "bounding_box"}
    match annotation["type"]:
        case "polygon":
            points: Sequence[Mapping[str, float]] = [point for ring in annotation["polygon"]["paths"] for point in ring]
        case "polyline":
            points = annotation["polyline"]["path"]
        case _:
            return dict(annotation)
    across, down = [point["x"] for point in points], [point["y"] for point in points]
    box = _box(min(across), min(down), max(across), max(down))
    return plain | {"bounding_box": box} if box["w"] > 0 and box["h"] > 0 else plain


def _box(left: float, top: float, right: float, bottom: float) -> dict[str, float]:
    return {"x": left, "y": top, "w": right - left, "h": bottom - top}


def _ring(left: float, top: float, right: float, bottom: float) -> list[dict[str, float]]:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [{"x": x, "y": y} for x, y in corners]
