"""One real Remo for all tests of this folder. What it needs and does not find fails, and says what it is."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.remo_server import RemoServer

_HERE = Path(__file__).resolve().parent
#: Installing the server from an empty cache takes a minute or a few.
_START_TIMEOUT_S = 900


@pytest.fixture(scope="session")
def server() -> Iterator[RemoServer]:
    # The database server is another user: it cannot reach a test's own temporary folder.
    folder = Path(tempfile.mkdtemp(prefix="labelmirror-remo-"))
    try:
        started = subprocess.run(
            [_HERE / "start.sh", folder], capture_output=True, text=True, timeout=_START_TIMEOUT_S, check=False
        )
        if started.returncode != 0:
            pytest.fail(f"no real Remo to test with:\n{started.stderr}", pytrace=False)
        login = json.loads(started.stdout)
        yield RemoServer(login["url"], login["user"], login["password"])
    finally:
        subprocess.run([_HERE / "stop.sh", folder], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
