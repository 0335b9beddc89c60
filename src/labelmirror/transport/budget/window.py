"""What a book says of the window: how long it is, what is left in it, when it gives back.

All lengths scale with the window's learned length, all times are server time (see `ServerClock`). Headers and Date count
whole seconds, rounded up, down or to nearest; one second is therefore added to every moment that they name.
"""

import math

from labelmirror.model.pacing import Book, Length, WindowKind

WHOLE_SECOND_S = 1.0
HOUR_S = 3600.0  # the unit of two settings, not a length of any server's window
#: A server that refuses without saying for how long is left alone for this time, and longer with each refusal that follows.
STRIKE_WAIT_S = 60.0
#: Taken for the length of a window of which nothing is known.
WINDOW_UNKNOWN_S = 60.0

_RETRY_MAX_S = 5.0


def window_s(book: Book) -> float | None:
    """Length of the window: as stated, else the longest time to a reset seen lately, else None; a Reset that had passed
    when it was told says nothing.
    """
    return book.stated_s or max(0.0, book.span_s, book.span_before_s) or None


def assumed_s(book: Book) -> float:
    """Length of the window, or what is taken for it while nothing is known."""
    return window_s(book) or WINDOW_UNKNOWN_S


def retry_s(book: Book) -> float:
    """How long to wait before asking the ledger again when nothing better is known."""
    length_s = assumed_s(book)
    if book.kind is WindowKind.SLIDING and book.length is Length.GUESSED and book.own:
        length_s = max(length_s, book.seen_s - book.own[0][0])
    return min(_RETRY_MAX_S, length_s / 50)


def free(book: Book) -> int:
    """Requests left, less those granted and not yet answered."""
    return min(book.low, book.low_before) - leased(book)


def leased(book: Book) -> int:
    """Requests granted and not yet answered."""
    return sum(lease.count for lease in book.leases)


def over(book: Book, now_s: float) -> bool:
    """Whether a window that ends at its Reset has surely ended. Until then, what was left in it may still be sent."""
    return book.kind is not WindowKind.SLIDING and book.reset_s is not None and now_s >= opens_s(book)


def opens_s(book: Book) -> float:
    """When a server without quota has some again, going by Reset."""
    return book.seen_s + STRIKE_WAIT_S if book.reset_s is None else book.reset_s + WHOLE_SECOND_S


def own_inside(book: Book, now_s: float) -> int:
    """Our answered requests that may still count at `now_s`; rather too many, or ours would pass for others'."""
    if book.kind is not WindowKind.SLIDING:
        return book.own_here
    if book.length is Length.GUESSED:
        return sum(count for _, count in book.own)
    since_s = now_s - (window_s(book) or HOUR_S) - _vague_s(book)
    return sum(count for end_s, count in book.own if end_s > since_s)


def returned(book: Book, from_s: float, to_s: float) -> int:
    """Our requests that left a sliding window in (from, to]."""
    shift_s = (window_s(book) or HOUR_S) + WHOLE_SECOND_S
    return sum(count for end_s, count in book.own if from_s < end_s + shift_s <= to_s)


def _vague_s(book: Book) -> float:
    """How wrong the time may be at which a request of ours leaves a sliding window.

    A length taken from whole seconds may be two too long; clocks of processes differ by up to one.
    """
    return WHOLE_SECOND_S * (1 if book.stated_s is not None else 3)


def own_back_s(book: Book, missing: float) -> float:
    """When so many of our requests, or enough to tell, have left the sliding window since the last answer.

    Infinite if there are fewer. Only those count that were surely inside when that answer was given: a look for
    others would find nothing new.
    """
    length_s = window_s(book) or HOUR_S
    missing = max(missing, batch_of(book))
    found = 0
    for end_s, count in book.own:
        if end_s + length_s - _vague_s(book) > book.seen_s:
            found += count
            if found >= missing:
                return end_s + length_s + WHOLE_SECOND_S
    return math.inf


def burst_began_s(book: Book, now_s: float) -> float | None:
    """When the oldest burst of ours that may still be inside a sliding window began; None if there was none."""
    since_s = -math.inf if book.length is Length.GUESSED else now_s - (window_s(book) or HOUR_S)
    own = [entry for entry in book.own if entry[0] > since_s]
    enough, first, count = 2 * batch_of(book), 0, 0
    for end_s, sent in own:
        count += sent
        while end_s - own[first][0] > max(0.0, now_s - own[first][0]) / 20:
            count -= own[first][1]
            first += 1
        if count >= enough:
            return own[first][0]
    return None


def batch_of(book: Book) -> int:
    """So many requests returning at once are told from the coming and going of others."""
    return max(1, min(20, (book.limit or 0) // 250))
