"""Puts the stand-in COCO Annotator together."""

import random
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from labelmirror.standin.coco_annotator import wire
from labelmirror.standin.coco_annotator.annotations import AnnotationRoutes
from labelmirror.standin.coco_annotator.annotator import AnnotatorRoutes
from labelmirror.standin.coco_annotator.categories import CategoryRoutes
from labelmirror.standin.coco_annotator.colleague import CocoColleague
from labelmirror.standin.coco_annotator.datasets import DatasetRoutes
from labelmirror.standin.coco_annotator.desk import ANYBODY, COOKIE, DONE, Desk, body_of, refusal
from labelmirror.standin.coco_annotator.exports import ExportRoutes
from labelmirror.standin.coco_annotator.filling import begin
from labelmirror.standin.coco_annotator.images import ImageRoutes
from labelmirror.standin.coco_annotator.sample import ADMIN, bare_world, sample_world
from labelmirror.standin.coco_annotator.undo import UndoRoutes
from labelmirror.standin.coco_annotator.world import User
from labelmirror.standin.exchange import Call, Memory, Refusal, Reply, Route
from labelmirror.standin.service import Ground, Login, Service

VERSION = "v0.11.1"
KEEP_ALIVE_S = 2.0
_ERROR_PAGE = b"<!DOCTYPE HTML PUBLIC '-//W3C//DTD HTML 3.2 Final//EN'>\n<title>%d</title>\n<h1>%s</h1>\n"
#: Paths at which any other method than those served is not found rather than not allowed.
_HIDDEN = re.compile(r"/api/(dataset/\d+|undo/|annotator/data)")
_LISTS = ("images", "datasets", "categories")


def build(ground: Ground) -> Service:
    """A COCO Annotator, with its sample world if that is asked for."""
    world = (sample_world if ground.options.sample else bare_world)(ground.clock, ground.options)
    desk = Desk(ground.options, ground.clock, world, f"{ground.options.seed} sessions".encode())
    login = Login(ADMIN, world.users[ADMIN].password)
    return Service(
        world=world,
        dialect=CocoAnnotator(desk),
        colleague=CocoColleague(world),
        begin=partial(begin, world),
        login=login,
        keep_alive_s=KEEP_ALIVE_S,
    )


class CocoAnnotator:
    """How COCO Annotator speaks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        served = (
            Route("info", "GET", "/api/info/", self._info, None, open=True),
            Route("user.login", "POST", "/api/user/login", self._login, None, open=True),
            desk.route("user.logout", "GET", "/user/logout", self._logout),
            desk.route("user.get", "GET", "/user/", self._user),
            *DatasetRoutes(desk).routes(),
            *CategoryRoutes(desk).routes(),
            *ImageRoutes(desk).routes(),
            *AnnotationRoutes(desk).routes(),
            *AnnotatorRoutes(desk).routes(),
            *ExportRoutes(desk).routes(),
            *UndoRoutes(desk).routes(),
        )
        self._paths = [re.compile(re.sub(r"\{\w+:([^}]*)\}", r"\1", route.pattern)) for route in served]
        self._routes = (*served, Route("elsewhere", "*", "/{elsewhere:.*}", self._elsewhere, None, open=True))

    def routes(self) -> tuple[Route, ...]:
        """The operations."""
        return self._routes

    def secret(self, headers: Mapping[str, str]) -> str | None:
        """Whatever shall prove who asks: HTTP Basic, or a cookie."""
        return headers.get("Authorization", headers.get("Cookie"))

    def mint(self, rng: random.Random) -> str:
        """A password."""
        return f"{rng.getrandbits(64):016x}"

    def refused(self, refusal: Refusal) -> Reply:
        """A refusal as JSON or, where the server's framework speaks, as a page."""
        if refusal.code == "html":
            page = Memory(_ERROR_PAGE % (refusal.status, refusal.message.encode()))
            return Reply(status=refusal.status, content=page, mime="text/html", close=refusal.status >= 500)
        body = refusal.details if refusal.code == "json" else {"message": refusal.message}
        return Reply(body, refusal.status)

    def rows(self, payload: Any) -> list[Any] | None:
        """The list inside a listing."""
        if isinstance(payload, list):
            return payload
        if isinstance(payload, dict):
            return next((payload[name] for name in _LISTS if name in payload and "total" in payload), None)
        return None

    def end_listing(self, payload: Any) -> None:
        """Nothing: no listing says whether a page follows."""

    def foreign_envelope(self, payload: Any) -> Any:
        """The listing as if it were wrapped in `data`, which no such server does."""
        return {"data": self.rows(payload)}

    async def _info(self, _call: Call) -> Reply:
        world = self._desk.world
        counts = {"total_users": len(world.users), "login_enabled": not world.open_to_all, "allow_registration": True}
        return Reply({"name": "COCO Annotator", "author": "Justin Brooks", "git": {"tag": VERSION}, **counts})

    async def _login(self, call: Call) -> Reply:
        body = body_of(call)
        user = self._desk.login(str(body.get("username", "")), str(body.get("password", "")))
        if user is None:
            raise refusal(400, {"success": False, "message": "Could not authenticate user"})
        cookie = f"{COOKIE}={self._desk.session(user)}; HttpOnly; Path=/"
        return Reply({**DONE, "user": self._shown(user)}, headers={"Set-Cookie": cookie})

    async def _logout(self, _call: Call, _user: User) -> Reply:
        return Reply(DONE)

    async def _user(self, _call: Call, user: User) -> Reply:
        if user is ANYBODY:
            return Reply({"admin": False, "username": user.name, "name": "Anonymous User", "is_admin": False})
        return Reply({"user": self._shown(user)})

    def _shown(self, user: User) -> dict[str, Any]:
        return wire.user(user, list(self._desk.world.users.values()).index(user) + 1)

    async def _elsewhere(self, call: Call) -> Reply:
        """What is at no path, or not for this method."""
        if any(path.fullmatch(call.path) for path in self._paths):
            if call.method == "GET" or _HIDDEN.fullmatch(call.path):
                raise Refusal(404, "html", "Not Found")
            raise refusal(405, {"message": "The method is not allowed for the requested URL."})
        if any(path.fullmatch(f"{call.path}/") for path in self._paths):
            return Reply(status=308, content=Memory(b""), mime="text/html", headers={"Location": f"{call.path}/"})
        raise Refusal(404, "html", "Not Found")
