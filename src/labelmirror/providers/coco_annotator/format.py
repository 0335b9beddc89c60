"""COCO Annotator's documents: an image, the categories of its dataset, and its annotations. Pure.

A digest holds what people edit and a save can store: of an annotation its category, polygons (to 0.01 px), keypoints,
box and crowd marks, colour and metadata; of the image its metadata. Area and bbox are computed by the server.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Counts, Digest, Document, JsonObject, digest_of
from labelmirror.model.keyed import Keyed
from labelmirror.providers.coco_annotator.annotation import comparable, id_of, name_in, names_of
from labelmirror.providers.coco_annotator.halves import Content, is_between
from labelmirror.providers.documents import Problem, kind, located, parse_document, shown

#: The key of the part that is the image's metadata; those of annotations are numbers.
METADATA = "metadata"
#: What says where an annotation is rather than what it is.
_PLACE = frozenset({"id", "image_id", "dataset_id"})


class CocoAnnotatorFormat:
    """The DocumentFormat of COCO Annotator."""

    def parse(self, data: bytes) -> Document:
        """Read a document: an object with "image", an object, and "categories" and "annotations", lists of objects."""
        document = parse_document(data)
        problem = _misshapen(document)
        if problem is not None:
            raise located(data, [problem])[0]
        return document

    def digest(self, document: Document) -> Digest:
        """Hash what people edit. Ids, order, what the server fills in and how categories look do not count."""
        names = names_of(document["categories"])
        found = sorted(
            digest_of(comparable(annotation, name_in(names, annotation))) for annotation in annotations_of(document)
        )
        return digest_of([metadata_of(document), found])

    def annotations(self, document: Document) -> Sequence[JsonObject]:
        """The annotation list, in the document's order."""
        return annotations_of(document)

    def counts(self, document: Document) -> Counts:
        """How many annotations of each category it has, by name; "#7" is a category that the document does not name."""
        names = names_of(document["categories"])
        return Counter(
            str(name_in(names, annotation) or f"#{annotation.get('category_id')}")
            for annotation in annotations_of(document)
        )

    @property
    def stable_ids(self) -> bool:
        """Annotations have ids that stay."""
        return True

    def keyed(self, document: Document, base: Document | None = None) -> Sequence[Keyed]:
        """The annotations by their ids, additions by their content, and the image's metadata.

        With `base`, everything that it has not is an addition, whether it has an id by now or not: what was sent from here
        and lost its answer would else be added a second time. Raises InvalidDocument where an id is no number, or where
        two annotations have the same.
        """
        names, found = names_of(document["categories"]), dict[str, Keyed]()
        known = None if base is None else {id_of(annotation) for annotation in annotations_of(base)}
        seen: set[int] = set()
        for index, annotation in enumerate(annotations_of(document)):
            digest, number = digest_of(comparable(annotation, name_in(names, annotation))), id_of(annotation)
            if number is None and annotation.get("id") is not None:
                raise InvalidDocument("an id is a whole number", pointer=f"/annotations/{index}/id")
            if number in seen:
                raise InvalidDocument(f"two annotations have the id {number}", pointer=f"/annotations/{index}/id")
            if number is None or (known is not None and number not in known):
                equal = sum(part.digest == digest and part.key.startswith("+") for part in found.values())
                key = f"+{digest[:16]}" if equal == 0 else f"+{digest[:16]}.{equal}"
            else:
                key = str(number)
            seen |= set() if number is None else {number}
            found[key] = Keyed(key, digest, annotation)
        metadata = metadata_of(document)
        return [*found.values(), Keyed(METADATA, digest_of(metadata), metadata)]

    def rebuilt(self, document: Document, parts: Sequence[Keyed]) -> Document:
        """The same document around other annotations and other metadata of its image."""
        metadata = next((part.value for part in parts if part.key == METADATA), {})
        annotations = [part.value for part in parts if part.key != METADATA]
        image = document["image"]
        assert isinstance(image, Mapping)
        return {**document, "image": {**image, "metadata": metadata}, "annotations": annotations}

    def translated(self, document: Document, into: Document) -> Document:
        """The annotations as additions, in the categories that have the same names there, and the metadata of the image."""
        numbers = {name: number for number, name in names_of(into["categories"]).items() if isinstance(name, str)}
        names = names_of(document["categories"])
        annotations: list[JsonObject] = []
        for index, annotation in enumerate(annotations_of(document)):
            name = name_in(names, annotation)
            if not isinstance(name, str) or name not in numbers:
                said = f"the dataset there has no category {shown(name)}"
                raise InvalidDocument(said, pointer=f"/annotations/{index}/category_id")
            kept = {key: value for key, value in annotation.items() if key not in _PLACE}
            annotations.append({**kept, "category_id": numbers[name]})
        image = into["image"]
        assert isinstance(image, Mapping)
        return {**into, "image": {**image, "metadata": metadata_of(document)}, "annotations": annotations}

    def half_saved(self, before: Document, body: Document, found: Document) -> bool:
        """Whether the composed save of `body` over `before` passes through `found` on its way."""
        return is_between(_content(before), _content(body), _content(found))


def annotations_of(document: Document) -> Sequence[JsonObject]:
    """The annotations of a parsed document."""
    found = document["annotations"]
    assert isinstance(found, list)
    return cast("list[JsonObject]", found)


def metadata_of(document: Document) -> JsonObject:
    """The metadata of the image, empty where it has none."""
    image = document["image"]
    assert isinstance(image, Mapping)
    found = image.get("metadata")
    return found if isinstance(found, Mapping) else {}


def _content(document: Document) -> Content:
    return Content(metadata_of(document), annotations_of(document))


def _misshapen(document: Document) -> Problem | None:
    """The first thing that keeps a document from being read at all."""
    if not isinstance(document.get("image"), Mapping):
        return Problem(("image",), f"the image is {kind(document.get('image'))}, an object is expected")
    categories = document.get("categories")
    if not isinstance(categories, list):
        return Problem(("categories",), "a list of categories is expected")
    for index, row in enumerate(categories):
        if not isinstance(row, Mapping):
            return Problem(("categories", index), f"a category is {kind(row)}, an object is expected")
    return None
