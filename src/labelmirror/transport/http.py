"""The HTTP sessions of one server: one for its API, with the key; one for the hosts of its links, with nothing."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiolimiter import AsyncLimiter
from yarl import URL

from labelmirror import __version__
from labelmirror.model.remote import Traffic
from labelmirror.ports.clock import Clock
from labelmirror.transport.api import Api, ApiRules, Retries
from labelmirror.transport.body import Meter
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.links import Networks
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.retry import Backoff
from labelmirror.transport.storage import Storage

USER_AGENT = f"labelmirror/{__version__}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for connecting, between two pieces of an answer, and for a whole answer of JSON."""

    connect_s: float = 15.0
    idle_s: float = 60.0
    total_s: float = 300.0


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What the sessions of one server need to know. `headers` hold the key: never print them.

    `url` is the configured origin. `bandwidth` is in bytes per second over all files, None for no bound. `has_quota` says
    that the server announces how many requests it allows; else their number at once is found out. An idle connection is
    used again within `keepalive_s`.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    connections: int = 16
    bandwidth: int | None = None
    rules: ApiRules = field(default_factory=ApiRules)
    timeouts: Timeouts = field(default_factory=Timeouts)
    backoff: Backoff = field(default_factory=Backoff)
    has_quota: bool = True
    keepalive_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Http:
    """Both ways to a server's data."""

    api: Api
    storage: Storage

    def traffic(self) -> Traffic:
        """What was sent through both."""
        tally = self.api.pacer.tally()
        return Traffic(tally.requests, self.storage.requests, tally.limited, tally.waited_s)


@asynccontextmanager
async def open_http(
    settings: HttpSettings, *, pacer: Pacer, gate: Gate, clock: Clock, draw: Callable[[], float]
) -> AsyncIterator[Http]:
    """Open the sessions. `draw` gives uniform numbers in [0, 1), for jitter."""
    origin = URL(settings.url).origin()
    retries = Retries(settings.backoff, clock, draw)
    meter = Meter(None if settings.bandwidth is None else AsyncLimiter(settings.bandwidth, 1.0))
    times = settings.timeouts
    files_timeout = aiohttp.ClientTimeout(total=None, sock_connect=times.connect_s, sock_read=times.idle_s)
    json_timeout = aiohttp.ClientTimeout(total=times.total_s, sock_connect=times.connect_s, sock_read=times.idle_s)
    networks = Networks(origin.host or "")
    api_connector = aiohttp.TCPConnector(
        limit=settings.connections, socket_factory=networks.to_server, keepalive_timeout=settings.keepalive_s
    )
    files_connector = aiohttp.TCPConnector(limit=settings.connections, socket_factory=networks.to_link)
    async with (
        _session(api_connector, settings.headers, json_timeout) as api_session,
        # Files are never unpacked on the way: a small body could become an endless one.
        _session(files_connector, {}, files_timeout, auto_decompress=False) as files_session,
    ):
        yield Http(
            Api(
                api_session,
                origin,
                pacer,
                retries,
                settings.rules,
                meter,
                files_timeout,
                gate=None if settings.has_quota else gate,
            ),
            Storage(files_session, origin, gate, retries, settings.rules.body, meter),
        )


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep the library from sending a request again by itself when a connection drops: past the pacer, and unseen."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientError(type(error).__name__) from None


def _session(
    connector: aiohttp.TCPConnector,
    headers: Mapping[str, str],
    timeout: aiohttp.ClientTimeout,
    *,
    auto_decompress: bool = True,
) -> aiohttp.ClientSession:
    """No cookies, and no proxies or passwords from the environment."""
    return aiohttp.ClientSession(
        connector=connector,
        headers={"User-Agent": USER_AGENT, **headers},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        timeout=timeout,
        auto_decompress=auto_decompress,
        middlewares=(_send_once,),
    )
