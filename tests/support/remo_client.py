"""A bare client for the stand-in Remo's own tests."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from labelmirror.standin import Standin, StandinOptions, serve
from labelmirror.standin.remo import AnnotationSet, Dataset, Image, RemoWorld
from support.standin_client import Answer

#: What keeps the server from opening a session for every request.
DUMMY = "sessionid=none"


class RemoClient:
    """Asks a stand-in Remo with its token and the dummy cookie, or without either."""

    def __init__(self, standin: Standin, session: aiohttp.ClientSession) -> None:
        self.standin = standin
        self.session = session
        self.world = standin.world_as(RemoWorld)

    @property
    def harbour(self) -> Dataset:
        """The sample dataset."""
        return self.world.dataset("harbour")

    @property
    def boxes(self) -> AnnotationSet:
        """Its set for detection."""
        return self.harbour.set("boxes")

    @property
    def outlines(self) -> AnnotationSet:
        """Its set for segmentation."""
        return self.harbour.set("outlines")

    @property
    def scene(self) -> AnnotationSet:
        """Its set for classification."""
        return self.harbour.set("scene")

    @property
    def first(self) -> Image:
        """Its first image."""
        return next(iter(self.harbour))

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "",
        cookie: str | None = DUMMY,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """Any request; `token` "" means the stand-in's own, None means none."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Token {token or self.standin.key}"
        if cookie is not None:
            sent["Cookie"] = cookie
        url = f"{self.standin.url}{path}"
        async with self.session.request(method, url, headers=sent, allow_redirects=False, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **query: str | int) -> Answer:
        """GET."""
        return await self.ask("GET", path, params=query)

    async def post(self, path: str, body: Any) -> Answer:
        """POST JSON."""
        return await self.ask("POST", path, json=body)

    async def delete(self, path: str) -> Answer:
        """DELETE."""
        return await self.ask("DELETE", path)

    def one(self, chosen: AnnotationSet, image: Image) -> str:
        """The path of one image in one set, for reading and saving."""
        return f"/api/dataset/{chosen.dataset.id}/annotation-set/{chosen.id}/image/{image.id}"

    async def read(self, chosen: AnnotationSet, image: Image) -> Any:
        """What a set says about an image."""
        return (await self.get(f"{self.one(chosen, image)}/annotation/")).json

    async def save(self, chosen: AnnotationSet, image: Image, body: Any) -> Answer:
        """Replace what a set says about an image."""
        return await self.post(f"{self.one(chosen, image)}/save-annotation/", body)

    async def stamps(self, chosen: AnnotationSet) -> tuple[str, str, str | None, Any]:
        """D, U, L and S of the contract, section 7."""
        dataset = (await self.get(f"/api/v1/ui/datasets/{chosen.dataset.id}/")).json
        sets = (await self.get(f"/api/v1/ui/datasets/{chosen.dataset.id}/annotation-sets/")).json["results"]
        row = next(row for row in sets if row["id"] == chosen.id)
        return dataset["updated_at"], row["updated_at"], row["last_annotated_date"], row["statistics"]


@asynccontextmanager
async def remo_client(**options: Any) -> AsyncIterator[RemoClient]:
    """A fresh stand-in Remo with these options (faults are short unless said otherwise) and a client for it."""
    async with (
        serve(StandinOptions(kind="remo", **{"images": 12, "hang_s": 0.2, **options})) as standin,
        # The real client switches its jar off as well: the server would empty it.
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        yield RemoClient(standin, session)
