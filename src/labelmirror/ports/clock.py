"""Time, handed in: the one place where the program asks what time it is, or waits."""

from typing import Protocol


class Clock(Protocol):
    """Wall time and waiting. The simulator hands in one whose time only moves when everybody waits."""

    def now_s(self) -> float:
        """Wall-clock time, seconds since 1970-01-01 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait at least this long; a cancellation point even for 0."""
        ...
