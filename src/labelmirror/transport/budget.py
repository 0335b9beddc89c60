"""When a request may be sent: arithmetic on the shared book of a quota. Pure: no clock, no I/O, no randomness.

Two beliefs about the server are kept apart. *How much is left* is only ever what an answer said, less what is leased
and not yet answered: no belief about the window can make that too much. *When to look again* is a belief: a fixed
window opens at its Reset, a sliding one gives back what left its far end. A look is one request; all others wait for
its headers, so a wrong belief costs one request, never a burst.

Headers and Date count whole seconds, rounded up, down or to nearest. One second is therefore added to every moment
that they name. All times are server time (see `ServerClock`), all lengths scale with the window's learned length.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum

from labelmirror.model.pacing import (
    Book,
    Demand,
    Lease,
    Length,
    Priority,
    QuotaRules,
    RateObservation,
    WaitCause,
    WindowKind,
)
from labelmirror.model.remote import Quota

WHOLE_SECOND_S = 1.0
NOTHING_SEEN = RateObservation()
CHUNK = 25
HOUR_S = 3600.0  # the unit of two settings, not a length of any server's window

_RETRY_MAX_S = 5.0
_POLL_MAX_S = 0.1
_LEASE_MAX_S = 30.0
_PROBE_MAX_S = 10.0
#: A stalled or slow holder is not a dead one: what it has under way is counted this long after its lease ended.
_GRACE_MIN_S = 2.0
_LAG_MAX_S = 60.0
_WINDOW_UNKNOWN_S = 60.0
_STRIKE_WAIT_S = 60.0
_STRIKES_MAX = 6
_OWN_SLICES = 1000  # of a window: how finely our own requests are remembered
_DEMAND_SLICES = 60

_PRIOR_SHARE = 0.1
_PRIOR_WEIGHT = 1 / 12  # of a window
_CAUTION = 1.25
_DEVIATIONS = 2.0
_KEEP = 0.8
_OSCILLATOR_DRIFT = 1e-4


@dataclass(frozen=True, slots=True)
class ServerClock:
    """Server time less host time, as bounds that each Date narrows; None before the first Date.

    The lower bound is the one used: when it says that a reset has passed, it has. Bounds widen with time by more than
    quartz drifts; bounds that contradict a new Date (a clock was set) are dropped for it.
    """

    lower_s: float | None = None
    upper_s: float = math.inf
    at_s: float = 0.0

    def now_s(self, host_s: float) -> float:
        """A time that the server's clock has surely reached when the host's shows `host_s`."""
        return host_s + (self.lower_s or 0.0)

    def host_s(self, server_s: float) -> float:
        """The inverse of `now_s`."""
        return server_s - (self.lower_s or 0.0)

    def joined(self, lower_s: float | None) -> "ServerClock":
        """The clock with a bound that another process of this host found, unless that contradicts our own."""
        known_s = -math.inf if self.lower_s is None else self.lower_s
        return replace(self, lower_s=lower_s) if lower_s is not None and known_s < lower_s <= self.upper_s else self

    def after(self, date_s: float | None, sent_s: float, received_s: float) -> "ServerClock":
        """The clock after an answer with this Date; the other two are host time."""
        if date_s is None:
            return self
        lower_s, upper_s = date_s - received_s, date_s + WHOLE_SECOND_S - sent_s
        if self.lower_s is not None:
            drift_s = max(0.0, received_s - self.at_s) * _OSCILLATOR_DRIFT
            narrow = max(lower_s, self.lower_s - drift_s), min(upper_s, self.upper_s + drift_s)
            if narrow[0] <= narrow[1]:
                lower_s, upper_s = narrow
        return ServerClock(lower_s, upper_s, received_s)


class Fate(Enum):
    """What became of a request. FAILED: an error status, which may lack the headers that a success has."""

    ANSWERED = "answered"
    FAILED = "failed"
    LIMITED = "limited"
    LOST = "lost"
    UNSENT = "unsent"


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's end."""

    holder: str
    fate: Fate
    sent_s: float
    received_s: float
    seen: RateObservation = NOTHING_SEEN


