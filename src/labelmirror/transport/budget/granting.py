"""What a holder may send now, or when it should ask again."""

from dataclasses import dataclass, replace

from labelmirror.model.pacing import Book, Lease, Length, Priority, QuotaRules, WaitCause, WindowKind
from labelmirror.model.remote import Quota
from labelmirror.transport.budget.others import floor
from labelmirror.transport.budget.window import (
    HOUR_S,
    WHOLE_SECOND_S,
    assumed_s,
    burst_began_s,
    free,
    leased,
    opens_s,
    over,
    own_back_s,
    retry_s,
    returned,
    window_s,
)

CHUNK = 25

_POLL_MAX_S = 0.1
_LEASE_MAX_S = 30.0
_PROBE_MAX_S = 10.0
#: A stalled or slow holder is not a dead one: what it has under way is counted this long after its lease ended.
_GRACE_MIN_S = 2.0


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


def grant(book: Book, rules: QuotaRules, ask: Ask, now_s: float) -> tuple[Book, Granted | Wait]:
    """Give a holder what it may send now, or say when to ask again."""
    book = forget(book, now_s)
    if now_s < book.blocked_until_s:
        return book, _wait(book, now_s, book.blocked_until_s, WaitCause.BLOCKED)
    if book.shut or book.limit is None or over(book, now_s):
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
    return book, _wait(book, now_s, opens_s(book), cause)


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
    if over(book, now_s):
        return Quota(int(book.limit * (1 - rules.reserve)), book.limit, book.limit, length_s, 0.0)
    left = max(0, free(book))
    if book.kind is WindowKind.SLIDING:
        left = min(book.limit, left + returned(book, book.seen_s, now_s))
    usable = max(0, int(left - floor(book, rules, now_s)))
    return Quota(usable, left, book.limit, length_s, max(0.0, opens_s(book) - now_s))


def _open(book: Book, ask: Ask, now_s: float) -> tuple[Book, Granted | Wait]:
    """One request finds out what the server allows."""
    empty = book.limit is not None and min(book.low, book.low_before) <= 0
    if empty and book.kind is not WindowKind.SLIDING and book.reset_s is not None and now_s < opens_s(book):
        return book, _wait(book, now_s, opens_s(book), WaitCause.EMPTY)
    if now_s < book.probe_until_s:
        return book, _soon(book, now_s)
    return _probe(book, ask, now_s)


def _probe(book: Book, ask: Ask, now_s: float) -> tuple[Book, Granted]:
    probing = replace(book, probe_until_s=now_s + _PROBE_MAX_S, fresh_s=now_s if leased(book) == 0 else book.fresh_s)
    return _lease(probing, ask.holder, 1, now_s)


def _look(book: Book, ask: Ask, missing: float, cause: WaitCause, now_s: float) -> tuple[Book, Granted | Wait]:
    """In a sliding window: look when enough of our own requests have left it, and nothing is under way.

    Others' requests leave it unseen, so there is a look now and then while one can be afforded; with nothing left,
    the server's Reset tells of the first to leave.
    """
    if now_s < book.probe_until_s:
        return book, _soon(book, now_s)
    length_s = assumed_s(book)
    unseen_s = opens_s(book) if cause is WaitCause.EMPTY else book.seen_s + max(length_s / 20, 2 * WHOLE_SECOND_S)
    back_s = min(own_back_s(book, missing), unseen_s)
    if book.length is Length.GUESSED:
        # Look again and again, each time a twentieth later, until our own requests are seen to return.
        burst_s = burst_began_s(book, now_s)
        age_s = length_s if burst_s is None else book.seen_s - burst_s
        back_s = max(unseen_s if cause is WaitCause.EMPTY else 0.0, book.seen_s + max(retry_s(book), age_s / 20))
    if now_s < back_s:
        return book, _wait(book, now_s, back_s, cause)
    if leased(book) > 0:
        return book, _soon(book, now_s)
    return _probe(book, ask, now_s)


def _grant_unannounced(book: Book, rules: QuotaRules, ask: Ask, now_s: float) -> tuple[Book, Granted | Wait]:
    """No limit is announced: the configured ceiling holds, or nothing but the connections do."""
    if rules.requests_per_hour is None:
        return book, Granted(min(ask.want, CHUNK), now_s + _LEASE_MAX_S)
    left = _under_ceiling(book, rules.requests_per_hour, now_s)
    if left < 1:
        return book, _wait(book, now_s, _ceiling_back_s(book, now_s), WaitCause.CEILING)
    return _lease(book, ask.holder, min(ask.want, CHUNK, left), now_s)


def _under_ceiling(book: Book, ceiling: int, now_s: float) -> int:
    return ceiling - leased(book) - sum(count for end_s, count in book.own if end_s > now_s - HOUR_S)


def _ceiling_back_s(book: Book, now_s: float) -> float:
    return next((end_s + HOUR_S for end_s, _ in book.own if end_s > now_s - HOUR_S), now_s)


def _lease(book: Book, holder: str, count: int, now_s: float) -> tuple[Book, Granted]:
    life_s = min(_LEASE_MAX_S, assumed_s(book) / 10)
    spend_by_s = now_s + life_s
    if book.kind is not WindowKind.SLIDING and book.reset_s is not None and opens_s(book) > now_s:
        spend_by_s = min(spend_by_s, opens_s(book))
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
