"""How long to wait before a read is tried again. Pure: randomness is handed in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing, jittered delays. `tries` counts the first one too."""

    tries: int = 4
    first_s: float = 0.5
    factor: float = 3.0
    longest_s: float = 30.0

    def delay_s(self, failed: int, draw: float, retry_after_s: float = 0.0) -> float:
        """Seconds to wait after `failed` tries (1 or more); `draw` is uniform in [0, 1).

        Half to all of the step, so that workers which failed together do not come back together; what the server asks
        for is never shortened.
        """
        step_s = min(self.longest_s, self.first_s * self.factor ** (failed - 1))
        return max(retry_after_s, step_s * (0.5 + draw / 2))
