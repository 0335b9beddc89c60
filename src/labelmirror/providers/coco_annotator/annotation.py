"""One annotation: what of it people edit and a save can store. Pure."""

from collections.abc import Mapping

from labelmirror.model.document import JsonObject, JsonValue, digest_of
from labelmirror.providers.coco_annotator.geometry import rounded


def outline(annotation: JsonObject) -> dict[str, JsonValue]:
    """What the creation of an annotation stores of it; colour and metadata come with the data save that follows."""
    return {
        "category_id": annotation.get("category_id"),
        "segmentation": rounded(annotation.get("segmentation") or []),
        "keypoints": annotation.get("keypoints") or [],
        "isbbox": bool(annotation.get("isbbox")),
    }


def comparable(annotation: JsonObject, category: JsonValue = None) -> JsonObject:
    """What people edit, in one spelling; `category` is the name of its category, where that is to count."""
    return {
        **_content(annotation),
        "category": category,
        "color": annotation.get("color") or color_of(annotation),
    }


def color_of(annotation: JsonObject) -> str:
    """The colour that is sent for an addition without one: made from its content, so that it is known beforehand."""
    return f"#{digest_of(_content(annotation))[:6]}"


def _content(annotation: JsonObject) -> dict[str, JsonValue]:
    return {
        **outline(annotation),
        "iscrowd": bool(annotation.get("iscrowd")),
        "metadata": annotation.get("metadata") or {},
    }


def id_of(annotation: JsonObject) -> int | None:
    """The server's id of an annotation; None of an addition."""
    number = annotation.get("id")
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def names_of(categories: JsonValue) -> Mapping[int, JsonValue]:
    """The names of a document's categories by their ids."""
    rows = categories if isinstance(categories, list) else ()
    return {row["id"]: row.get("name") for row in rows if isinstance(row, Mapping) and isinstance(row.get("id"), int)}


def name_in(names: Mapping[int, JsonValue], annotation: JsonObject) -> JsonValue:
    """The name of an annotation's category; None where the document does not give one."""
    category = annotation.get("category_id")
    return names.get(category) if isinstance(category, int) else None
