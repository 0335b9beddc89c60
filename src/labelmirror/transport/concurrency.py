"""How many requests run at once where no quota says it: storage hosts, and servers without rate headers.

The controller is pure: it compares the median latency of a short stretch with the best median of late; while answers
are quick the limit grows by a little each stretch, when they queue it shrinks in proportion, and an error cuts it at
most once a second. At first, until there is a sign of either, it doubles with every few answers: a run over thousands
of files would else be half over before it is up to speed. The idea is Netflix's gradient limiter; the tolerance lets a
server be half again as slow as at its best. The breaker is the client-side throttling of Google's SRE book: it refuses
locally once a server accepts less than half of what it is sent. The gate is the only part that waits.
"""

import random
from collections import deque
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Self

import anyio

from labelmirror.errors import Unavailable
from labelmirror.ports.clock import Clock

FIRST: Final = 2.0
CONNECTIONS_MAX: Final = 64

_TOLERANCE = 1.5
_SMOOTHING = 0.3
_GROWTH, _GROWTH_SHARE = 1.0, 1 / 8  # requests that may queue without counting as slow: so many, or this share
_STRETCH_ANSWERS, _STRETCH_ANSWERS_MAX = 10, 2 * CONNECTIONS_MAX
_STRETCH_S = 0.5
_MEMORY_S = 300.0
_CUT = 0.7
_CUT_EVERY_S = 1.0
_REST_S = (0.5, 1.5)

_BREAKER_K = 2.0
_BREAKER_S = 120.0
_BREAKER_SLICES = 12
_BREAKER_LEAST = 20


