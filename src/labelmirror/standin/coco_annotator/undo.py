"""Deleted things: listed, brought back, or gone for good (contract, section 12)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from labelmirror.standin.coco_annotator.desk import DONE, Desk, body_of, invalid, refusal, whole
from labelmirror.standin.coco_annotator.world import Annotation, Category, Dataset, Deletable, Image, User
from labelmirror.standin.exchange import Call, Reply, Route

_LIMIT_MAX = 1_000


class UndoRoutes:
    """What can be done with deleted things. The server asks nobody for permission here."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The operations."""
        route = self._desk.route
        return (
            route("undo.list", "GET", "/undo/list/", self._list),
            route("undo.restore", "POST", "/undo/", self._restore),
            route("undo.erase", "DELETE", "/undo/", self._erase),
        )

    def _collections(self) -> Mapping[str, Mapping[int, Deletable]]:
        world = self._desk.world
        return {
            "annotation": world.annotations,
            "image": world.images,
            "category": world.categories,
            "dataset": world.datasets,
        }

    async def _list(self, call: Call, _user: User) -> Reply:
        limit, kind = whole(call, "limit", 50), call.query.get("type", "all")
        if not 1 <= limit <= _LIMIT_MAX:
            raise invalid({"limit": "must be from 1 to 1000"})
        deleted = [
            (item.deleted_s, name, item)
            for name, items in self._collections().items()
            for item in items.values()
            if item.deleted and item.deleted_s is not None and kind in {"all", name}
        ]
        deleted.sort(key=lambda entry: (-entry[0], entry[1], entry[2].id))
        return Reply([_row(name, item, at_s) for at_s, name, item in deleted[:limit]])

    async def _restore(self, call: Call, _user: User) -> Reply:
        self._desk.world.restore(self._asked(call))
        return Reply(DONE)

    async def _erase(self, call: Call, _user: User) -> Reply:
        self._desk.world.erase(self._asked(call))
        return Reply(DONE)

    def _asked(self, call: Call) -> Deletable:
        given: Mapping[str, Any] = {**call.query, **(body_of(call) if call.body else {})}
        try:
            item = self._collections()[given["instance"]].get(int(given["id"]))
        except (KeyError, ValueError) as error:
            raise invalid({"instance": "Missing or invalid parameter"}) from error
        if item is None:
            raise refusal(400, {"message": "Invalid instance"})
        return item


def _row(kind: str, item: Deletable, at_s: float) -> dict[str, Any]:
    at = datetime.fromtimestamp(at_s, UTC)
    return {
        "id": item.id,
        "name": _name(item),
        "instance": kind,
        "ago": "",
        "date": at.strftime("%Y-%m-%d %H:%M:%S.%f"),
    }


def _name(item: Deletable) -> str:
    match item:
        case Image():
            return item.file_name
        case Annotation():
            return str(item.metadata.get("name", f"annotation {item.id}"))
        case Category() | Dataset():
            return item.name
