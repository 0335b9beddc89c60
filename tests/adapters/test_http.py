import asyncio
import json
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from labelmirror.errors import (
    BodyMismatch,
    KeyRefused,
    Limited,
    LinkExpired,
    NotFound,
    OutcomeUnknown,
    ProtocolError,
    Rejected,
    RemoteError,
    RoleRefused,
    TooLarge,
    Unavailable,
)
from labelmirror.transport.answers import sentence
from labelmirror.transport.api import ApiRules, Transient, pinned, transport_trouble
from labelmirror.transport.retry import Backoff
from support.quick_clock import QuickClock
from support.web import KEY, Handler, http_to, site

Answer = Callable[[], web.StreamResponse]


def always(answer: Answer) -> Handler:
    async def handle(_: web.Request) -> web.StreamResponse:
        return answer()

    return handle


def in_turn(*answers: Answer | str) -> Handler:
    """Each request gets the next answer, the last one for ever. "drop" drops the connection, "hang" never answers."""
    left = list(answers)

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if answer == "hang":
            await asyncio.sleep(5)
            return web.Response()
        if answer == "short":
            response = web.StreamResponse(headers={"Content-Length": "100", "Content-Type": "application/json"})
            await response.prepare(request)
            await response.write(b'{"a":')
            assert request.transport is not None
            request.transport.abort()
            return response
        assert callable(answer)
        return answer()

    return handle


def ok() -> web.Response:
    return web.json_response({"ok": True})


def status(code: int, **headers: str) -> Answer:
    return lambda: web.json_response({"detail": f"code {code}"}, status=code, headers=headers)


@pytest.mark.parametrize("trouble", ["drop", "hang", "short", *map(status, (408, 500, 502, 503, 504))])
async def test_a_read_survives_trouble_that_passes(trouble: Answer | str) -> None:
    clock = QuickClock()
    async with site(in_turn(trouble, ok)) as server, http_to(server.url, clock) as http:
        assert await http.api.get("/x") == {"ok": True}
        assert http.traffic().api == 2
    assert len(clock.slept_s) == 1


@pytest.mark.parametrize("trouble", ["drop", "hang", "short", *map(status, (408, 500, 502, 503, 504))])
async def test_a_read_is_given_up_after_a_bounded_number_of_tries(trouble: Answer | str) -> None:
    async with site(in_turn(trouble)) as server, http_to(server.url) as http:
        with pytest.raises(Unavailable):
            await http.api.get("/x")
        assert len(server.requests) == 3


@pytest.mark.parametrize("trouble", ["drop", "hang", "short", *map(status, (408, 500, 502, 503, 504))])
async def test_a_write_whose_fate_is_unknown_is_never_sent_again(trouble: Answer | str) -> None:
    async with site(in_turn(trouble)) as server, http_to(server.url) as http:
        with pytest.raises(OutcomeUnknown):
            await http.api.send("POST", "/x", body={"a": 1})
        assert len(server.requests) == 1


async def test_a_limited_request_is_sent_again_after_the_wait_that_was_asked_for() -> None:
    clock = QuickClock()
    for method in ("GET", "POST"):
        async with site(in_turn(status(429, **{"Retry-After": "7"}), ok)) as server, http_to(server.url, clock) as http:
            before_s = clock.ahead_s
            answer = await (http.api.get("/x") if method == "GET" else http.api.send(method, "/x"))
            assert answer == {"ok": True}
            assert http.traffic().limited == 1
            assert clock.ahead_s - before_s >= 6


async def test_a_server_that_only_limits_ends_in_an_error_that_says_so() -> None:
    async with site(always(status(429, **{"Retry-After": "1"}))) as server, http_to(server.url) as http:
        with pytest.raises(Limited):
            await http.api.get("/x")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, Rejected),
        (401, KeyRefused),
        (402, Rejected),
        (403, RoleRefused),
        (404, NotFound),
        (409, Rejected),
        (422, Rejected),
    ],
)
async def test_refusals_map_to_the_error_tree_and_are_not_tried_again(code: int, error: type[RemoteError]) -> None:
    async with site(always(status(code))) as server, http_to(server.url) as http:
        with pytest.raises(error) as refused:
            await http.api.get("/x", {"q": "canary"})
        assert len(server.requests) == 1
    assert refused.value.status == code
    assert f"code {code}" in refused.value.message
    assert "canary" not in refused.value.message


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="<html>hello</html>", content_type="text/html"),
        lambda: web.Response(body=b'{"a": 1}', content_type="application/octet-stream"),
        lambda: web.Response(body=b'{"a": ', content_type="application/json"),
        lambda: web.Response(body=b'{"a": NaN}', content_type="application/json"),
        lambda: web.Response(body=b'{"a": 1e999}', content_type="application/json"),
        lambda: web.Response(body=b"\xff\xfe", content_type="application/json"),
        lambda: web.Response(body=b"", content_type="application/json"),
        lambda: web.Response(text="not here", status=404),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.2:1/x"}),
        lambda: web.Response(status=302, headers={"Location": "http://[broken"}),
        lambda: web.Response(status=302),
        lambda: web.Response(status=204),
    ],
)
async def test_what_is_no_json_answer_is_a_protocol_error(answer: Answer) -> None:
    async with site(always(answer)) as server, http_to(server.url) as http:
        with pytest.raises(RemoteError) as refused:
            await http.api.get("/x")
        assert len(server.requests) == 1
    assert type(refused.value) in {ProtocolError, Rejected}


