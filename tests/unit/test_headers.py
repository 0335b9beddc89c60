"""Reading rate headers: what they mean, and that nothing a server sends makes it fail."""

import math
import random

import pytest

from labelmirror.model.pacing import RateObservation
from labelmirror.transport.headers import LIMIT_MAX, SPAN_MAX_S, parse_http_date, parse_retry_after, read_headers

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
DATE_S = 1_700_000_000.0


def test_the_x_ratelimit_fields_are_read_with_the_date() -> None:
    headers = {
        "X-RateLimit-Limit": "5000",
        "x-ratelimit-remaining": "4999",
        "X-RateLimit-Reset": "1700003600",
        "Date": DATE,
    }
    assert read_headers(headers, 0.0) == RateObservation(5000, 4999, 1_700_003_600.0, None, None, DATE_S)


@pytest.mark.parametrize(
    ("reset", "meant_s"),
    [("30", DATE_S + 30), ("1700000030", DATE_S + 30), ("1700000030000", DATE_S + 30), ("99999999999", None)],
)
def test_a_reset_is_a_moment_in_seconds_or_milliseconds_or_seconds_to_go(reset: str, meant_s: float | None) -> None:
    assert read_headers({"X-RateLimit-Reset": reset, "Date": DATE}, 0.0).reset_s == meant_s


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'},
        {"RateLimit": "limit=100, remaining=50, reset=30", "RateLimit-Policy": "100;w=60"},
        {"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "50", "RateLimit-Reset": "30"},
    ],
)
def test_the_ratelimit_fields_of_all_drafts_count_seconds_to_go(headers: dict[str, str]) -> None:
    seen = read_headers({**headers, "Date": DATE}, 0.0)
    assert (seen.remaining, seen.reset_s) == (50, DATE_S + 30)


def test_a_stated_policy_gives_limit_and_window() -> None:
    seen = read_headers({"RateLimit": '"a";r=9;t=3', "RateLimit-Policy": '"a";q=10;w=4'}, DATE_S)
    assert (seen.limit, seen.window_s, seen.reset_s) == (10, 4.0, DATE_S + 3)


def test_of_several_quotas_the_one_with_the_least_left_counts() -> None:
    seen = read_headers({"RateLimit": '"day";r=900;t=5000, "minute";r=3;t=20'}, DATE_S)
    assert (seen.remaining, seen.reset_s) == (3, DATE_S + 20)


def test_the_standard_fields_go_before_the_others() -> None:
    seen = read_headers({"RateLimit": '"a";r=7;t=3', "X-RateLimit-Remaining": "99", "X-RateLimit-Limit": "100"}, DATE_S)
    assert (seen.limit, seen.remaining) == (100, 7)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("99999999999999", SPAN_MAX_S),
        ("9" * 400, SPAN_MAX_S),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("nan", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_without_bound(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, DATE_S) == seconds


def test_remaining_is_never_more_than_the_limit() -> None:
    assert read_headers({"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "50"}, 0.0).remaining == 10


@pytest.mark.parametrize(
    "value", ["", "yesterday", "Tue, 99 Nov 2023 22:13:20 GMT", "0", "Tue, 14 Nov 99999 1:1:1 GMT"]
)
def test_an_unreadable_date_is_no_date(value: str) -> None:
    assert parse_http_date(value) is None


@pytest.mark.parametrize("seed", range(300))
def test_no_header_makes_reading_fail(seed: int) -> None:
    chance = random.Random(seed)
    names = ["Date", "Retry-After", "RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining"]
    names += ["RateLimit-Reset", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
    pieces = [
        "1e308",
        "-1",
        "9" * 30,
        "inf",
        "nan",
        ";",
        ",",
        "=",
        '"',
        "r=5",
        "t=",
        "w=0",
        "q=1",
        " ",
        "é",
        "\x00",
        DATE,
    ]
    headers = {name: "".join(chance.choices(pieces, k=chance.randrange(6))) for name in names}
    seen = read_headers(headers, DATE_S)
    for count in (seen.limit, seen.remaining):
        assert count is None or 0 <= count <= LIMIT_MAX, f"seed {seed}: {headers}"
    for moment in (seen.reset_s, seen.window_s, seen.retry_after_s, seen.date_s):
        assert moment is None or math.isfinite(moment), f"seed {seed}: {headers}"
