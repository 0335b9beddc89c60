"""Uploads in three steps: a link, the bytes to the storage host, a registration (contract, section 7)."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from labelmirror.standin.exchange import Call, Refusal, Reply, Route
from labelmirror.standin.options import Role
from labelmirror.standin.pictograph.desk import Desk, members
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.pictograph.wire import DEV
from labelmirror.standin.world import Dataset, Image

_BUCKET = "standin-uploads"
_BULK_MAX = 500
_LINK_MINUTES = 15
_NEW = {"filename": str, "directory_path": str, "file_size": int, "content_type": str}
_SIZE = {"width": int, "height": int}


class UploadRoutes:
    """The steps of an upload; in the older generations a registration is a form, in the newer ones JSON."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._waiting: dict[tuple[str, str, str], str] = {}

    def routes(self) -> tuple[Route, ...]:
        """The routes of the generation."""
        at = f"{DEV}/images"
        routes = (
            Route("images.upload-url", "POST", f"{at}/upload-url", self._link, Role.MEMBER),
            Route("images.register", "POST", f"{at}/register", self._register, Role.MEMBER),
        )
        if self._desk.generation is not Generation.G2:
            return routes
        return (
            *routes,
            Route("images.bulk-upload-url", "POST", f"{at}/bulk-upload-url", self._links, Role.MEMBER),
            Route("images.bulk-register", "POST", f"{at}/bulk-register", self._register_all, Role.MEMBER),
        )

    async def _link(self, call: Call) -> Reply:
        dataset, place = self._asked_place(call.json())
        link = self._new_link(dataset, place)
        directory, filename = place
        if self._desk.generation is Generation.G2:
            return Reply(
                {
                    "data": {
                        "filename": filename,
                        "directory_path": directory,
                        "upload_url": link,
                        "expires_in_minutes": _LINK_MINUTES,
                    }
                }
            )
        path = urlsplit(link).path
        stored = {"gcs_bucket": _BUCKET, "gcs_path": path, "gcs_uri": f"gs://{_BUCKET}{path}"}
        return Reply(self._desk.wire.flat({"upload_url": link, **stored}))

    async def _register(self, call: Call) -> Reply:
        desk = self._desk
        if desk.generation is Generation.G2:
            body = members(call.json(), {"dataset": str, **_NEW}, _SIZE)
            dataset = desk.dataset(body["dataset"])
        else:
            form = call.json() if desk.generation is Generation.G1B else dict(call.form)
            dataset, body = self._from_form(form)
        image = self._take(dataset, body)
        if desk.generation.wraps_in_data:
            return Reply({"data": desk.wire.image(dataset, image)})
        return Reply({"success": True, "image_id": image.id})

    async def _links(self, call: Call) -> Reply:
        body = members(call.json(), {"dataset": str, "images": list})
        dataset = self._desk.dataset(body["dataset"])
        _at_most(body["images"])
        links = []
        for entry in body["images"]:
            wanted = members(entry, {"filename": str}, {"directory_path": str, "content_type": str})
            place = wanted.get("directory_path", "/"), wanted["filename"]
            link = self._new_link(dataset, place)
            links.append({"filename": place[1], "directory_path": place[0], "upload_url": link})
        return Reply({"data": {"upload_urls": links}})

    async def _register_all(self, call: Call) -> Reply:
        body = members(call.json(), {"dataset": str, "images": list})
        dataset = self._desk.dataset(body["dataset"])
        _at_most(body["images"])
        taken: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for entry in body["images"]:
            wanted = members(entry, _NEW, _SIZE)
            try:
                taken.append(self._desk.wire.image(dataset, self._take(dataset, wanted)))
            except Refusal as refusal:
                place = {"filename": wanted["filename"], "directory_path": wanted["directory_path"]}
                failed.append({**place, "error": refusal.message})
        return Reply({"data": {"succeeded": taken, "failed": failed, "count": len(taken)}})

    def _asked_place(self, body: Any) -> tuple[Dataset, tuple[str, str]]:
        if self._desk.generation is Generation.G2:
            body = members(body, {"dataset": str, "filename": str}, {"directory_path": str, "content_type": str})
            return self._desk.dataset(body["dataset"]), (body.get("directory_path", "/"), body["filename"])
        body = members(body, {"dataset_id": str, "filename": str}, {"folder_path": str, "content_type": str})
        return self._desk.dataset(body["dataset_id"]), (body.get("folder_path", "/"), body["filename"])

    def _from_form(self, form: Mapping[str, Any]) -> tuple[Dataset, dict[str, Any]]:
        """The fields of an older registration under their newer names."""
        try:
            body = {
                "filename": form["filename"],
                "directory_path": form.get("folder_path", "/"),
                "file_size": int(form["file_size"]),
                "content_type": form.get("mime_type", form.get("content_type", "image/jpeg")),
                "width": int(form.get("image_width", form.get("width", 0))),
                "height": int(form.get("image_height", form.get("height", 0))),
            }
            return self._desk.dataset(form["dataset_id"]), body
        except (KeyError, ValueError) as error:
            raise Refusal(422, "validation_error", f"Incomplete registration: {error}") from error

    def _new_link(self, dataset: Dataset, place: tuple[str, str]) -> str:
        if dataset.cold:
            raise Refusal(409, "conflict", "The dataset is in cold storage")
        if dataset.at(*place) is not None:
            raise Refusal(409, "conflict", "An image of this name already exists")
        path = f"/uploads/{self._desk.world.new_id()}"
        self._waiting[dataset.id, *place] = path
        return self._desk.storage.link(path)

    def _take(self, dataset: Dataset, body: Mapping[str, Any]) -> Image:
        place = body["directory_path"], body["filename"]
        path = self._waiting.get((dataset.id, *place))
        payload = None if path is None else self._desk.storage.uploads.get(path)
        if path is None or payload is None:
            raise Refusal(400, "bad_request", "Nothing was uploaded under this name")
        if len(payload) != body["file_size"]:
            raise Refusal(400, "bad_request", f"{len(payload)} bytes were uploaded, not {body['file_size']}")
        try:
            image = self._desk.world.add_image(
                dataset,
                body["filename"],
                body["directory_path"],
                payload=payload,
                mime=body["content_type"],
                size=(body.get("width", 0), body.get("height", 0)),
            )
        except ValueError as error:
            raise Refusal(409, "conflict", "An image of this name already exists") from error
        del self._waiting[dataset.id, *place], self._desk.storage.uploads[path]
        return image


def _at_most(entries: list[Any]) -> None:
    if len(entries) > _BULK_MAX:
        raise Refusal(422, "validation_error", f"At most {_BULK_MAX} images at a time")
