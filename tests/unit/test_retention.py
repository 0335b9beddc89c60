"""Which snapshots stay, beside a second computation that shares nothing with the first but the words."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest

from labelmirror.model.retention import UNLIMITED, Rules, Within, parse_within
from labelmirror.planning.retention import retained

EAST = timezone(timedelta(hours=2))


def moments(*texts: str) -> dict[str, float]:
    return {text: datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for text in texts}


def kept(times_s: dict[str, float], rules: Rules, now: str = "2030-01-01") -> dict[str, Sequence[str]]:
    now_s = datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()
    return {each: why for each, why in retained(times_s, rules, now_s=now_s, zone=UTC).items() if why}


def test_the_newest_of_each_day_stays_and_while_days_are_left_the_oldest_of_all() -> None:
    times_s = moments("2026-01-01T01", "2026-01-01T23", "2026-01-02T05", "2026-01-02T06")
    assert kept(times_s, Rules(daily=1)) == {"2026-01-02T06": ["daily"]}
    assert kept(times_s, Rules(daily=2)) == {"2026-01-02T06": ["daily"], "2026-01-01T23": ["daily"]}
    assert kept(times_s, Rules(daily=3)) == {
        "2026-01-02T06": ["daily"],
        "2026-01-01T23": ["daily"],
        "2026-01-01T01": ["oldest daily"],
    }


def test_a_snapshot_has_every_reason_that_keeps_it() -> None:
    times_s = moments("2025-12-31T12", "2026-01-01T12")
    assert kept(times_s, Rules(last=1, weekly=5, yearly=2, within=Within(hours=2))) == {
        "2026-01-01T12": ["within 2h", "last", "weekly", "yearly"],
        # Both days are in the first ISO week of 2026.
        "2025-12-31T12": ["oldest weekly", "yearly"],
    }


def test_a_span_is_counted_from_the_newest_snapshot_that_is_not_in_the_future() -> None:
    times_s = moments("2026-01-01T00", "2026-01-31T00", "2026-02-01T00", "2027-01-01T00")
    assert kept(times_s, Rules(within=Within(days=1)), now="2026-03-01").keys() == {"2026-02-01T00", "2027-01-01T00"}
    assert kept(times_s, Rules(within=Within(days=1)), now="2020-01-01").keys() == times_s.keys()


def test_months_are_those_of_the_calendar() -> None:
    # A month before 31 March is 31 February, which is 3 March.
    times_s = moments("2026-03-03T00:00", "2026-03-03T00:01", "2026-03-31T00:00")
    assert kept(times_s, Rules(within=Within(months=1))).keys() == {"2026-03-03T00:01", "2026-03-31T00:00"}
    assert kept(times_s, Rules(within=Within(years=9999))).keys() == times_s.keys()


def test_days_are_those_of_the_local_calendar() -> None:
    times_s = moments("2026-06-01T21:30", "2026-06-01T22:30")
    rules = Rules(daily=5)
    reasons = retained(times_s, rules, now_s=2e9, zone=EAST)
    assert list(reasons.values()) == [["daily"], ["daily"]]
    assert list(retained(times_s, rules, now_s=2e9, zone=UTC).values()) == [["daily"], ["oldest daily"]]


@pytest.mark.parametrize("text", ["", "5", "10x", "1d1y", "-1d", "5min", "1.5d", "0d"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no span such as"):
        parse_within(text)


def test_a_span_reads_as_it_is_written() -> None:
    for text in ("30d", "6m", "1y5m7d2h", "24h"):
        assert str(parse_within(text)) == text


KEYS = {
    "hourly": "%Y-%m-%d %H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-%V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}


def judged(times_s: dict[str, float], rules: Rules, zone: tzinfo) -> set[str]:
    """The same answer the long way: whole groups by their printed name, the newest of each of the last N groups."""
    left = sorted(times_s.items(), key=lambda item: (item[1], item[0]))
    stay = {name for name, _ in left[-rules.last :]} if rules.last else set()
    if rules.last > len(left):
        stay.add(left[0][0])
    for kind, pattern in KEYS.items():
        count = getattr(rules, kind)
        groups: dict[str, str] = {}
        for name, at_s in left:
            groups[datetime.fromtimestamp(at_s, zone).strftime(pattern)] = name
        # Oldest first, so that the last of each group is its newest; groups follow one another in time.
        newest = list(groups.values())[::-1]
        stay.update(newest[:count])
        if len(newest) < count:
            stay.add(left[0][0])
    if rules.within is not None:
        newest_at = datetime.fromtimestamp(left[-1][1], zone)
        since = newest_at.replace(tzinfo=None) - timedelta(days=rules.within.days)
        cut_s = since.replace(tzinfo=zone).timestamp() - 3600 * rules.within.hours
        stay.update(name for name, at_s in left if at_s > cut_s)
    return stay


def test_a_year_of_snapshots_is_thinned_as_the_long_computation_says(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(200):
        zone = rng.choice([UTC, timezone(timedelta(hours=-9, minutes=-30)), timezone(timedelta(hours=14))])
        began_s = datetime(2026, rng.randrange(1, 13), rng.randrange(1, 29), tzinfo=UTC).timestamp()
        times_s = {
            f"{number:04}": began_s + rng.randrange(365 * 86400) + rng.random()
            for number in range(rng.randrange(1, 400))
        }
        counts = {kind: rng.choice([0, 0, 1, 2, 7, 30, UNLIMITED]) for kind in ("last", *KEYS)}
        within = rng.choice([None, Within(days=rng.randrange(1, 90), hours=rng.randrange(24))])
        rules = Rules(**counts, within=within)
        reasons = retained(times_s, rules, now_s=3e9, zone=zone)
        assert {name for name, why in reasons.items() if why} == judged(times_s, rules, zone), (rules, zone)
        assert list(reasons) == sorted(times_s, key=lambda name: times_s[name], reverse=True)
