"""Whether work is alive: it asks what time it is, or it waits where waiting is declared."""

from labelmirror.ports.clock import Clock


class Pulse:
    """A clock for one piece of work that notes that it is used.

    Everything that the program does asks for the time as it goes on, and all its waiting (for quota, before it tries again)
    goes through `sleep`. Work that does neither for long hangs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sleeping = 0
        self._used_s = clock.monotonic_s()

    def now_s(self) -> float:
        """Wall-clock time, seconds since 1970-01-01 UTC."""
        self._used_s = self._clock.monotonic_s()
        return self._clock.now_s()

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        self._used_s = self._clock.monotonic_s()
        return self._used_s

    async def sleep(self, seconds: float) -> None:
        """Wait at least this long; a cancellation point even for 0."""
        self._sleeping += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self._sleeping -= 1
            self._used_s = self._clock.monotonic_s()

    def silent_s(self) -> float:
        """How long there was no sign of life; 0 during a declared wait."""
        return 0.0 if self._sleeping else self._clock.monotonic_s() - self._used_s
