"""The page on loopback with the metrics, and the answer to whether the daemon is well."""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from labelmirror.errors import Locked, UsageError
from labelmirror.telemetry.metrics import CONTENT_TYPE


@asynccontextmanager
async def serve_page(address: str, metrics: Callable[[], bytes], healthy: Callable[[], bool]) -> AsyncIterator[None]:
    """Serve GET /metrics and GET /healthz (200, or 503 while it is not well) at `HOST:PORT`.

    Raises Locked while another program has the port, UsageError for an address that this machine does not have.
    """

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def show_health(_request: web.Request) -> web.Response:
        well = healthy()
        return web.json_response({"ok": well}, status=200 if well else 503)

    app = web.Application()
    app.router.add_get("/metrics", show_metrics)
    app.router.add_get("/healthz", show_health)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    host, _, port = address.rpartition(":")
    try:
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            msg = f"daemon.metrics: {address} cannot be served: {error.strerror}"
            # That program may end; a service manager that tries again is right to do so.
            kind = Locked if error.errno == errno.EADDRINUSE else UsageError
            raise kind(msg, hint="Choose another address, or leave metrics out.") from error
        yield
    finally:
        await runner.cleanup()
