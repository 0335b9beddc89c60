"""Runs that die at a request or a write: real processes, forked from one that is warm, and SIGKILL."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).resolve().parents[1]
_RUN_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Death:
    """When a run is to die: at its `step`-th request or write (from 1), just before it happens or just after."""

    step: int
    after: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended. `steps` names its requests and writes in order, `answer` is what it reported; None: it was killed."""

    steps: tuple[str, ...]
    answer: dict[str, Any] | None

    @property
    def killed(self) -> bool:
        """It died of its wound."""
        return self.answer is None


class Driver:
    """The warm process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, config: Path, death: Death | None = None, *, command: str = "sync") -> Ended:
        """One command of the driver in a fresh process. Fails if it ends in any other way than by itself or by its `death`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {
            "command": command,
            "config": str(config),
            "at": death.step if death else None,
            "after": death is not None and death.after,
        }
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(_RUN_TIMEOUT_S):
            line = await self._process.stdout.readline()
        ended = json.loads(line)
        status = os.waitstatus_to_exitcode(ended["status"])
        expected = 0 if ended["answer"] is not None else -signal.SIGKILL
        assert status == expected, f"the run ended with {status}: {ended['answer']}"
        return Ended(tuple(ended["steps"]), ended["answer"])


@asynccontextmanager
async def warm_driver() -> AsyncIterator[Driver]:
    """A driver, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.kill_driver",
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(_TESTS), os.environ.get("PYTHONPATH", "")))},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        yield Driver(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
