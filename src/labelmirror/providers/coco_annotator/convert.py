"""COCO Annotator's rows as values of the program, and documents composed from them. Pure.

Whichever way a document was read, it is composed here, so that it comes out the same.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from labelmirror.model.document import Document, JsonObject, JsonValue, render
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset, ListedDocument, ListedImage, Reading, Token
from labelmirror.providers.answers import read, table
from labelmirror.providers.coco_annotator import wire
from labelmirror.providers.coco_annotator.format import CocoAnnotatorFormat
from labelmirror.providers.coco_annotator.spool import Kept

_FORMAT = CocoAnnotatorFormat()

#: What a mirror has no use for: what differs between the ways of reading, or changes when somebody only looks.
_CATEGORY_LEFT_OUT = frozenset({"annotations", "show", "visualize", "deleted", "deleted_date", "numberAnnotations"})
_ANNOTATION_LEFT_OUT = frozenset({"paper_object", "events", "milliseconds", "deleted", "deleted_date"})
_CATEGORY_ORDER = (
    *("id", "name", "supercategory", "color", "keypoint_labels", "keypoint_edges", "keypoint_colors"),
    *("metadata", "creator"),
)
_ANNOTATION_ORDER = (
    *("id", "image_id", "category_id", "dataset_id", "segmentation", "area", "bbox", "iscrowd", "isbbox"),
    *("keypoints", "color", "metadata", "creator", "width", "height"),
)


def dataset_of(value: JsonValue, categories: Mapping[int, JsonObject], *, where: str) -> Dataset:
    """A dataset from its row, with those of the server's undeleted categories that it has."""
    row = read(wire.DatasetRow, value, where=where)
    own = [categories[number] for number in sorted(set(row.categories)) if number in categories]
    return Dataset(
        id=str(row.id), name=row.name, images=None, annotations=None, categories=own, details={"folder": row.directory}
    )


def categories_of(rows: Sequence[JsonValue], *, where: str) -> Mapping[int, JsonObject]:
    """The undeleted categories by their ids."""
    found: dict[int, JsonObject] = {}
    for value in rows:
        row = read(wire.CategoryRow, value, where=where)
        if not row.deleted:
            found[row.id] = category_of(table(value, where=where))
    return found


def category_of(row: JsonObject) -> JsonObject:
    """A category as documents show it."""
    return _ordered(row, _CATEGORY_ORDER, _CATEGORY_LEFT_OUT)


def image_fields(row: wire.ImageRow) -> JsonObject:
    """An image as documents show it."""
    return {
        "id": row.id,
        "file_name": row.file_name,
        "path": row.path,
        "width": row.width,
        "height": row.height,
        "metadata": row.metadata,
    }


def document_of(image: JsonObject, categories: Iterable[JsonObject], annotations: Iterable[JsonObject]) -> Document:
    """The document of an image: categories and annotations in the order of their ids, annotations without what hides them."""
    named = [_ordered(row, _ANNOTATION_ORDER, _ANNOTATION_LEFT_OUT) for row in sorted(annotations, key=_id)]
    known = sorted(categories, key=_id)
    return {"image": image, "categories": known, "annotations": named}


def kept_document(dataset: Dataset, kept: Kept) -> Document:
    """The document of an image that a whole read brought."""
    return document_of(kept.image, dataset.categories, [json.loads(text) for text in kept.annotations])


def reading_of(document: Document, *, being_annotated: bool = False) -> Reading:
    """A document that was read. Raises ValueError where it holds a number that JSON has not."""
    image = document["image"]
    assert isinstance(image, Mapping)
    return Reading(
        DocumentKey(str(image["id"])),
        render(document),
        _FORMAT.digest(document),
        _FORMAT.counts(document),
        being_annotated=being_annotated,
    )


def listed_image(dataset: Dataset, image: JsonObject, token: str, annotations: int) -> ListedImage:
    """A row of the listing. `token` moves with everything that the image's document shows."""
    folder, name = place_of(str(dataset.details["folder"]), str(image["path"]))
    row = ListedImage(
        id=str(image["id"]),
        directory=folder,
        name=name or str(image["file_name"]),
        status=None,
        size_bytes=None,
        width_px=_pixels(image["width"]),
        height_px=_pixels(image["height"]),
        md5=None,
        annotations=annotations,
        documents=(),
    )
    bare = annotations == 0 and bare_image(dataset, row) == image
    return replace(row, documents=(ListedDocument("", Token(token, strong=True), empty=bare),))


def bare_image(dataset: Dataset, row: ListedImage) -> JsonObject:
    """An image without metadata whose path is the plain one, as far as a listing row tells it."""
    folder = f"{row.directory}/" if row.directory else ""
    return {
        "id": int(row.id),
        "file_name": row.name,
        "path": f"{dataset.details['folder']}{folder}{row.name}",
        "width": row.width_px,
        "height": row.height_px,
        "metadata": {},
    }


def place_of(folder: str, path: str) -> tuple[str, str]:
    """Directory and name of an image below its dataset's folder, with "." and ".." on the way resolved.

    The directory of an image outside of it begins with "..", which is never followed, only mapped to a safe name.
    """
    way, _, name = path.rpartition("/")
    own, parts = _resolved(folder), _resolved(way)
    shared = 0
    while shared < min(len(own), len(parts)) and own[shared] == parts[shared]:
        shared += 1
    return "/".join([".."] * (len(own) - shared) + parts[shared:]), name


def _resolved(path: str) -> list[str]:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return parts


def _ordered(row: JsonObject, order: Sequence[str], left_out: frozenset[str]) -> JsonObject:
    """The row in one order of keys, because the ways of reading need not have the same."""
    others = sorted(key for key in row if key not in order and key not in left_out)
    return {key: row[key] for key in (*order, *others) if key in row}


def _id(row: JsonObject) -> int:
    number = row.get("id")
    return number if isinstance(number, int) else 0


def _pixels(value: JsonValue) -> int | None:
    return value if isinstance(value, int) else None


def canonical_json(value: JsonValue) -> bytes:
    """A value as bytes that are equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
