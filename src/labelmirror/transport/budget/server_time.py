"""The server's clock, as the Date of its answers tells of it."""

import math
from dataclasses import dataclass, replace

from labelmirror.transport.budget.window import WHOLE_SECOND_S

_OSCILLATOR_DRIFT = 1e-4


@dataclass(frozen=True, slots=True)
class ServerClock:
    """Server time less host time, as bounds that each Date narrows; None before the first Date.

    The lower bound is the one used: when it says that a reset has passed, it has. Bounds widen with time by more than
    quartz drifts; bounds that contradict a new Date (a clock was set) are dropped for it.
    """

    lower_s: float | None = None
    upper_s: float = math.inf
    at_s: float = 0.0

    def now_s(self, host_s: float) -> float:
        """A time that the server's clock has surely reached when the host's shows `host_s`."""
        return host_s + (self.lower_s or 0.0)

    def joined(self, lower_s: float | None) -> "ServerClock":
        """The clock with a bound that another process of this host found, unless that contradicts our own."""
        known_s = -math.inf if self.lower_s is None else self.lower_s
        return replace(self, lower_s=lower_s) if lower_s is not None and known_s < lower_s <= self.upper_s else self

    def after(self, date_s: float | None, sent_s: float, received_s: float) -> "ServerClock":
        """The clock after an answer with this Date; the other two are host time."""
        if date_s is None:
            return self
        lower_s, upper_s = date_s - received_s, date_s + WHOLE_SECOND_S - sent_s
        if self.lower_s is not None:
            drift_s = max(0.0, received_s - self.at_s) * _OSCILLATOR_DRIFT
            narrow = max(lower_s, self.lower_s - drift_s), min(upper_s, self.upper_s + drift_s)
            if narrow[0] <= narrow[1]:
                lower_s, upper_s = narrow
        return ServerClock(lower_s, upper_s, received_s)
