"""The shipped pacer, two processes and one ledger file, against real servers with windows of seconds."""

import json
import os
import sys
from pathlib import Path

import anyio
import pytest

from support.limited_server import Window, serve

TESTS = Path(__file__).parents[1]
JOBS, WORKERS = 125, 6

FIXED = [
    Window(100, 3.0, sliding=False),
    Window(120, 4.0, sliding=False, aligned=True),
    Window(110, 2.5, sliding=False, round_down=True),
]
SLIDING = [Window(120, 4.0, sliding=True), Window(100, 2.0, sliding=True, round_down=True)]


async def client(url: str, ledger: Path, tallies: list[dict[str, float]]) -> None:
    command = [sys.executable, "-m", "support.quota_client", url, str(ledger), str(JOBS), str(WORKERS)]
    with anyio.fail_after(60):
        done = await anyio.run_process(command, env={**os.environ, "PYTHONPATH": str(TESTS)}, stderr=None)
    tallies.append(json.loads(done.stdout))


async def two_processes(window: Window, ledger: Path) -> None:
    tallies: list[dict[str, float]] = []
    async with serve(window) as url, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(client, url, ledger, tallies)
    assert [tally["requests"] for tally in tallies] == [JOBS, JOBS], window
    assert window.refused == 0, window


@pytest.mark.parametrize("windows", [FIXED, SLIDING], ids=["fixed", "sliding"])
async def test_two_processes_alone_are_never_refused(windows: list[Window], tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        for window in windows:
            tasks.start_soon(two_processes, window, tmp_path / "pacing.db")
