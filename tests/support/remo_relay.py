"""A relay in front of a real server, which sees every status and can lose answers after they were given."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

from support.web import site

_PASSED_ON = frozenset({"authorization", "cookie", "content-type", "accept"})
_PASSED_BACK = frozenset({"content-type", "date", "set-cookie", "last-modified"})


@dataclass(slots=True)
class Relay:
    """`statuses` counts what was answered, `saves` the requests to save; with `loses_saves` their answers get lost."""

    url: str = ""
    statuses: Counter[int] = field(default_factory=Counter)
    saves: int = 0
    loses_saves: bool = False


@asynccontextmanager
async def relay(server: str) -> AsyncIterator[Relay]:
    made = Relay()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            headers = {name: value for name, value in request.headers.items() if name.lower() in _PASSED_ON}
            target = URL(server + request.raw_path, encoded=True)
            data = await request.read()
            async with session.request(
                request.method, target, data=data or None, headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.read()
            made.statuses[answer.status] += 1
            if request.path.endswith("/save-annotation/"):
                made.saves += 1
                if made.loses_saves:
                    assert request.transport is not None
                    request.transport.abort()
            back = {name: value for name, value in answer.headers.items() if name.lower() in _PASSED_BACK}
            return web.Response(status=answer.status, body=body, headers=back)

        async with site(pass_on) as opened:
            made.url = opened.url
            yield made
