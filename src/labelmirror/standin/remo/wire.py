"""The JSON of the stand-in Remo: every field that the real server sends, in its order."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from labelmirror.standin.exchange import Call
from labelmirror.standin.remo.model import (
    AnnotationSet,
    Dataset,
    Folder,
    Image,
    Mark,
    Object,
    Points,
    Row,
    Status,
    Task,
)

_Item = TypeVar("_Item")

PAGE = 32
_VIEW_MAX = 1_000_000.0
_THUMBNAILS = 4
_TYPES = {
    Task.DETECTION: (1, "object_detection", [{"id": 1, "code_name": "rectangle"}]),
    Task.SEGMENTATION: (2, "instance_segmentation", [{"id": 2, "code_name": "polygon"}]),
    Task.CLASSIFICATION: (3, "image_classification", []),
}


def iso(at_s: float) -> str:
    """A time as Remo writes it: microseconds, and `Z`."""
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def page(call: Call, items: Sequence[_Item], shape: Callable[[_Item], Any]) -> dict[str, Any]:
    """One page of items in their shape. The links name the host that the request named.

    Unreadable and senseless limits and offsets are as if not given; there is no largest limit.
    """
    limit, start, count = _number(call, "limit", at_least=1) or PAGE, offset(call), len(items)
    following = _link(call, limit, start + limit) if start + limit < count else None
    before = _link(call, limit, start - limit) if start > 0 else None
    rows = [shape(item) for item in items[start : start + limit]]
    return {"count": count, "next": following, "previous": before, "results": rows}


def filtered(call: Call, owner: Dataset) -> dict[str, Any]:
    """Contents whose names hold a text, from all folders and by id: a pager of its own, with a cursor going forward.

    The page begins after the cursor, which is 1 at least; without a direction, with the image that it names.
    """
    wanted = call.query["image_name"].split(",")
    named = sorted((image for image in owner if all(part in image.name for part in wanted)), key=lambda each: each.id)
    limit, cursor = _number(call, "limit", at_least=1) or PAGE, max(1, _number(call, "image_id", at_least=0) or 0)
    first = cursor + 1 if "direction" in call.query else cursor
    following = [image for image in named if image.id >= first] if "image_id" in call.query else named
    rows = following[:limit]
    query = {**call.query, "image_id": rows[-1].id if rows else cursor, "direction": "next"}
    return {
        "count": len(named),
        "next": f"{call.path}?{urlencode(sorted(query.items()))}" if len(following) > limit else None,
        "previous": None,
        "results": [record(owner, image) for image in rows],
    }


def offset(call: Call) -> int:
    """How many items the query skips."""
    return _number(call, "offset", at_least=0) or 0


def _number(call: Call, name: str, *, at_least: int) -> int | None:
    try:
        number = int(call.query.get(name, ""))
    except ValueError:
        return None
    return number if number >= at_least else None


def _link(call: Call, limit: int, start: int) -> str:
    query: dict[str, str | int] = {**call.query, "limit": limit, "offset": start}
    if start <= 0:
        del query["offset"]
    return f"http://{call.headers['Host']}{call.path}?{urlencode(sorted(query.items()))}"


def dataset(each: Dataset) -> dict[str, Any]:
    """A dataset as the lists have it."""
    thumbnails = [f"/media/dataset_previews/{image.md5}" for image in list(each)[:_THUMBNAILS]]
    return {
        "id": each.id,
        "name": each.name,
        "owner": "Unknown",
        "is_archived": each.archived,
        "image_thumbnails": thumbnails,
        "quantity": len(each),
        "size_in_bytes": sum(image.size_bytes for image in each),
        "created_at": iso(each.created_s),
        "updated_at": iso(each.updated_s),
        "license": None,
        "is_public": False,
        "is_readonly": False,
    }


def owned_dataset(each: Dataset) -> dict[str, Any]:
    """A dataset as changes of it, and its sets, have it. The real server counts classes there now and then."""
    return {**dataset(each), "users_shared": [], "top3_classes": [], "total_classes": 0}


def created_dataset(each: Dataset) -> dict[str, Any]:
    """A dataset as its creation answers."""
    return {
        "id": each.id,
        "name": each.name,
        "annotation_sets": [],
        "created_at": iso(each.created_s),
        "license": None,
        "is_public": False,
        "is_readonly": False,
        "users_shared": [],
        "top3_classes": [],
        "total_classes": 0,
        "total_annotation_objects": 0,
    }


def sdk_image(image: Image) -> dict[str, Any]:
    """An image as the SDK's list has it: the sizes are those of the original, the URL need not be."""
    width, height = image.size
    return {
        "id": image.id,
        "name": image.name,
        "dataset_id": image.dataset.id,
        "url": shown(image),
        "path": image.linked,
        "size": image.size_bytes,
        "width": width,
        "height": height,
        "upload_date": iso(image.created_s),
    }


