"""From an HTTP request to a handler and back: the log, keys, quotas, faults and repeated writes.

Order: a request is noted, its key checked, then counted against its key's quota, then spoilt if a fault is due, and
only then handled. Nothing here knows what is being served.
"""

import asyncio
import math
from dataclasses import dataclass, field, replace

from aiohttp import web

from labelmirror.standin import delivery, distortion
from labelmirror.standin.clock import ServerClock
from labelmirror.standin.exchange import Call, Dialect, Key, Memory, Origin, Refusal, Reply, Route, Upload
from labelmirror.standin.faults import FaultKind, FaultPlan
from labelmirror.standin.options import StandinOptions
from labelmirror.standin.ratelimit import RateWindow
from labelmirror.standin.record import RequestLog, RequestRecord

IDEMPOTENCY_S = 24 * 3_600.0
LIMITED_RETRY_AFTER_S = 1
_REPLIES_KEPT = 50_000
_ERRORS = {
    FaultKind.ERROR_500: 500,
    FaultKind.ERROR_502: 502,
    FaultKind.ERROR_503: 503,
    FaultKind.ERROR_504: 504,
}
_EXPIRED = (
    b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>ExpiredToken</Code>"
    b"<Message>The provided token has expired.</Message></Error>"
)
_PAGE = b"<!DOCTYPE html><html><head><title>Just a moment</title></head><body>Please stand by.</body></html>"
_PAGES = {FaultKind.HTML: 200, FaultKind.PAGE_400: 400, FaultKind.PAGE_404: 404}


class Quota:
    """What the server allows each key; every attribute may be changed at any time. `limit` None: not announced."""

    def __init__(self, options: StandinOptions) -> None:
        self.limit = options.limit
        self.window_s = options.window_s
        self.kind = options.window_kind
        self._windows: dict[str, RateWindow] = {}

    def window(self, secret: str) -> RateWindow | None:
        """The window of one key, or None without a limit. A new length or kind opens a new window."""
        if self.limit is None:
            return None
        window = self._windows.get(secret)
        if window is None or (window.window_s, window.kind) != (self.window_s, self.kind):
            window = self._windows[secret] = RateWindow(self.limit, self.window_s, self.kind)
        window.limit = self.limit
        return window


@dataclass(slots=True)
class Backstage:
    """What all requests of one stand-in share. `replies` are the remembered answers to writes, by secret and
    idempotency key, with the time of the first; `pages` the latest listings of each path.
    """

    options: StandinOptions
    clock: ServerClock
    dialect: Dialect
    keys: list[Key]
    quota: Quota
    faults: FaultPlan
    log: RequestLog
    origins: dict[Origin, str]
    replies: dict[tuple[str, str], tuple[float, Reply]] = field(default_factory=dict)
    pages: distortion.Pages = field(default_factory=distortion.Pages)


def application(backstage: Backstage, origin: Origin, routes: tuple[Route, ...]) -> web.Application:
    """The aiohttp application of one origin."""
    app = web.Application(client_max_size=256 * 1024 * 1024)
    for route in (*routes, Route("unknown", "*", "/{path:.*}", _missing, None)):
        app.router.add_route(route.method, route.pattern, _Endpoint(backstage, origin, route).serve)
    return app


async def _missing(call: Call) -> Reply:
    raise Refusal(404, "not_found", f"No route {call.method} {call.path}")


