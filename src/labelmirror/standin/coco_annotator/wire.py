"""What the server sends of each thing (contract, sections 4, 5, 7 and 9). Absent values are left out, as it does."""

from collections.abc import Iterable
from typing import Any

from labelmirror.standin.coco_annotator.world import Annotation, Category, Dataset, Image, User

_EXPORTED = ("id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "isbbox", "color", "keypoints")


def user(known: User, number: int) -> dict[str, Any]:
    """Somebody, to themselves."""
    return {
        "id": {"$oid": f"{number:024x}"},
        "username": known.name,
        "name": "",
        "online": False,
        "is_admin": known.is_admin,
        "preferences": known.preferences,
        "permissions": [],
    }


def dataset(known: Dataset) -> dict[str, Any]:
    """The record of a dataset."""
    return {
        "id": known.id,
        "name": known.name,
        "directory": known.directory,
        "categories": known.categories,
        "owner": known.owner,
        "users": known.users,
        "annotate_url": known.annotate_url,
        "default_annotation_metadata": known.default_annotation_metadata,
        **_deletion(known),
    }


def category(known: Category) -> dict[str, Any]:
    """The record of a category."""
    return {
        "id": known.id,
        "name": known.name,
        "supercategory": known.supercategory,
        **({"color": known.color} if known.color is not None else {}),
        "metadata": known.metadata,
        "creator": known.creator,
        "keypoint_edges": known.keypoint_edges,
        "keypoint_labels": known.keypoint_labels,
        "keypoint_colors": known.keypoint_colors,
        **_deletion(known),
    }


def image(known: Image) -> dict[str, Any]:
    """The record of an image."""
    return {
        "id": known.id,
        "dataset_id": known.dataset_id,
        "category_ids": known.category_ids,
        "path": known.path,
        "width": known.width,
        "height": known.height,
        "file_name": known.file_name,
        "annotated": known.annotated,
        "annotating": known.annotating,
        "num_annotations": known.num_annotations,
        "metadata": known.metadata,
        "milliseconds": known.milliseconds,
        "events": [],
        "regenerate_thumbnail": known.regenerate_thumbnail,
        "is_modified": False,
        **_deletion(known),
    }


def annotation(known: Annotation, *, drawn: bool = False, events: bool = True) -> dict[str, Any]:
    """The record of an annotation, with its paper.js item if it is to be `drawn`, and perhaps without its events."""
    form: dict[str, Any] = {
        "id": known.id,
        "image_id": known.image_id,
        "category_id": known.category_id,
        "dataset_id": known.dataset_id,
        "segmentation": known.segmentation,
        "area": known.area,
        "bbox": known.bbox,
        "iscrowd": known.iscrowd,
        "isbbox": known.isbbox,
        "creator": known.creator,
        "width": known.width,
        "height": known.height,
        "color": known.color,
        "keypoints": known.keypoints,
        "metadata": known.metadata,
        "milliseconds": known.milliseconds,
        "events": known.events if events else [],
        **_deletion(known),
    }
    if drawn:
        form["paper_object"] = known.drawn
    return {name: value for name, value in form.items() if value is not None}


def coco_category(known: Category) -> dict[str, Any]:
    """A category in COCO's words."""
    form = category(known)
    labels, edges = form.pop("keypoint_labels"), form.pop("keypoint_edges")
    form = {name: value for name, value in form.items() if name not in {"creator", "deleted", "deleted_date"}}
    return {**form, "keypoints": labels, "skeleton": edges} if labels else form


def coco_annotation(known: Annotation) -> dict[str, Any]:
    """An annotation in COCO's words. Raises TypeError for keypoints that are none."""
    form = annotation(known)
    return {name: form[name] for name in (*_EXPORTED, "metadata") if name in form} | _counted(known)


def raw_coco_annotation(known: Annotation) -> dict[str, Any]:
    """An annotation as the whole dataset's COCO has it. Raises TypeError for keypoints that are none."""
    form = {name: value for name, value in annotation(known).items() if name != "deleted"}
    counted = _counted(known)
    if not counted:
        del form["keypoints"]
    return form | counted


def raw_coco_image(known: Image) -> dict[str, Any]:
    """An image as the whole dataset's COCO has it."""
    left_out = {"annotating", "regenerate_thumbnail", "is_modified", "deleted"}
    return {name: value for name, value in image(known).items() if name not in left_out}


def exported_image(known: Image) -> dict[str, Any]:
    """An image as exports have it: all but its identity are false defaults."""
    form = {**image(known), "category_ids": [], "annotated": False, "num_annotations": 0, "metadata": {}}
    return {**form, "annotating": [], "milliseconds": 0, "regenerate_thumbnail": False}


def listed_image(known: Image) -> dict[str, Any]:
    """An image as the listing of a dataset has it."""
    form = image(known)
    return {name: form[name] for name in ("id", "file_name", "annotated", "annotating", "num_annotations")}


def is_empty(known: Annotation) -> bool:
    """Whether an annotation shows nothing, which exports leave out."""
    return not known.segmentation and not known.keypoints


def date(at_s: float) -> dict[str, int]:
    """A time."""
    return {"$date": int(at_s * 1_000)}


def ids(items: Iterable[Category]) -> list[int]:
    """The ids of categories, in their order."""
    return [item.id for item in items]


def _counted(known: Annotation) -> dict[str, int]:
    if known.keypoints is None or isinstance(known.keypoints, str):
        raise TypeError("broken keypoints")
    return {"num_keypoints": sum(flag > 0 for flag in known.keypoints[2::3])} if known.keypoints else {}


def _deletion(known: Annotation | Category | Dataset | Image) -> dict[str, Any]:
    dated = {"deleted_date": date(known.deleted_s)} if known.deleted_s is not None else {}
    return {"deleted": known.deleted, **dated}
