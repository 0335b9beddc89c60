"""What a daemon tells of its turns: a log line, metrics, hooks and pings."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
from anyio import to_thread

from labelmirror.config.settings import DaemonSettings
from labelmirror.daemon.schedule import Start, Work
from labelmirror.errors import Locked, Stopped
from labelmirror.model.document import JsonObject
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.trouble import Failed, Held
from labelmirror.telemetry.hooks import HookCall, Hooks, Ping
from labelmirror.telemetry.metrics import Metrics

#: Endings that are nobody's fault: another run was at work, or somebody ended this one.
_INNOCENT = frozenset({Locked.code, Stopped.code})
_WELL = frozenset({MirrorOutcome.SYNCED, MirrorOutcome.HELD})


@dataclass(slots=True)
class Told:
    """What people were told of one mirror: the documents that are held, and why its last cycle failed (None: it did not)."""

    held: frozenset[tuple[str, str]] = frozenset()
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells of turns. `shape` is the published form of a report."""

    metrics: Metrics
    hooks: Hooks
    shape: Callable[[MirrorReport], JsonObject]
    _told: dict[str, Told] = field(default_factory=dict)

    def knows_held(self, mirror: str, held: Collection[tuple[str, str]]) -> None:
        """These documents were held, and told of, before this daemon began."""
        self._told[mirror] = Told(held=frozenset(held))

    def begins(self, settings: DaemonSettings) -> None:
        """A cycle begins."""
        if settings.ping_url is not None:
            self.hooks.call(Ping(settings.ping_url, "start"))

    async def ended(
        self, settings: DaemonSettings, server: str, start: Start, report: MirrorReport, next_due_s: float | None
    ) -> None:
        """A turn ended. Of a failure people are told once, until it ends or becomes another one."""
        cycle = start.work is Work.CYCLE
        told = self._told.setdefault(report.name, Told())
        held = frozenset((trouble.id, trouble.set) for trouble in report.troubles if isinstance(trouble, Held))
        failure = failure_of(report)
        _log_line(start, report, next_due_s)
        (self.metrics.cycle if cycle else self.metrics.edits)(server, report)
        if changed(report):
            self._call("on_change", settings.on_change, report)
        if held - told.held:
            self._call("on_held", settings.on_held, report)
        if failure is not None and failure != told.failure:
            self._call("on_failure", settings.on_failure, report)
        if cycle and settings.ping_url is not None and not _innocent(report):
            self.hooks.call(Ping(settings.ping_url, "" if report.outcome in _WELL else "fail"))
        whole = cycle and report.error is None
        told.held = held if whole else told.held | held
        if cycle and not _innocent(report):
            told.failure = failure
        if settings.textfile is not None:
            await _write(self.metrics, settings.textfile)

    def _call(self, name: str, argv: tuple[str, ...] | None, report: MirrorReport) -> None:
        if argv is not None:
            self.hooks.call(HookCall(name, argv, {"event": name.removeprefix("on_"), "mirror": self.shape(report)}))


def changed(report: MirrorReport) -> bool:
    """Whether a turn changed anything here or on the server."""
    documents, images = report.documents, report.images
    return any((documents.pulled, documents.pushed, documents.merged, documents.retired, images.pulled, images.retired))


def failure_of(report: MirrorReport) -> str | None:
    """The code of what a turn failed on; None if it did its work, or gave way to somebody."""
    if _innocent(report):
        return None
    if report.error is not None:
        return report.error.code
    if report.refused is not None:
        return "guard"
    return next((trouble.code for trouble in report.troubles if isinstance(trouble, Failed)), None)


def _innocent(report: MirrorReport) -> bool:
    return report.error is not None and report.error.code in _INNOCENT


def _log_line(start: Start, report: MirrorReport, next_due_s: float | None) -> None:
    """The one line that says what a turn did."""
    log = structlog.get_logger("labelmirror")
    images, documents, traffic = report.images, report.documents, report.traffic
    facts: Mapping[str, object] = {
        "mirror": report.name,
        "outcome": report.outcome.value,
        "cause": start.cause.value,
        "run": report.run or None,
        "images_pulled": images.pulled,
        "images_retired": images.retired,
        "bytes": images.size_bytes,
        "documents_pulled": documents.pulled,
        "pushed": documents.pushed,
        "merged": documents.merged,
        "held": sum(isinstance(trouble, Held) for trouble in report.troubles),
        "failed": sum(isinstance(trouble, Failed) for trouble in report.troubles),
        "requests": traffic.api,
        "limited": traffic.limited,
        "waited_s": round(traffic.waited_s, 3),
        "duration_s": round(report.duration_s, 3),
        "next_due": None
        if next_due_s is None
        else datetime.fromtimestamp(next_due_s, UTC).isoformat(timespec="seconds"),
    }
    event = "cycle.finished" if start.work is Work.CYCLE else "edits.finished"
    if report.error is not None:
        log.warning(event, **facts, code=report.error.code, message=report.error.message)
    elif report.refused is not None:
        log.warning(event, **facts, code="guard", message=report.refused.message)
    else:
        log.info(event, **facts)


async def _write(metrics: Metrics, file: Path) -> None:
    try:
        await to_thread.run_sync(metrics.write, file)
    except OSError as error:
        structlog.get_logger("labelmirror").warning("textfile.failed", file=str(file), reason=error.strerror)