class _Endpoint:
    """Serves one route of one origin."""

    def __init__(self, backstage: Backstage, origin: Origin, route: Route) -> None:
        self._stage = backstage
        self._origin = origin
        self._route = route

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or drop its connection."""
        stage = self._stage
        secret = stage.dialect.secret(request.headers)
        record = RequestRecord(
            at_s=stage.clock.now_s(),
            origin=self._origin,
            route=self._route.name,
            method=request.method,
            path=request.path,
            query=dict(request.query),
            key_sent=secret is not None,
        )
        stage.log.note(record)
        if stage.options.latency_s:
            await asyncio.sleep(stage.options.latency_s)
        headers: dict[str, str] = {}
        try:
            key = self._admit(secret, headers) if self._origin is Origin.API and not self._route.open else None
            record.fault = stage.faults.due(self._route.name, request.path)
            reply = await self._spoilt(request, key, record.fault)
        except Refusal as refusal:
            reply = stage.dialect.refused(refusal)
        if reply is None:
            record.status = 0
            return delivery.drop(request)
        if record.fault is FaultKind.LIMITED_BARE:
            headers.clear()
        record.status = reply.status
        reply = replace(reply, headers={**headers, **reply.headers})
        return await delivery.send(request, reply, record, stage.options, stage.clock.now_s())

    def _admit(self, secret: str | None, headers: dict[str, str]) -> Key:
        """The key of a request that may go on; the quota's headers are added to `headers` in any case."""
        stage = self._stage
        key = next((key for key in stage.keys if key.secret == secret and key.active), None)
        if key is None:
            raise Refusal(401, "unauthorized", "Invalid or missing API key")
        window = stage.quota.window(key.secret)
        if window is not None:
            verdict = window.admit(stage.clock.now_s())
            headers.update(verdict.headers())
            if not verdict.admitted:
                seconds = max(1, math.ceil(verdict.retry_after_s))
                raise Refusal(429, "rate_limited", "Rate limit exceeded", {"retry_after": seconds})
        if self._route.role is not None and not key.role.covers(self._route.role):
            details = {"required_role": self._route.role.value, "current_role": key.role.value}
            raise Refusal(403, "forbidden", f"This needs the role {self._route.role.value}", details)
        return key

    async def _spoilt(self, request: web.Request, key: Key | None, fault: FaultKind | None) -> Reply | None:
        """The answer with its fault, if one is due. None: the connection is to be dropped."""
        refused = self._stage.dialect.refused
        match fault:
            case None:
                return await self._handled(request, key)
            case FaultKind.TIMEOUT:
                await delivery.hang(request, self._stage.options.hang_s)
                return None
            case FaultKind.RESET:
                return None
            case FaultKind.RESET_AFTER:
                await self._handled(request, key)
                return None
            case FaultKind.LIMITED:
                reply = refused(Refusal(429, "rate_limited", "Rate limit exceeded"))
                return replace(reply, headers={"Retry-After": str(LIMITED_RETRY_AFTER_S)})
            case FaultKind.LIMITED_BARE:
                return refused(Refusal(429, "rate_limited", "Rate limit exceeded"))
            case _ if fault in _ERRORS:
                return refused(Refusal(_ERRORS[fault], "server_error", "Something went wrong"))
            case FaultKind.EXPIRED_LINK:
                return Reply(status=403, content=Memory(_EXPIRED), mime="application/xml")
            case FaultKind.STRANGER if key is not None:
                raise Refusal(401, "unauthorized", "Invalid or missing API key")
            case FaultKind.STRANGER:
                call = await _call(request, None)
                anonymous = {name: value for name, value in call.headers.items() if name.lower() != "authorization"}
                return await self._route.handler(replace(call, headers=anonymous))
            case FaultKind.ERROR_500_AFTER:
                await self._handled(request, key)
                return refused(Refusal(500, "server_error", "Something went wrong"))
            case FaultKind.PAGE_400 | FaultKind.HTML | FaultKind.PAGE_404:
                if fault is FaultKind.PAGE_400:
                    await self._handled(request, key)
                return Reply(status=_PAGES[fault], content=Memory(_PAGE), mime="text/html")
            case FaultKind.REDIRECT:
                elsewhere = Origin.STORAGE if self._origin is Origin.API else Origin.API
                location = self._stage.origins[elsewhere] + request.raw_path
                return Reply(status=302, content=Memory(b""), mime="text/plain", headers={"Location": location})
            case _:
                reply = await self._handled(request, key)
                before = self._stage.pages.before(request.path)
                return distortion.distorted(reply, fault, self._stage.dialect, before)

    async def _handled(self, request: web.Request, key: Key | None) -> Reply:
        """What the handler answers; a write that repeats an idempotency key gets the first answer again."""
        stage = self._stage
        repeat = request.headers.get("Idempotency-Key")
        remembered = (key.secret, repeat) if key and repeat and request.method in {"POST", "PUT", "PATCH"} else None
        now_s = stage.clock.now_s()
        if remembered is not None and remembered in stage.replies:
            first_s, reply = stage.replies[remembered]
            if now_s - first_s < IDEMPOTENCY_S:
                return reply
        reply = await self._route.handler(await _call(request, key))
        if remembered is not None:
            stage.replies[remembered] = (now_s, reply)
            if len(stage.replies) > _REPLIES_KEPT:
                del stage.replies[next(iter(stage.replies))]
        rows = stage.dialect.rows(reply.payload)
        if rows is not None:
            stage.pages.turn(request.path, rows)
        return reply


async def _call(request: web.Request, key: Key | None) -> Call:
    form: dict[str, str] = {}
    files: list[tuple[str, Upload]] = []
    body = b"" if request.content_type == "multipart/form-data" else await request.read()
    if request.content_type in {"multipart/form-data", "application/x-www-form-urlencoded"}:
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files.append((name, Upload(value.filename, value.file.read())))
            else:
                form[name] = str(value)
    return Call(
        method=request.method,
        path=request.path,
        params=dict(request.match_info),
        query=dict(request.query),
        headers=request.headers,
        form=form,
        files=files,
        body=body,
        key=key,
    )