class Load(Enum):
    """What an answer says of a server's load. FAILED: 5xx, 408, time-out, connection refused or dropped."""

    SERVED = "served"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many requests may run at once, and what that was learned from. Times are monotonic seconds."""

    most: int = CONNECTIONS_MAX
    level: float = FIRST
    latencies_s: tuple[float, ...] = ()
    stretch_from_s: float | None = None
    medians: tuple[tuple[float, float], ...] = ()  # (time, median latency), both in seconds, oldest first
    cut_until_s: float = 0.0
    opening: bool = True

    @property
    def limit(self) -> int:
        """Requests that may run at once, from 1 to `most`."""
        return max(1, min(self.most, int(self.level)))

    def after(self, load: Load, *, latency_s: float, running: int, now_s: float) -> "Concurrency":
        """The controller after one answer; `running` counts the requests under way when it came, itself included."""
        if load is Load.FAILED:
            if now_s < self.cut_until_s:
                return self
            level = max(1.0, self.level * _CUT)
            return replace(self, level=level, cut_until_s=now_s + _CUT_EVERY_S, opening=False)
        latencies_s = (*self.latencies_s, latency_s)
        from_s = now_s if self.stretch_from_s is None else self.stretch_from_s
        # What a doubling lets through first has connections to make, and says nothing of how it is when they are there.
        first, least_s = (self.limit, 0.0) if self.opening else (0, _STRETCH_S)
        if len(latencies_s) < first + max(_STRETCH_ANSWERS, self.limit) or now_s - from_s < least_s:
            # A fast server answers hundreds of times in a stretch; the latest are enough for a median.
            return replace(self, latencies_s=latencies_s[-_STRETCH_ANSWERS_MAX:], stretch_from_s=from_s)
        median_s = sorted(latencies_s[first:])[len(latencies_s[first:]) // 2]
        medians = (*(entry for entry in self.medians if entry[0] >= now_s - _MEMORY_S), (now_s, median_s))
        best_s = min(median for _, median in medians)
        gradient = max(0.5, min(1.0, _TOLERANCE * best_s / max(median_s, 1e-9)))
        level, opening = self.level, self.opening and gradient == 1
        if opening and 2 * running >= self.limit:
            level *= 2
        elif self.opening and not opening:
            level *= gradient  # the last doubling was too much, and by that
        elif gradient < 1 or 2 * running >= self.limit:  # growing what is not used would say nothing
            growth = max(_GROWTH, _GROWTH_SHARE * level)
            level += _SMOOTHING * (level * gradient + growth - level)
        return replace(
            self,
            level=max(1.0, min(float(self.most), level)),
            latencies_s=(),
            stretch_from_s=now_s,
            medians=medians,
            opening=opening,
        )


@dataclass(frozen=True, slots=True)
class Breaker:
    """Requests and accepted ones of the last two minutes, in slices of ten seconds: (slice, sent, accepted)."""

    slices: tuple[tuple[int, int, int], ...] = ()

    def after(self, load: Load, now_s: float) -> "Breaker":
        """The breaker after one request, sent or refused locally (FAILED)."""
        width_s = _BREAKER_S / _BREAKER_SLICES
        current, accepted = int(now_s / width_s), load is Load.SERVED
        kept = tuple(entry for entry in self.slices if current - _BREAKER_SLICES < entry[0] < current)
        sent, before = next(((s, a) for number, s, a in self.slices if number == current), (0, 0))
        return Breaker((*kept, (current, sent + 1, before + accepted)))

    def refusal(self, now_s: float) -> float:
        """The chance, 0 to 1, with which a request is refused without being sent."""
        oldest = int(now_s / (_BREAKER_S / _BREAKER_SLICES)) - _BREAKER_SLICES
        sent = sum(s for number, s, _ in self.slices if number > oldest)
        accepted = sum(a for number, _, a in self.slices if number > oldest)
        if sent < _BREAKER_LEAST:
            return 0.0  # a few failures are what retries are for
        return max(0.0, (sent - _BREAKER_K * accepted) / (sent + 1))


class Slot:
    """Leave to have one request under way, inside of the block. Without a call of `done`, it says nothing of the server's
    load; without a gate it is had at once.
    """

    __slots__ = ("_gate", "latency_s", "load")

    def __init__(self, gate: "Gate | None" = None) -> None:
        self._gate = gate
        self.load: Load | None = None
        self.latency_s = 0.0

    async def __aenter__(self) -> Self:
        if self._gate is not None:
            await self._gate.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._gate is not None:
            await self._gate.leave(self)

    def done(self, load: Load, latency_s: float) -> None:
        """Tell what came back, and after how long: to the first byte, so that large bodies do not look slow."""
        self.load, self.latency_s = load, latency_s


class Gate:
    """Lets as many requests to one host run at once as it bears, at most `connections`, in the order of asking."""

    def __init__(self, clock: Clock, *, host: str, connections: int, chance: random.Random) -> None:
        self._clock = clock
        self._host = host
        self._chance = chance
        self._controller = Concurrency(most=min(connections, CONNECTIONS_MAX))
        self._breaker = Breaker()
        self._running = 0
        self._line: deque[anyio.Event] = deque()

    @property
    def limit(self) -> int:
        """How many may run at once now."""
        return self._controller.limit

    async def enter(self) -> None:
        """Wait for a place. Raises Unavailable when the breaker refuses: most of what was sent of late failed."""
        now_s = self._clock.monotonic_s()
        if self._chance.random() < self._breaker.refusal(now_s):
            self._breaker = self._breaker.after(Load.FAILED, now_s)
            raise Unavailable(
                f"{self._host} failed most requests of the last two minutes",
                hint="Nothing to do: requests go on as soon as it answers again.",
            )
        if self._running < self.limit and not self._line:
            self._running += 1
            return
        called = anyio.Event()
        self._line.append(called)
        try:
            await called.wait()
        except BaseException:
            if called.is_set():
                self._running -= 1
                self._admit()
            else:
                self._line.remove(called)
            raise

    async def leave(self, slot: Slot) -> None:
        """Give the place to the next request; after a failure it rests for about a second before that."""
        try:
            await self._learn(slot)
        finally:
            self._running -= 1
            self._admit()

    async def _learn(self, slot: Slot) -> None:
        if slot.load is None:
            return
        now_s = self._clock.monotonic_s()
        self._breaker = self._breaker.after(slot.load, now_s)
        self._controller = self._controller.after(
            slot.load, latency_s=slot.latency_s, running=self._running, now_s=now_s
        )
        if slot.load is Load.FAILED:
            await self._clock.sleep(self._chance.uniform(*_REST_S))

    def _admit(self) -> None:
        while self._line and self._running < self.limit:
            self._running += 1
            self._line.popleft().set()
