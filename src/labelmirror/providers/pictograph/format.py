"""Pictograph's documents: the export-file object, one for each image. Pure.

Documents of all generations of the server are read; for comparing, older dialects of an annotation count as the newest.
"""

import json
import math
from collections.abc import Mapping, Sequence

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Counts, Digest, Document, JsonObject, JsonValue, digest_of

#: Fields that say the same whether they are absent or have this value; `created_by` is the server's own at any value.
_DEFAULTS: Mapping[str, tuple[JsonValue, ...]] = {
    "confidence": (1,),
    "attributes": ([], {}, None),
    "metadata": (None,),
}
#: The server computes the enclosure of these from their points.
_ENCLOSED = frozenset({"polygon", "polyline"})


class PictographFormat:
    """The DocumentFormat of Pictograph."""

    def parse(self, data: bytes) -> Document:
        """Read a document: UTF-8 JSON (a byte order mark is skipped), an object with a list "annotations" of objects."""
        document = _load(data)
        if not isinstance(document, Mapping):
            raise InvalidDocument(f"the document is {_kind(document)}, an object is expected")
        annotations = document.get("annotations")
        if not isinstance(annotations, list):
            raise InvalidDocument("a list of annotations is expected", pointer="/annotations")
        for index, annotation in enumerate(annotations):
            if not isinstance(annotation, Mapping):
                raise InvalidDocument(
                    f"an annotation is {_kind(annotation)}, an object is expected", pointer=f"/annotations/{index}"
                )
        return document

    def digest(self, document: Document) -> Digest:
        """Hash what people edit. Everything but the annotations is the server's, and so is their order."""
        return digest_of(sorted(digest_of(comparable(annotation)) for annotation in self.annotations(document)))

    def annotations(self, document: Document) -> Sequence[JsonObject]:
        """The annotation list, in the document's order."""
        found: list[JsonObject] = []
        for annotation in _sequence(document["annotations"]):
            assert isinstance(annotation, Mapping)
            found.append(annotation)
        return found

    def counts(self, document: Document) -> Counts:
        """How many annotations of each class it has; those without a name count under ""."""
        counts: dict[str, int] = {}
        for annotation in self.annotations(document):
            name = annotation.get("name")
            category = name if isinstance(name, str) else ""
            counts[category] = counts.get(category, 0) + 1
        return counts


def comparable(annotation: JsonObject) -> JsonObject:
    """The annotation in the newest dialect, without what the server fills in and without defaults."""
    kept = {
        key: value
        for key, value in annotation.items()
        if key != "created_by" and not any(value == default for default in _DEFAULTS.get(key, ()))
    }
    if kept.get("type") in _ENCLOSED:
        kept.pop("bounding_box", None)
    box = kept.get("bbox")
    if isinstance(box, list) and len(box) == 4 and "bounding_box" not in kept:
        del kept["bbox"]
        kept["bounding_box"] = dict(zip("xywh", box, strict=True))
    if "polygon" in kept:
        kept["polygon"] = _polygon(kept["polygon"])
    if "polyline" in kept:
        kept["polyline"] = _polyline(kept["polyline"])
    if "keypoint" in kept:
        kept["keypoint"] = _point(kept["keypoint"])
    return kept


def _polygon(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return {"paths": [_path(value)]}
    if isinstance(value, Mapping) and value.keys() == {"path"}:
        return {"paths": [_path(value["path"])]}
    if isinstance(value, Mapping) and isinstance(value.get("paths"), list):
        return {**value, "paths": [_path(ring) for ring in _sequence(value["paths"])]}
    return value


def _polyline(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return {"path": _path(value)}
    if isinstance(value, Mapping) and "path" in value:
        return {**value, "path": _path(value["path"])}
    return value


def _path(value: JsonValue) -> JsonValue:
    return [_point(point) for point in _sequence(value)] if isinstance(value, list) else value


def _point(value: JsonValue) -> JsonValue:
    return {"x": value[0], "y": value[1]} if isinstance(value, list) and len(value) == 2 else value


def _sequence(value: JsonValue) -> Sequence[JsonValue]:
    assert isinstance(value, list)
    return value


def _load(data: bytes) -> JsonValue:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidDocument("the document is not UTF-8 text", line=line, hint="Save the file as UTF-8.") from error
    try:
        value: JsonValue = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_number, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise InvalidDocument(f"this is not JSON: {error.msg}, column {error.colno}", line=error.lineno) from error
    except RecursionError as error:
        raise InvalidDocument("the document is nested too deeply") from error
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidDocument("a number in the document is too long") from error
    return value


def _unique(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidDocument(f"the key {json.dumps(twice)} stands twice in one object")
    return table


def _refuse_number(text: str) -> float:
    raise InvalidDocument(f"{text} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidDocument(f"the number {text[:20]} is too large")
    return number


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case _:
            return "a list"
