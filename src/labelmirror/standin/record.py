"""The log of what a stand-in was asked."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from labelmirror.standin.exchange import Origin
from labelmirror.standin.faults import FaultKind

_KEPT = 200_000


@dataclass(slots=True)
class RequestRecord:
    """One request, noted when it arrives. `at_s` is the server's time.

    `status` is None while it is under way and 0 when the connection was dropped without an answer.
    """

    at_s: float
    origin: Origin
    route: str
    method: str
    path: str
    query: Mapping[str, str]
    key_sent: bool
    status: int | None = None
    fault: FaultKind | None = None
    sent_bytes: int = 0


class RequestLog:
    """The latest requests, oldest first, and how many there were of each route in all."""

    def __init__(self) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=_KEPT)
        self.by_route: Counter[str] = Counter()
        self.by_origin: Counter[Origin] = Counter()

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def note(self, record: RequestRecord) -> None:
        """Take in a request that has just arrived."""
        self._records.append(record)
        self.by_route[record.route] += 1
        self.by_origin[record.origin] += 1

    def clear(self) -> None:
        """Forget everything, so that a test can count from here."""
        self._records.clear()
        self.by_route.clear()
        self.by_origin.clear()

    @property
    def api(self) -> int:
        """How many requests went to the API."""
        return self.by_origin[Origin.API]

    @property
    def storage(self) -> int:
        """How many requests went to the storage host."""
        return self.by_origin[Origin.STORAGE]
