"""What a person wants of old snapshots: how many of each kind stay."""

import re
from dataclasses import dataclass

#: As good as unlimited: no rule ever counts so far.
UNLIMITED = 2**63


@dataclass(frozen=True, slots=True)
class Within:
    """A span of the calendar: months are months, whatever their length."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def __str__(self) -> str:
        parts = ((self.years, "y"), (self.months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{number}{unit}" for number, unit in parts if number)


@dataclass(frozen=True, slots=True)
class Rules:
    """How many of each kind to keep (0: no such rule), and the span before the newest in which all are kept."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Within | None = None

    @property
    def any(self) -> bool:
        """Whether there is a rule at all."""
        return (
            any((self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly)) or self.within is not None
        )


def parse_within(text: str) -> Within:
    """A span such as "1y5m7d2h" (m are months). Raises ValueError."""
    found = re.fullmatch(r"(?:(\d{1,4})y)?(?:(\d{1,5})m)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?", text, re.ASCII)
    span = Within(*(int(part or 0) for part in found.groups())) if found else Within()
    if span == Within():
        msg = f"{text!r} is no span such as 30d, 6m or 1y5m7d2h (m are months)"
        raise ValueError(msg)
    return span
