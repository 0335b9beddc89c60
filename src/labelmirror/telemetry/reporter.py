"""Where the engine's facts go: log lines, and on a terminal progress bars."""

import logging
import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from labelmirror.model.events import Event, ItemFailed, Noticed, Phase, PhaseBegan, PhaseEnded, Progressed
from labelmirror.ports.clock import Clock
from labelmirror.ports.reporter import Reporter

#: Without a terminal, a phase that lasts says how far it is this often.
LINE_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Reporters:
    """Several listeners as one."""

    listeners: tuple[Reporter, ...]

    def emit(self, event: Event) -> None:
        """Hand one fact to each."""
        for listener in self.listeners:
            listener.emit(event)


@dataclass(slots=True)
class LogReporter:
    """Facts as log lines: what went wrong at once, how far a phase is every 30 s.

    `failures` is the level (of `logging`) of items that failed: low where the answer names them anyway.
    """

    clock: Clock
    failures: int = logging.WARNING
    _told_s: dict[tuple[str, Phase], float] = field(default_factory=dict)
    _totals: dict[tuple[str, Phase], int | None] = field(default_factory=dict)

    def emit(self, event: Event) -> None:
        """Take one fact."""
        log = structlog.get_logger("labelmirror")
        match event:
            case PhaseBegan():
                self._told_s[event.mirror, event.phase] = self.clock.monotonic_s()
                self._totals[event.mirror, event.phase] = event.total
            case Progressed():
                key = (event.mirror, event.phase)
                now_s = self.clock.monotonic_s()
                if now_s - self._told_s.get(key, now_s) >= LINE_EVERY_S:
                    self._told_s[key] = now_s
                    of = self._totals.get(key)
                    log.info(
                        "progress",
                        mirror=event.mirror,
                        doing=event.phase.value,
                        items=event.items,
                        of=of,
                        bytes=event.size_bytes,
                    )
            case ItemFailed():
                found = {"mirror": event.mirror, "item": event.item, "code": event.code, "message": event.message}
                log.log(self.failures, "item.failed", **found)
            case Noticed():
                log.warning("notice", mirror=event.mirror, code=event.code, text=event.text)
            case PhaseEnded():
                self._told_s.pop((event.mirror, event.phase), None)


class BarReporter:
    """Facts as progress bars on a terminal; what went wrong still goes to the log, above the bars."""

    def __init__(self, console: Console, log: LogReporter) -> None:
        self._log = log
        self._bars = Progress(
            TextColumn("{task.fields[mirror]}  {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[size]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[tuple[str, Phase], TaskID] = {}
        self._redirected: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def __enter__(self) -> Self:
        self._bars.start()
        # The bars have put themselves in the place of standard error: log lines must go above them, not through them.
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler):
                before = handler.setStream(sys.stderr)
                if before is not None:
                    self._redirected.append((handler, before))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handler, stream in self._redirected:
            handler.setStream(stream)
        self._redirected.clear()
        self._bars.stop()

    def emit(self, event: Event) -> None:
        """Take one fact."""
        match event:
            case PhaseBegan():
                task = self._bars.add_task(event.phase.value, total=event.total, mirror=event.mirror, size="")
                self._tasks[event.mirror, event.phase] = task
            case Progressed():
                self._bars.update(
                    self._tasks[event.mirror, event.phase], completed=event.items, size=_size(event.size_bytes)
                )
            case PhaseEnded():
                self._bars.remove_task(self._tasks.pop((event.mirror, event.phase)))
            case _:
                self._log.emit(event)


def _size(size_bytes: int) -> str:
    if not size_bytes:
        return ""
    size, unit = float(size_bytes), "B"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, bigger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
