"""The time of a stand-in server, which tests may set apart from this machine's."""

import time
from datetime import UTC, datetime


class ServerClock:
    """Seconds since 1970-01-01 UTC as the stand-in believes them."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self._offset_s = offset_s

    def now_s(self) -> float:
        """The server's time in seconds since 1970-01-01 UTC."""
        return time.time() + self._offset_s

    def advance(self, span_s: float) -> None:
        """Let `span_s` seconds pass at once: links expire, windows open, exports get ready."""
        self._offset_s += span_s


def iso(at_s: float) -> str:
    """The ISO 8601 form that the stand-ins send, in UTC with `+00:00`."""
    return datetime.fromtimestamp(at_s, UTC).isoformat()