@dataclass(frozen=True, slots=True)
class Ask:
    """A holder's wish for `want` requests (at least 1) of one priority."""

    holder: str
    want: int
    priority: Priority


@dataclass(frozen=True, slots=True)
class Granted:
    """`count` requests may be started until `spend_by_s`."""

    count: int
    spend_by_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now. Ask again at `again_s`; quota is expected by `expected_s`, which is not earlier."""

    again_s: float
    expected_s: float
    cause: WaitCause


# --- the window ---------------------------------------------------------------------------------------------------


def window_s(book: Book) -> float | None:
    """Length of the window: as stated, else the longest time to a reset seen lately, else None."""
    return book.stated_s or max(book.span_s, book.span_before_s) or None


def retry_s(book: Book) -> float:
    """How long to wait before asking the ledger again when nothing better is known."""
    length_s = window_s(book) or _WINDOW_UNKNOWN_S
    if book.kind is WindowKind.SLIDING and book.length is Length.GUESSED and book.own:
        length_s = max(length_s, book.seen_s - book.own[0][0])
    return min(_RETRY_MAX_S, length_s / 50)


def free(book: Book) -> int:
    """Requests left, less those granted and not yet answered."""
    return min(book.low, book.low_before) - _leased(book)


def quota(book: Book, rules: QuotaRules, now_s: float) -> Quota:
    """What the window allows now, for forecasts."""
    if book.kind is WindowKind.UNANNOUNCED:
        ceiling = rules.requests_per_hour
        if ceiling is None:
            return Quota()
        left = max(0, _under_ceiling(book, ceiling, now_s))
        return Quota(left, left, ceiling, HOUR_S, _ceiling_back_s(book, now_s) - now_s)
    length_s = window_s(book)
    if book.limit is None or length_s is None:
        return Quota()
    if _over(book, now_s):
        return Quota(int(book.limit * (1 - rules.reserve)), book.limit, book.limit, length_s, 0.0)
    left = max(0, free(book))
    if book.kind is WindowKind.SLIDING:
        left = min(book.limit, left + _returned(book, book.seen_s, now_s))
    usable = max(0, int(left - floor(book, rules, now_s)))
    return Quota(usable, left, book.limit, length_s, max(0.0, _back_s(book) - now_s))


def _leased(book: Book) -> int:
    return sum(lease.count for lease in book.leases)


def _over(book: Book, now_s: float) -> bool:
    """Whether a window that ends at its Reset has surely ended. Until then, what was left in it may still be sent."""
    return book.kind is not WindowKind.SLIDING and book.reset_s is not None and now_s >= _back_s(book)


def _back_s(book: Book) -> float:
    """When a server without quota has some again, going by Reset."""
    return book.seen_s + _STRIKE_WAIT_S if book.reset_s is None else book.reset_s + WHOLE_SECOND_S


def _own_inside(book: Book, now_s: float) -> int:
    """Our answered requests that may still count at `now_s`; rather too many, or ours would pass for others'."""
    if book.kind is not WindowKind.SLIDING:
        return book.own_here
    if book.length is Length.GUESSED:
        return sum(count for _, count in book.own)
    since_s = now_s - (window_s(book) or HOUR_S) - _vague_s(book)
    return sum(count for end_s, count in book.own if end_s > since_s)


def _vague_s(book: Book) -> float:
    """How wrong the time may be at which a request of ours leaves a sliding window.

    A length taken from whole seconds may be two too long; clocks of processes differ by up to one.
    """
    return WHOLE_SECOND_S * (1 if book.stated_s is not None else 3)


def _returned(book: Book, from_s: float, to_s: float) -> int:
    """Our requests that left a sliding window in (from, to]."""
    shift_s = (window_s(book) or HOUR_S) + WHOLE_SECOND_S
    return sum(count for end_s, count in book.own if from_s < end_s + shift_s <= to_s)


# --- what others need ---------------------------------------------------------------------------------------------


