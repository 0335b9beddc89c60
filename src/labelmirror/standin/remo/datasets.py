"""Datasets, images, folders and files (contract, sections 3 and 4)."""

import email.utils
from collections.abc import Callable

from labelmirror.standin.exchange import Call, Handler, Memory, Reply, Route
from labelmirror.standin.remo import wire
from labelmirror.standin.remo.annotations import NOTHING
from labelmirror.standin.remo.desk import Desk, lacking, members, number
from labelmirror.standin.remo.door import Access, Malformed, broken
from labelmirror.standin.remo.model import Folder, Image
from labelmirror.standin.remo.rendering import thumbnail

_UI = "/api/v1/ui/datasets"
_USER = "/api/user-dataset/{dataset}"


class DatasetRoutes:
    """What can be asked about datasets and what is in them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The routes."""
        route, one = self._desk.route, _UI + "/{dataset}"
        return (
            route("datasets.list", "GET", f"{_UI}/", self._list, Access.STATED),
            route("datasets.get", "GET", f"{one}/", self._get, Access.STATED),
            route("datasets.create", "POST", "/api/dataset/", self._create, Access.STATED),
            route("datasets.change", "PATCH", f"{_USER}/", self._change, Access.STATED),
            route("datasets.delete", "DELETE", f"{_USER}/", self._delete, Access.STATED),
            route("images.list", "GET", "/api/v1/sdk/datasets/{dataset}/images/", self._list_all, Access.STATED),
            route("images.page", "GET", f"{one}/images/", self._page),
            route("images.get", "GET", one + "/images/{image}/", self._image),
            route("images.get", "GET", one + "/images/{image}/annotations/", self._image_or_no_name),
            route("images.delete", "DELETE", _USER + "/images/{image}/", self._delete_image),
            route("contents.list", "GET", f"{one}/contents/", self._contents),
            route("contents.list", "GET", one + "/contents/{folder}/", self._contents),
            route("folders.create", "POST", f"{_USER}/folders/", self._create_folder),
            route("folders.delete", "DELETE", _USER + "/folders/{folder}/", self._delete_folder),
        )

    async def _list(self, call: Call) -> Reply:
        archived = {"true": True, "false": False}.get(call.query.get("is_archived", ""))
        datasets = [each for each in self._desk.world.datasets.values() if archived in {None, each.archived}]
        return Reply(wire.page(call, datasets, wire.dataset))

    async def _get(self, call: Call) -> Reply:
        return Reply(wire.dataset(self._desk.dataset(call)))

    async def _create(self, call: Call) -> Reply:
        world, name = self._desk.world, str(members(call).get("name", "Dataset"))
        taken = {each.name for each in world.datasets.values()}
        free = next(each for each in (name, *(f"{name} ({n})" for n in range(1, len(taken) + 2))) if each not in taken)
        return Reply(wire.created_dataset(world.add_dataset(free)))

    async def _change(self, call: Call) -> Reply:
        dataset, wanted = self._desk.dataset(call), members(call)
        dataset.name = str(wanted.get("name", dataset.name))
        dataset.archived = bool(wanted.get("is_archived", dataset.archived))
        dataset.updated_s = self._desk.world.clock.now_s()
        return Reply(wire.owned_dataset(dataset))

    async def _delete(self, call: Call) -> Reply:
        self._desk.world.remove_dataset(self._desk.dataset(call))
        return NOTHING

    async def _list_all(self, call: Call) -> Reply:
        dataset = self._desk.world.datasets.get(number(call, "dataset"))
        if dataset is None:
            raise lacking("Dataset", call.params["dataset"])
        images = list(dataset)
        if "limit" in call.query and wire.offset(call) < len(images):
            return Reply(wire.page(call, images, wire.sdk_image))
        return Reply({"count": len(images), "results": [wire.sdk_image(image) for image in images]})

    async def _page(self, call: Call) -> Reply:
        return Reply(wire.page(call, list(self._desk.active_dataset(call)), wire.listed_image))

    async def _image(self, call: Call) -> Reply:
        return Reply(wire.whole_image(self._desk.image(call, self._desk.active_dataset(call))))

    async def _image_or_no_name(self, call: Call) -> Reply:
        image = self._desk.active_dataset(call).images.get(number(call, "image"))
        return Reply({"name": ""} if image is None else wire.whole_image(image))

    async def _delete_image(self, call: Call) -> Reply:
        self._desk.world.remove_image(self._desk.image(call, self._desk.dataset(call)))
        return NOTHING

    async def _contents(self, call: Call) -> Reply:
        dataset = self._desk.dataset(call)
        if "folder" not in call.params and call.query.get("image_name"):
            return Reply(wire.filtered(call, dataset))
        folder = self._desk.folder(call, dataset).id if "folder" in call.params else None
        entries: list[Folder | Image] = [*dataset.folders_in(folder), *dataset.images_in(folder)]
        if entries and wire.offset(call) == len(entries):
            raise broken()
        return Reply(wire.page(call, entries, lambda each: wire.record(dataset, each)))

    async def _create_folder(self, call: Call) -> Reply:
        dataset, wanted = self._desk.dataset(call), members(call)
        if not wanted.get("name"):
            absent = "This field may not be blank." if "name" in wanted else "This field is required."
            raise Malformed({"name": [absent]})
        parent = dataset.folders.get(wanted.get("parent_folder_id", -1))
        folder = self._desk.world.add_folder(dataset, str(wanted["name"]), parent)
        return Reply(wire.created_folder(dataset, folder), 201)

    async def _delete_folder(self, call: Call) -> Reply:
        dataset = self._desk.dataset(call)
        self._desk.world.remove_folder(dataset, self._desk.folder(call, dataset))
        return NOTHING