def listed_image(image: Image) -> dict[str, Any]:
    """An image as the pages' list has it."""
    count = sum(len(row.objects) + len(row.marks) for row in rows_of(image))
    thumbnail = f"/media/dataset_thumbnails/{image.md5}"
    return {"id": image.id, "name": image.name, "thumbnail": thumbnail, "annotates_count": count}


def whole_image(image: Image) -> dict[str, Any]:
    """An image with what all sets say about it; the status is that of its first row."""
    rows = rows_of(image)
    return {
        "id": image.id,
        "original": original(image),
        "image": shown(image),
        "view": _view(image),
        "name": image.name,
        "dataset": _owner(image.dataset),
        "dimensions": list(image.size),
        "view_dimensions": list(_view_size(image)),
        "image_dimensions": list(image.reduced[1] if image.reduced else image.size),
        "status": rows[0].status.word if rows else Status.NOT_ANNOTATED.word,
        "annotations": [_said(each, image) for each in image.dataset.sets.values()],
    }


def original(image: Image) -> str | None:
    """Where the original is, where that is not simply what is shown."""
    if image.linked is not None:
        return shown(image)
    return f"/media/dataset_originals/{image.md5}" if image.reduced else None


def shown(image: Image) -> str:
    """Where the picture for the browser is: of a large image a smaller one. Not encoded, whatever is in the path."""
    return f"/local-files{image.linked}" if image.linked is not None else f"/media/dataset_images/{image.md5}"


def rows_of(image: Image) -> list[Row]:
    """What all sets hold about an image, set by set."""
    return [row for each in image.dataset.sets.values() if (row := each.row(image)) is not None]


def _owner(each: Dataset) -> dict[str, Any]:
    return {"id": each.id, "name": each.name, "created_at": iso(each.created_s), "is_public": False}


def _view(image: Image) -> str:
    return f"/media/dataset_views/{image.md5}" if image.linked is None else shown(image)


def _view_size(image: Image) -> tuple[int, int]:
    width, height = image.size
    shrink = math.sqrt(_VIEW_MAX / (width * height))
    return image.size if shrink >= 1 else (round(width * shrink), round(height * shrink))


def _said(chosen: AnnotationSet, image: Image) -> dict[str, Any]:
    row = chosen.row(image)
    objects = row.objects if row is not None else []
    counts = Counter(mark.name for each in objects for mark in each.marks)
    counts.update(distinct(chosen, row.marks if row is not None else ()))
    return {
        "annotation_set": {"id": chosen.id, "name": chosen.name, "task": chosen.task.value},
        "tags": [{"id": tag, "name": name} for tag, name in chosen.tagged(image)],
        "classes": {name: counts[name] for name in sorted(chosen.classes.values())},
        "objects": [
            {"id": each.id, "name": each.name, "coordinates": points(each.points), "classes": names(chosen, each.marks)}
            for each in objects
        ],
    }


def points(of: Points) -> list[dict[str, int]]:
    """Points as objects with x and y."""
    return [{"x": x, "y": y} for x, y in of]


def names(chosen: AnnotationSet, marks: Iterable[Mark]) -> list[str]:
    """The names of marks, in the order of their classes' ids."""
    return chosen.ordered(mark.name for mark in marks)


def distinct(chosen: AnnotationSet, marks: Iterable[Mark]) -> list[str]:
    """The same, each name once."""
    return chosen.ordered({mark.name for mark in marks})


def listed_set(chosen: AnnotationSet) -> dict[str, Any]:
    """A set as its dataset's list has it."""
    number, kind, _ = _TYPES[chosen.task]
    return {
        "id": chosen.id,
        "name": chosen.name,
        "released_at": None,
        "updated_at": iso(chosen.updated_s),
        "task": {"id": number, "name": chosen.task.value, "type": kind},
        "total_images": len(chosen.dataset),
        "last_annotated_date": None if chosen.annotated_s is None else iso(chosen.annotated_s),
        "is_public": False,
        "is_completed": len(chosen.rows) >= len(chosen.dataset),
        "statistics": chosen.counts(),
    }


def single_set(chosen: AnnotationSet) -> dict[str, Any]:
    """A set with its classes, in alphabetical order."""
    number, kind, tools = _TYPES[chosen.task]
    return {
        "id": chosen.id,
        "name": chosen.name,
        "released_at": None,
        "updated_at": iso(chosen.updated_s),
        "task": {"id": number, "available_tools": tools, "name": chosen.task.value, "type": kind},
        "dataset": owned_dataset(chosen.dataset),
        "last_annotated_date": None if chosen.annotated_s is None else iso(chosen.annotated_s),
        "classes": classes(chosen),
        "is_last_modified": False,
        "type": "Image",
        "is_public": False,
    }


