"""Exports as clients order, poll, fetch and delete them (contract, section 8)."""

from labelmirror.standin.exchange import Call, Refusal, Reply, Route
from labelmirror.standin.options import Role
from labelmirror.standin.pictograph.desk import UUID, Desk, members, number
from labelmirror.standin.pictograph.exports import Export, Order
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.pictograph.wire import DEV

_NAME_MAX = 100
_PAGE_MAX = 1_000
_ORDER = {"include_images": bool, "class_filter": list, "status_filter": str, "organize_by_split": bool}


class ArchiveRoutes:
    """What can be done with exports."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The routes of the generation; only the format `pictograph` is built."""
        at = f"{DEV}/exports"
        maker = Role.ADMIN if self._desk.generation is Generation.G0 else Role.MEMBER
        common = (
            Route("exports.list", "GET", f"{at}/", self._list),
            Route("exports.create", "POST", f"{at}/", self._create, maker),
        )
        if self._desk.generation is Generation.G2:
            delete_all = Route("exports.bulk-delete", "POST", f"{at}/bulk-delete", self._delete_all, Role.ADMIN)
            return (*common, delete_all, *self._at(at + "/{export}"))
        middle = "/by-name" if self._desk.generation is Generation.G1B else ""
        by_id = self._at(f"{at}/{{export:{UUID}}}")
        return (*common, *by_id, *self._at(at + middle + "/{dataset}/{export}"))

    def _at(self, pattern: str) -> tuple[Route, ...]:
        return (
            Route("exports.get", "GET", pattern, self._get),
            Route("exports.link", "GET", f"{pattern}/download", self._link),
            Route("exports.delete", "DELETE", pattern, self._delete, Role.ADMIN),
        )

    async def _list(self, call: Call) -> Reply:
        desk = self._desk
        desk.only(call, "limit", "offset", "dataset_name", "status")
        limit = number(call, "limit", 100, at_least=1, at_most=_PAGE_MAX)
        offset = number(call, "offset", 0, at_least=0)
        dataset, status = call.query.get("dataset_name"), call.query.get("status")
        exports = [
            export
            for export in desk.exports.newest_first()
            if dataset in {None, export.dataset.name} and status in {None, desk.exports.status(export)}
        ]
        rows = [desk.exports.row(export, self._url(export)) for export in exports[offset : offset + limit]]
        return Reply(desk.wire.listing("export", rows, limit=limit, offset=offset, total=len(exports)))

    async def _create(self, call: Call) -> Reply:
        desk = self._desk
        body = members(call.json(), {"dataset_name": str, "name": str}, {"format": str, **_ORDER})
        if body.get("format", "pictograph") != "pictograph":
            raise Refusal(422, "validation_error", "The stand-in builds the format pictograph only")
        if not 0 < len(body["name"]) <= _NAME_MAX:
            raise Refusal(422, "validation_error", f"A name has 1 to {_NAME_MAX} characters")
        dataset = desk.named_dataset(body["dataset_name"])
        if dataset.cold:
            raise Refusal(409, "conflict", "The dataset is in cold storage")
        classes = body.get("class_filter")
        order = Order(
            name=body["name"],
            include_images=body.get("include_images", False),
            class_filter=None if classes is None else tuple(classes),
            status_filter=body.get("status_filter"),
            organize_by_split=body.get("organize_by_split", False),
        )
        try:
            export = desk.exports.create(desk.world.new_id(), dataset, order)
        except ValueError as error:
            raise Refusal(409, "conflict", str(error)) from error
        return Reply(desk.wire.single("export", desk.exports.row(export, None)), 201)

    async def _get(self, call: Call) -> Reply:
        export = self._asked(call)
        export.polls += 1
        return Reply(self._desk.wire.single("export", self._desk.exports.row(export, self._url(export))))

    async def _link(self, call: Call) -> Reply:
        export = self._asked(call)
        if self._desk.exports.status(export) != "completed":
            raise Refusal(409, "conflict", "The export is not completed")
        return Reply(self._desk.wire.flat({"download_url": self._url(export)}))

    async def _delete(self, call: Call) -> Reply:
        export = self._asked(call)
        self._desk.exports.delete(export)
        return Reply(self._desk.wire.flat({"success": True, "id": export.id}))

    async def _delete_all(self, call: Call) -> Reply:
        ids = members(call.json(), {"export_ids": list})["export_ids"]
        deleted, unknown = [], []
        for export_id in ids:
            export = self._desk.exports.find(None, str(export_id))
            if export is None:
                unknown.append(export_id)
                continue
            self._desk.exports.delete(export)
            deleted.append(export_id)
        return Reply({"data": {"succeeded": deleted, "not_found": unknown, "count": len(deleted)}})

    def _asked(self, call: Call) -> Export:
        self._desk.only(call, "dataset")
        name = call.params.get("dataset", call.query.get("dataset"))
        dataset = None if name is None else self._desk.dataset(name)
        export = self._desk.exports.find(dataset, call.params["export"])
        if export is None:
            raise Refusal(404, "not_found", "Export not found")
        return export

    def _url(self, export: Export) -> str:
        return self._desk.storage.link(f"/exports/{export.id}.zip")