def floor(book: Book, rules: QuotaRules, now_s: float) -> float:
    """What bulk work leaves in the window: the reserve, and what others are expected to send.

    In a fixed window both shrink towards its end. In a sliding one the others' own requests return at the pace they
    send, so only what they may need beyond their present use is kept, and the reserve stands.
    """
    length_s = window_s(book)
    if book.limit is None or length_s is None:
        return 0.0
    insisted = (1 - rules.share) * book.limit
    if book.kind is WindowKind.SLIDING:
        usual = book.demand.usual or 0.0
        expected = usual + _prior(book, rules, length_s) * _prior_fades(book.demand.exposure_s, length_s)
        margin = _DEVIATIONS * math.sqrt(_dispersion(book, usual) * usual)
        kept = max(0.0, min(expected + margin, insisted) - _others(book))
        return rules.reserve * book.limit + kept + book.demand.rate_per_s * min(1.0, length_s / 4)
    left_s = min(length_s, max(0.0, (book.reset_s or now_s) - now_s))
    rate = _rate_per_s(book, rules, now_s)
    expected = rate * left_s
    kept = expected + _DEVIATIONS * math.sqrt(_dispersion(book, expected * length_s / max(left_s, 1e-9)) * expected)
    return (
        rules.reserve * book.limit * left_s / length_s
        + min(kept, insisted)
        + book.demand.rate_per_s * min(1.0, length_s / 4)
        + rate * max(0.0, now_s - book.seen_s)
    )


def _prior(book: Book, rules: QuotaRules, length_s: float) -> float:
    """Requests of others per window, before their demand was seen."""
    if rules.others_per_hour is None:
        return _PRIOR_SHARE * (book.limit or 0)
    return rules.others_per_hour * length_s / HOUR_S


def _prior_fades(exposure_s: float, length_s: float) -> float:
    weight_s = _PRIOR_WEIGHT * length_s
    return weight_s / (exposure_s + weight_s)


def _exposure_s(book: Book, now_s: float) -> float:
    """How long this window could have shown the others' demand: a refused client shows none."""
    return max(0.0, (now_s if book.demand.dry_s is None else book.demand.dry_s) - book.demand.since_s)


def _rate_per_s(book: Book, rules: QuotaRules, now_s: float) -> float:
    """Requests per second that others will send in the rest of a fixed window."""
    length_s = window_s(book) or _WINDOW_UNKNOWN_S
    demand, exposure_s = book.demand, _exposure_s(book, now_s)
    weight_s = _PRIOR_WEIGHT * length_s
    prior = _prior(book, rules, length_s) * _PRIOR_WEIGHT
    rate = (demand.count + demand.seen + prior) / (demand.exposure_s + exposure_s + weight_s)
    if exposure_s > length_s / 30:
        rate = max(rate, demand.seen / exposure_s)
    return min(_CAUTION * rate, (1 - rules.share) * (book.limit or 0) / length_s)


def _dispersion(book: Book, per_window: float) -> float:
    """Variance over mean of the others' use per slice of a window; 1 for independent requests."""
    demand = book.demand
    if book.kind is WindowKind.SLIDING:
        least, mean = 2.0, per_window / _DEMAND_SLICES
        # What left the window is as uneven as what came, so a difference has twice the variance.
        found = demand.slice_squares / demand.slices / 2 / mean if demand.slices >= 1 and mean > 0 else 0.0
        return max(least, found)
    least = min(20.0, max(1.0, (book.limit or 0) / 250))
    if demand.slice_sum <= 0:
        return least
    variance_sum = demand.slice_squares - demand.slice_sum**2 / demand.slices
    return max(least, variance_sum / demand.slice_sum)


def _others(book: Book) -> int:
    """Requests of others that count now, at least: what is under way may be counted already, or not yet."""
    used = (book.limit or 0) - min(book.low, book.low_before)
    return max(0, used - _own_inside(book, book.seen_s) - _leased(book))


def _watched(book: Book, now_s: float) -> Demand:
    """The demand after an answer at `now_s` was entered."""
    demand, length_s = book.demand, window_s(book) or _WINDOW_UNKNOWN_S
    sliding = book.kind is WindowKind.SLIDING
    others = _others(book) if sliding else max(demand.seen, _others(book))
    dry = min(book.low, book.low_before) <= 0
    if sliding:
        passed_s = max(0.0, now_s - demand.since_s)
        usual = others if demand.usual is None else demand.usual
        demand = replace(
            demand,
            usual=usual + (others - usual) * min(1.0, 3 * passed_s / length_s),
            exposure_s=min(5 * length_s, demand.exposure_s + (0.0 if dry else passed_s)),
            since_s=now_s,
            dry_s=None,
        )
    elif dry and demand.dry_s is None:
        demand = replace(demand, dry_s=now_s)
    return _sliced(_hurried(replace(demand, seen=others), now_s, length_s), now_s, length_s)


