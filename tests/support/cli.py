"""Run the program as people do: in a process of its own, in a folder and an environment of its own."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import to_thread

from labelmirror.standin import Dataset, Standin, StandinOptions, serve

TIMEOUT_S = 60
KEY_VARIABLE = "LABELMIRROR_TEST_KEY"


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


@dataclass(frozen=True, slots=True)
class Home:
    """A folder with a configuration of one mirror, and the stand-in that it mirrors from."""

    folder: Path
    standin: Standin

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "labelmirror.toml"

    @property
    def mirror(self) -> Path:
        """The directory of the mirror `harbour`."""
        return self.folder / "harbour"

    @property
    def database(self) -> Path:
        """The state database."""
        return self.folder / "state" / "labelmirror.db"

    @property
    def dataset(self) -> Dataset:
        """The dataset on the server."""
        return self.standin.world.dataset("harbour")

    @property
    def env(self) -> dict[str, str]:
        """The environment with the key, or the password where people log in."""
        login = self.standin.login
        return {KEY_VARIABLE: login.password if login is not None else self.standin.key}

    def configure(self, *more: str, dataset: str = "harbour") -> None:
        """Write the configuration; `more` are lines at its end."""
        lines = [
            "version = 1",
            'state = "state"',
            'ledger = "ledger.db"',
            "[servers.acme]",
            f'kind = "{self.standin.kind}"',
            f'url = "{self.standin.url}"',
            *self._credentials(),
            "[datasets.harbour]",
            'server = "acme"',
            f'name = "{dataset}"',
            'path = "harbour"',
            *more,
        ]
        self.config.write_text("\n".join(lines) + "\n")

    def _credentials(self) -> list[str]:
        login, secret = self.standin.login, f'{{ env = "{KEY_VARIABLE}" }}'
        return [f"key = {secret}"] if login is None else [f'user = "{login.user}"', f"password = {secret}"]

    async def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        """Run one command beside the stand-in, with the key unless `env` says otherwise."""
        given = self.env if env is None else env
        return await to_thread.run_sync(lambda: labelmirror(*arguments, cwd=self.folder, env=given))

    async def json(self, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        """Run one command with --json, expect its exit code, and give its answer."""
        ended = await self.run(*arguments, "--json")
        assert ended.exit_code == exit_code, ended
        assert (ended.answer["ok"], ended.answer["exit_code"]) == (exit_code == 0, exit_code)
        return ended.answer

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start one command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "labelmirror", *arguments],
            cwd=self.folder,
            env=environment(self.folder, self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def files(self) -> dict[str, bytes]:
        """The mirror's images and documents, by path."""
        return {
            path.relative_to(self.mirror).as_posix(): path.read_bytes()
            for part in ("images", "annotations")
            for path in sorted((self.mirror / part).rglob("*"))
            if path.is_file()
        }

    def documents(self) -> list[Path]:
        """The documents that have annotations, by path."""
        paths = sorted((self.mirror / "annotations").rglob("*.json"))
        return [path for path in paths if json.loads(path.read_bytes())["annotations"]]


@asynccontextmanager
async def home(folder: Path, **options: Any) -> AsyncIterator[Home]:
    """A configured home whose stand-in serves until the block ends; `options` are of `StandinOptions`."""
    async with serve(StandinOptions(**{"images": 6, "export_polls": 0, **options})) as standin:
        made = Home(folder, standin)
        made.configure()
        yield made


def drop_annotation(document: Path) -> None:
    """Edit a document as a person would: its last annotation goes."""
    held = json.loads(document.read_bytes())
    del held["annotations"][-1]
    document.write_text(json.dumps(held, indent=2, ensure_ascii=False))
