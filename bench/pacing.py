"""The pacer against real windows of seconds: two processes, one ledger file, beside the lower bound.

`python -m bench.pacing` prints the table. Each row has its own server and ledger; a first, short run learns the window,
the second is measured, from its first answer to its last.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
PROCESSES, WORKERS = 2, 8
ALLOWED_PER_WINDOW_S = 2.2


@dataclass(frozen=True, slots=True)
class Case:
    """A server's quota, and how often it is used up. A fixed window begins with the first request in it."""

    sliding: bool
    window_s: float
    limit: int
    round_down: bool = False
    windows: float = 3.5

    @property
    def jobs(self) -> int:
        return int(self.limit * self.windows)

    @property
    def bound_s(self) -> float:
        """Earliest end: every window used up at once when it opens."""
        return (math.ceil(self.jobs / self.limit) - 1) * self.window_s


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; `late_s` is the time beyond the bound for each window that had to open."""

    case: Case
    requests: int
    refused: int
    time_s: float

    @property
    def late_s(self) -> float:
        return (self.time_s - self.case.bound_s) / (math.ceil(self.case.jobs / self.case.limit) - 1)

    @property
    def holds(self) -> bool:
        """Whether the goal is met: no refusal, and 1.02 times the bound and 2.2 s for each window."""
        openings = math.ceil(self.case.jobs / self.case.limit) - 1
        return self.refused == 0 and self.time_s <= 1.02 * self.case.bound_s + ALLOWED_PER_WINDOW_S * openings


CASES = (
    Case(sliding=False, window_s=4.0, limit=200),
    Case(sliding=False, window_s=4.0, limit=200, round_down=True),
    Case(sliding=False, window_s=2.0, limit=200),
    Case(sliding=True, window_s=4.0, limit=200),
    Case(sliding=True, window_s=4.0, limit=200, round_down=True),
    Case(sliding=True, window_s=2.0, limit=200),
)


def run() -> list[Row]:
    """Measure all cases, one after another."""
    return [_measure(case) for case in CASES]


def _measure(case: Case) -> Row:
    with tempfile.TemporaryDirectory() as folder, _server(case) as url:
        ledger = Path(folder) / "pacing.db"
        _clients(url, ledger, case.limit)
        time.sleep(case.window_s + 2)
        _, learned_s = _facts(url)
        _clients(url, ledger, case.jobs)
        refused, answered_s = _facts(url)
        measured_s = answered_s[len(learned_s) :]
        return Row(case, len(measured_s), refused, measured_s[-1] - measured_s[0])


@contextmanager
def _server(case: Case) -> Iterator[str]:
    command = [sys.executable, "-m", "support.limited_server", f"--limit={case.limit}", f"--window={case.window_s}"]
    command += ["--sliding"] * case.sliding + ["--round-down"] * case.round_down
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _clients(url: str, ledger: Path, jobs: int) -> None:
    command = [sys.executable, "-m", "support.quota_client", url, str(ledger), str(jobs // PROCESSES), str(WORKERS)]
    clients = [subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL) for _ in range(PROCESSES)]
    for client in clients:
        if client.wait(timeout=120) != 0:
            raise RuntimeError(f"a client ended with {client.returncode}")


def _facts(url: str) -> tuple[int, list[float]]:
    """How many requests the server refused, and when it answered the others."""
    with urllib.request.urlopen(f"{url}/facts", timeout=10) as answer:
        found = json.load(answer)
    return found["refused"], found["answered_s"]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TESTS)}


def main() -> None:
    print(f"pacing: {PROCESSES} processes x {WORKERS} workers, one ledger file, reserve 0, window learned")
    print("| window | limit | requests | lower bound s | time s | late per window s | refused | goal |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in run():
        case = row.case
        kind = ("sliding" if case.sliding else "fixed") + (", Reset rounded down" if case.round_down else "")
        print(
            f"| {case.window_s:g} s {kind} | {case.limit} | {row.requests} | {case.bound_s:.1f} | {row.time_s:.2f}"
            f" | {row.late_s:.2f} | {row.refused} | {'met' if row.holds else 'missed'} |"
        )


if __name__ == "__main__":
    main()
