"""Pictograph's documents: the export-file object, one for each image. Pure.

Documents of all generations of the server are read; for comparing, older dialects of an annotation count as the newest.
"""

import json
from collections.abc import Mapping, Sequence

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Counts, Digest, Document, JsonObject, JsonValue, digest_of
from labelmirror.model.keyed import Keyed
from labelmirror.providers.documents import parse_document

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
        return parse_document(data)

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

    def translated(self, document: Document, into: Document) -> Document:  # noqa: ARG002 - the port's
        """The same: ids of annotations are given by whoever makes them, and classes are known by name."""
        return document

    def half_saved(self, before: Document, body: Document, found: Document) -> bool:  # noqa: ARG002 - the port's
        """Never: a save of one document is done in one step, or not at all (contract, 6)."""
        return False


def comparable(annotation: JsonObject) -> JsonObject:
    """The annotation in the newest dialect, without what the server fills in and without defaults."""
    kept = upgraded(annotation)
    kept.pop("created_by", None)
    for key, defaults in _DEFAULTS.items():
        if key in kept and kept[key] in defaults:
            del kept[key]
    if kept.get("type") in ENCLOSED:
        kept.pop("bounding_box", None)
    return kept


def upgraded(annotation: JsonObject) -> dict[str, JsonValue]:
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
