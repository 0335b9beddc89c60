"""A web server on loopback whose answers a test decides, and the program's transport opened on it."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from labelmirror.transport.api import ApiRules
from labelmirror.transport.body import BodyRules
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.http import Http, HttpSettings, Timeouts, open_http
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.retry import Backoff
from support.ledger import MemoryAccount
from support.quick_clock import QuickClock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

KEY = "pk_live_canary0123456789canary012345"
QUICK = Timeouts(connect_s=2, idle_s=0.3, total_s=2)
RULES = ApiRules(json_size_bytes=100_000, json_depth=20, body=BodyRules(1_000_000))


@dataclass(slots=True)
class Site:
    """Answers with what `handler` makes, and remembers what was asked."""

    handler: Handler
    url: str = ""
    requests: list[web.BaseRequest] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        assert isinstance(request, web.Request)
        return await self.handler(request)


@asynccontextmanager
async def site(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[Site]:
    made = Site(handler)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await made.answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        server = web.TCPSite(runner, host, 0)
        await server.start()
        port = runner.addresses[0][1]
        made.url = f"http://{host}:{port}"
        yield made
    finally:
        await runner.cleanup()


@asynccontextmanager
async def http_to(url: str, clock: QuickClock | None = None, rules: ApiRules = RULES) -> AsyncIterator[Http]:
    clock = clock or QuickClock()
    pacer = Pacer(MemoryAccount(), clock, host="server", spike_per_s=10_000)
    gate = Gate(clock, host="storage", connections=4, chance=random.Random(0))
    settings = HttpSettings(
        url=url, headers={"X-API-Key": KEY}, connections=4, rules=rules, timeouts=QUICK, backoff=Backoff(tries=3)
    )
    async with open_http(settings, pacer=pacer, gate=gate, clock=clock, draw=lambda: 0.5) as http:
        yield http
