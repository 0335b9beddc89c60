"""What an answer's headers say about a quota. Pure; never raises: an odd header must not stop a sync.

Precedence: Retry-After stands alone; RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers, both the
2025 form `"name";r=9;t=30` and the older three fields) are preferred to the X-RateLimit-* fields of Pictograph.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar

from labelmirror.model.pacing import RateObservation

#: Bounds against absurd values: no quota counts further, no window is longer.
LIMIT_MAX = 1_000_000_000
SPAN_MAX_S = 31 * 86_400.0

#: A Reset below this is seconds to go, one above the other is in milliseconds; between them lie the years 2001 to 5138.
_EPOCH_MIN_S = 1_000_000_000.0
_EPOCH_MAX_S = 100_000_000_000.0

Number = TypeVar("Number", int, float)

_PARAMETER = re.compile(r";\s*([a-z][a-z0-9_-]*)\s*=\s*\"?(\d{1,15}(?:\.\d{1,6})?)\"?", re.IGNORECASE)
#: More digits than a float can hold, perhaps: still a number, and the server means it.
_LONG = re.compile(r"\s*\d{20,}\s*")
_FIRST_NUMBER = re.compile(r"\s*(\d{1,15})\s*(?:[,;]|$)")


def read_headers(headers: Mapping[str, str], now_s: float) -> RateObservation:
    """The observation of one answer. `headers` maps names in any case; `now_s` is this host's wall clock.

    Without a readable Date, times to go count from `now_s`.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    date_s = parse_http_date(fields.get("date", ""))
    server_s = now_s if date_s is None else date_s
    stated = _ietf(fields, server_s)
    announced = _x_ratelimit(fields, server_s)
    limit = _first(stated.limit, announced.limit)
    remaining = _first(stated.remaining, announced.remaining)
    if limit is not None and remaining is not None:
        remaining = min(remaining, limit)
    return RateObservation(
        limit=limit,
        remaining=remaining,
        reset_s=_first(stated.reset_s, announced.reset_s),
        window_s=stated.window_s,
        retry_after_s=parse_retry_after(fields.get("retry-after", ""), server_s),
        date_s=date_s,
    )


def parse_retry_after(value: str, now_s: float) -> float | None:
    """Seconds to wait according to a Retry-After header (RFC 9110, 10.2.3), or None if unreadable.

    Accepts seconds and HTTP dates; a date in the past gives 0.0. More than `SPAN_MAX_S` is cut to that.
    """
    seconds = SPAN_MAX_S if _LONG.fullmatch(value) else _number(value)
    if seconds is None:
        until_s = parse_http_date(value)
        if until_s is None:
            return None
        seconds = until_s - now_s
    return min(max(0.0, seconds), SPAN_MAX_S)


def parse_http_date(value: str) -> float | None:
    """Seconds since 1970-01-01 UTC of an HTTP date (RFC 9110, 5.6.7), or None if unreadable."""
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _ietf(fields: Mapping[str, str], server_s: float) -> RateObservation:
    policies = [_parameters(item) for item in _items(fields.get("ratelimit-policy", ""))]
    stated = fields.get("ratelimit", "")
    # An older draft has one member whose parameters are divided by commas.
    members = _items(stated) if ";" in stated else [stated.replace(",", ";")]
    state = _parameters(_tightest(members))
    policy = next((found for found in policies if "w" in found), policies[0] if policies else {})
    remaining = state.get("r", state.get("remaining", _number(fields.get("ratelimit-remaining", ""))))
    to_go_s = state.get("t", state.get("reset", _number(fields.get("ratelimit-reset", ""))))
    limit = policy.get("q", state.get("limit", _leading_number(fields.get("ratelimit-limit", ""))))
    window_s = policy.get("w")
    return RateObservation(
        limit=_count(limit),
        remaining=_count(remaining),
        reset_s=None if to_go_s is None or to_go_s > SPAN_MAX_S else server_s + to_go_s,
        window_s=window_s if window_s is not None and 0 < window_s <= SPAN_MAX_S else None,
    )


def _x_ratelimit(fields: Mapping[str, str], server_s: float) -> RateObservation:
    reset_s = _number(fields.get("x-ratelimit-reset", ""))
    if reset_s is not None:
        if reset_s < _EPOCH_MIN_S:
            reset_s += server_s
        elif reset_s > _EPOCH_MAX_S:
            reset_s /= 1000
        if abs(reset_s - server_s) > SPAN_MAX_S:
            reset_s = None
    return RateObservation(
        limit=_count(_number(fields.get("x-ratelimit-limit", ""))),
        remaining=_count(_number(fields.get("x-ratelimit-remaining", ""))),
        reset_s=reset_s,
    )


def _items(value: str) -> list[str]:
    """The members of a list field; names in quotes hold no comma on any server that we know."""
    return [item for item in value.split(",") if item.strip()]


def _tightest(items: list[str]) -> str:
    """Of several quotas the one with the least left."""
    return min(items, key=lambda item: _parameters(item).get("r", math.inf), default="")


def _parameters(item: str) -> dict[str, float]:
    """The numeric parameters of one member; `limit=9` at its start (an older draft) counts as one."""
    return {name.lower(): float(value) for name, value in _PARAMETER.findall(f";{item}")}


def _leading_number(value: str) -> float | None:
    """An older draft's `100, 100;w=60`: the first number is the limit."""
    found = _FIRST_NUMBER.match(value)
    return float(found.group(1)) if found else None


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _count(value: float | None) -> int | None:
    return None if value is None else int(min(value, LIMIT_MAX))


def _first(preferred: Number | None, other: Number | None) -> Number | None:
    return other if preferred is None else preferred
