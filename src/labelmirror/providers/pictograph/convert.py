"""Pictograph's rows as values of the program, and documents composed from them. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from labelmirror.errors import ProtocolError
from labelmirror.model.document import Document, JsonObject, JsonValue
from labelmirror.model.remote import Dataset, ListedDocument, ListedImage, Token
from labelmirror.providers import answers
from labelmirror.providers.pictograph import wire
from labelmirror.providers.pictograph.dialect import API

#: Fields of a row that hint at a change of its annotations. The status is among them although it is no part of a
#: document: a change of stage mostly comes with an edit, and looking once too often costs one read. No server is known
#: to send the last four; one that does lets edits be seen that keep the number of annotations.
_HINTS = ("annotation_count", "min_confidence", "status", "updated_at", "annotations_updated_at", "etag", "version")

_MD5 = re.compile(r"[0-9a-fA-F]{32}")


def dataset_of(row: JsonObject, *, where: str) -> Dataset:
    """A dataset from its row."""
    read = answers.read(wire.DatasetRow, row, where=where)
    classes = row.get("classes")
    return Dataset(
        id=read.id,
        name=read.name,
        images=read.image_count,
        annotations=read.annotation_count,
        categories=tuple(item for item in classes if isinstance(item, Mapping)) if isinstance(classes, list) else (),
        details={"storage_class": read.storage_class},
    )


def image_of(value: JsonValue, *, where: str) -> ListedImage:
    """A row of a listing. Raises ProtocolError without an id or a file name."""
    row = answers.table(value, where=where)
    read = answers.read(wire.ImageRow, row, where=where)
    md5 = row.get("md5")
    return ListedImage(
        id=read.id,
        directory=(read.directory or "").strip("/"),
        name=read.filename,
        status=read.status,
        size_bytes=read.file_size,
        width_px=read.width,
        height_px=read.height,
        md5=md5.lower() if isinstance(md5, str) and _MD5.fullmatch(md5) else None,
        annotations=read.annotation_count,
        documents=(ListedDocument("", _token(row), empty=read.annotation_count == 0),),
    )


def _token(row: JsonObject) -> Token | None:
    """Always weak: no field of a row is known to move with every edit."""
    values = tuple(row.get(name) for name in _HINTS)
    if values[0] is None:
        return None
    try:
        return _token_of(*values)
    except TypeError:  # a list or an object among the values, which no cache can have for a key
        return _token_of.__wrapped__(*values)


@lru_cache(maxsize=256, typed=True)
def _token_of(*values: JsonValue) -> Token:
    """Hints in their order as text. Mostly few differ, so a listing's rows share their tokens."""
    shown = {name: value for name, value in zip(_HINTS, values, strict=True) if value is not None}
    return Token(json.dumps(shown, sort_keys=True), strong=False)


def composed(origin: str, dataset: Dataset, image: ListedImage, annotations: Sequence[JsonValue]) -> Document:
    """The export-file object of an image, as far as a listing row can tell it."""
    return {
        "image": image.name,
        "image_url": f"{origin}{API}/images/{image.id}",
        "image_uuid": image.id,
        "image_path": f"/{image.directory}",
        "annotation_count": len(annotations),
        "dataset": {"name": dataset.name},
        "annotations": annotations,
    }


def document_of(answer: JsonValue, origin: str, dataset: Dataset, image: ListedImage, *, where: str) -> Document:
    """The document in an answer to a read: a file object as it came, or composed around a bare list of annotations.

    Raises ProtocolError where the list is missing, or where the answer is about another image.
    """
    annotations = answers.items(answer, "annotations", where=where)
    held = answers.table(answer, where=where)
    for key in ("image_uuid", "image_id"):
        if held.get(key, image.id) != image.id:
            raise ProtocolError(f"{where}: the answer is about another image")
    return held if "image_uuid" in held else composed(origin, dataset, image, annotations)
