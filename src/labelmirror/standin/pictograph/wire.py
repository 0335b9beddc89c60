"""The words of each generation: envelopes, rows and errors (contract, sections 2, 3, 5, 8 and 10)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from labelmirror.standin.clock import iso
from labelmirror.standin.exchange import Refusal
from labelmirror.standin.pictograph import annotations as schema
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.sample import Annotation
from labelmirror.standin.world import Dataset, Image

DEV = "/api/v1/developer"
ORGANIZATION = "0f5c1b1e-6b43-4c2e-9a57-3d2f5a0c7e11"
_LISTS = {"dataset": "datasets", "image": "images", "export": "exports"}
_OLD_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


class Wire:
    """Writes what one generation sends. `api` is the API's own origin, for links that need a key."""

    def __init__(self, generation: Generation, api: str) -> None:
        self.generation = generation
        self.api = api

    def listing(self, what: str, rows: list[Any], *, limit: int, offset: int, total: int) -> dict[str, Any]:
        """A page of rows; `what` is dataset, image or export."""
        if self.generation.wraps_in_data:
            more = offset + len(rows) < total
            return {
                "data": rows,
                "pagination": {"limit": limit, "offset": offset, "total": total, "has_more": more},
            }
        return {"success": True, _LISTS[what]: rows, "count": len(rows)}

    def single(self, what: str, row: Any) -> dict[str, Any]:
        """One object; `what` is dataset, image, export or the word of the older generations for it."""
        return {"data": row} if self.generation.wraps_in_data else {"success": True, what: row}

    def flat(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """An answer that the older generations send bare and the newer ones in `data`."""
        return {"data": dict(row)} if self.generation.wraps_in_data else dict(row)

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """The body of an error."""
        code, message, details = refusal.code, refusal.message, dict(refusal.details or {})
        if self.generation is Generation.G0:
            # The documents name error and message; the SDK of that time reads detail only.
            body = {"error": _OLD_CODES.get(refusal.status, code), "message": message, "detail": message}
            return {**body, "details": details} if details else body
        if self.generation is Generation.G1:
            return {"detail": details.get("errors", message)}
        return {"error": {"code": code, "message": message, "details": details}, "detail": message}

    def rows(self, payload: Any) -> list[Any] | None:
        """The list inside a page, a batch or a dataset with its images: the very object."""
        if not isinstance(payload, dict):
            return None
        inner = payload.get("data", payload.get("dataset"))
        places: Sequence[Any] = (payload, inner) if isinstance(inner, dict) else (payload,)
        for place in places:
            for name in ("data", "items", "images", "datasets", "exports"):
                if isinstance(place.get(name), list):
                    found: list[Any] = place[name]
                    return found
        return None

    def end_listing(self, payload: Any) -> None:
        """Claim that no page follows."""
        if "pagination" in payload:
            payload["pagination"]["has_more"] = False

    def foreign_envelope(self, payload: Any) -> Any:
        """The rows under the key of a generation that this one is not."""
        rows = self.rows(payload) or []
        if not self.generation.wraps_in_data:
            return {"data": rows, "pagination": {"limit": 100, "offset": 0, "total": len(rows), "has_more": False}}
        row = rows[0] if rows else {}
        what = "images" if "filename" in row else "exports" if "format" in row else "datasets"
        return {"success": True, what: rows, "count": len(rows)}

    def dataset(self, dataset: Dataset) -> dict[str, Any]:
        """The row of a dataset."""
        active = dataset.active
        archived = len(dataset) - len(active)
        row: dict[str, Any] = {
            "id": dataset.id,
            "name": dataset.name,
            "description": dataset.description,
            "organization_id": ORGANIZATION,
            "image_count": len(active),
            "completed_image_count": sum(image.status == "complete" for image in active),
            "created_at": iso(dataset.created_s),
        }
        total = sum(image.size_bytes for image in active)
        match self.generation:
            case Generation.G0:
                return {**row, "slug": slug(dataset.name), "updated_at": iso(dataset.created_s)}
            case Generation.G1:
                return {**row, "total_size": total, "archived_images": archived, "classes": dataset.classes}
            case _:
                return {
                    **row,
                    "total_size": total,
                    "archived_image_count": archived,
                    "classes": dataset.classes,
                    "annotation_types": ["bbox", "polygon", "polyline", "keypoint"],
                    "is_public": False,
                    "is_archived": False,
                    "archived_at": None,
                    "storage_class": "coldline" if dataset.cold else "standard",
                    "updated_at": iso(dataset.created_s),
                }

    def image(self, dataset: Dataset, image: Image) -> dict[str, Any]:
        """The row of an image. Its `image_url` needs the key; its `annotation_url` is relative."""
        row: dict[str, Any] = {
            "id": image.id,
            "filename": image.filename,
            "status": image.status,
            "annotation_count": image.annotation_count,
            "file_size": image.size_bytes,
            "width": image.width,
            "height": image.height,
            "created_at": iso(image.created_s),
            "image_url": f"{self.api}{DEV}/images/{image.id}",
        }
        annotation_url = annotation_path(image)
        if self.generation is Generation.G0:
            size = {"image_width": image.width, "image_height": image.height}
            return {
                **row,
                **size,
                "mime_type": image.mime,
                "image_path": image.directory,
                "annotation_url": annotation_url,
            }
        row["thumbnail_url"] = None
        if self.generation is not Generation.G2:
            if image.annotation_count:
                row["annotation_url"] = annotation_url
            return {**row, "mime_type": image.mime, "virtual_folder_path": image.directory}
        return {
            **row,
            "dataset_id": dataset.id,
            "split": image.split,
            "min_confidence": image.min_confidence,
            "content_type": image.mime,
            "directory_path": image.directory,
            "tags": list(image.tags),
            "is_archived": image.archived,
            "annotation_url": annotation_url,
        }

    def batch_item(self, image: Image, mode: str, link: str | None) -> dict[str, Any]:
        """One image of a batch download; no generation says its directory here."""
        item: dict[str, Any] = {"filename": image.filename}
        if self.generation is Generation.G2:
            item = {
                "id": image.id,
                "filename": image.filename,
                "file_size": image.size_bytes,
                "annotation_count": image.annotation_count,
            }
        if link is not None:
            item["image_url"] = link
        if mode != "images_only" and (self.generation is Generation.G2 or image.annotation_count):
            item["annotation_url"] = annotation_path(image)
        return item

    def batch(self, dataset: Dataset, items: list[dict[str, Any]]) -> dict[str, Any]:
        """The answer of a batch download."""
        if self.generation.wraps_in_data:
            return {"data": {"id": dataset.id, "items": items, "total_items": len(items)}}
        return {"dataset_id": dataset.id, "items": items}

    def document(self, dataset: Dataset, image: Image, kept: Iterable[Annotation]) -> dict[str, Any]:
        """The export form of an image's annotations, one per image in archives and behind `/file`."""
        written = schema.written(self.generation, kept)
        place = quote(image.filename, safe="")
        return {
            "image": image.filename,
            "image_url": f"{self.api}{DEV}/images/{image.id}",
            "image_uuid": image.id,
            "image_path": image.directory,
            "annotation_count": len(written),
            "annotation_url": f"https://app.example.org/project/{dataset.id}/annotate/{place}",
            "dataset": {"name": dataset.name, "slug": slug(dataset.name)},
            "org": {"name": "Stand-in", "slug": "stand-in"},
            "annotations": written,
        }


def annotation_path(image: Image) -> str:
    """Where the annotation file of an image is, relative to the API's origin."""
    return f"{DEV}/annotations/{image.id}/file"


def slug(name: str) -> str:
    """A name in lower case, with everything but letters and digits as single dashes."""
    return "-".join("".join(sign if sign.isalnum() else " " for sign in name.lower()).split())