def _hurried(demand: Demand, now_s: float, length_s: float) -> Demand:
    """The rate of the last moments."""
    if demand.rate_from_s is None:
        return replace(demand, rate_from_s=now_s, rate_seen=demand.seen)
    passed_s = now_s - demand.rate_from_s
    if passed_s < min(0.5, length_s / 8):
        return demand
    rate = 0.5 * demand.rate_per_s + 0.5 * max(0, demand.seen - demand.rate_seen) / passed_s
    return replace(demand, rate_per_s=rate, rate_from_s=now_s, rate_seen=demand.seen)


def _sliced(demand: Demand, now_s: float, length_s: float) -> Demand:
    """The sums over slices of a window, while quota is left."""
    if demand.slice_from_s is None:
        return replace(demand, slice_from_s=now_s, slice_seen=demand.seen)
    slices = (now_s - demand.slice_from_s) * _DEMAND_SLICES / length_s
    if slices < 1 or demand.dry_s is not None:
        return demand
    sent = demand.seen - demand.slice_seen
    fade = _KEEP if demand.slices > 3 * _DEMAND_SLICES else 1.0
    return replace(
        demand,
        slices=fade * demand.slices + slices,
        slice_sum=fade * demand.slice_sum + sent,
        slice_squares=fade * demand.slice_squares + sent * sent / slices,
        slice_from_s=now_s,
        slice_seen=demand.seen,
    )


def _closed(demand: Demand, exposure_s: float, since_s: float) -> Demand:
    """The memory that a closed fixed window leaves."""
    return Demand(
        count=(demand.count + demand.seen) * _KEEP,
        exposure_s=(demand.exposure_s + exposure_s) * _KEEP,
        since_s=since_s,
        slices=demand.slices * _KEEP,
        slice_sum=demand.slice_sum * _KEEP,
        slice_squares=demand.slice_squares * _KEEP,
    )


# --- what an answer changes ---------------------------------------------------------------------------------------


def observe(book: Book, rules: QuotaRules, answer: Answer) -> Book:
    """The book after the end of one request."""
    book = replace(_reported(book, answer), probe_until_s=0.0)
    if answer.fate is Fate.UNSENT:
        return book
    if answer.fate is not Fate.LIMITED:
        book = _counted(book, rules, answer.received_s)
    if answer.fate is Fate.LOST:
        return book
    book = replace(book, lag_s=min(_LAG_MAX_S, max(answer.received_s - answer.sent_s, 0.9 * book.lag_s)))
    if answer.seen.remaining is not None:
        book = _announced(book, answer)
    elif answer.fate is Fate.ANSWERED and book.limit is None:
        book = replace(book, kind=WindowKind.UNANNOUNCED)
    if answer.fate is Fate.LIMITED:
        return _refused(book, answer)
    return replace(book, shut=False, strikes=0) if answer.sent_s >= book.blocked_until_s else book


def _reported(book: Book, answer: Answer) -> Book:
    """One request less on its holder's lease; the lease lives on, for its holder does."""
    return replace(
        book,
        leases=tuple(
            replace(lease, count=lease.count - 1) if lease.holder == answer.holder else lease
            for lease in book.leases
            if lease.holder != answer.holder or lease.count > 1
        ),
    )


