"""What one run may spend on a server, and what is left of it."""

from dataclasses import dataclass

from labelmirror.errors import BudgetSpent
from labelmirror.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class RunBudget:
    """What one run may spend on this server; None means no bound. `wait_max_s` bounds each single wait.

    `for_pushes`: all its requests serve a push, go before others, and may spend the reserve.
    """

    requests: int | None = None
    time_s: float | None = None
    wait_max_s: float | None = None
    for_pushes: bool = False


class Allowance:
    """A run's budget as it is spent, from now on. `host` names the server in messages."""

    def __init__(self, run: RunBudget, clock: Clock, host: str) -> None:
        self.run = run
        self._clock = clock
        self._host = host
        self._from_s = clock.monotonic_s()
        self._requests = 0

    def left_s(self) -> float | None:
        """Seconds that are left, None for no bound."""
        if self.run.time_s is None:
            return None
        return self.run.time_s - (self._clock.monotonic_s() - self._from_s)

    def spend(self) -> None:
        """Take one request from what is left. Raises BudgetSpent."""
        left_s = self.left_s()
        if left_s is not None and left_s <= 0:
            raise BudgetSpent(
                f"this run's {self.run.time_s:.0f} s are used up",
                hint="Run again to continue: what is done is recorded.",
            )
        if self.run.requests is not None and self._requests >= self.run.requests:
            raise BudgetSpent(
                f"this run's {self.run.requests} requests to {self._host} are used up",
                hint="Run again to continue: what is done is recorded.",
            )
        self._requests += 1

    def give_back(self) -> None:
        """One request was not sent after all."""
        self._requests -= 1
