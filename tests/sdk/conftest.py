"""An environment for each official SDK, made once below `.cache/` and kept; and a way to run a script in it."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from labelmirror.standin import Standin

RunFlow = Callable[[str, Standin], Awaitable[dict[str, Any]]]

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPTS = Path(__file__).resolve().parent / "flows"
_SETUP_TIMEOUT_S = 300.0
_FLOW_TIMEOUT_S = 120.0


async def _run(*command: str | Path, timeout_s: float, env: Mapping[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        pytest.fail(f"{command[0]} did not end within {timeout_s} s")
    if process.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))} ended with {process.returncode}\n{out.decode()}\n{err.decode()}")
    return out.decode()


async def _environment(version: str) -> Path:
    """The Python of an environment with this version of the SDK. What cannot be installed fails the test."""
    home = _ROOT / ".cache" / "sdk" / version
    python, complete = home / "bin" / "python", home / "complete"
    if not complete.exists():
        shutil.rmtree(home, ignore_errors=True)
        await _run(sys.executable, "-m", "venv", home, timeout_s=_SETUP_TIMEOUT_S)
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"pictograph=={version}")
        await _run(python, *install, timeout_s=_SETUP_TIMEOUT_S)
        complete.touch()
    return python


@pytest.fixture
def run_flow(tmp_path: Path) -> RunFlow:
    """Runs `flows/<version>.py` with the unmodified SDK of that version; what it printed as JSON."""

    async def run(version: str, standin: Standin) -> dict[str, Any]:
        python = await _environment(version)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "STANDIN_URL": standin.url,
            "STANDIN_KEY": standin.key,
            "STANDIN_FOLDER": str(tmp_path),
        }
        flow = _SCRIPTS / f"flow_{version.replace('.', '_')}.py"
        printed = await _run(python, flow, timeout_s=_FLOW_TIMEOUT_S, env=env)
        answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return answer

    return run
