"""Remo's documents: what one image has in one annotation set, its status and tags among it. Pure.

`{image_id, image, annotation_set: {id, name, task}, status, tags, annotations}`; `annotations` are objects in the order of
their `position_number`, or the classes of an image classification.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Counts, Digest, Document, JsonObject, JsonValue, digest_of
from labelmirror.model.keyed import Keyed
from labelmirror.providers.documents import parse_document, shown
from labelmirror.providers.remo import matching
from labelmirror.providers.remo.matching import comparable

#: Keys of the parts that are no annotations; the key of a tag is this and the tag.
STATUS: Final = "status"
TAG: Final = "tag:"


class RemoFormat:
    """The DocumentFormat of Remo."""

    def parse(self, data: bytes) -> Document:
        """Read a document: UTF-8 JSON (a byte order mark is skipped), an object with a list "annotations" of objects."""
        return parse_document(data)

    def digest(self, document: Document) -> Digest:
        """Hash annotations, status and tags; orders do not count, nor do case of tags and fractions of pixels."""
        return digest_of(
            {
                "annotations": sorted(digest_of(comparable(item)) for item in self.annotations(document)),
                "status": document.get("status"),
                "tags": sorted(tags_of(document)),
            }
        )

    def annotations(self, document: Document) -> Sequence[JsonObject]:
        """The objects, or the classes of an image classification, in the document's order."""
        return [item for item in _sequence(document["annotations"]) if isinstance(item, Mapping)]

    def counts(self, document: Document) -> Counts:
        """How many annotations of each class it has; an object counts for the first of its classes, or for ""."""
        counts: dict[str, int] = {}
        for annotation in self.annotations(document):
            category = _category(annotation)
            counts[category] = counts.get(category, 0) + 1
        return counts

    @property
    def stable_ids(self) -> bool:
        """Every save gives all objects new ids, so they are never shown."""
        return False

    def keyed(self, document: Document, base: Document | None = None) -> Sequence[Keyed]:
        """The annotations, matched with those of base, then the status and each tag.

        Raises InvalidDocument where two annotations are in one place.
        """
        annotations = self.annotations(document)
        origins = self.annotations(base) if base is not None else None
        parts = [
            Keyed(key, digest_of(comparable(annotation)), annotation)
            for key, annotation in zip(matching.keys(annotations, origins), annotations, strict=True)
        ]
        if STATUS in document:
            status = document[STATUS]
            parts.append(Keyed(STATUS, digest_of(status), {STATUS: status}))
        parts += [Keyed(f"{TAG}{tag}", digest_of(tag), {"tag": spelt}) for tag, spelt in tags_of(document).items()]
        keys = [part.key for part in parts]
        for index, key in enumerate(keys[: len(annotations)]):
            if key in keys[:index]:
                where = shown(annotations[index].get("name"))
                raise InvalidDocument(
                    f"two annotations are in one place, the second is {where}", pointer=f"/annotations/{index}"
                )
        return parts

    def rebuilt(self, document: Document, parts: Sequence[Keyed]) -> Document:
        """The same document around other parts. Of two objects with one name the later one gets another: the server keeps one."""
        annotations = [part.value for part in parts if part.key != STATUS and not part.key.startswith(TAG)]
        status = next((part.value[STATUS] for part in parts if part.key == STATUS), document.get(STATUS))
        return {
            **document,
            STATUS: status,
            "tags": [part.value["tag"] for part in parts if part.key.startswith(TAG)],
            "annotations": _numbered(_named(annotations)),
        }

    def translated(self, document: Document, into: Document) -> Document:  # noqa: ARG002 - the port's
        """The same: annotations have no ids, and classes are known by name."""
        return document

    def half_saved(self, before: Document, body: Document, found: Document) -> bool:
        """Whether `found` has the annotations of either or the first ones of `body`, and status and tags of either.

        A save deletes all objects at once and then adds them one by one, each before its classes; status and tags follow.
        """
        old, new, held = (tags_of(item).keys() for item in (before, body, found))
        return (
            found.get(STATUS) in {before.get(STATUS), body.get(STATUS)}
            and old & new <= held <= old | new
            and (
                self._are_equal(before, found)
                or (self._is_beginning(found, body) and not self._are_equal(before, body))
            )
        )

    def _are_equal(self, first: Document, second: Document) -> bool:
        one, two = (sorted(digest_of(comparable(item)) for item in self.annotations(each)) for each in (first, second))
        return one == two

    def _is_beginning(self, found: Document, body: Document) -> bool:
        held, wanted = ([comparable(item) for item in self.annotations(each)] for each in (found, body))
        first = wanted[: len(held)]
        left = [item for item in held if item not in first]
        missing = [item for item in first if item not in held]
        return len(first) == len(held) and (
            not left or (len(left) == 1 and missing == first[-1:] and _has_fewer_classes(left[0], missing[0]))
        )


def tags_of(document: Document) -> Mapping[str, str]:
    """The tags in lower case, as the server adds them, with the spelling that stands in the document."""
    return {tag.strip().lower(): tag for tag in _sequence(document.get("tags")) if isinstance(tag, str)}


def _category(annotation: JsonObject) -> str:
    classes = annotation.get("classes")
    first = next(iter(_sequence(classes)), None) if classes is not None else annotation
    name = first.get("name") if isinstance(first, Mapping) else None
    return name if isinstance(name, str) else ""


def _has_fewer_classes(held: JsonObject, wanted: JsonObject) -> bool:
    some, every = _sequence(held.get("classes")), _sequence(wanted.get("classes"))
    return {**held, "classes": every} == wanted and all(item in every for item in some)


def _named(annotations: Sequence[JsonObject]) -> Sequence[JsonObject]:
    """The objects with a name of their own each. Classes of an image have no other name than their own."""
    taken = {annotation.get("name") for annotation in annotations}
    seen: set[JsonValue] = set()
    found: list[JsonObject] = []
    number = 0
    for annotation in annotations:
        name = annotation.get("name")
        if name in seen and "coordinates" in annotation:
            while name in taken:
                number += 1
                name = f"OBJ {number}"
            taken.add(name)
        seen.add(name)
        found.append({**annotation, "name": name} if name != annotation.get("name") else annotation)
    return found


def _numbered(annotations: Sequence[JsonObject]) -> Sequence[JsonObject]:
    """The objects with the positions that the server gives them in this order."""
    return [
        {**annotation, "position_number": number} if "position_number" in annotation else annotation
        for number, annotation in enumerate(annotations, 1)
    ]


def _sequence(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()
