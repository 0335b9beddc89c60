"""What the generations of the server accept as annotations, and the list that is sent for a document. Pure.

Checked by hand and not by models, so that each problem names its place in the file in the spelling that stands there:
older dialects of an annotation are accepted wherever they can be rewritten without loss (contract, section 6).
"""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Document, JsonObject, JsonValue
from labelmirror.model.remote import Dataset
from labelmirror.providers.documents import Problem, is_number, kind, located, shown
from labelmirror.providers.pictograph.dialect import Generation
from labelmirror.providers.pictograph.format import ENCLOSED, NULLABLE, PictographFormat, upgraded
from labelmirror.providers.places import Path

_FORMAT = PictographFormat()

_SHAPES: Mapping[str, str] = {
    "bbox": "bounding_box",
    "polygon": "polygon",
    "polyline": "polyline",
    "keypoint": "keypoint",
}
_COMMON = ("id", "name", "type", "confidence", "created_by", "attributes")
#: Words that other programs use for the class.
_CLASS_WORDS = ("class", "class_name", "category", "label")


Check = Callable[[JsonValue, Path], Iterator[Problem]]


def invalid(data: bytes, dataset: Dataset, image: str, generation: Generation) -> Sequence[InvalidDocument]:
    """Every reason why the server would not take this file as the document of the image, with pointers and lines."""
    try:
        document = _FORMAT.parse(data)
    except InvalidDocument as error:
        return [error]
    return located(data, problems(document, dataset, image, generation))


def problems(document: Document, dataset: Dataset, image: str, generation: Generation) -> Sequence[Problem]:
    """The same of a parsed document. Classes are not checked where the dataset does not name any: the server does."""
    return list(_document(document, [str(item.get("name")) for item in dataset.categories], image, generation))


def sendable(document: Document, generation: Generation) -> Sequence[JsonObject]:
    """The list to send for a document without problems: numbers, order and what may be unknown to us as they stand."""
    write = _oldest if generation is Generation.G0 else _strict
    return [write(annotation) for annotation in _FORMAT.annotations(document)]


def _strict(annotation: JsonObject) -> JsonObject:
    """The canonical form. The server computes what encloses points; one from before an edit would contradict them."""
    form = {key: value for key, value in upgraded(annotation).items() if (key, value) != ("attributes", {})}
    if form["type"] in ENCLOSED:
        form.pop("bounding_box", None)
    return form


def _oldest(annotation: JsonObject) -> JsonObject:
    """The oldest generation has two dialects of its own, so shapes in them stay in the one that its server spoke."""
    form = {key: value for key, value in annotation.items() if value is not None or key not in NULLABLE}
    polygon = form.get("polygon")
    if isinstance(polygon, Mapping) and "paths" in polygon:
        form["polygon"] = {"path": _items(polygon["paths"])[0]}
    if form["type"] in ENCLOSED:
        form.pop("bounding_box", None)
    if not form.get("attributes"):
        form.pop("attributes", None)
    return form


# --- a document --------------------------------------------------------------------------------------------------


def _document(document: Document, classes: Sequence[str], image: str, generation: Generation) -> Iterator[Problem]:
    if document.get("image_uuid", image) != image:
        yield Problem(("image_uuid",), "this is the document of another image", f"The image here is {image}.")
    seen: set[str] = set()
    for index, annotation in enumerate(_FORMAT.annotations(document)):
        path: Path = ("annotations", index)
        yield from _annotation(annotation, path, classes, generation)
        key = annotation.get("id")
        if isinstance(key, str) and key in seen:
            yield Problem(
                (*path, "id"), f"the id {shown(key)} is used twice", "Give every annotation an id of its own."
            )
        elif isinstance(key, str):
            seen.add(key)


def _annotation(
    annotation: JsonObject, path: Path, classes: Collection[str], generation: Generation
) -> Iterator[Problem]:
    # Null means absent here, except where the key is demanded.
    held = {key: value for key, value in annotation.items() if value is not None or key not in NULLABLE}
    yield from _needed(held, "id", path, _text)
    yield from _class_name(held, path, classes)
    if "confidence" in held:
        yield from _confidence(held["confidence"], (*path, "confidence"))
    if held.get("created_by") is not None:
        yield from _text(held["created_by"], (*path, "created_by"))
    if "attributes" in held:
        yield from _attributes(held["attributes"], (*path, "attributes"), generation)
    form = held.get("type")
    if not isinstance(form, str) or form not in _SHAPES:
        place = (*path, "type") if "type" in held else path
        said = f"the type {shown(form)} is not known" if "type" in held else 'the key "type" is missing'
        yield Problem(place, said, f"Types are: {', '.join(_SHAPES)}.")
        return
    yield from _keys(held, form, path, generation)
    yield from _shape(held, form, path, generation)


