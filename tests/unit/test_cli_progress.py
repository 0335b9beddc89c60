"""How far a run is, as people see it: bars on a terminal, now and then a line elsewhere."""

import io
import logging
import sys
from dataclasses import dataclass

import pytest
import structlog
from rich.console import Console
from structlog.testing import capture_logs

from labelmirror.model.events import ItemFailed, Noticed, Phase, PhaseBegan, PhaseEnded, Progressed
from labelmirror.telemetry.logs import Masker, configure
from labelmirror.telemetry.reporter import LINE_EVERY_S, BarReporter, LogReporter


@dataclass(slots=True)
class HandClock:
    """A clock that stands still until it is moved."""

    time_s: float = 0.0

    def now_s(self) -> float:
        return self.time_s

    def monotonic_s(self) -> float:
        return self.time_s

    async def sleep(self, seconds: float) -> None:
        self.time_s += seconds


def test_a_long_phase_says_how_far_it_is_every_30_seconds_and_a_short_one_nothing() -> None:
    clock = HandClock()
    reporter = LogReporter(clock)
    with capture_logs() as lines:
        reporter.emit(PhaseBegan("street", Phase.PULLING_IMAGES, 1000))
        for done in range(1, 100):
            clock.time_s += LINE_EVERY_S / 10
            reporter.emit(Progressed("street", Phase.PULLING_IMAGES, done, done * 1024))
        reporter.emit(PhaseEnded("street", Phase.PULLING_IMAGES))
    assert [line["items"] for line in lines] == list(range(10, 100, 10))
    assert {line["of"] for line in lines} == {1000}


def test_trouble_is_told_at_once() -> None:
    with capture_logs() as lines:
        LogReporter(HandClock()).emit(ItemFailed("street", "images/a.jpg", "size_mismatch", "too short"))
        LogReporter(HandClock()).emit(Noticed("street", "way_refused", "Trying another way."))
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("item.failed", "warning"),
        ("notice", "warning"),
    ]


def test_trouble_that_the_answer_names_is_told_in_detail_only() -> None:
    with capture_logs() as lines:
        LogReporter(HandClock(), logging.DEBUG).emit(ItemFailed("street", "images/a.jpg", "size_mismatch", "too short"))
    assert [(line["event"], line["log_level"]) for line in lines] == [("item.failed", "debug")]


def test_log_lines_go_above_the_bars_and_back_to_standard_error_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    try:
        configure(sys.stderr, logging.INFO, Masker())
        console = Console(file=terminal, force_terminal=True, width=200)
        with BarReporter(console, LogReporter(HandClock())) as bars:
            bars.emit(PhaseBegan("street", Phase.PULLING_IMAGES, 10))
            bars.emit(Progressed("street", Phase.PULLING_IMAGES, 4, 3 * 2**20))
            bars.emit(ItemFailed("street", "images/a.jpg", "size_mismatch", "too short"))
            bars.emit(PhaseEnded("street", Phase.PULLING_IMAGES))
            (redirected,) = logging.getLogger().handlers
            assert isinstance(redirected, logging.StreamHandler)
            assert redirected.stream is not terminal
        assert redirected.stream is terminal
    finally:
        logging.basicConfig(handlers=handlers, level=level, force=True)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
    shown = terminal.getvalue()
    assert "fetching images" in shown
    assert "images/a.jpg" in shown
