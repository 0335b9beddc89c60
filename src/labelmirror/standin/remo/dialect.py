"""Puts the stand-in Remo together."""

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from labelmirror.standin.exchange import Call, Key, Memory, Refusal, Reply, Route
from labelmirror.standin.remo import door
from labelmirror.standin.remo.annotations import AnnotationRoutes
from labelmirror.standin.remo.colleague import RemoColleague
from labelmirror.standin.remo.datasets import DatasetRoutes, FileRoutes
from labelmirror.standin.remo.desk import Desk, members
from labelmirror.standin.remo.door import Access, Door, Malformed
from labelmirror.standin.remo.exports import ExportRoutes
from labelmirror.standin.remo.filling import begin
from labelmirror.standin.remo.labels import SetRoutes
from labelmirror.standin.remo.sample import sample_world
from labelmirror.standin.remo.uploads import UploadRoutes
from labelmirror.standin.remo.world import RemoWorld
from labelmirror.standin.service import Ground, Login, Service

VERSION = "0.6.1"
LOGIN = Login(user="remo@remo.ai", password="adminpass")  # noqa: S106
_PAGE = (
    b'<!doctype html>\n<html lang="en">\n<head><title>remo</title></head>\n<body><div id="app"></div></body>\n</html>\n'
)


def build(ground: Ground) -> Service:
    """A Remo, with its sample world if that is asked for."""
    options = ground.options
    world = RemoWorld(ground.clock, options.seed)
    if options.sample:
        world = sample_world(
            ground.clock,
            clock_offset_s=options.clock_offset_s,
            images=options.images,
            unannotated_every=options.unannotated_every,
            hostile_names=options.hostile_names,
            seed=options.seed,
        )
    desk = Desk(world, Door(ground.keys, world))
    return Service(
        world=world,
        dialect=Remo(desk, ground.keys),
        colleague=RemoColleague(world),
        begin=partial(begin, world),
        login=LOGIN,
    )


class Remo:
    """How Remo speaks."""

    def __init__(self, desk: Desk, keys: Sequence[Key]) -> None:
        self._desk = desk
        self._keys = keys

    def routes(self) -> tuple[Route, ...]:
        """The operations, then what answers for wrong methods and unknown paths."""
        route = self._desk.route
        known = (
            route("version", "GET", "/api/version", self._version, Access.OPEN),
            route("version", "GET", "/api/version/", self._version, Access.OPEN),
            route("login", "POST", "/api/rest-auth/login/", self._log_in, Access.OPEN),
            *DatasetRoutes(self._desk).routes(),
            *SetRoutes(self._desk).routes(),
            *AnnotationRoutes(self._desk).routes(),
            *ExportRoutes(self._desk).routes(),
            *UploadRoutes(self._desk).routes(),
            *FileRoutes(self._desk).routes(),
        )
        patterns = sorted({each.pattern for each in known})
        return (
            *known,
            *(route("not_allowed", "*", pattern, self._not_allowed, Access.OPEN) for pattern in patterns),
            *(Route("slash_missing", "*", each[:-1], self._redirect, None, open=True) for each in _slashed(patterns)),
            route("page", "*", "/{page:.*}", self._page, Access.PAGE),
        )

    def secret(self, headers: Mapping[str, str]) -> str | None:
        """The token of the Authorization header; sessions are not looked at."""
        return door.secret(headers)

    def mint(self, rng: random.Random) -> str:
        """A fresh token."""
        return f"{rng.getrandbits(160):040x}"

    def refused(self, refusal: Refusal) -> Reply:
        """A refusal in the server's words."""
        return door.refused(refusal)

    def rows(self, payload: Any) -> list[Any] | None:
        """The list inside a listing."""
        rows = payload.get("results") if isinstance(payload, dict) else None
        return rows if isinstance(rows, list) else None

    def end_listing(self, payload: Any) -> None:
        """Make a listing say that no page follows."""
        payload["next"] = None

    def foreign_envelope(self, payload: Any) -> Any:
        """The rows bare, as older calls of the server answer."""
        return payload["results"]

    async def _version(self, _: Call) -> Reply:
        return Reply({"app": "remo", "version": VERSION})

    async def _log_in(self, call: Call) -> Reply:
        given = members(call)
        if "password" not in given:
            raise Malformed({"password": ["This field is required."]})
        if given["password"] == "":
            raise Malformed({"password": ["This field may not be blank."]})
        if "@" not in given.get("email", "@"):
            raise Malformed({"email": ["Enter a valid email address."]})
        if (given.get("email"), given["password"]) != (LOGIN.user, LOGIN.password) or not self._keys[0].active:
            raise Malformed({"non_field_errors": ["Unable to log in with provided credentials."]})
        return self._desk.door.logged_in(call, Reply({"key": self._keys[0].secret}))

    async def _not_allowed(self, call: Call) -> Reply:
        raise Refusal(405, "detail", f'Method "{call.method}" not allowed.')

    async def _redirect(self, call: Call) -> Reply:
        location = f"{call.path}/" + (f"?{urlencode(call.query)}" if call.query else "")
        return Reply(status=301, content=Memory(b""), mime="text/html", headers={"Location": location})

    async def _page(self, call: Call) -> Reply:
        if call.method not in {"GET", "HEAD"}:
            return Reply(status=405, content=Memory(b""), mime="text/html")
        return Reply(content=Memory(_PAGE), mime="text/html")


def _slashed(patterns: Sequence[str]) -> list[str]:
    """The patterns that end in a slash and have no twin without one."""
    return [pattern for pattern in patterns if pattern.endswith("/") and pattern[:-1] not in patterns]