def _class_name(held: JsonObject, path: Path, classes: Collection[str]) -> Iterator[Problem]:
    instead = next((word for word in _CLASS_WORDS if word in held), None)
    if "name" not in held and instead is not None:
        yield Problem((*path, instead), f'the class stands under "{instead}"', 'The key of the class is "name".')
        return
    found = list(_needed(held, "name", path, _text))
    yield from found
    name = held.get("name")
    if not found and classes and name not in classes:
        near = difflib.get_close_matches(str(name), classes, n=3) or sorted(classes)[:10]
        names = ", ".join(shown(item) for item in near)
        yield Problem((*path, "name"), f"the dataset has no class {shown(name)}", f"The nearest classes are: {names}.")


def _attributes(value: JsonValue, path: Path, generation: Generation) -> Iterator[Problem]:
    is_map = isinstance(value, Mapping)
    if not is_map and not isinstance(value, list):
        allowed = "A list or an object is expected." if generation is Generation.G2 else "A list is expected."
        yield Problem(path, f"attributes are {kind(value)}", allowed)
    elif value and generation is Generation.G0:
        yield Problem(path, "this generation of the server keeps no attributes", "Leave them out.")
    elif value and is_map and generation is not Generation.G2:
        yield Problem(path, "this generation of the server keeps attributes as a list only", "A list is expected.")


def _keys(held: JsonObject, form: str, path: Path, generation: Generation) -> Iterator[Problem]:
    """Keys that this type of annotation cannot have. The oldest generation is known to tolerate what it does not know."""
    newest = {"bbox": ("oriented_box",), "keypoint": ("instance_id",)}.get(form, ())
    allowed = [*_COMMON, _SHAPES[form]]
    if form in ENCLOSED:
        allowed.append("bounding_box")
    if generation is Generation.G2:
        allowed.extend(newest)
    if form == "bbox" and "bounding_box" not in held:
        allowed.append("bbox")
    for key in held:
        place = (*path, key)
        if key in allowed or (key in _CLASS_WORDS and "name" not in held):
            continue
        if key in newest:
            yield Problem(place, f'this generation of the server keeps no "{key}"', "Leave it out.")
        elif generation is not Generation.G0 or key in _KNOWN:
            yield _unknown(key, allowed, place, f"a {form}")


def _unknown(key: str, allowed: Sequence[str], path: Path, owner: str) -> Problem:
    near = difflib.get_close_matches(key, allowed, n=1)
    meant = f' Is "{near[0]}" meant?' if near else ""
    return Problem(path, f"{owner} has no key {shown(key)}", f"Keys are: {', '.join(allowed)}.{meant}")


def _shape(held: JsonObject, form: str, path: Path, generation: Generation) -> Iterator[Problem]:
    key = "bbox" if form == "bbox" and "bounding_box" not in held and "bbox" in held else _SHAPES[form]
    if key not in held:
        yield Problem(path, f'the key "{key}" is missing', f'A {form} has its geometry under "{key}".')
        return
    value, place = held[key], (*path, key)
    match key:
        case "bbox":
            yield from _old_box(value, place)
        case "bounding_box":
            yield from _record(value, place, _BOX)
        case "polygon":
            yield from _polygon(value, place, generation)
        case "polyline":
            yield from _path(value, place) if isinstance(value, list) else _record(value, place, {"path": _path})
        case _:
            yield from _point(value, place)
    if generation is Generation.G2 and form == "bbox" and "oriented_box" in held:
        yield from _record(held["oriented_box"], (*path, "oriented_box"), _ORIENTED, optional={"angle": _angle})
    if generation is Generation.G2 and form == "keypoint" and "instance_id" in held:
        yield from _instance(held["instance_id"], (*path, "instance_id"))


# --- geometry ----------------------------------------------------------------------------------------------------


def _old_box(value: JsonValue, path: Path) -> Iterator[Problem]:
    if not isinstance(value, list) or len(value) != 4:
        yield Problem(path, f"a box is {_size(value)}", "Four numbers are expected: x, y, w, h.")
        return
    for index, (number, check) in enumerate(zip(value, _BOX.values(), strict=True)):
        yield from check(number, (*path, index))


def _polygon(value: JsonValue, path: Path, generation: Generation) -> Iterator[Problem]:
    if isinstance(value, list):
        yield from _ring(value, path)
        return
    if isinstance(value, Mapping) and "path" in value and "paths" not in value:
        yield from _record(value, path, {"path": _ring})
        return
    yield from _record(value, path, {"paths": _rings})
    rings = value.get("paths") if isinstance(value, Mapping) else None
    if generation is Generation.G0 and isinstance(rings, list) and len(rings) > 1:
        said = f"this generation of the server keeps polygons of one ring, this one has {len(rings)}"
        yield Problem((*path, "paths"), said, "Leave the holes out.")


