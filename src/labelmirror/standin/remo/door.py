"""Who gets in: tokens, sessions, and what befalls those who bring no session cookie.

The standalone server logs its one admin in on every request without a `sessionid` cookie, opens a session for it and
ends all others. A request whose session was ended meanwhile is answered with a page for 400, although its work is done.
"""

import asyncio
import http.cookies
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any

from labelmirror.standin.exchange import Call, Handler, Key, Memory, Refusal, Reply
from labelmirror.standin.remo.world import RemoWorld

#: As many requests are worked on at once as the real server has threads.
WORKERS = 3
#: What opening a session costs, which is long enough for another request to end it.
OPENING_S = 0.004
_ENDED = 'sessionid=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/'
_HTML = "text/html"


class Access(Enum):
    """What an operation asks of those who come without credentials."""

    PAGE = auto()  # nothing, and a wrong token is as good as none
    OPEN = auto()  # nothing, but a token that is sent must be right
    STATED = auto()  # it refuses them with 401
    HIDDEN = auto()  # it says that there is nothing


class Malformed(Refusal):
    """A body that breaks the rules of a serializer. `errors` is its complaint, a list or an object."""

    def __init__(self, errors: Any) -> None:
        super().__init__(400, "fields", "The body breaks the rules")
        self.errors = errors


def gone() -> Refusal:
    """There is no such thing, or whoever asks may not know of it."""
    return Refusal(404, "detail", "Not found.")


def broken() -> Refusal:
    """The server raised an exception that nobody caught."""
    return Refusal(500, "server_error", "Something went wrong")


def html(status: int, title: str) -> Reply:
    """A page of the framework."""
    return Reply(status=status, content=Memory(f"<h1>{title} ({status})</h1>".encode()), mime=_HTML)


def refused(refusal: Refusal) -> Reply:
    """A refusal in the server's words: a page from 500 on, else JSON whose one member `code` names."""
    if refusal.status >= 500:
        return html(refusal.status, "Server Error")
    if isinstance(refusal, Malformed):
        return Reply(refusal.errors, refusal.status)
    member = "error" if refusal.code == "error" else "detail"
    headers = {"WWW-Authenticate": "Token"} if refusal.status == 401 else {}
    return Reply({member: refusal.message}, refusal.status, headers=headers)


def secret(headers: Mapping[str, str]) -> str | None:
    """The token that a request carries, if any."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token if scheme == "Token" else None


class Door:
    """Lets requests in, a few at a time."""

    def __init__(self, keys: Sequence[Key], world: RemoWorld) -> None:
        self._keys = keys
        self._world = world
        self._session: str | None = None
        self._workers = asyncio.Semaphore(WORKERS)

    def guarded(self, handler: Handler, access: Access) -> Handler:
        """The handler behind the door."""

        async def serve(call: Call) -> Reply:
            async with self._workers:
                return await self._serve(call, handler, access)

        return serve

    def open_session(self) -> str:
        """A new session, which ends the one before."""
        self._session = self._world.token()
        return self._session

    def logged_in(self, call: Call, reply: Reply) -> Reply:
        """The answer to a login: it brings a session, also to those who brought one or a dummy."""
        return reply if _session_cookie(call) is None else _with_cookie(reply, _session(self.open_session()))

    async def _serve(self, call: Call, handler: Handler, access: Access) -> Reply:
        cookie = _session_cookie(call)
        if cookie is not None:
            reply = await self._answer(call, handler, access, admitted=cookie == self._session)
            return reply if cookie == self._session or "Set-Cookie" in reply.headers else _with_cookie(reply, _ENDED)
        mine = self.open_session()
        await asyncio.sleep(OPENING_S)
        reply = await self._answer(call, handler, access, admitted=True)
        if self._session != mine:
            return html(400, "Bad Request")
        return _with_cookie(reply, _session(mine))

    async def _answer(self, call: Call, handler: Handler, access: Access, *, admitted: bool) -> Reply:
        try:
            self._check(call, access, admitted=admitted)
            return await handler(call)
        except Refusal as refusal:
            return refused(refusal)

    def _check(self, call: Call, access: Access, *, admitted: bool) -> None:
        """Raise Refusal for a wrong token wherever it is sent, and for none where one is needed."""
        if access is Access.PAGE:
            return
        token = secret(call.headers)
        if token == "":
            raise Refusal(401, "detail", "Invalid token header. No credentials provided.")
        if token is not None:
            if not any(key.secret == token and key.active for key in self._keys):
                raise Refusal(401, "detail", "Invalid token.")
        elif not admitted and access is Access.STATED:
            raise Refusal(401, "detail", "Authentication credentials were not provided.")
        elif not admitted and access is Access.HIDDEN:
            raise gone()


def _session_cookie(call: Call) -> str | None:
    cookies = http.cookies.SimpleCookie(call.headers.get("Cookie", ""))
    return cookies["sessionid"].value if "sessionid" in cookies else None


def _session(name: str) -> str:
    return f"sessionid={name}; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax"


def _with_cookie(reply: Reply, cookie: str) -> Reply:
    return replace(reply, headers={**reply.headers, "Set-Cookie": cookie})