class FileRoutes:
    """Files of images: no key, no ranges, no validators, and 500 for whatever does not fit."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The routes."""
        kinds: dict[str, Callable[[Image], bytes]] = {
            "dataset_originals": lambda image: image.content,
            "dataset_images": lambda image: image.reduced[0] if image.reduced else image.content,
            "dataset_views": lambda image: image.reduced[0] if image.reduced else image.content,
            "dataset_previews": thumbnail,
            "dataset_thumbnails": thumbnail,
        }
        names = {"dataset_originals": "original", "dataset_images": "image"}
        files = [
            (f"media.{names.get(kind, 'small')}", f"/media/{kind}/{{md5}}", self._by_digest(rendered))
            for kind, rendered in kinds.items()
        ]
        files += [
            ("media.linked", "/local-files/{path:.+}", self._linked),
            ("media.image", "/media/{path:.*}", _missing),
        ]
        return tuple(
            self._desk.route(name, method, pattern, handler, Access.OPEN)
            for name, pattern, handler in files
            for method in ("GET", "HEAD")
        )

    def _by_digest(self, rendered: Callable[[Image], bytes]) -> Handler:
        async def serve(call: Call) -> Reply:
            try:
                image = self._desk.world.stored(call.params["md5"])
            except KeyError as error:
                raise broken() from error
            return _file(call, rendered(image), image, "application/octet-stream")

        return serve

    async def _linked(self, call: Call) -> Reply:
        for dataset in self._desk.world.datasets.values():
            for image in dataset:
                if image.linked == f"/{call.params['path']}":
                    return _file(call, image.content, image, image.mime)
        raise broken()


async def _missing(_: Call) -> Reply:
    raise broken()


def _file(call: Call, content: bytes, image: Image, mime: str) -> Reply:
    # The storage behind takes a query for a part of the name.
    if call.query:
        raise broken()
    modified = email.utils.formatdate(image.created_s, usegmt=True)
    return Reply(content=Memory(content), mime=mime, headers={"Last-Modified": modified})
