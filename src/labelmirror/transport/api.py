"""The API of one server: JSON in and out, with its key, through its pacer, to its origin and nowhere else."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from labelmirror.errors import (
    NotFound,
    OutcomeUnknown,
    ProtocolError,
    RemoteError,
    TooLarge,
    Unavailable,
)
from labelmirror.model.document import JsonValue
from labelmirror.model.pacing import Priority
from labelmirror.ports.clock import Clock
from labelmirror.ports.provider import ImageStream
from labelmirror.transport.answers import TRANSIENT, expect_json, failure, parse_json
from labelmirror.transport.body import BodyRules, Meter, image_stream, range_headers
from labelmirror.transport.concurrency import Gate, Load, Slot
from labelmirror.transport.headers import parse_http_date, parse_retry_after
from labelmirror.transport.links import UNPRINTABLE
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.parallel import aside
from labelmirror.transport.retry import Backoff
from labelmirror.transport.routes import route_of

#: An error's body is read up to this many bytes.
ERROR_BODY_BYTES = 2**16
#: So many answers of 429 to one request, each waited for, are taken for an order to stop.
LIMITED_TRIES = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiRules:
    """Bounds on the answers of one server."""

    json_size_bytes: int = 256 * 2**20
    json_depth: int = 64
    redirects: int = 3
    body: BodyRules = field(default_factory=BodyRules)
    #: Statuses that in anything but JSON say nothing about the request, which may have been carried out.
    unsure: frozenset[int] = frozenset()


class Transient(Exception):
    """A try that failed in a way that another may not; `final` is what to raise when there is no other."""

    def __init__(self, final: RemoteError, retry_after_s: float = 0.0) -> None:
        super().__init__(final.message)
        self.final = final
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Retries:
    """Tries a read again while that is safe and may help. `draw` gives uniform numbers in [0, 1)."""

    backoff: Backoff
    clock: Clock
    draw: Callable[[], float]

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of the first attempt that does not raise Transient; else the last one's error."""
        failed = 0
        while True:
            try:
                return await attempt()
            except Transient as trouble:
                failed += 1
                if failed >= self.backoff.tries:
                    raise trouble.final from None
                wait_s = self.backoff.delay_s(failed, self.draw(), trouble.retry_after_s)
            await self.clock.sleep(wait_s)


def transport_trouble(error: Exception, where: str, url: URL, *, hint: str = "") -> Exception:
    """What an error of the HTTP library means for a read from the host of `url`.

    `hint` is for a host that was not reached. The library's own text is not repeated, and its errors are not chained:
    they hold URLs with queries and headers with keys.
    """
    host = f"{url.host_subcomponent}:{url.port}"
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Unavailable(f"{where}: the certificate of {host} is not accepted", hint=hint)
        case aiohttp.ClientConnectorSSLError():
            return Unavailable(f"{where}: {host} was reached, and does not speak TLS (https)", hint=hint)
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
            return ProtocolError(f"{where} answered with something that is no HTTP")
        case aiohttp.ClientConnectorDNSError():
            reason = "its name cannot be resolved"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            reason = "it refuses the connection"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=int(number))):
            reason = os.strerror(number)
        case aiohttp.ConnectionTimeoutError():
            reason = "no answer in time"
        case TimeoutError():
            return Transient(Unavailable(f"{where}: {host} did not answer in time"))
        case _:
            return Transient(Unavailable(f"{where} broke off"))
    return Transient(Unavailable(f"{where}: {host} could not be reached: {reason}", hint=hint))


#: What to do about a server that was not reached.
WRONG_URL = "Check the `url` of the server in the configuration, and the network."

#: Headers whose value is a key.
SECRET_HEADERS = ("X-API-Key", "Authorization")

#: Answers of a server that has more to do than it can.
BUSY = frozenset({408, 429, 502, 503, 504})

#: What the HTTP library raises while it sends and receives.
TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


