"""Files that were touched and have not come to rest yet. Pure. Times are wall-clock seconds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

#: With more files than this on the move, all of the mirror is looked at instead.
MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Settling:
    """The files of one mirror on the move: path, relative to the mirror, and when each was last touched.

    `since_s` is since when there always were some. `flooded`: there were too many to name them.
    """

    touched: Mapping[str, float] = field(default_factory=dict)
    since_s: float | None = None
    flooded: bool = False

    def noted(self, paths: Iterable[str], now_s: float) -> "Settling":
        """These were touched now."""
        touched = {**self.touched, **dict.fromkeys(paths, now_s)}
        if not touched:
            return self
        since_s = now_s if self.since_s is None else self.since_s
        if len(touched) > MOST:
            return Settling({}, since_s, flooded=True)
        return replace(self, touched=touched, since_s=since_s)

    def settled_s(self, settle_s: float) -> float | None:
        """When the first of them will have been quiet for `settle_s`; None if none is on the move."""
        return min(self.touched.values()) + settle_s if self.touched else None

    def taken(self, settle_s: float, now_s: float) -> tuple[frozenset[str], "Settling"]:
        """Those that are quiet since `settle_s`, and the others. A clock that stepped back makes nobody wait longer."""
        ready = frozenset(path for path, at_s in self.touched.items() if not 0 <= now_s - at_s < settle_s)
        left = {path: at_s for path, at_s in self.touched.items() if path not in ready}
        return ready, Settling(left, self.since_s if left else None, self.flooded)
