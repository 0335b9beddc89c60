"""A small real HTTP server with a quota, on loopback. `python -m support.limited_server --help` runs it alone."""

import argparse
import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Window:
    """Counts requests. `aligned` fixed windows begin at multiples of their length, others with a first request."""

    limit: int
    length_s: float
    sliding: bool
    aligned: bool = False
    round_down: bool = False
    refused: int = 0
    answered_s: list[float] = field(default_factory=list)
    _sent: deque[float] = field(default_factory=deque)
    _opened_s: float = -math.inf

    def headers(self, now_s: float) -> tuple[bool, dict[str, str]]:
        """Whether a request of now is served, and the headers of its answer."""
        if self.sliding:
            while self._sent and self._sent[0] <= now_s - self.length_s:
                self._sent.popleft()
        elif now_s >= self._opened_s + self.length_s:
            self._sent.clear()
            self._opened_s = now_s - (now_s % self.length_s if self.aligned else 0.0)
        served = len(self._sent) < self.limit
        if served:
            self._sent.append(now_s)
            self.answered_s.append(now_s)
        else:
            self.refused += 1
        reset_s = (self._sent[0] if self.sliding else self._opened_s) + self.length_s
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.limit - len(self._sent)),
            "X-RateLimit-Reset": str(math.floor(reset_s) if self.round_down else math.ceil(reset_s)),
        }
        if not served:
            headers["Retry-After"] = str(max(1, math.ceil(reset_s - now_s)))
        return served, headers


@asynccontextmanager
async def serve(window: Window) -> AsyncIterator[str]:
    """Serve on a free port of loopback; gives the URL."""

    async def handle(_: web.Request) -> web.Response:
        served, headers = window.headers(time.time())
        return web.json_response({}, status=200 if served else 429, headers=headers)

    async def facts(_: web.Request) -> web.Response:
        return web.json_response({"refused": window.refused, "answered_s": window.answered_s})

    app = web.Application()
    app.add_routes([web.get("/item", handle), web.get("/facts", facts)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    try:
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--window", type=float, required=True, help="seconds")
    parser.add_argument("--sliding", action="store_true")
    parser.add_argument("--aligned", action="store_true")
    parser.add_argument("--round-down", action="store_true")
    given = parser.parse_args()
    window = Window(given.limit, given.window, given.sliding, given.aligned, given.round_down)
    async with serve(window) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
