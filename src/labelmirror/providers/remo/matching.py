"""Which annotation descends from which, on a server whose annotations have no ids. Pure.

Exact equals first, then the same name, then one to one by greatest overlap. An annotation that descends from one of base
has that one's key, its position there; an addition is known by its place, so that two equal ones are one.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from labelmirror.model.document import Digest, JsonObject, JsonValue, digest_of
from labelmirror.providers.documents import is_number

#: What the server fills in by itself.
_SERVER_FILLED = frozenset({"lower", "position_number"})
#: Fields that say the same whether they are absent or have this value.
_DEFAULTS: Mapping[str, JsonValue] = {"auto_created": False, "questionable": False, "score": None}
#: Two annotations may be one that moved when their boxes share so much of their common area.
OVERLAP_MIN = 0.3

_Box = tuple[float, float, float, float]


def comparable(annotation: JsonObject) -> JsonObject:
    """The annotation as the server keeps it, without defaults and what it fills in; classes have no order."""
    kept: dict[str, JsonValue] = {
        key: value
        for key, value in annotation.items()
        if key not in _SERVER_FILLED and not (key in _DEFAULTS and value == _DEFAULTS[key])
    }
    classes, coordinates = annotation.get("classes"), annotation.get("coordinates")
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        held = [comparable(item) if isinstance(item, Mapping) else item for item in classes]
        kept["classes"] = sorted(held, key=digest_of)
    if isinstance(coordinates, Sequence) and not isinstance(coordinates, str):
        kept["coordinates"] = [rounded(point) for point in coordinates]
    return kept


def rounded(point: JsonValue) -> JsonValue:
    """A point in whole pixels, halves up: the server would cut fractions towards zero."""
    if not isinstance(point, Mapping):
        return point
    return {axis: math.floor(at + 0.5) if isinstance(at, float) else at for axis, at in point.items()}


def keys(annotations: Sequence[JsonObject], base: Sequence[JsonObject] | None) -> Sequence[str]:
    """A key for each annotation: "#3" for the third of base, or one made from its place. Without base, its own position."""
    if base is None:
        return [f"#{number}" for number in range(1, len(annotations) + 1)]
    origins = _origins(annotations, base)
    return [
        f"#{origins[index] + 1}" if index in origins else f"+{digest_of(place(annotation))}"
        for index, annotation in enumerate(annotations)
    ]


def place(annotation: JsonObject) -> JsonValue:
    """What the server tells annotations apart by: the coordinates of an object, the name of an image's class."""
    return comparable(annotation).get("coordinates", annotation.get("name"))


def is_flat(annotation: JsonObject) -> bool:
    """Whether an object has no width or no height in whole pixels, so that nobody will ever see it or take hold of it."""
    box = _box(comparable(annotation))
    return box is not None and (box[0] == box[2] or box[1] == box[3])


def _origins(annotations: Sequence[JsonObject], base: Sequence[JsonObject]) -> Mapping[int, int]:
    """The index in base for each annotation that has one."""
    found: dict[int, int] = {}
    for sign in (_content, _name):
        free: dict[Digest, list[int]] = defaultdict(list)
        for origin in _left(base, found.values()):
            free[sign(base[origin])].append(origin)
        for index in _left(annotations, found):
            if same := free[sign(annotations[index])]:
                found[index] = same.pop(0)
    for index, origin in _by_overlap(annotations, base, found):
        if index not in found and origin not in found.values():
            found[index] = origin
    return found


def _content(annotation: JsonObject) -> Digest:
    return digest_of(comparable(annotation))


def _name(annotation: JsonObject) -> Digest:
    return digest_of(annotation.get("name"))


def _by_overlap(
    annotations: Sequence[JsonObject], base: Sequence[JsonObject], found: Mapping[int, int]
) -> Sequence[tuple[int, int]]:
    """Pairs of what is left that overlap enough, the greatest overlap first."""
    here = [(index, box) for index in _left(annotations, found) if (box := _box(annotations[index]))]
    there = [(origin, box) for origin in _left(base, found.values()) if (box := _box(base[origin]))]
    pairs = [(_overlap(a, b), origin, index) for (index, a), (origin, b) in product(here, there)]
    return [(index, origin) for share, origin, index in sorted(pairs, key=_greatest_first) if share >= OVERLAP_MIN]


def _greatest_first(pair: tuple[float, int, int]) -> tuple[float, int, int]:
    share, origin, index = pair
    return -share, origin, index


def _left(annotations: Sequence[JsonObject], taken: Iterable[int]) -> Sequence[int]:
    gone = set(taken)
    return [index for index in range(len(annotations)) if index not in gone]


def _box(annotation: JsonObject) -> _Box | None:
    """What encloses the points of an object; None where it has none."""
    points = annotation.get("coordinates")
    if not isinstance(points, Sequence) or isinstance(points, str):
        return None
    places = [(point.get("x"), point.get("y")) for point in points if isinstance(point, Mapping)]
    xs, ys = [x for x, _ in places if is_number(x)], [y for _, y in places if is_number(y)]
    return (min(xs), min(ys), max(xs), max(ys)) if xs and ys else None


def _overlap(first: _Box, second: _Box) -> float:
    """Intersection over union."""
    if first == second:
        return 1.0
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = _area(first) + _area(second) - shared
    return shared / union if union > 0 else 0.0


def _area(box: _Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
