"""Run the daemon as a process beside a stand-in, and hear what it logs."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from support.cli import Ended, Home, environment

#: Far beyond what anything here takes; only a defect waits so long.
PATIENCE_S = 45.0


@dataclass(frozen=True, slots=True)
class Daemon:
    """A `labelmirror run` under way. Its log goes to a file."""

    process: "subprocess.Popen[str]"
    folder: Path

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log lines so far, those of one event if it is named."""
        lines = (self.folder / "daemon.log").read_text().splitlines(keepends=True)
        entries: list[dict[str, Any]] = [
            json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")
        ]
        return [entry for entry in entries if event in {None, entry["event"]}]

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds."""
        with anyio.move_on_after(PATIENCE_S):
            while not holds():
                assert self.process.poll() is None or holds(), f"ended while waiting for {what}: {self.log()}"
                await anyio.sleep(0.02)
            return
        msg = f"waited in vain for {what}: {self.log()}"
        raise AssertionError(msg)

    async def line(self, event: str, number: int = 1, **facts: object) -> dict[str, Any]:
        """Wait for the first, or a later, log line of an event with these facts."""

        def found() -> list[dict[str, Any]]:
            return [entry for entry in self.log(event) if facts.items() <= entry.items()]

        await self.until(lambda: len(found()) >= number, f"{event} {facts} number {number}")
        return found()[number - 1]

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def ended(self) -> Ended:
        """Wait for the end."""
        await self.until(lambda: self.process.poll() is not None, "the end")
        return Ended(
            self.process.returncode, (self.folder / "daemon.out").read_text(), (self.folder / "daemon.log").read_text()
        )


@asynccontextmanager
async def daemon(here: Home, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Daemon]:
    """Start the daemon and wait until it is ready; killed at the end if it still runs."""
    with (here.folder / "daemon.log").open("w") as log, (here.folder / "daemon.out").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "labelmirror", "run", *arguments],
            cwd=here.folder,
            env={**environment(here.folder, here.env), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            text=True,
        )
    running = Daemon(process, here.folder)
    try:
        await running.line("daemon.ready")
        yield running
    finally:
        process.kill()
        process.wait()