class Api:
    """Requests to one server.

    `session` carries the key in its headers, or `carry` adds what a login gave; it is used for `origin` alone, and its
    time-outs are for JSON. Paths are absolute and percent-encoded by the caller; a query is encoded here. `gate` bounds
    how many requests run at once on a server that announces no quota; None where the quota says enough.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        origin: URL,
        pacer: Pacer,
        retries: Retries,
        rules: ApiRules,
        meter: Meter,
        files_timeout: aiohttp.ClientTimeout,
        gate: Gate | None = None,
    ) -> None:
        self._session = session
        self.origin = origin
        self.pacer = pacer
        self._retries = retries
        self._clock = retries.clock
        self._rules = rules
        self._meter = meter
        self._files_timeout = files_timeout
        self._gate = gate
        self._carried: dict[str, str] = {}
        #: The Date of the latest answer that had one, in seconds since 1970; None before that.
        self.date_s: float | None = None

    def carry(self, headers: Mapping[str, str]) -> None:
        """Send these headers too from now on: a login's, which may hold a key."""
        self._carried.update(headers)

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, priority: Priority = Priority.PULL
    ) -> JsonValue:
        """Read JSON. Tried again after time-outs, broken connections, short bodies, 408 and 5xx."""
        url, where = self._url(path, query), f"GET {path}"
        return await self._retries.run(lambda: self._read(url, where, priority))

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: JsonValue = None,
        *,
        headers: Mapping[str, str] | None = None,
        priority: Priority = Priority.PULL,
    ) -> JsonValue:
        """Send a request that changes something; sent again only where the server surely did not act on it.

        Gives None for an answer without a body. Raises OutcomeUnknown where its answer was lost, or is 408 or 5xx.
        """
        url, where = self._url(path, query), f"{method} {path}"
        return await self._retries.run(lambda: self._write(method, url, body, headers, where, priority))

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        offset: int = 0,
        validator: str | None = None,
        priority: Priority = Priority.BYTES,
        rules: BodyRules | None = None,
    ) -> AsyncIterator[ImageStream]:
        """Read a file through the API. Tried again until its first byte; after that, see `image_stream`.

        `rules` bound what is no image.
        """
        url, where = self._url(path, None), f"GET {path}"
        headers = {"Accept": "*/*", **range_headers(offset, validator)}

        async def attempt() -> aiohttp.ClientResponse:
            response = await self._exchange(
                "GET", url, priority, where, headers=headers, patience=self._files_timeout, follow=True
            )
            if response.status in {200, 206}:
                return response
            async with response:
                raise await self._refusal(response, where)

        async with await self._retries.run(attempt) as response:
            yield image_stream(
                response,
                asked_offset=offset,
                rules=rules or self._rules.body,
                clock=self._clock,
                meter=self._meter,
                where=where,
            )

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        if not path.startswith("/"):
            raise ProtocolError("the server gave a link without an absolute path")
        text = f"{self.origin}{path}"
        return URL(f"{text}?{urlencode(query)}" if query else text, encoded=True)

    async def _read(self, url: URL, where: str, priority: Priority) -> JsonValue:
        response = await self._exchange("GET", url, priority, where, follow=True)
        async with response:
            if response.status != 200:
                raise await self._refusal(response, where)
            expect_json(response.headers.get("Content-Type", ""), where=where)
            try:
                data = await self._body(response, where)
            except TRANSPORT_ERRORS as error:
                raise transport_trouble(error, where, self.origin, hint=WRONG_URL) from None
        return await self._parsed(data, where)

    async def _write(
        self,
        method: str,
        url: URL,
        body: JsonValue,
        headers: Mapping[str, str] | None,
        where: str,
        priority: Priority,
    ) -> JsonValue:
        try:
            response = await self._exchange(method, url, priority, where, body=body, headers=headers)
            async with response:
                if not 200 <= response.status < 300:
                    said = await self._error_body(response)
                    if self._is_unsure(response):
                        raise OutcomeUnknown(f"{where} answered {response.status} without saying why")
                    raise _heard(response, failure(response.status, said, where=where, write=True))
                data = await self._body(response, where)
        except TRANSPORT_ERRORS as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise transport_trouble(error, where, self.origin, hint=WRONG_URL) from None
            raise OutcomeUnknown(f"{where}: the answer was lost") from None
        if not data:
            return None
        expect_json(response.headers.get("Content-Type", ""), where=where)
        return await self._parsed(data, where)

    async def _exchange(
        self,
        method: str,
        url: URL,
        priority: Priority,
        where: str,
        *,
        body: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        patience: aiohttp.ClientTimeout | None = None,
        follow: bool = False,
    ) -> aiohttp.ClientResponse:
        """The answer, after redirects within the origin and answers of 429 that were waited for.

        With `follow` (reads) trouble of the transport comes as Transient, else as the library raised it.
        """
        hops = limited = 0
        while True:
            try:
                response = await self._once(method, url, priority, body, headers, patience)
            except TRANSPORT_ERRORS as error:
                if not follow:
                    raise
                raise transport_trouble(error, where, self.origin, hint=WRONG_URL) from None
            if response.status == 429 and limited < LIMITED_TRIES:
                limited += 1
                response.close()
            elif follow and 300 <= response.status < 400 and response.status != 304 and hops < self._rules.redirects:
                target = _within_origin(url, response.headers.get("Location", ""))
                response.close()
                if target is None:
                    raise failure(response.status, b"", where=where)
                hops, url = hops + 1, target
            else:
                return response

    async def _once(
        self,
        method: str,
        url: URL,
        priority: Priority,
        body: JsonValue,
        headers: Mapping[str, str] | None,
        patience: aiohttp.ClientTimeout | None,
    ) -> aiohttp.ClientResponse:
        response: aiohttp.ClientResponse | None = None
        try:
            async with Slot(self._gate) as slot, self.pacer.permit(priority) as permit:
                permit.route = route_of(method, url.raw_path)
                sent_s, began_s = self._clock.now_s(), self._clock.monotonic_s()
                try:
                    response = await self._session.request(
                        method,
                        url,
                        json=body,
                        headers={**self._carried, **(headers or {})},
                        timeout=patience or self._session.timeout,
                        allow_redirects=False,
                    )
                except TRANSPORT_ERRORS as error:
                    if isinstance(error, aiohttp.ClientConnectorError):
                        permit.unsent()
                    slot.done(Load.FAILED, self._clock.monotonic_s() - began_s)
                    raise
                failed = response.status in BUSY
                slot.done(Load.FAILED if failed else Load.SERVED, self._clock.monotonic_s() - began_s)
                permit.observe(response.status, response.headers, sent_s, self._clock.now_s())
                self.date_s = parse_http_date(response.headers.get("Date", "")) or self.date_s
        except BaseException:
            if response is not None:
                response.close()
            raise
        return response

    async def _refusal(self, response: aiohttp.ClientResponse, where: str) -> Exception:
        """The error of a read's answer that is no success."""
        retry_after_s = parse_retry_after(response.headers.get("Retry-After", ""), self._clock.now_s()) or 0.0
        said = await self._error_body(response)
        if self._is_unsure(response):
            return Transient(Unavailable(f"{where} answered {response.status} without saying why"))
        error = _heard(response, failure(response.status, said, where=where, retry_after_s=retry_after_s))
        if response.status in TRANSIENT and retry_after_s <= self._retries.backoff.longest_s:
            return Transient(error, retry_after_s)
        return error

    def _is_unsure(self, response: aiohttp.ClientResponse) -> bool:
        return response.status in self._rules.unsure and not _is_json(response)

    async def _error_body(self, response: aiohttp.ClientResponse) -> bytes:
        """The start of an error's body; nothing if it does not come: the status says enough.

        A server may repeat the key that it refuses: messages go to logs and to the state, so it is taken out here.
        """
        try:
            data = await response.content.read(ERROR_BODY_BYTES)
        except TRANSPORT_ERRORS:
            return b""
        for headers in (self._session.headers, self._carried):
            for name in SECRET_HEADERS:
                if secret := headers.get(name):
                    # "Token abc" and "Bearer abc" are a word before the key.
                    data = data.replace(secret.rpartition(" ")[2].encode(), b"***")
        return data

    async def _body(self, response: aiohttp.ClientResponse, where: str) -> bytes:
        data = bytearray()
        async for chunk in response.content.iter_any():
            data += chunk
            if len(data) > self._rules.json_size_bytes:
                raise TooLarge(f"{where} answered more than {self._rules.json_size_bytes} bytes of JSON")
        return bytes(data)

    async def _parsed(self, data: bytes, where: str) -> JsonValue:
        def parse() -> JsonValue:
            return parse_json(data, depth_max=self._rules.json_depth, where=where)

        return await aside(parse, len(data))


def pinned(link: str) -> str:
    """A link of the server to its own API, reduced to path and query: the key goes only to the configured origin.

    Raises ProtocolError for what is no link to a path.
    """
    try:
        url = URL(link, encoded=True)
        path = url.raw_path_qs
    except ValueError:
        raise ProtocolError("the server gave a link that is no URL") from None
    if not path.startswith("/") or UNPRINTABLE.search(link):
        raise ProtocolError("the server gave a link without an absolute path")
    return path


def _within_origin(url: URL, location: str) -> URL | None:
    """Where a redirect leads, None if that is another origin."""
    try:
        target = url.join(URL(location, encoded=True))
    except ValueError:
        return None
    return target if location and target.origin() == url.origin() and target.user is None else None


def _heard(response: aiohttp.ClientResponse, error: RemoteError) -> RemoteError:
    """The error, unless it is a 404 of a proxy or another program: that says nothing about what was asked for."""
    if isinstance(error, NotFound) and not _is_json(response):
        return ProtocolError(f"{error.message}, and not in JSON as the API would", status=response.status)
    return error


def _is_json(response: aiohttp.ClientResponse) -> bool:
    return "json" in response.headers.get("Content-Type", "").lower()
