"""Requests to one Remo server, as a user who logs in before the first of them.

Every request carries a `sessionid` cookie that means nothing: on one without, the server logs its local administrator in
and ends all other sessions, and concurrent requests are answered with a page "400", after their work was done (contract, 2).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from labelmirror.errors import KeyRefused, NotFound, OutcomeUnknown, ProtocolError, Rejected, Unavailable
from labelmirror.model.document import JsonObject, JsonValue
from labelmirror.model.pacing import Priority
from labelmirror.ports.provider import ImageStream, ProviderMemory
from labelmirror.providers import answers
from labelmirror.providers.remo import routes, wire
from labelmirror.providers.secrets import Secret
from labelmirror.transport.api import Api

COOKIE: Final[Mapping[str, str]] = {"Cookie": "sessionid=none"}
#: Under this name the provider remembers the version of the server, which proves that it is one.
MEMORY: Final = "version"
#: A login changes nothing, so one whose answer is lost is sent again.
LOGIN_TRIES: Final = 3
#: Rows of a list in one answer; an image costs the server about ten milliseconds.
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `count` is the announced length of the whole list."""

    count: int
    rows: Sequence[JsonObject]
    has_more: bool


def page_of(answer: JsonValue, *, where: str) -> Page:
    """Read a page. Raises ProtocolError for anything else: a missing list is never an empty one."""
    head = answers.read(wire.PageHead, answer, where=where)
    rows = [answers.table(item, where=where) for item in answers.items(answer, "results", where=where)]
    return Page(head.count, rows, has_more=head.next is not None)


class Session:
    """Asks the API as a user. A 404 is believed only once the login is known to be good: without one, it says the same."""

    def __init__(self, api: Api, memory: ProviderMemory, *, user: str, password: Secret, pages_max: int) -> None:
        self.api = api
        self._memory = memory
        self._user = user
        self._password = password
        self._pages_max = pages_max
        self._logged_in = False
        self._lock = anyio.Lock()

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, priority: Priority = Priority.PULL
    ) -> JsonValue:
        """Read JSON. Raises NotFound only where the server knows who asks."""
        await self._log_in()
        try:
            return await self.api.get(path, query, priority=priority)
        except NotFound:
            await self._prove_login(priority)
            raise

    async def send(self, method: str, path: str, body: JsonValue = None) -> JsonValue:
        """Send a request that changes something, ahead of everything else; never twice. Errors are those of `Api.send`."""
        await self._log_in()
        try:
            return await self.api.send(method, path, body=body, priority=Priority.PUSH)
        except NotFound:
            await self._prove_login(Priority.PUSH)
            raise

    async def pages(
        self, path: str, query: Mapping[str, str] | None = None, *, size: int = PAGE
    ) -> AsyncIterator[Page]:
        """The pages of a list, one after the other. Raises ProtocolError where it does not come to its end."""
        offset = 0
        for _ in range(self._pages_max):
            asked = {**(query or {}), "limit": str(size), "offset": str(offset)}
            page = page_of(await self.get(path, asked), where=f"GET {path}")
            yield page
            offset += len(page.rows)
            if not page.rows or not page.has_more:
                return
        raise ProtocolError(f"GET {path}: the list has more than {self._pages_max} pages")

    async def listed(
        self, path: str, form: type[wire.Row], query: Mapping[str, str] | None = None
    ) -> Sequence[JsonObject]:
        """All rows of a list, in its order, each of this form. Raises ProtocolError where they are not as many as announced:
        what a page leaves out would look as if it were gone.
        """
        found: dict[int, JsonObject] = {}
        count = 0
        async for page in self.pages(path, query):
            count = page.count
            found |= {answers.read(form, row, where=f"GET {path}").id: row for row in page.rows}
        if len(found) != count:
            raise ProtocolError(f"GET {path} announced {count} items and listed {len(found)}")
        return list(found.values())

    @asynccontextmanager
    async def stream(self, path: str, *, priority: Priority = Priority.BYTES) -> AsyncIterator[ImageStream]:
        """Read something that is no JSON."""
        await self._log_in()
        async with self.api.stream(path, priority=priority) as stream:
            yield stream

    async def version(self) -> str:
        """Which version the server is. Raises ProtocolError where it is no Remo at all."""
        held = await self._memory.get(MEMORY)
        if isinstance(held, str):
            return held
        where = f"GET {routes.VERSION}"
        said = answers.read(wire.Version, await self.api.get(routes.VERSION), where=where)
        if said.app != "remo":
            raise ProtocolError(f"{where}: this is no Remo server", hint="Is the server's url right?")
        await self._memory.put(MEMORY, said.version)
        return said.version

    async def _log_in(self) -> None:
        if not self._logged_in:
            async with self._lock:
                await self._log_in_once()

    async def _log_in_once(self) -> None:
        if self._logged_in:
            return
        await self.version()  # a password is not for strangers
        self.api.carry({"Authorization": f"Token {await self._token()}"})
        self._logged_in = True

    async def _token(self) -> str:
        body = {"email": self._user, "password": self._password.reveal()}
        try:
            answer = await self._sent_login(body, LOGIN_TRIES)
        except Rejected as error:
            raise KeyRefused(
                f"POST {routes.LOGIN}: the server does not take this user and password",
                hint="Check both: the user is an e-mail address.",
                status=error.status,
            ) from None
        return answers.read(wire.Login, answer, where=f"POST {routes.LOGIN}").key

    async def _sent_login(self, body: JsonObject, tries: int) -> JsonValue:
        try:
            return await self.api.send("POST", routes.LOGIN, body=body)
        except OutcomeUnknown as error:
            if tries == 1:
                raise Unavailable(error.message, status=error.status) from None
        return await self._sent_login(body, tries - 1)

    async def _prove_login(self, priority: Priority) -> None:
        """Raises KeyRefused where the login is not good any more; this one list says so, others answer 404."""
        await self.api.get(routes.DATASETS, {"limit": "1"}, priority=priority)