def _counted(book: Book, rules: QuotaRules, now_s: float) -> Book:
    """Enter one request of our own, and forget those that left the window long ago."""
    length_s = window_s(book)
    if book.kind is WindowKind.UNANNOUNCED:
        if rules.requests_per_hour is None:
            return book
        length_s = HOUR_S
    width_s = (length_s or _WINDOW_UNKNOWN_S) / _OWN_SLICES
    end_s = math.ceil(now_s / width_s) * width_s
    own = book.own
    if own and abs(own[-1][0] - end_s) < width_s / 2:
        own = (*own[:-1], (own[-1][0], own[-1][1] + 1))
    else:
        first = 0
        if length_s is not None and (book.kind is not WindowKind.SLIDING or book.length is not Length.GUESSED):
            # A quarter of a window longer than needed, because its length may turn out to be a little greater.
            first = sum(1 for old_s, _ in own if old_s < now_s - 1.25 * length_s - 4 * WHOLE_SECOND_S)
        own = (*own[max(first, len(own) + 1 - 2 * _OWN_SLICES) :], (end_s, 1))
    return replace(book, own=own, own_here=book.own_here + 1)


def _announced(book: Book, answer: Answer) -> Book:
    """Enter Limit, Remaining and Reset."""
    seen = answer.seen
    remaining = seen.remaining or 0
    date_s = math.floor(answer.received_s) if seen.date_s is None else seen.date_s
    kind = _kind(book, answer, remaining, date_s)
    first = book.limit is None
    known = replace(
        book,
        kind=kind,
        limit=max(remaining, book.limit or 0) if seen.limit is None else seen.limit,
        stated_s=seen.window_s or book.stated_s,
        seen_s=max(book.seen_s, answer.received_s),
    )
    if seen.reset_s is not None:
        known = _measured(book, known, answer, remaining, seen.reset_s - date_s)
    reset_s = book.reset_s if seen.reset_s is None else seen.reset_s
    if kind is WindowKind.SLIDING:
        if book.kind is not kind:
            length = Length.EXACT if known.length is Length.EXACT else Length.GUESSED
            known = replace(known, length=length, demand=Demand(since_s=answer.received_s))
        entered = replace(_turned(known, answer, remaining), reset_s=reset_s)
    elif first or _opens(book, reset_s, date_s) or book.kind is WindowKind.SLIDING:
        entered = _opened(book, known, answer, remaining, reset_s)
    elif book.reset_s is not None and reset_s is not None and reset_s < book.reset_s - WHOLE_SECOND_S:
        return book  # counted in a window that is closed
    else:
        entered = _turned(known, answer, remaining)
    return replace(entered, demand=_watched(entered, answer.received_s))


def _kind(book: Book, answer: Answer, remaining: int, date_s: float) -> WindowKind:
    """Tell a sliding window from a fixed one, by what the other kind cannot do.

    A fixed window never gives quota back and never moves its Reset before that has passed, and then moves it by a
    whole length. A sliding one never forgets requests of our own that are younger than it is long.
    """
    kind = WindowKind.UNKNOWN if book.kind is WindowKind.UNANNOUNCED else book.kind
    length_s = window_s(book)
    if book.limit is None or length_s is None or book.reset_s is None or answer.seen.reset_s is None:
        return kind
    moved_s = answer.seen.reset_s - book.reset_s
    before_reset = date_s + 2 * WHOLE_SECOND_S <= book.reset_s
    after_reset = date_s >= book.reset_s + WHOLE_SECOND_S
    later = answer.sent_s >= book.turn_s
    rose = later and remaining > book.low_before and answer.seen.limit in (None, book.limit)
    used, used_before = book.limit - remaining, book.limit - book.low_before
    kept = later and used_before >= 20 and 2 * used >= used_before
    if kind is not WindowKind.SLIDING and (
        (before_reset and (rose or moved_s >= 2 * WHOLE_SECOND_S))
        or (after_reset and (kept or 0 < moved_s < length_s - 3 * WHOLE_SECOND_S))
    ):
        return WindowKind.SLIDING
    surely_s = answer.sent_s - (0.9 * length_s - 3 * WHOLE_SECOND_S - book.lag_s)
    young = sum(count for end_s, count in book.own if surely_s + length_s / _OWN_SLICES < end_s <= answer.sent_s)
    if later and young >= 10 and book.limit - remaining + 2 < young:
        return WindowKind.FIXED
    return kind


