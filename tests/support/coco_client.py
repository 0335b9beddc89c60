"""A bare client for the stand-in COCO Annotator's own tests: what was answered, with nothing made of it."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from labelmirror.standin import Standin, StandinOptions, serve
from labelmirror.standin.coco_annotator import CocoWorld, Dataset, Image
from support.standin_client import Answer


class CocoClient:
    """Asks a stand-in as its admin, or as somebody else."""

    def __init__(self, standin: Standin, session: aiohttp.ClientSession) -> None:
        assert standin.login is not None
        self.standin = standin
        self.session = session
        self.world = standin.world_as(CocoWorld)
        self.login = (standin.login.user, standin.login.password)

    @property
    def harbour(self) -> Dataset:
        """The large sample dataset."""
        return self.world.dataset("harbour")

    def images(self) -> list[Image]:
        """The images of the large sample dataset."""
        return self.world.images_of(self.harbour)

    def somebody(self, name: str, *, shared: bool = False) -> tuple[str, str]:
        """A new user who is no admin, perhaps one whom the large dataset is shared with; their login."""
        self.world.add_user(name, f"{name}'s password")
        if shared:
            self.harbour.users.append(name)
        return name, f"{name}'s password"

    async def ask(self, method: str, path: str, *, login: tuple[str, str] | None = ("", ""), **more: Any) -> Answer:
        """Ask the API; `login` ("", "") means the admin's, None means none."""
        headers = dict(more.pop("headers", {}))
        if login is not None:
            headers["Authorization"] = basic(*(login if login[0] else self.login))
        url = f"{self.standin.url}/api{path}"
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **query: str | int) -> Answer:
        """GET as the admin."""
        return await self.ask("GET", path, params=query)

    async def post(self, path: str, body: Any, **more: Any) -> Answer:
        """POST JSON."""
        return await self.ask("POST", path, json=body, **more)

    async def read(self, image: Image) -> Any:
        """What the web editor reads of an image."""
        return (await self.get(f"/annotator/data/{image.id}")).json


@asynccontextmanager
async def coco_client(**options: Any) -> AsyncIterator[CocoClient]:
    """A fresh stand-in with these options (few images, short faults unless said otherwise) and a client for it."""
    options = {"kind": "coco-annotator", "images": 12, "hang_s": 0.3, **options}
    async with serve(StandinOptions(**options)) as standin, aiohttp.ClientSession() as session:
        # aiohttp repeats a GET by itself when the connection breaks; these tests are about the first answer.
        session._retry_connection = False
        yield CocoClient(standin, session)


def basic(user: str, password: str) -> str:
    """The header of HTTP Basic."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
