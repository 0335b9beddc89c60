"""Numbers for Prometheus: what the servers were asked, how long was waited, how each mirror stands.

Labels have few values: servers and mirrors of the configuration, routes without ids, outcomes. Names once published stay;
docs/operations.md lists them.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest

from labelmirror import __version__
from labelmirror.model.events import Answered, Event, Waited
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.trouble import Failed, Held

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
#: Routes of one server that are counted by name; the others are "other".
ROUTES_MAX: Final = 64
_CYCLE_BUCKETS_S: Final = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14400)


class Metrics:
    """The numbers of one daemon. Takes facts as a Reporter does, and the report of each turn."""

    def __init__(self) -> None:
        # A second series for each counter, with the time of its birth, helps nobody here.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own annotation is missing
        self._registry = CollectorRegistry()
        self._routes: dict[str, set[str]] = {}
        self._fresh = 0

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"labelmirror_{name}", text, labels, registry=self._registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"labelmirror_{name}", text, labels, registry=self._registry)

        gauge("info", "The running version.", "version").labels(__version__).set(1)
        self._requests = counter("requests", "Requests to servers.", "server", "route", "outcome")
        self._remaining = gauge("quota_remaining", "Requests that the server still allows in its window.", "server")
        self._waits = counter("waits", "Waits for a server's quota.", "server", "cause")
        self._waited = counter("waited_seconds", "Time spent waiting for a server's quota.", "server", "cause")
        self._cycles = counter("cycles", "Cycles by how they ended.", "mirror", "outcome")
        self._edits = counter(
            "edit_pushes", "Edits carried to the server between cycles, by outcome.", "mirror", "outcome"
        )
        self._duration = Histogram(
            "labelmirror_cycle_seconds",
            "How long cycles took.",
            ["mirror"],
            buckets=_CYCLE_BUCKETS_S,
            registry=self._registry,
        )
        self._documents = counter("documents", "Documents by what was done with them.", "mirror", "action")
        self._images = counter("images", "Images by what was done with them.", "mirror", "action")
        self._bytes = counter("image_bytes", "Bytes of images that were fetched.", "mirror")
        self._held = gauge("held", "Documents held for a person.", "mirror")
        self._failed = gauge("failed", "Items that the last cycle failed on.", "mirror")
        self._synced = gauge("last_sync_timestamp_seconds", "End of the last cycle that came to its end.", "mirror")
        self._staleness = gauge("staleness_seconds", "Time since that.", "mirror")
        self._paused = gauge("paused", "Whether the mirror is paused.", "mirror")

    def emit(self, event: Event) -> None:
        """Take one fact."""
        match event:
            case Answered():
                route = self._route(event.server, event.route)
                self._requests.labels(event.server, route, event.outcome).inc()
                self._fresh += 1
                if event.remaining is not None:
                    self._remaining.labels(event.server).set(event.remaining)
            case Waited():
                self._waits.labels(event.server, event.cause).inc()
                self._waited.labels(event.server, event.cause).inc(event.seconds)
            case _:
                pass

    def cycle(self, server: str, report: MirrorReport) -> None:
        """Count a cycle that ended."""
        self._cycles.labels(report.name, report.outcome.value).inc()
        self._duration.labels(report.name).observe(report.duration_s)
        # A cycle that never got to its documents says nothing of them.
        if report.outcome in {MirrorOutcome.SYNCED, MirrorOutcome.PARTIAL, MirrorOutcome.HELD, MirrorOutcome.REFUSED}:
            self._held.labels(report.name).set(sum(isinstance(trouble, Held) for trouble in report.troubles))
            self._failed.labels(report.name).set(sum(isinstance(trouble, Failed) for trouble in report.troubles))
        self._count(server, report)

    def edits(self, server: str, report: MirrorReport) -> None:
        """Count edits that were carried to the server between cycles."""
        self._edits.labels(report.name, report.outcome.value).inc()
        self._count(server, report)

    def _count(self, server: str, report: MirrorReport) -> None:
        if report.traffic.storage:
            self._requests.labels(server, "storage", "sent").inc(report.traffic.storage)
        documents, images = report.documents, report.images
        for action in ("pulled", "pushed", "merged", "adopted", "retired"):
            self._documents.labels(report.name, action).inc(getattr(documents, action))
        for action in ("pulled", "retired"):
            self._images.labels(report.name, action).inc(getattr(images, action))
        self._bytes.labels(report.name).inc(images.size_bytes)

    def mirror(self, name: str, *, last_sync_s: float | None, paused: bool, now_s: float) -> None:
        """Bring what depends on the time up to it. Times are wall-clock seconds."""
        self._paused.labels(name).set(paused)
        if last_sync_s is not None:
            self._synced.labels(name).set(last_sync_s)
            self._staleness.labels(name).set(max(0.0, now_s - last_sync_s))

    def forget(self, mirrors: Collection[str]) -> None:
        """Say no more how these mirrors stand: a new configuration does not have them."""
        for name in mirrors:
            for each in (self._held, self._failed, self._synced, self._staleness, self._paused):
                each.remove_by_labels({"mirror": name})

    def take_requests(self) -> int:
        """How many requests went out since this was last asked."""
        taken, self._fresh = self._fresh, 0
        return taken

    def page(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)

    def write(self, file: Path) -> None:
        """Put them into a file, whole, that every user may read: its reader is another one. Raises OSError."""
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            beside.write_bytes(self.page())
            beside.chmod(0o644)
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)

    def _route(self, server: str, route: str) -> str:
        known = self._routes.setdefault(server, set())
        if route not in known and len(known) >= ROUTES_MAX:
            return "other"
        known.add(route)
        return route
