"""Pictograph's documents: the export-file object, one for each image. Pure.

Documents of all generations of the server are read; for comparing, older dialects of an annotation count as the newest.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Counts, Digest, Document, JsonObject, JsonValue, digest_of
from labelmirror.model.keyed import Keyed
from labelmirror.providers.pictograph.places import Path, Place, lines, places, pointer

#: Fields that say the same whether they are absent or null.
NULLABLE = frozenset({"attributes", "bounding_box", "instance_id", "metadata", "oriented_box"})
#: Fields that say the same whether they are absent or have this value; `created_by` is the server's own at any value.
_DEFAULTS: Mapping[str, tuple[JsonValue, ...]] = {"confidence": (1,), "attributes": ([], {})}
#: The server computes the enclosure of these from their points.
ENCLOSED = frozenset({"polygon", "polyline"})


class PictographFormat:
    """The DocumentFormat of Pictograph."""

    def parse(self, data: bytes) -> Document:
        """Read a document: UTF-8 JSON (a byte order mark is skipped), an object with a list "annotations" of objects."""
        text = _decoded(data)
        document = _load(text)
        if not isinstance(document, Mapping):
            raise InvalidDocument(f"the document is {kind(document)}, an object is expected")
        annotations = document.get("annotations")
        if not isinstance(annotations, list):
            raise _misplaced("a list of annotations is expected", text, ("annotations",))
        for index, annotation in enumerate(annotations):
            if not isinstance(annotation, Mapping):
                said = f"an annotation is {kind(annotation)}, an object is expected"
                raise _misplaced(said, text, ("annotations", index))
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

    @property
    def stable_ids(self) -> bool:
        """Annotations have ids that stay."""
        return True

    def keyed(self, document: Document, base: Document | None = None) -> Sequence[Keyed]:  # noqa: ARG002 - ids tell
        """The annotations with their ids, which are stable on the server.

        Raises InvalidDocument where one has no id, or where two have the same.
        """
        found: dict[str, Keyed] = {}
        for index, annotation in enumerate(self.annotations(document)):
            key, where = annotation.get("id"), f"/annotations/{index}/id"
            if not isinstance(key, str):
                raise InvalidDocument("every annotation needs an id, a text", pointer=where)
            if key in found:
                raise InvalidDocument(f"two annotations have the id {json.dumps(key)}", pointer=where)
            found[key] = Keyed(key, digest_of(comparable(annotation)), annotation)
        return list(found.values())

    def rebuilt(self, document: Document, parts: Sequence[Keyed]) -> Document:
        """The same document around another list; its `annotation_count`, if it has one, is set."""
        count = {"annotation_count": len(parts)} if "annotation_count" in document else {}
        return {**document, **count, "annotations": [part.value for part in parts]}

    def half_saved(self, before: Document, body: Document, found: Document) -> bool:  # noqa: ARG002 - the port's
        """Never: a save of one document is done in one step, or not at all (contract, 6)."""
        return False


def comparable(annotation: JsonObject) -> JsonObject:
    """The annotation in the newest dialect, without what the server fills in and without defaults."""
    kept = {
        key: value
        for key, value in upgraded(annotation).items()
        if key != "created_by" and not any(value == default for default in _DEFAULTS.get(key, ()))
    }
    if kept.get("type") in ENCLOSED:
        kept.pop("bounding_box", None)
    return kept


def upgraded(annotation: JsonObject) -> JsonObject:
    """The annotation in the newest dialect, nothing lost: nulls that say nothing go, points keep order and spelling."""
    kept = {key: value for key, value in annotation.items() if value is not None or key not in NULLABLE}
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


def _misplaced(message: str, text: str, path: Path) -> InvalidDocument:
    return InvalidDocument(message, pointer=pointer(path), line=lines(text, [path])[path])


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidDocument("the document is not UTF-8 text", line=line, hint="Save the file as UTF-8.") from error


def _load(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_number, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise InvalidDocument(f"this is not JSON: {error.msg}, column {error.colno}", line=error.lineno) from error
    except RecursionError as error:
        raise InvalidDocument("the document is nested too deeply") from error
    except _Refused as error:
        place = next(place for place in places(text) if error.means(place))
        raise InvalidDocument(str(error), pointer=pointer(place.path), line=place.line) from None
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidDocument("a number in the document is too long") from error
    return value


class _Refused(Exception):
    """JSON that Python reads and a document may not have. `means` tells its place in the text from others."""

    def __init__(self, message: str, means: Callable[[Place], bool]) -> None:
        super().__init__(message)
        self.means = means


def _unique(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        seen: set[Path] = set()

        def is_second(place: Place) -> bool:
            again = place.path in seen
            seen.add(place.path)
            return again and place.path[-1] == twice

        raise _Refused(f"the key {json.dumps(twice)} stands twice in one object", is_second)
    return table


def _refuse_number(text: str) -> float:
    raise _Refused(f"{text} is no JSON number", lambda place: place.text == text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Refused(f"the number {text[:20]} is too large", lambda place: place.text == text)
    return number


def kind(value: JsonValue) -> str:
    """What a person would call the value's kind."""
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