def _measured(book: Book, known: Book, answer: Answer, remaining: int, span_s: float) -> Book:
    """Learn the window's length; `book` is as it was before this answer.

    The time to a reset is the whole length when nothing else is in the window, and when Reset moves with every
    answer. Where Reset tells when the oldest request leaves, and others are at work, it is nearly nothing: there, the
    return of our own requests is what tells.
    """
    known = replace(known, span_s=max(known.span_s, span_s))
    if known.length is Length.EXACT:
        return known
    moved_s = 0.0 if book.reset_s is None or answer.seen.reset_s is None else answer.seen.reset_s - book.reset_s
    slides = moved_s >= 2 * WHOLE_SECOND_S and answer.received_s + 2 * WHOLE_SECOND_S <= (book.reset_s or 0.0)
    if known.stated_s is not None or slides or remaining >= (known.limit or 0) - 1:
        return replace(known, length=Length.EXACT, span_s=span_s, span_before_s=0.0)
    if book.kind is not WindowKind.SLIDING or book.fresh_s is None or answer.sent_s < book.fresh_s:
        return known
    length_s, batch = window_s(book) or _WINDOW_UNKNOWN_S, _batch(book)
    rose = remaining + 1 - min(book.low, book.low_before)
    expected = 0 if book.length is Length.GUESSED else _returned(book, book.seen_s, answer.sent_s)
    if expected >= batch:
        # Not here: they are still inside, so the window is longer than it seemed.
        return known if 2 * rose >= expected else replace(known, span_s=1.05 * length_s)
    burst_s = _burst_s(book, book.seen_s)
    if rose < 2 * batch or burst_s is None:
        return known
    age_s = answer.sent_s - burst_s
    if book.length is Length.GUESSED or 0.9 * length_s <= age_s < length_s:
        return replace(known, length=Length.SEEN, span_s=age_s, span_before_s=0.0)
    return known


def _burst_s(book: Book, now_s: float) -> float | None:
    """When the oldest burst of ours that may still be inside a sliding window began; None if there was none."""
    since_s = -math.inf if book.length is Length.GUESSED else now_s - (window_s(book) or HOUR_S)
    own = [entry for entry in book.own if entry[0] > since_s]
    enough, first, count = 2 * _batch(book), 0, 0
    for end_s, sent in own:
        count += sent
        while end_s - own[first][0] > max(0.0, now_s - own[first][0]) / 20:
            count -= own[first][1]
            first += 1
        if count >= enough:
            return own[first][0]
    return None


