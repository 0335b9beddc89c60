"""Quotas per key: pure arithmetic on times that are handed in, in seconds."""

import math
from collections import deque
from dataclasses import dataclass

from labelmirror.standin.options import WindowKind


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a window says to one request. `reset_s` is a time, `retry_after_s` a span (0.0 when admitted)."""

    admitted: bool
    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float

    def headers(self) -> dict[str, str]:
        """The headers of an answer: whole seconds, rounded so that a client that believes them is not refused."""
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.reset_s)),
        }
        if not self.admitted:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        return headers


class RateWindow:
    """At most `limit` requests in any `window_s` (sliding), or in each window that its first request opens (fixed).

    `reset_s` of a sliding window is when its oldest request leaves it, of a fixed one when it ends. Refused requests
    are not counted.
    """

    def __init__(self, limit: int, window_s: float, kind: WindowKind) -> None:
        self.limit = limit
        self.window_s = window_s
        self.kind = kind
        self._sent: deque[float] = deque()
        self._opened_s = -math.inf

    def admit(self, now_s: float, count: int = 1) -> Verdict:
        """Count `count` requests sent at `now_s`, or refuse all of them."""
        self._forget(now_s)
        admitted = len(self._sent) + count <= self.limit
        if admitted:
            if self.kind == WindowKind.FIXED and not self._sent:
                self._opened_s = now_s
            self._sent.extend([now_s] * count)
        reset_s = self._reset_s(now_s)
        return Verdict(
            admitted=admitted,
            limit=self.limit,
            remaining=max(0, self.limit - len(self._sent)),
            reset_s=reset_s,
            retry_after_s=0.0 if admitted else reset_s - now_s,
        )

    def _forget(self, now_s: float) -> None:
        if self.kind == WindowKind.FIXED:
            if now_s >= self._opened_s + self.window_s:
                self._sent.clear()
            return
        while self._sent and self._sent[0] <= now_s - self.window_s:
            self._sent.popleft()

    def _reset_s(self, now_s: float) -> float:
        if not self._sent:
            return now_s + self.window_s
        opened_s = self._opened_s if self.kind == WindowKind.FIXED else self._sent[0]
        return opened_s + self.window_s
