"""Run the program as people do: in a process of its own, in a folder and an environment of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object that is the last line of standard output."""
        answer: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return answer


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a process needs and nothing of the settings of whoever runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    if "PYTHONPATH" in kept:
        kept["PYTHONPATH"] = os.pathsep.join(
            str(Path(part).absolute()) for part in kept["PYTHONPATH"].split(os.pathsep)
        )
    return {**kept, "HOME": str(home), **(more or {})}


def labelmirror(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run one command to its end, with no terminal and nothing on standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "labelmirror", *arguments],
        cwd=cwd,
        env=environment(cwd, env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
