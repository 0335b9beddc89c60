"""The machine's clock."""

import time

import anyio


class SystemClock:
    """Real time; the one place where the program asks the machine for it."""

    def now_s(self) -> float:
        """Wall-clock time, seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait at least this long; a cancellation point even for 0."""
        await anyio.sleep(seconds)
