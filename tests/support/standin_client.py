"""A bare client for the stand-in's own tests: what was answered, with nothing made of it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from labelmirror.standin import Standin, StandinOptions, serve

DEV = "/api/v1/developer"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class StandinClient:
    """Asks a stand-in with its key, or with another or none."""

    def __init__(self, standin: Standin, session: aiohttp.ClientSession) -> None:
        self.standin = standin
        self.session = session

    async def ask(self, method: str, path: str, *, key: str | None = "", **more: Any) -> Answer:
        """Ask the API below its developer path; `key` "" means the stand-in's own, None means none."""
        headers = dict(more.pop("headers", {}))
        if key is not None:
            headers["X-API-Key"] = key or self.standin.key
        url = f"{self.standin.url}{path if path.startswith('/api/') else DEV + path}"
        return await self.fetch(url, method=method, headers=headers, **more)

    async def get(self, path: str, **query: str | int) -> Answer:
        """GET from the API."""
        return await self.ask("GET", path, params=query)

    async def post(self, path: str, body: Any, **more: Any) -> Answer:
        """POST JSON to the API."""
        return await self.ask("POST", path, json=body, **more)

    async def fetch(self, url: str, *, method: str = "GET", **more: Any) -> Answer:
        """Any request, without a key of its own and without following redirects."""
        async with self.session.request(method, url, allow_redirects=False, **more) as response:
            return Answer(response.status, response.headers, await response.read())


@asynccontextmanager
async def standin_client(**options: Any) -> AsyncIterator[StandinClient]:
    """A fresh stand-in with these options (few images, short faults unless said otherwise) and a client for it."""
    options = {"images": 12, "hang_s": 0.3, **options}
    async with serve(StandinOptions(**options)) as standin, aiohttp.ClientSession() as session:
        # aiohttp repeats a GET by itself when the connection breaks; these tests are about the first answer.
        session._retry_connection = False
        yield StandinClient(standin, session)
