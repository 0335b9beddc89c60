"""Files behind signed links on other hosts: no key, no cookies, no quota; as many at once as the hosts take well."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import aiohttp
from yarl import URL

from labelmirror.errors import LinkExpired, NotFound, ProtocolError, RemoteError, Unavailable, UnsafeLink
from labelmirror.ports.provider import ImageStream
from labelmirror.transport.api import TRANSPORT_ERRORS, Retries, Transient, transport_trouble
from labelmirror.transport.body import BodyRules, Meter, image_stream, range_headers
from labelmirror.transport.concurrency import Gate, Load, Slot
from labelmirror.transport.headers import parse_retry_after
from labelmirror.transport.links import AddressRefused, check_link, redact

#: Redirects that one link may take.
REDIRECTS = 3
REDIRECTING = frozenset({301, 302, 303, 307, 308})
#: What storage hosts answer to a signed link that is too old, or was signed by a key that is no longer good.
EXPIRED = frozenset({400, 401, 403, 410})


class Storage:
    """Downloads from the hosts that a server's links name. `session` has neither key nor cookies, and guards addresses."""

    def __init__(
        self, session: aiohttp.ClientSession, server: URL, gate: Gate, retries: Retries, rules: BodyRules, meter: Meter
    ) -> None:
        self._session = session
        self._server = server
        self._gate = gate
        self._retries = retries
        self._rules = rules
        self._meter = meter
        self.requests = 0

    @asynccontextmanager
    async def open(
        self, link: str, *, offset: int = 0, validator: str | None = None, size_max_bytes: int | None = None
    ) -> AsyncIterator[ImageStream]:
        """Start receiving a file of at most `size_max_bytes` (None: what an image may have); tried again until its first byte.

        Raises UnsafeLink, LinkExpired (a new link is needed), NotFound, Unavailable and what `image_stream` raises.
        """
        url = check_link(link, self._server)
        where = f"GET {redact(url)}"
        rules = self._rules if size_max_bytes is None else replace(self._rules, size_max_bytes=size_max_bytes)
        held, response = await self._retries.run(lambda: self._attempt(url, where, offset, validator))
        async with held:
            yield image_stream(
                response,
                asked_offset=offset,
                rules=rules,
                clock=self._retries.clock,
                meter=self._meter,
                where=where,
            )

    async def _attempt(
        self, url: URL, where: str, offset: int, validator: str | None
    ) -> tuple[AsyncExitStack, aiohttp.ClientResponse]:
        """One try: an answer, and what it holds until its body is there, a place among the transfers under way with it."""
        async with AsyncExitStack() as stack:
            slot = await stack.enter_async_context(Slot(self._gate))
            for _ in range(REDIRECTS + 1):
                response = await stack.enter_async_context(await self._once(slot, url, where, offset, validator))
                if response.status in {200, 206}:
                    return stack.pop_all(), response
                location = response.headers.get("Location")
                if response.status not in REDIRECTING or location is None:
                    raise self._refusal(response, where)
                url = check_link(url.join(check_reference(location)), self._server)
            raise ProtocolError(f"{where} led to more than {REDIRECTS} redirects")

    async def _once(
        self, slot: Slot, url: URL, where: str, offset: int, validator: str | None
    ) -> aiohttp.ClientResponse:
        clock = self._retries.clock
        sent_s = clock.monotonic_s()
        self.requests += 1
        try:
            response = await self._session.get(url, headers=range_headers(offset, validator), allow_redirects=False)
        except TRANSPORT_ERRORS as error:
            if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
                raise UnsafeLink(f"{where}: {error.os_error.strerror}") from None
            slot.done(Load.FAILED, clock.monotonic_s() - sent_s)
            raise transport_trouble(error, where, url) from None
        failed = response.status in {408, 429} or response.status >= 500
        slot.done(Load.FAILED if failed else Load.SERVED, clock.monotonic_s() - sent_s)
        return response

    def _refusal(self, response: aiohttp.ClientResponse, where: str) -> Exception:
        message = f"{where} answered {response.status}"
        status = response.status
        if status in EXPIRED:
            return LinkExpired(message, status=status)
        if status == 404:
            return NotFound(message, status=status)
        if status in {408, 429} or status >= 500:
            retry_after = response.headers.get("Retry-After", "")
            wait_s = parse_retry_after(retry_after, self._retries.clock.now_s()) or 0.0
            final = Unavailable(message, status=status)
            return Transient(final, wait_s) if wait_s <= self._retries.backoff.longest_s else final
        return RemoteError(message, status=status)


def check_reference(location: str) -> URL:
    """A redirect's Location as a URL. Raises UnsafeLink where it is none."""
    try:
        return URL(location, encoded=True)
    except ValueError:
        raise UnsafeLink("a storage host redirected to something that is no URL") from None
