"""A mirror as people have it: a configuration in a folder, and commands that are run in processes of their own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.server import DATASET, Server

_CONFIG = """
version = 1
state = "state"
ledger = "ledger.db"

[servers.standin]
kind = "pictograph"
url = "{url}"
key = "{key}"
reserve = 0
connections = {connections}

[datasets.bench]
server = "standin"
name = "{dataset}"
path = "mirror"
content = "{content}"
push = {push}
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended well: what it printed, and what it used. `peak_bytes` is its largest resident set."""

    stdout: str
    wall_s: float
    cpu_s: float
    peak_bytes: int

    @property
    def mirror(self) -> dict[str, Any]:
        """The first mirror in the answer of `sync --json`."""
        answer = json.loads(self.stdout.splitlines()[-1])
        mirror: dict[str, Any] = answer["mirrors"][0]
        return mirror


def run_command(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Ended:
    """Run a program to its end. Raises RuntimeError with what it said unless it exits with 0."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began_s = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err, env=env)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        stdout = out.read()
        if process.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{stdout[-2000:]}\n{err.read()[-2000:]}")
        return Ended(stdout, wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


@dataclass(frozen=True, slots=True)
class MirrorFolder:
    """A configuration, its state and its mirror."""

    folder: Path

    def sync(self, *options: str) -> Ended:
        """One `labelmirror sync --json`."""
        return self.run("sync", *options)

    def run(self, command: str, *options: str) -> Ended:
        """One command with `--json`."""
        config = self.folder / "labelmirror.toml"
        return run_command([sys.executable, "-m", "labelmirror", command, "--json", "--config", config, *options])

    def configure(
        self, server: Server, *, content: str, connections: int, status: str | None, push: bool = False
    ) -> None:
        """Write the configuration."""
        text = _CONFIG.format(
            url=server.url,
            key=server.key,
            connections=connections,
            dataset=DATASET,
            content=content,
            push="true" if push else "false",
        )
        if status is not None:
            text += f'\n[datasets.bench.select]\nstatus = ["{status}"]\n'
        config = self.folder / "labelmirror.toml"
        config.touch(mode=0o600)
        config.write_text(text, "utf-8")


@contextmanager
def mirror_of(
    server: Server,
    *,
    content: str = "all",
    connections: int = 16,
    status: str | None = None,
    below: str | None = None,
) -> Iterator[MirrorFolder]:
    """A mirror of the server's dataset that is yet to be fetched, in a temporary folder (`below` another one)."""
    with tempfile.TemporaryDirectory(prefix="labelmirror-bench-", dir=below) as name:
        folder = MirrorFolder(Path(name))
        folder.configure(server, content=content, connections=connections, status=status)
        yield folder
