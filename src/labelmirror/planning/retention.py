"""Which snapshots stay, by the rules of restic's `forget`. Pure.

Newest first, each rule keeps the newest snapshot of each of its last N hours, days, ISO weeks, months or years that have
one; buckets are in local time. While a rule has not found N, the oldest snapshot is kept too, so that history is as
long as it can be. The rules are those of restic 0.17 (internal/restic/snapshot_policy.go).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from labelmirror.model.retention import Rules, Within


@dataclass(slots=True)
class _Bucket:
    name: str
    left: int
    of: Callable[[datetime, int], object]
    last: object = field(default_factory=object)

    def takes(self, moment: datetime, number: int, *, oldest: bool) -> str | None:
        """Why this rule keeps a snapshot, None if it does not."""
        if self.left == 0:
            return None
        value = self.of(moment, number)
        fresh = value != self.last
        if not fresh and not oldest:
            return None
        self.last = value
        self.left -= 1
        return self.name if fresh else f"oldest {self.name}"


def retained(
    times_s: Mapping[str, float], rules: Rules, *, now_s: float, zone: tzinfo | None
) -> Mapping[str, Sequence[str]]:
    """Why each snapshot stays, newest first; an empty list for those that go. Of several mirrors, ask for each by itself.

    `times_s` are the moments of snapshots by id, as wall-clock seconds. `zone` None: the machine's local time.
    """
    newest_first = sorted(times_s, key=lambda each: (times_s[each], each), reverse=True)
    since_s = _since(times_s.values(), rules.within, now_s, zone) if rules.within is not None else float("inf")
    buckets = (
        _Bucket("last", rules.last, lambda _, number: number),
        _Bucket("hourly", rules.hourly, lambda moment, _: (moment.date(), moment.hour)),
        _Bucket("daily", rules.daily, lambda moment, _: moment.date()),
        _Bucket("weekly", rules.weekly, lambda moment, _: moment.isocalendar()[:2]),
        _Bucket("monthly", rules.monthly, lambda moment, _: (moment.year, moment.month)),
        _Bucket("yearly", rules.yearly, lambda moment, _: moment.year),
    )
    kept: dict[str, Sequence[str]] = {}
    for number, each in enumerate(newest_first):
        moment = datetime.fromtimestamp(times_s[each], zone)
        oldest = number == len(newest_first) - 1
        reasons = [f"within {rules.within}"] if times_s[each] > since_s else []
        reasons += [why for bucket in buckets if (why := bucket.takes(moment, number, oldest=oldest)) is not None]
        kept[each] = reasons
    return kept


def _since(times_s: Iterable[float], span: Within, now_s: float, zone: tzinfo | None) -> float:
    """Since when all are kept: the span before the newest that is not in the future."""
    newest_s = max((at_s for at_s in times_s if at_s <= now_s), default=None)
    return _before(newest_s, span, zone) if newest_s is not None else float("-inf")


def _before(at_s: float, span: Within, zone: tzinfo | None) -> float:
    """So much before a moment, by the local calendar: a day that its month does not have runs over into the next."""
    at = datetime.fromtimestamp(at_s, zone)
    months = (at.year - span.years) * 12 + at.month - 1 - span.months
    try:
        moved = at.replace(year=months // 12, month=months % 12 + 1, day=1) + timedelta(days=at.day - 1 - span.days)
        return moved.timestamp() - span.hours * 3600.0
    except (ValueError, OverflowError):  # before the calendar begins: everything is within
        return float("-inf")
