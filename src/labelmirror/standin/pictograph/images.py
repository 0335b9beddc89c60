"""Images: listings, rows, bytes, bundles, uploads and removal (contract, sections 4 and 7)."""

import io
import json
import zipfile
from typing import Any

from labelmirror.standin.exchange import Call, Memory, Refusal, Reply, Route
from labelmirror.standin.options import Role
from labelmirror.standin.pictograph import annotations as schema
from labelmirror.standin.pictograph.desk import UUID, Desk, flag, number
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.pictograph.uploads import UploadRoutes
from labelmirror.standin.pictograph.wire import DEV
from labelmirror.standin.storage import image_file, serve

_PAGE_MAX = 1_000
_FILTERS = ("directory_path", "filename", "status", "split")


class ImageRoutes:
    """What can be done with images."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The routes of the generation."""
        at = f"{DEV}/images"
        by_id, by_path = f"{at}/{{image:{UUID}}}", at + "/{dataset}/{path:.+}"
        routes = (
            *UploadRoutes(self._desk).routes(),
            Route("images.metadata", "GET", f"{by_id}/metadata", self._metadata),
            Route("images.bytes", "GET", by_id, self._bytes),
        )
        lists = (Route("images.list", "GET", f"{at}/", self._list),)
        if self._desk.generation is Generation.G2:
            return (
                *lists,
                *routes,
                Route("images.metadata", "GET", f"{by_path}/metadata", self._metadata),
                Route("images.bundle", "GET", f"{by_path}/data-bundle", self._bundle),
                Route("images.bytes", "GET", by_path, self._bytes),
                Route("images.delete", "DELETE", by_path, self._delete, Role.ADMIN),
            )
        deletes = (Route("images.delete", "DELETE", by_id, self._delete, Role.ADMIN),)
        return (*routes, *deletes) if self._desk.generation is Generation.G0 else (*lists, *routes, *deletes)

    async def _list(self, call: Call) -> Reply:
        desk = self._desk
        key = "dataset" if desk.generation is Generation.G2 else "dataset_id"
        desk.only(call, "dataset", "limit", "offset", *_FILTERS, "include_archived", "min_confidence_lt")
        if key not in call.query:
            raise Refusal(422, "validation_error", f"{key} is required")
        dataset = desk.dataset(call.query[key])
        limit = number(call, "limit", 100, at_least=1, at_most=_PAGE_MAX)
        offset = number(call, "offset", 0, at_least=0)
        images = list(reversed(list(dataset))) if flag(call, "include_archived") else dataset.active
        wanted = {name: call.query[name] for name in _FILTERS if name in call.query}
        if wanted:
            fields = {**wanted, "directory": wanted.get("directory_path")}
            fields.pop("directory_path", None)
            images = [
                image
                for image in images
                if all(value is None or getattr(image, name) == value for name, value in fields.items())
            ]
        if "min_confidence_lt" in call.query:
            below = _confidence(call.query["min_confidence_lt"])
            images = [image for image in images if image.min_confidence is not None and image.min_confidence < below]
        page = images[offset : offset + min(limit, desk.options.page_cap)]
        rows = [desk.wire.image(dataset, image) for image in page]
        return Reply(desk.wire.listing("image", rows, limit=limit, offset=offset, total=len(images)))

    async def _metadata(self, call: Call) -> Reply:
        desk = self._desk
        desk.only(call)
        dataset, image = desk.asked_image(call)
        body = desk.wire.single("image", desk.wire.image(dataset, image))
        if desk.generation is Generation.G0 and flag(call, "include_annotations"):
            body["annotations"] = schema.written(desk.generation, image.annotations)
        return Reply(body)

    async def _bytes(self, call: Call) -> Reply:
        self._desk.only(call)
        _, image = self._desk.asked_image(call)
        return serve(call, image_file(image.content, image.mime, image.created_s))

    async def _bundle(self, call: Call) -> Reply:
        self._desk.only(call)
        dataset, image = self._desk.asked_image(call)
        document = self._desk.wire.document(dataset, image, image.annotations)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(image.filename, image.content)
            archive.writestr("annotations.json", json.dumps(document, ensure_ascii=False))
            manifest = {"image_id": image.id, "filename": image.filename, "file_size": image.size_bytes}
            archive.writestr("manifest.json", json.dumps(manifest, ensure_ascii=False))
        return Reply(content=Memory(file.getvalue()), mime="application/zip")

    async def _delete(self, call: Call) -> Reply:
        self._desk.only(call, "permanent")
        _, image = self._desk.asked_image(call)
        permanent = flag(call, "permanent")
        if permanent:
            self._desk.world.remove_image(image)
        else:
            self._desk.world.archive_image(image)
        done: dict[str, Any] = {"success": True, "image_id": image.id, "permanent": permanent}
        return Reply(self._desk.wire.flat(done))


def _confidence(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise Refusal(422, "validation_error", "min_confidence_lt must be a number") from error
    if not 0 <= value <= 1:
        raise Refusal(422, "validation_error", "min_confidence_lt must be from 0 to 1")
    return value
