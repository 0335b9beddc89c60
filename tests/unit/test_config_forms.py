"""How durations, sizes, calendars and addresses are written."""

import random
from datetime import timedelta

import pytest

from labelmirror.providers.forms import (
    is_loopback,
    parse_calendar,
    parse_duration,
    parse_listen,
    parse_origin,
    parse_ping_url,
    parse_size,
    write_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("2s", 2),
        ("15m", 900),
        ("24h", 86400),
        ("90d", 7776000),
        ("2w", 1209600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("0s", 0),
    ],
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "15", "m", "15 m", "-1s", "1h 30m", "15min", "1e3s", "٣m", "99999999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    if text == "٣m":
        assert parse_duration(text) == timedelta(minutes=3)  # a digit is a digit
        return
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("4096", 4096), ("50MiB", 52428800), ("1GB", 10**9), ("1.5 KiB", 1536), ("3B", 3), ("2TiB", 2 * 2**40)],
)
def test_a_size_is_a_number_with_an_optional_unit(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "fast", "-5MiB", "50MBit", "50mib", "1 000"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        parse_size(text)


@pytest.mark.parametrize("seed", range(200))
def test_what_is_written_reads_back_the_same(seed: int) -> None:
    print(f"seed {seed}")
    source = random.Random(seed)
    duration = timedelta(milliseconds=source.randrange(10 ** source.randrange(1, 11)))
    assert parse_duration(write_duration(duration)) == duration


@pytest.mark.parametrize(
    "text",
    [
        "daily",
        "weekly",
        "03:00",
        "*-*-* 03:00",
        "*-*-* 03:00:30",
        "Mon..Fri 06:30",
        "Sat,Sunday *-*-* 04:00",
        "*-*-01 00:00",
        "*:0/15",
        "2026-01..06-01 12:00",
        "*-1,7-1 0:00",
        "Mon *-*-1..7 03:00",
    ],
)
def test_a_calendar_has_the_form_of_systemd(text: str) -> None:
    assert parse_calendar(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "24:00",
        "03:60",
        "*-13-01 03:00",
        "*-*-32 03:00",
        "Fun 03:00",
        "Mond 03:00x",
        "*-*-* 3",
        "5..2:00",
        "*:0/0",
        "Mon..Fri",
        "*-*-*",
    ],
)
def test_what_is_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must (be a calendar|name weekdays)"):
        parse_calendar(text)


def test_an_origin_is_scheme_and_host() -> None:
    assert parse_origin("https://api.example/") == "https://api.example"
    assert parse_origin("http://[::1]:8000") == "http://[::1]:8000"


@pytest.mark.parametrize(
    "text",
    [
        "api.example",
        "ftp://x",
        "https://",
        "https://x:99999",
        "https://u:pw@x",
        "https://x/api",
        "https://x?key=1",
        "https://x y",
    ],
)
def test_what_is_more_or_less_than_an_origin_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        parse_origin(text)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.9.0.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_the_name_alone(host: str, here: bool) -> None:
    assert is_loopback(host) is here


@pytest.mark.parametrize("text", ["9464", ":9464", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "host:http"])
def test_a_place_to_listen_needs_host_and_port(text: str) -> None:
    with pytest.raises(ValueError, match="host and a port"):
        parse_listen(text)


def test_a_ping_address_is_http() -> None:
    assert parse_ping_url("https://ping.example/abc?x=1") == "https://ping.example/abc?x=1"
    with pytest.raises(ValueError, match="http or https"):
        parse_ping_url("file:///etc/passwd")
