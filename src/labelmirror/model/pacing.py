"""What is known about a quota that several programs share: values only, the arithmetic is in `transport.budget`.

Times are server time, in seconds since 1970-01-01 UTC, unless a name or docstring says otherwise: processes whose
clocks differ share one book.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Priority(IntEnum):
    """What a request is for; a smaller number goes first."""

    PUSH = 0
    PULL = 1
    BYTES = 2
    VERIFY = 3


class WindowKind(StrEnum):
    """How a server gives quota back. UNANNOUNCED: its answers name no limit."""

    UNKNOWN = "unknown"
    FIXED = "fixed"
    SLIDING = "sliding"
    UNANNOUNCED = "unannounced"


class Length(StrEnum):
    """How well the length of a sliding window is known: not at all, from requests of ours that returned, for sure."""

    GUESSED = "guessed"
    SEEN = "seen"
    EXACT = "exact"


class WaitCause(StrEnum):
    """Why a request has to wait."""

    OPENING = "opening"  # somebody else's request is finding out what the window holds
    RESERVE = "reserve"  # what is left is for people, other programs and pushes
    EMPTY = "empty"  # nothing is left
    BLOCKED = "blocked"  # the server said 429
    CEILING = "ceiling"  # the configured requests per hour are used up


@dataclass(frozen=True, slots=True)
class RateObservation:
    """What the headers of one answer say; None where they say nothing.

    `reset_s` and `date_s` are server time in whole seconds, `window_s` and `retry_after_s` are spans.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None
    window_s: float | None = None
    retry_after_s: float | None = None
    date_s: float | None = None


@dataclass(frozen=True, slots=True)
class QuotaRules:
    """What a person asks of the governor for one server.

    `reserve` is the share of every window left to people, other programs and pushes; `share` the part of the quota
    insisted on however much others use. `others_per_hour` is the first guess of what others send (None: a tenth of
    the limit), `requests_per_hour` the ceiling where the server announces no limit (None: no ceiling).
    """

    reserve: float = 0.05
    share: float = 0.5
    others_per_hour: float | None = None
    requests_per_hour: int | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """Requests granted to one holder and not yet reported: unspent or under way.

    The holder may start none after `spend_by_s`; a holder not heard of until `forget_at_s` is taken for dead.
    """

    holder: str
    count: int
    spend_by_s: float
    forget_at_s: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What is known about the requests of others.

    `count` and `exposure_s` are of closed windows and fade; `seen` is of this window, exposed since `since_s` until
    `dry_s` (None: quota is still left). `slices`, `slice_sum` and `slice_squares` are sums over sixtieths of a window, for the
    dispersion; `slice_from_s` and `slice_seen` open the current one. `rate_per_s` is the rate of the last moments,
    measured from `rate_from_s` and `rate_seen` on. `usual` is the smoothed use of others inside a sliding window.
    """

    count: float = 0.0
    exposure_s: float = 0.0
    seen: int = 0
    since_s: float = 0.0
    dry_s: float | None = None
    slices: float = 0.0
    slice_sum: float = 0.0
    slice_squares: float = 0.0
    slice_from_s: float | None = None
    slice_seen: int = 0
    rate_per_s: float = 0.0
    rate_from_s: float | None = None
    rate_seen: int = 0
    usual: float | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that the processes sharing one key know together about its window.

    `span_s` and `span_before_s` are the longest times to a reset seen in this and the previous window: the longer one
    is the best guess of the window's length, unless `stated_s` gives it; `length` says how good. `low` and `low_before`
    are the smallest Remaining of two successive turns of answers; `turn_s` began the younger one. `fresh_s`: an answer to
    a request sent since then replaces both, because nothing was under way. `seen_s` is when the last answer came.

    `own` holds our answered requests as (latest time of the slice, count), oldest first; `own_here` counts those of
    this fixed window.
    `shut`: one answer must show that the server is open again before more is sent; `probe_until_s` is how long the
    one who asks is waited for. `strikes` counts 429 answers in a row. `offset_s` is server time less host time as the
    last process knew it.
    """

    kind: WindowKind = WindowKind.UNKNOWN
    limit: int | None = None
    stated_s: float | None = None
    length: Length = Length.GUESSED
    span_s: float = 0.0
    span_before_s: float = 0.0
    reset_s: float | None = None
    low: int = 0
    low_before: int = 0
    turn_s: float = 0.0
    fresh_s: float | None = None
    seen_s: float = 0.0
    lag_s: float = 0.0
    own: tuple[tuple[float, int], ...] = ()
    own_here: int = 0
    leases: tuple[Lease, ...] = ()
    shut: bool = False
    probe_until_s: float = 0.0
    blocked_until_s: float = 0.0
    strikes: int = 0
    demand: Demand = Demand()
    offset_s: float | None = None
