"""What other users of a key need: learned from what they sent, and kept free for them."""

import math
from dataclasses import replace

from labelmirror.model.pacing import Book, Demand, QuotaRules, WindowKind
from labelmirror.transport.budget.window import HOUR_S, assumed_s, leased, own_inside, window_s

_DEMAND_SLICES = 60  # of a window
_PRIOR_SHARE = 0.1
_PRIOR_WEIGHT = 1 / 12  # of a window
_CAUTION = 1.25
_DEVIATIONS = 2.0
_KEEP = 0.8


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


def exposed_s(book: Book, now_s: float) -> float:
    """How long this window could have shown the others' demand: a refused client shows none."""
    return max(0.0, (now_s if book.demand.dry_s is None else book.demand.dry_s) - book.demand.since_s)


def _rate_per_s(book: Book, rules: QuotaRules, now_s: float) -> float:
    """Requests per second that others will send in the rest of a fixed window."""
    length_s = assumed_s(book)
    demand, exposure_s = book.demand, exposed_s(book, now_s)
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
    return max(0, used - own_inside(book, book.seen_s) - leased(book))


def watched(book: Book, now_s: float) -> Demand:
    """The demand after an answer at `now_s` was entered."""
    demand, length_s = book.demand, assumed_s(book)
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


def closed(demand: Demand, exposure_s: float, since_s: float) -> Demand:
    """The memory that a closed fixed window leaves."""
    return Demand(
        count=(demand.count + demand.seen) * _KEEP,
        exposure_s=(demand.exposure_s + exposure_s) * _KEEP,
        since_s=since_s,
        slices=demand.slices * _KEEP,
        slice_sum=demand.slice_sum * _KEEP,
        slice_squares=demand.slice_squares * _KEEP,
    )