def _rings(value: JsonValue, path: Path) -> Iterator[Problem]:
    if not isinstance(value, list) or not value:
        yield Problem(path, f"the rings are {_size(value)}", "A list of at least one ring is expected.")
        return
    for index, ring in enumerate(value):
        yield from _ring(ring, (*path, index))


def _ring(value: JsonValue, path: Path) -> Iterator[Problem]:
    yield from _points(value, path, 3, "ring")


def _path(value: JsonValue, path: Path) -> Iterator[Problem]:
    yield from _points(value, path, 2, "line")


def _points(value: JsonValue, path: Path, least: int, what: str) -> Iterator[Problem]:
    allowed = f"A {what} is a list of at least {least} points {{x, y}}."
    if not isinstance(value, list):
        yield Problem(path, f"a {what} is {kind(value)}", allowed)
    elif value and all(is_number(item) for item in value):
        yield Problem(path, f"a {what} is a flat list of numbers", allowed)
    elif len(value) < least:
        yield Problem(path, f"a {what} has {len(value)} of {least} points", allowed)
    else:
        for index, point in enumerate(value):
            yield from _point(point, (*path, index))


def _point(value: JsonValue, path: Path) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield from _record(value, path, _POINT)
    elif len(value) != 2:
        yield Problem(path, f"a point is {_size(value)}", "Two numbers are expected: x, y.")
    else:
        for index, number in enumerate(value):
            yield from _number(number, (*path, index))


# --- values ------------------------------------------------------------------------------------------------------


def _record(
    value: JsonValue, path: Path, needed: Mapping[str, Check], *, optional: Mapping[str, Check] | None = None
) -> Iterator[Problem]:
    """An object with these keys and no others."""
    checks = {**needed, **(optional or {})}
    if not isinstance(value, Mapping):
        yield Problem(path, f'"{path[-1]}" is {kind(value)}', f"An object is expected, with {', '.join(checks)}.")
        return
    for key in needed:
        if key not in value:
            yield Problem(path, f'the key "{key}" is missing', f"Keys are: {', '.join(checks)}.")
    for key, item in value.items():
        if key in checks:
            yield from checks[key](item, (*path, key))
        else:
            yield _unknown(key, list(checks), (*path, key), f'"{path[-1]}"')


def _needed(held: JsonObject, key: str, path: Path, check: Check) -> Iterator[Problem]:
    if key in held:
        yield from check(held[key], (*path, key))
    else:
        yield Problem(path, f'the key "{key}" is missing', f'Every annotation has "{key}".')


def _text(value: JsonValue, path: Path) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(path, f'"{path[-1]}" is {kind(value)}', "A text is expected.")
    elif not value.strip():
        yield Problem(path, f'"{path[-1]}" is blank', "A text that is not blank is expected.")


def _number(value: JsonValue, path: Path) -> Iterator[Problem]:
    if not is_number(value):
        yield Problem(path, f'"{path[-1]}" is {kind(value)}', "A finite number of pixels is expected.")


def _positive(value: JsonValue, path: Path) -> Iterator[Problem]:
    if not is_number(value):
        yield from _number(value, path)
    elif value <= 0:
        yield Problem(path, f"a box has the size {shown(value)}", "A number above 0 is expected.")


def _angle(value: JsonValue, path: Path) -> Iterator[Problem]:
    if not is_number(value) or not 0 <= value < 360:
        yield Problem(path, f"the angle is {shown(value)}", "Degrees from 0 to below 360 are expected.")


def _confidence(value: JsonValue, path: Path) -> Iterator[Problem]:
    if not is_number(value) or not 0 <= value <= 1:
        allowed = "A number from 0 to 1 is expected; without the key it is 1."
        yield Problem(path, f"the confidence is {shown(value)}", allowed)


def _instance(value: JsonValue, path: Path) -> Iterator[Problem]:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        yield Problem(path, f"the instance_id is {shown(value)}", "A whole number from 1 on is expected.")


_POINT: Mapping[str, Check] = {"x": _number, "y": _number}
_BOX: Mapping[str, Check] = {"x": _number, "y": _number, "w": _positive, "h": _positive}
_ORIENTED: Mapping[str, Check] = {"cx": _number, "cy": _number, "w": _positive, "h": _positive}
#: Keys with a meaning, which in another type of annotation are mistakes in every generation.
_KNOWN = frozenset({*_SHAPES.values(), "bbox", "oriented_box", "instance_id"})


def _size(value: JsonValue) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else kind(value)


def _items(value: JsonValue) -> Sequence[JsonValue]:
    assert isinstance(value, list)
    return value