async def test_a_redirect_within_the_origin_is_followed_and_a_loop_of_them_ends() -> None:
    moved = lambda: web.Response(status=307, headers={"Location": "/y?a=1"})  # noqa: E731
    async with site(in_turn(moved, ok)) as server, http_to(server.url) as http:
        assert await http.api.get("/x") == {"ok": True}
    async with site(always(moved)) as server, http_to(server.url) as http:
        with pytest.raises(ProtocolError):
            await http.api.get("/x")
        assert len(server.requests) == 4


@pytest.mark.parametrize("body", [b'{"a": "' + b"x" * 200_000 + b'"}', b"[" * 30 + b"]" * 30, b"[" * 50_000])
async def test_json_beyond_the_bounds_is_refused(body: bytes) -> None:
    answer = lambda: web.Response(body=body, content_type="application/json")  # noqa: E731
    async with site(always(answer)) as server, http_to(server.url) as http:
        with pytest.raises((TooLarge, ProtocolError)):
            await http.api.get("/x")


async def test_the_key_goes_to_the_api_alone_and_shows_nowhere() -> None:
    async def link(_: web.Request) -> web.Response:
        return web.Response(body=b"1234", headers={"Set-Cookie": "a=b"})

    async with site(always(ok)) as api, site(link, "127.0.0.2") as storage, http_to(api.url) as http:
        await http.api.get("/x")
        for _ in range(2):
            async with http.storage.open(f"{storage.url}/a?sig=canary") as stream:
                assert b"".join([chunk async for chunk in stream.chunks]) == b"1234"
        assert KEY not in repr(http)
    assert api.requests[0].headers["X-API-Key"] == KEY
    assert api.requests[0].headers["User-Agent"].startswith("labelmirror/")
    for request in storage.requests:
        assert KEY not in str(request.headers)
        assert "Cookie" not in request.headers


async def test_no_error_shows_the_key_or_a_query() -> None:
    troubles: list[Handler] = [in_turn("drop"), in_turn("short"), in_turn("hang"), always(status(500))]
    for handler in troubles:
        async with site(handler) as server, http_to(server.url) as http:
            with pytest.raises(RemoteError) as failed:
                await http.api.get("/x", {"q": "canary"})
            with pytest.raises(RemoteError) as broken:
                async with http.storage.open(f"{server.url}/a?sig=canary") as stream:
                    [chunk async for chunk in stream.chunks]
        for error in (failed.value, broken.value):
            assert error.__cause__ is None
            assert "canary" not in repr(error) + error.message + error.hint


async def test_an_unreachable_server_is_unavailable_and_costs_no_quota() -> None:
    async with http_to("http://127.0.0.1:1") as http:
        with pytest.raises(Unavailable):
            await http.api.get("/x")
        with pytest.raises(Unavailable):
            await http.api.send("POST", "/x")
        assert http.traffic().api == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:1 could not be reached: it refuses the connection"),
        ("http://localhost:1", "localhost:1 could not be reached: it refuses the connection"),
    ],
)
async def test_a_server_that_is_not_reached_is_named_with_the_cause_and_the_setting_to_look_at(
    url: str, said: str
) -> None:
    async with http_to(url) as http:
        with pytest.raises(Unavailable) as read:
            await http.api.get("/x")
        with pytest.raises(Unavailable) as written:
            await http.api.send("POST", "/x")
    assert read.value.message == f"GET /x: {said}"
    assert written.value.message == f"POST /x: {said}"
    assert "`url`" in read.value.hint


