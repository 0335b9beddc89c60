"""What an answer changes in the book: how much is left, and of what kind and length the window is."""

import math
from dataclasses import dataclass, replace
from enum import Enum

from labelmirror.model.pacing import Book, Demand, Length, QuotaRules, RateObservation, WindowKind
from labelmirror.transport.budget.others import closed, exposed_s, watched
from labelmirror.transport.budget.window import (
    HOUR_S,
    STRIKE_WAIT_S,
    WHOLE_SECOND_S,
    WINDOW_UNKNOWN_S,
    assumed_s,
    batch_of,
    burst_began_s,
    own_back_s,
    returned,
    window_s,
)

NOTHING_SEEN = RateObservation()

_LAG_MAX_S = 60.0
_STRIKES_MAX = 6
_OWN_SLICES = 1000  # of a window: how finely our own requests are remembered


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
    width_s = (length_s or WINDOW_UNKNOWN_S) / _OWN_SLICES
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
    return replace(entered, demand=watched(entered, answer.received_s))


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
    length_s, batch = assumed_s(book), batch_of(book)
    rose = remaining + 1 - min(book.low, book.low_before)
    expected = 0 if book.length is Length.GUESSED else returned(book, book.seen_s, answer.sent_s)
    if expected >= batch:
        # Not here: they are still inside, so the window is longer than it seemed.
        return known if 2 * rose >= expected else replace(known, span_s=1.05 * length_s)
    burst_s = burst_began_s(book, book.seen_s)
    if rose < 2 * batch or burst_s is None:
        return known
    age_s = answer.sent_s - burst_s
    if book.length is Length.GUESSED or 0.9 * length_s <= age_s < length_s:
        return replace(known, length=Length.SEEN, span_s=age_s, span_before_s=0.0)
    return known


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
        demand=closed(book.demand, exposed_s(book, book.reset_s or answer.received_s), since_s)
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
    """A 429 is news for everybody. Retry-After is never shortened.

    What was under way when the first came is refused with it: that is one strike.
    """
    strikes = max(1, book.strikes + (answer.sent_s >= book.blocked_until_s))
    wait_s = answer.seen.retry_after_s
    if wait_s is not None:
        until_s = answer.received_s + wait_s + WHOLE_SECOND_S
    elif book.reset_s is not None and book.reset_s > answer.received_s:
        until_s = book.reset_s + WHOLE_SECOND_S
    else:
        until_s = answer.received_s + STRIKE_WAIT_S * 2 ** min(strikes - 1, _STRIKES_MAX)
    if strikes > 1:
        # Somebody else takes all that returns: to ask as often as the server says is to be refused as often. When
        # our own requests return is another matter.
        length_s = assumed_s(book)
        patient_s = answer.received_s + min(length_s / 5, 2.0**strikes)
        own_s = own_back_s(book, 1) if book.kind is WindowKind.SLIDING else math.inf
        until_s = max(until_s, min(patient_s, own_s))
    return replace(book, shut=True, strikes=strikes, blocked_until_s=max(book.blocked_until_s, until_s))