def classes(chosen: AnnotationSet) -> list[dict[str, Any]]:
    """The classes of a set, in alphabetical order."""
    return [{"id": number, "name": name} for number, name in sorted(chosen.classes.items(), key=lambda item: item[1])]


def set_image(chosen: AnnotationSet, image: Image) -> dict[str, Any]:
    """An image as one set sees it."""
    row = chosen.row(image)
    objects, marks = (row.objects, row.marks) if row is not None else ([], [])
    return {
        "id": image.id,
        "image": shown(image),
        "original": original(image),
        "thumbnail": f"/media/dataset_thumbnails/{image.md5}",
        "name": image.name,
        "dataset": _owner(image.dataset),
        "dataset_id": image.dataset.id,
        "dimensions": list(image.size),
        "annotates_count": len(objects) + len(marks),
        "status": chosen.status(image).word,
        "tags_count": sum(len(each.tags) for each in rows_of(image)),
        "annotations_count": len(rows_of(image)),
        "classes": sorted(distinct(chosen, marks)),
        "coordinates": [points(each.points) for each in objects],
        "number_in_dataset": image.number,
    }


def created_folder(owner: Dataset, folder: Folder) -> dict[str, Any]:
    """A folder as its creation answers."""
    return {**_folder(owner, folder), "contents": [], "thumbnail": None}


def _folder(owner: Dataset, folder: Folder) -> dict[str, Any]:
    return {
        "id": folder.id,
        "name": folder.name,
        "dataset_id": owner.id,
        "updated_at": iso(folder.created_s),
        "created_at": iso(folder.created_s),
    }


def record(owner: Dataset, entry: Folder | Image) -> dict[str, Any]:
    """A folder or an image among the contents of the folder above it."""
    if isinstance(entry, Image):
        return {"record_type": "image", "image": _image_record(entry), "folder": None}
    within = owner.within(entry.id)
    told = {
        **_folder(owner, entry),
        "preview": f"/media/dataset_previews/{within[0].md5}" if within else None,
        "total_images": len(within),
        "top3_classes": [],
        "total_classes": 0,
    }
    return {"record_type": "folder", "image": None, "folder": told}


def _image_record(image: Image) -> dict[str, Any]:
    """An image with what all sets said about it when their last saves ended."""
    return {
        "id": image.id,
        "view": _view(image),
        "preview": f"/media/dataset_previews/{image.md5}",
        "name": image.name,
        "annotations": [_settled(each, image) for each in image.dataset.sets.values()],
        "dimensions": list(image.size),
        "size_in_bytes": image.size_bytes,
        "created_at": iso(image.created_s),
    }


def _settled(chosen: AnnotationSet, image: Image) -> dict[str, Any]:
    row = chosen.row(image)
    objects, marks = (row.settled.objects, row.settled.marks) if row is not None else ((), ())
    told = distinct(chosen, marks)
    single = [names(chosen, marks)] if chosen.task is Task.CLASSIFICATION and row is not None and row.saved else []
    return {
        "annotation_set_id": chosen.id,
        "coordinates": [points(each.points) for each in objects],
        "classes": told,
        "object_classes": [names(chosen, each.marks) for each in objects] or single,
        "tags": [name for _, name in chosen.tagged(image)],
    }


def marked(mark: Mark) -> dict[str, Any]:
    """A class given to an object."""
    return {"name": mark.name, "lower": mark.name.lower(), "questionable": mark.questionable}


def annotation_info(chosen: AnnotationSet, row: Row | None) -> list[dict[str, Any]]:
    """Everything that a set says about an image: its objects by name as text, or its classes by name.

    Of several objects in one place only the first shows.
    """
    if row is None:
        return []
    if chosen.task is Task.CLASSIFICATION:
        return [
            marked(mark) | ({} if mark.score is None else {"score": mark.score})
            for mark in sorted(row.marks, key=lambda mark: mark.name)
        ]
    shown: dict[Points, Object] = {}
    for each in sorted(row.objects, key=lambda each: each.name):
        shown.setdefault(each.points, each)
    return [_object(each) for each in shown.values()]


def _object(each: Object) -> dict[str, Any]:
    return {
        "name": each.name,
        "coordinates": points(each.points),
        "auto_created": each.auto_created,
        "position_number": each.position,
        "classes": [marked(mark) for mark in each.marks],
    }