async def test_https_where_only_http_is_spoken_is_no_matter_of_certificates() -> None:
    async with (
        site(always(lambda: web.json_response({}))) as server,
        http_to(server.url.replace("http:", "https:")) as http,
    ):
        with pytest.raises(Unavailable) as failed:
            await http.api.get("/x")
    assert failed.value.message.endswith("was reached, and does not speak TLS (https)")
    assert "`url`" in failed.value.hint


def test_a_name_without_an_address_a_slow_connection_and_a_slow_answer_are_told_apart() -> None:
    url = URL("http://10.0.0.1/x?sig=canary")
    missing = aiohttp.ClientConnectorDNSError(ConnectionKey("10", 80, False, True, None, None, None), OSError())
    resolving = transport_trouble(missing, "GET /x", url)
    connecting = transport_trouble(aiohttp.ConnectionTimeoutError(), "GET /x", url, hint="h")
    reading = transport_trouble(aiohttp.SocketTimeoutError(), "GET /x", url, hint="h")
    assert isinstance(resolving, Transient)
    assert isinstance(connecting, Transient)
    assert isinstance(reading, Transient)
    assert resolving.final.message == "GET /x: 10.0.0.1:80 could not be reached: its name cannot be resolved"
    assert connecting.final.message == "GET /x: 10.0.0.1:80 could not be reached: no answer in time"
    assert reading.final.message == "GET /x: 10.0.0.1:80 did not answer in time"
    assert (connecting.final.hint, reading.final.hint) == ("h", "")


@pytest.mark.parametrize("code", [400, 401, 403, 410])
async def test_an_expired_link_is_told_apart(code: int) -> None:
    async with site(always(lambda: web.Response(text="<Error/>", status=code))) as server, http_to(server.url) as http:
        with pytest.raises(LinkExpired):
            async with http.storage.open(f"{server.url}/a"):
                pass
        assert len(server.requests) == 1


async def test_a_download_resumes_only_under_its_strong_validator() -> None:
    data = bytes(range(256))

    async def file(request: web.Request) -> web.Response:
        if request.headers.get("If-Range") == '"v1"':
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            span = {"Content-Range": f"bytes {start}-255/256", "ETag": '"v1"'}
            return web.Response(body=data[start:], status=206, headers=span)
        return web.Response(body=data, headers={"ETag": 'W/"weak"' if "weak" in request.path else '"v1"'})

    async with site(file) as server, http_to(server.url) as http:
        async with http.storage.open(f"{server.url}/a", offset=100, validator='"v1"') as stream:
            assert (stream.offset, stream.size_bytes, stream.validator) == (100, 256, '"v1"')
            assert b"".join([chunk async for chunk in stream.chunks]) == data[100:]
        async with http.storage.open(f"{server.url}/a", offset=100, validator='"v0"') as stream:
            assert (stream.offset, stream.size_bytes) == (0, 256)
        async with http.storage.open(f"{server.url}/weak") as stream:
            assert stream.validator is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 0-255/256"},
        {"Content-Range": "bytes 100-200/256"},
        {"Content-Range": "nonsense"},
        {},
    ],
)
async def test_a_part_that_was_not_asked_for_is_refused(headers: dict[str, str]) -> None:
    part = lambda: web.Response(body=b"x" * 156, status=206, headers=headers)  # noqa: E731
    async with site(always(part)) as server, http_to(server.url) as http:
        with pytest.raises(BodyMismatch):
            async with http.storage.open(f"{server.url}/a", offset=100, validator='"v"'):
                pass


async def test_a_body_that_is_cut_short_is_an_error_and_not_less_data() -> None:
    async with site(in_turn("short")) as server, http_to(server.url) as http:
        with pytest.raises(BodyMismatch):
            async with http.storage.open(f"{server.url}/a") as stream:
                [chunk async for chunk in stream.chunks]


async def test_bodies_beyond_the_bound_are_refused_whether_announced_or_not() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(b"x" * 2**16)
        return response

    for handler in (endless, always(lambda: web.Response(body=b"x" * 2_000_000))):
        async with site(handler) as server, http_to(server.url) as http:
            with pytest.raises((TooLarge, BodyMismatch)):
                async with http.storage.open(f"{server.url}/a") as stream:
                    [chunk async for chunk in stream.chunks]


async def test_a_packed_file_is_never_unpacked() -> None:
    bomb = lambda: web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})  # noqa: E731
    async with site(always(bomb)) as server, http_to(server.url) as http:
        with pytest.raises(ProtocolError):
            async with http.storage.open(f"{server.url}/a"):
                pass


