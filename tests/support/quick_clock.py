"""A clock for tests against real sockets: real time goes on, and sleeping adds to it at once instead of waiting.

With a `pace`, each second of sleep takes that many real ones, for a server that needs time of its own meanwhile.
"""

import time
from dataclasses import dataclass, field

import anyio


@dataclass(slots=True)
class QuickClock:
    ahead_s: float = 0.0
    pace: float = 0.0
    slept_s: list[float] = field(default_factory=list)

    def now_s(self) -> float:
        return time.time() + self.ahead_s

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.ahead_s += seconds
        await anyio.sleep(seconds * self.pace)
