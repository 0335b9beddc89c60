"""When a calendar's moments come, in zones that put their clocks forward and back."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from labelmirror.daemon.calendar import Calendar, next_after, read_calendar
from labelmirror.providers.forms import parse_calendar

BERLIN = ZoneInfo("Europe/Berlin")


def following(text: str, after: str, zone: ZoneInfo | None = None) -> str | None:
    """The moment after, as local time."""
    where = zone or UTC
    found = next_after(
        read_calendar(parse_calendar(text)), datetime.fromisoformat(after).replace(tzinfo=where).timestamp(), where
    )
    return None if found is None else datetime.fromtimestamp(found, where).strftime("%a %Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        # As `systemd-analyze calendar --base-time` says.
        ("*-*-* 03:00", "2026-11-21 02:59:59", "Sat 2026-11-21 03:00:00"),
        ("*-*-* 03:00", "2026-11-21 03:00:00", "Sun 2026-11-22 03:00:00"),
        ("Mon..Fri 06:30", "2026-11-20 06:30:00", "Mon 2026-11-23 06:30:00"),
        ("Sat,Sun 12:00:30", "2026-11-21 12:00:00", "Sat 2026-11-21 12:00:30"),
        ("hourly", "2026-11-21 23:00:00", "Sun 2026-11-22 00:00:00"),
        ("daily", "2026-12-31 00:00:00", "Fri 2027-01-01 00:00:00"),
        ("weekly", "2026-11-21 00:00:00", "Mon 2026-11-23 00:00:00"),
        ("monthly", "2026-11-21 00:00:00", "Tue 2026-12-01 00:00:00"),
        ("quarterly", "2026-11-21 00:00:00", "Fri 2027-01-01 00:00:00"),
        ("semiannually", "2026-01-01 00:00:00", "Wed 2026-07-01 00:00:00"),
        ("yearly", "2026-01-01 00:00:00", "Fri 2027-01-01 00:00:00"),
        ("*:0/15", "2026-11-21 10:31:00", "Sat 2026-11-21 10:45:00"),
        ("*:5/20", "2026-11-21 10:31:00", "Sat 2026-11-21 10:45:00"),
        ("08..18/2:00", "2026-11-21 09:00:00", "Sat 2026-11-21 10:00:00"),
        ("08..18/2:00", "2026-11-21 18:00:00", "Sun 2026-11-22 08:00:00"),
        ("*-02-29 00:00", "2026-01-01 00:00:00", "Tue 2028-02-29 00:00:00"),
        ("Mon *-02-29 00:00", "2026-01-01 00:00:00", "Mon 2044-02-29 00:00:00"),
        ("2030-01-01 00:00", "2026-01-01 00:00:00", "Tue 2030-01-01 00:00:00"),
        ("*-1..3-1,15 04:05:06/30", "2026-03-01 04:05:06", "Sun 2026-03-01 04:05:36"),
    ],
)
def test_the_next_moment_is_the_one_that_systemd_names(text: str, after: str, expected: str) -> None:
    assert following(text, after) == expected


@pytest.mark.parametrize("text", ["2020-*-* 03:00", "*-02-30 03:00", "2027-02-29 00:00"])
def test_a_calendar_that_never_comes_again_says_so(text: str) -> None:
    assert following(text, "2026-11-21 00:00:00") is None


def test_a_moment_that_the_clocks_skip_comes_as_much_later() -> None:
    assert following("*-*-* 02:30", "2026-03-29 00:00:00", BERLIN) == "Sun 2026-03-29 03:30:00"
    assert following("*-*-* 02:30", "2026-03-29 03:30:00", BERLIN) == "Mon 2026-03-30 02:30:00"


def test_a_moment_that_the_clocks_show_twice_counts_once_unless_every_hour_is_meant() -> None:
    # 2026-10-25, 03:00 summer time becomes 02:00.
    night = datetime(2026, 10, 25, 0, 0, tzinfo=BERLIN).timestamp()
    assert moments("*-*-* 02:30", night, 2) == [2.5, 27.5]
    assert moments("hourly", night, 4) == [1.0, 2.0, 3.0, 4.0]


def moments(text: str, from_s: float, count: int) -> list[float]:
    """So many moments, in hours from the beginning."""
    found: list[float] = []
    at_s = from_s
    for _ in range(count):
        following_s = next_after(read_calendar(text), at_s, BERLIN)
        assert following_s is not None
        at_s = following_s
        found.append((at_s - from_s) / 3600)
    return found


def test_a_range_of_weekdays_may_go_over_the_end_of_the_week() -> None:
    assert read_calendar("Sat..Mon 00:00").weekdays == {5, 6, 0}
    assert read_calendar("Mon..Sun 00:00").weekdays == set(range(7))


@pytest.mark.parametrize("seed", range(40))
def test_no_moment_is_missed_and_none_is_invented(seed: int) -> None:
    """Compared with asking every minute of three weeks, one by one."""
    draw = random.Random(seed)

    def some(least: int, most: int) -> frozenset[int]:
        return frozenset(draw.sample(range(least, most + 1), draw.randint(1, 3)))

    calendar = Calendar(
        some(0, 6), None, frozenset(range(1, 13)), frozenset(range(1, 32)), some(0, 23), some(0, 59), frozenset({0})
    )
    begin = datetime(2026, draw.randint(1, 12), draw.randint(1, 28), tzinfo=UTC)
    minutes = (begin + timedelta(minutes=minute) for minute in range(21 * 24 * 60))
    expected = [
        at.timestamp()
        for at in minutes
        if at.weekday() in calendar.weekdays and at.hour in calendar.hours and at.minute in calendar.minutes
    ]
    found: list[float] = []
    at_s: float | None = begin.timestamp() - 1
    while at_s is not None and len(found) < len(expected):
        at_s = next_after(calendar, at_s, UTC)
        assert at_s is not None
        found.append(at_s)
    assert found == expected, f"replay with seed {seed}"