async def test_a_body_that_only_drips_is_given_up() -> None:
    clock = QuickClock()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x")
            clock.ahead_s += 10
            await asyncio.sleep(0.01)
        return response

    async with site(drip) as server, http_to(server.url, clock) as http:
        with pytest.raises(BodyMismatch, match="slowly"):
            async with http.storage.open(f"{server.url}/a") as stream:
                [chunk async for chunk in stream.chunks]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"code": "c", "message": "first"}, "detail": "second"}, "first"),
        ({"error": {"code": "c"}}, "c"),
        ({"detail": "text", "message": "other"}, "text"),
        ({"error": "not_found", "message": "words"}, "words"),
        ({"error": "not_found"}, "not_found"),
        ({"detail": {"message": "inner"}}, "inner"),
        ({"detail": [{"loc": ["body", "w", 0], "msg": "too small"}]}, "body.w.0: too small"),
        ({"message": "see https://h/p?sig=canary now\n\x1b[31m"}, "see https://h/p?… now  [31m"),
        ({"other": 1}, ""),
        ([], ""),
        ({"message": "x" * 1000}, "x" * 300),
    ],
)
def test_an_error_body_is_reduced_to_one_printable_sentence(body: object, said: str) -> None:
    assert sentence(json.dumps(body).encode()) == said


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_an_unreadable_error_body_says_nothing(body: bytes) -> None:
    assert sentence(body) == ""


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("/api/v1/a%20b?x=1", "/api/v1/a%20b?x=1"),
        ("https://evil.example/api/v1/a?x=1", "/api/v1/a?x=1"),
        ("//evil.example/api/a", "/api/a"),
    ],
)
def test_a_link_to_the_api_is_reduced_to_its_path_and_query(link: str, path: str) -> None:
    assert pinned(link) == path


@pytest.mark.parametrize("link", ["a/b", "", "http://[broken", "/a\r\nb"])
def test_what_is_no_link_to_a_path_is_refused(link: str) -> None:
    with pytest.raises(ProtocolError):
        pinned(link)


def test_delays_grow_are_bounded_and_never_shorter_than_asked() -> None:
    backoff = Backoff(tries=9, first_s=1, factor=2, longest_s=10)
    delays_s = [backoff.delay_s(failed, 0.0) for failed in range(1, 9)]
    assert delays_s == sorted(delays_s)
    assert delays_s[0] == 0.5
    assert max(delays_s) == 5
    assert backoff.delay_s(1, 0.0, retry_after_s=60) == 60


UNSURE = ApiRules(json_size_bytes=100_000, unsure=frozenset({400}))


async def test_a_page_where_a_status_says_nothing_is_asked_for_again_and_leaves_a_write_unknown() -> None:
    page = lambda: web.Response(status=400, text="<h1>Bad Request (400)</h1>", content_type="text/html")  # noqa: E731
    good = lambda: web.json_response({"a": 1})  # noqa: E731
    async with site(in_turn(page, good)) as api, http_to(api.url, rules=UNSURE) as http:
        assert await http.api.get("/x") == {"a": 1}
        assert len(api.requests) == 2
    async with site(in_turn(page, good)) as api, http_to(api.url, rules=UNSURE) as http:
        with pytest.raises(OutcomeUnknown):
            await http.api.send("POST", "/x", body={})
        assert len(api.requests) == 1
    async with site(always(status(400))) as api, http_to(api.url, rules=UNSURE) as http:
        with pytest.raises(Rejected):
            await http.api.get("/x")
        with pytest.raises(Rejected):
            await http.api.send("POST", "/x", body={})


async def test_what_a_login_gave_is_sent_with_every_request_and_shown_in_no_error() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": f"no {request.headers['Authorization']}"}, status=403)

    async with site(handle) as api, http_to(api.url) as http:
        http.api.carry({"Authorization": "Token secret0123456789", "Cookie": "sessionid=none"})
        with pytest.raises(RoleRefused) as refused:
            await http.api.get("/x")
        assert "secret0123456789" not in refused.value.message
        assert api.requests[0].headers["Cookie"] == "sessionid=none"


async def test_the_servers_own_time_is_known_after_an_answer() -> None:
    dated = lambda: web.json_response({}, headers={"Date": "Thu, 01 Jan 2026 00:00:07 GMT"})  # noqa: E731
    async with site(always(dated)) as api, http_to(api.url) as http:
        assert http.api.date_s is None
        await http.api.get("/x")
        assert http.api.date_s == 1767225607
