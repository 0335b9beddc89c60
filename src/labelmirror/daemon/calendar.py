"""Moments that come again, in the form of systemd.time(7) as far as the configuration takes it. Pure.

`providers.forms.parse_calendar` has checked the text; here it gets its meaning. Local time is that of `zone`; None is the
machine's own. Beyond systemd, `*/n` is every n-th value from the least one on.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

_SHORTHANDS: Final[Mapping[str, str]] = {
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
}
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ALL_HOURS: Final = frozenset(range(24))
#: A 29 February on a given weekday comes at least once in this time, also around a century's missing leap day.
_SEARCH_DAYS: Final = 366 * 41


@dataclass(frozen=True, slots=True)
class Calendar:
    """The values that each part of a moment may have; None: any year."""

    weekdays: frozenset[int]
    years: frozenset[int] | None
    months: frozenset[int]
    days: frozenset[int]
    hours: frozenset[int]
    minutes: frozenset[int]
    seconds: frozenset[int]

    def fits(self, day: date) -> bool:
        """Whether there are moments on this day."""
        return (
            day.month in self.months
            and day.day in self.days
            and day.weekday() in self.weekdays
            and (self.years is None or day.year in self.years)
        )

    def times(self) -> Iterator[time]:
        """The moments of a day, in order."""
        for hour in sorted(self.hours):
            for minute in sorted(self.minutes):
                for second in sorted(self.seconds):
                    yield time(hour, minute, second)


@lru_cache(maxsize=256)
def read_calendar(text: str) -> Calendar:
    """The meaning of a calendar that was checked to have the form of one."""
    text = _SHORTHANDS.get(text, text)
    *front, clock = text.split()
    weekdays = front.pop(0) if front and front[0][0].isalpha() else ""
    years, months, days = _date_parts(front[0]) if front else ("*", "*", "*")
    hours, minutes, *seconds = clock.split(":")
    return Calendar(
        weekdays=_weekdays(weekdays),
        years=None if years == "*" else _numbers(years, 1970, 2200),
        months=_numbers(months, 1, 12),
        days=_numbers(days, 1, 31),
        hours=_numbers(hours, 0, 23),
        minutes=_numbers(minutes, 0, 59),
        seconds=_numbers(seconds[0] if seconds else "0", 0, 59),
    )


@lru_cache(maxsize=1024)
def next_after(calendar: Calendar, after_s: float, zone: tzinfo | None) -> float | None:
    """The first moment later than `after_s`, both in seconds since 1970; None if it never comes again.

    A moment that the clocks skip in spring comes as much later as they were put forward. One that they show twice in
    autumn counts once, except where every hour is meant.
    """
    folds = (0, 1) if calendar.hours == _ALL_HOURS else (0,)
    # A day earlier: where clocks are put back, the same local time comes again.
    first = datetime.fromtimestamp(after_s, zone).date() - timedelta(days=1)
    for offset in range(_SEARCH_DAYS):
        day = first + timedelta(days=offset)
        if not calendar.fits(day):
            continue
        found = [
            at_s
            for each in calendar.times()
            for fold in folds
            if (at_s := datetime.combine(day, each.replace(fold=fold), zone).timestamp()) > after_s
        ]
        if found:
            return min(found)
    return None


def _date_parts(text: str) -> tuple[str, str, str]:
    *years, months, days = text.split("-")
    return years[0] if years else "*", months, days


def _weekdays(text: str) -> frozenset[int]:
    if not text:
        return frozenset(range(7))
    chosen: set[int] = set()
    for item in text.lower().split(","):
        first, *rest = (_WEEKDAYS.index(name[:3]) for name in item.split(".."))
        last = rest[-1] if rest else first
        # "Sat..Mon" goes over the end of the week.
        chosen |= {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    return frozenset(chosen)


def _numbers(text: str, least: int, most: int) -> frozenset[int]:
    chosen: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            first, last = least, most
        else:
            first, *rest = (int(number) for number in re.split(r"\.\.", span))
            last = rest[0] if rest else most if step else first
        chosen |= set(range(first, last + 1, int(step or 1)))
    return frozenset(chosen)
