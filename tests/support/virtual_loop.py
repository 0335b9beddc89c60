"""An asyncio loop whose time moves only when everybody waits: months pass in milliseconds, the same way every time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Everybody waits and nobody has a timer: in real life this would hang for ever."""


class _VirtualSelector(selectors.SelectSelector):
    """Adds the time that the loop would have waited to a counter instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                msg = "all tasks wait and no timer is set"
                raise Deadlock(msg)
            self.now_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` is virtual seconds since its start. No threads and no sockets inside, or time jumps past them."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


class VirtualClock:
    """A Clock on the running virtual loop. Wall time begins at `epoch_s`."""

    def __init__(self, epoch_s: float = 1_700_000_000.0) -> None:
        self.epoch_s = epoch_s

    def now_s(self) -> float:
        return self.epoch_s + self.monotonic_s()

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