def _batch(book: Book) -> int:
    """So many requests returning at once are told from the coming and going of others."""
    return max(1, min(20, (book.limit or 0) // 250))


def _opens(book: Book, reset_s: float | None, date_s: float) -> bool:
    """Whether an answer with this Reset belongs to a later fixed window. One second more may be rounding."""
    if book.reset_s is None or reset_s is None or reset_s <= book.reset_s:
        return False
    return reset_s - book.reset_s > WHOLE_SECOND_S or date_s >= book.reset_s - WHOLE_SECOND_S


def _opened(book: Book, known: Book, answer: Answer, remaining: int, reset_s: float | None) -> Book:
    """A fixed window begins, or the first one is met."""
    length_s = window_s(known) or 0.0
    since_s = answer.received_s if reset_s is None else min(answer.received_s, reset_s - length_s)
    spans = (known.span_s, known.span_before_s)
    if book.limit is not None and reset_s is not None and known.length is not Length.EXACT:
        spans = (reset_s - (answer.seen.date_s or math.floor(answer.received_s)), book.span_s)
    return replace(
        known,
        span_s=spans[0],
        span_before_s=spans[1],
        reset_s=reset_s,
        low=remaining,
        low_before=remaining,
        turn_s=answer.received_s,
        fresh_s=None,
        own_here=0 if answer.fate is Fate.LIMITED else 1,
        demand=_closed(book.demand, _exposure_s(book, book.reset_s or answer.received_s), since_s)
        if book.limit is not None
        else Demand(since_s=since_s),
    )


def _turned(book: Book, answer: Answer, remaining: int) -> Book:
    """Enter Remaining. Answers overtake one another, so the smallest of a turn counts.

    An answer to a request sent after a turn began is younger than everything entered before that turn: it begins a
    new one, and the turn before the last is forgotten.
    """
    if book.fresh_s is not None and answer.sent_s >= book.fresh_s:
        return replace(book, low=remaining, low_before=remaining, turn_s=answer.received_s, fresh_s=None)
    if answer.sent_s >= book.turn_s:
        return replace(book, low=remaining, low_before=book.low, turn_s=answer.received_s)
    return replace(book, low=min(book.low, remaining))


def _refused(book: Book, answer: Answer) -> Book:
    """A 429 is news for everybody. Retry-After is never shortened."""
    strikes = book.strikes + 1
    wait_s = answer.seen.retry_after_s
    if wait_s is not None:
        until_s = answer.received_s + wait_s + WHOLE_SECOND_S
    elif book.reset_s is not None and book.reset_s > answer.received_s:
        until_s = book.reset_s + WHOLE_SECOND_S
    else:
        until_s = answer.received_s + _STRIKE_WAIT_S * 2 ** min(strikes - 1, _STRIKES_MAX)
    if strikes > 1:
        # Somebody else takes all that returns: to ask as often as the server says is to be refused as often. When
        # our own requests return is another matter.
        length_s = window_s(book) or _WINDOW_UNKNOWN_S
        patient_s = answer.received_s + min(length_s / 5, 2.0**strikes)
        own_s = _own_back_s(book, 1) if book.kind is WindowKind.SLIDING else math.inf
        until_s = max(until_s, min(patient_s, own_s))
    return replace(book, shut=True, strikes=strikes, blocked_until_s=max(book.blocked_until_s, until_s))


# --- what a holder gets -------------------------------------------------------------------------------------------


def grant(book: Book, rules: QuotaRules, ask: Ask, now_s: float) -> tuple[Book, Granted | Wait]:
    """Give a holder what it may send now, or say when to ask again."""
    book = forget(book, now_s)
    if now_s < book.blocked_until_s:
        return book, _wait(book, now_s, book.blocked_until_s, WaitCause.BLOCKED)
    if book.shut or book.limit is None or _over(book, now_s):
        if book.kind is not WindowKind.UNANNOUNCED or book.shut:
            return _open(book, ask, now_s)
        return _grant_unannounced(book, rules, ask, now_s)
    left = free(book)
    room = left if ask.priority is Priority.PUSH else left - floor(book, rules, now_s)
    if room >= 1:
        half = left if ask.priority is Priority.PUSH else max(1, int(room / 2))
        return _lease(book, ask.holder, min(ask.want, CHUNK, half), now_s)
    cause = WaitCause.RESERVE if left >= 1 else WaitCause.EMPTY
    if book.kind is WindowKind.SLIDING:
        return _look(book, ask, 1 - room, cause, now_s)
    return book, _wait(book, now_s, _back_s(book), cause)


def forget(book: Book, now_s: float) -> Book:
    """The book without the leases of holders that are taken for dead."""
    if all(lease.forget_at_s > now_s for lease in book.leases):
        return book
    return replace(book, leases=tuple(lease for lease in book.leases if lease.forget_at_s > now_s))


def release(book: Book, holder: str, count: int) -> Book:
    """Take back what a holder will not spend."""
    return replace(
        book,
        leases=tuple(
            replace(lease, count=lease.count - count) if lease.holder == holder else lease
            for lease in book.leases
            if lease.holder != holder or lease.count > count
        ),
    )


def _open(book: Book, ask: Ask, now_s: float) -> tuple[Book, Granted | Wait]:
    """One request finds out what the server allows."""
    empty = book.limit is not None and min(book.low, book.low_before) <= 0
    if empty and book.kind is not WindowKind.SLIDING and book.reset_s is not None and now_s < _back_s(book):
        return book, _wait(book, now_s, _back_s(book), WaitCause.EMPTY)
    if now_s < book.probe_until_s:
        return book, _soon(book, now_s)
    return _probe(book, ask, now_s)


def _probe(book: Book, ask: Ask, now_s: float) -> tuple[Book, Granted]:
    probing = replace(book, probe_until_s=now_s + _PROBE_MAX_S, fresh_s=now_s if _leased(book) == 0 else book.fresh_s)
    return _lease(probing, ask.holder, 1, now_s)


def _look(book: Book, ask: Ask, missing: float, cause: WaitCause, now_s: float) -> tuple[Book, Granted | Wait]:
    """In a sliding window: look when enough of our own requests have left it, and nothing is under way.

    Others' requests leave it unseen, so there is a look now and then while one can be afforded; with nothing left,
    the server's Reset tells of the first to leave.
    """
    if now_s < book.probe_until_s:
        return book, _soon(book, now_s)
    length_s = window_s(book) or _WINDOW_UNKNOWN_S
    unseen_s = _back_s(book) if cause is WaitCause.EMPTY else book.seen_s + max(length_s / 20, 2 * WHOLE_SECOND_S)
    back_s = min(_own_back_s(book, missing), unseen_s)
    if book.length is Length.GUESSED:
        # Look again and again, each time a twentieth later, until our own requests are seen to return.
        burst_s = _burst_s(book, now_s)
        age_s = length_s if burst_s is None else book.seen_s - burst_s
        back_s = max(unseen_s if cause is WaitCause.EMPTY else 0.0, book.seen_s + max(retry_s(book), age_s / 20))
    if now_s < back_s:
        return book, _wait(book, now_s, back_s, cause)
    if _leased(book) > 0:
        return book, _soon(book, now_s)
    return _probe(book, ask, now_s)


def _own_back_s(book: Book, missing: float) -> float:
    """When so many of our requests, or enough to tell, have left the sliding window since the last answer.

    Infinite if there are fewer. Only those count that were surely inside when that answer was given: a look for
    others would find nothing new.
    """
    length_s = window_s(book) or HOUR_S
    missing = max(missing, _batch(book))
    found = 0
    for end_s, count in book.own:
        if end_s + length_s - _vague_s(book) > book.seen_s:
            found += count
            if found >= missing:
                return end_s + length_s + WHOLE_SECOND_S
    return math.inf


def _grant_unannounced(book: Book, rules: QuotaRules, ask: Ask, now_s: float) -> tuple[Book, Granted | Wait]:
    """No limit is announced: the configured ceiling holds, or nothing but the connections do."""
    if rules.requests_per_hour is None:
        return book, Granted(min(ask.want, CHUNK), now_s + _LEASE_MAX_S)
    left = _under_ceiling(book, rules.requests_per_hour, now_s)
    if left < 1:
        return book, _wait(book, now_s, _ceiling_back_s(book, now_s), WaitCause.CEILING)
    return _lease(book, ask.holder, min(ask.want, CHUNK, left), now_s)


def _under_ceiling(book: Book, ceiling: int, now_s: float) -> int:
    return ceiling - _leased(book) - sum(count for end_s, count in book.own if end_s > now_s - HOUR_S)


def _ceiling_back_s(book: Book, now_s: float) -> float:
    return next((end_s + HOUR_S for end_s, _ in book.own if end_s > now_s - HOUR_S), now_s)


def _lease(book: Book, holder: str, count: int, now_s: float) -> tuple[Book, Granted]:
    life_s = min(_LEASE_MAX_S, (window_s(book) or _WINDOW_UNKNOWN_S) / 10)
    spend_by_s = now_s + life_s
    if book.kind is not WindowKind.SLIDING and book.reset_s is not None and _back_s(book) > now_s:
        spend_by_s = min(spend_by_s, _back_s(book))
    held = sum(lease.count for lease in book.leases if lease.holder == holder)
    lease = Lease(holder, held + count, spend_by_s, spend_by_s + max(_GRACE_MIN_S, 4 * book.lag_s))
    others = tuple(other for other in book.leases if other.holder != holder)
    return replace(book, leases=(*others, lease)), Granted(count, spend_by_s)


def _wait(book: Book, now_s: float, expected_s: float, cause: WaitCause) -> Wait:
    return Wait(min(max(expected_s, now_s), now_s + retry_s(book)), max(expected_s, now_s), cause)


def _soon(book: Book, now_s: float) -> Wait:
    """Somebody else's answer is due any moment."""
    again_s = now_s + min(_POLL_MAX_S, retry_s(book))
    return Wait(again_s, again_s, WaitCause.OPENING)
