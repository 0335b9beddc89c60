"""A process that has everything imported and forks a child for each run, which may have to die at one of its
requests or writes.

Orders come as lines of JSON on standard input, answers leave the same way; `support.killing` is the other end.
"""

import builtins
import io
import json
import logging
import os
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import anyio
import structlog

from labelmirror.app import Workshop, open_mirror, open_resting_mirror, open_snapshots
from labelmirror.config import load
from labelmirror.engine.backup import backup
from labelmirror.engine.cycle import CycleOptions, sync
from labelmirror.engine.resolve import undo
from labelmirror.engine.snapshots import judge, prune
from labelmirror.model.retention import Rules
from labelmirror.model.snapshot import Access
from labelmirror.providers.pictograph import provider as _warm  # noqa: F401 - imported once, for all children
from labelmirror.telemetry.logs import Masker
from support.quick_clock import QuickClock
from support.yard import Mute

T = TypeVar("T")

#: What changes a file system. An `open` counts only if it may make a file or empty one.
CALLS = (
    "fdatasync",
    "fsync",
    "ftruncate",
    "link",
    "mkdir",
    "open",
    "posix_fallocate",
    "pwrite",
    "rename",
    "replace",
    "rmdir",
    "sendfile",
    "symlink",
    "sync",
    "truncate",
    "unlink",
    "utime",
    "write",
    "writev",
)
CREATING = os.O_CREAT | os.O_TRUNC | os.O_TMPFILE


class Reaper:
    """Counts the requests and writing calls of this process and kills it at one of them. `at` None: it only counts."""

    def __init__(self, at: int | None, *, after: bool, told: int) -> None:
        self._at = at
        self._after = after
        self._told = told
        self._lock = threading.Lock()
        self._count = 0
        self._write = os.write

    def watch(self) -> None:
        """From now on."""
        for name in CALLS:
            setattr(os, name, self._watched(name, getattr(os, name)))
        connect = sqlite3.connect
        reaper = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if sql.lstrip()[:6].upper() != "COMMIT":
                    return super().execute(sql, *parameters)
                return reaper.step("commit", lambda: super(Connection, self).execute(sql, *parameters))

        def watched_connect(*arguments: Any, **more: Any) -> sqlite3.Connection:
            return connect(*arguments, factory=Connection, **more)

        sqlite3.connect = watched_connect  # type: ignore[assignment]
        plain = io.open

        def watched_open(file: Any, mode: str = "r", buffering: int = -1, *text: Any, **more: Any) -> Any:
            if not set(mode) & set("wax+"):
                return plain(file, mode, buffering, *text, **more)
            letters = "".join(letter for letter in mode if letter not in "bt")
            raw = File(file, letters) if isinstance(file, int) else self.step("open", lambda: File(file, letters))
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **more)

        io.open = watched_open
        builtins.open = watched_open
        request = aiohttp.ClientSession._request

        async def watched_request(
            session: aiohttp.ClientSession, *arguments: Any, **more: Any
        ) -> aiohttp.ClientResponse:
            count = reaper._begin("request")
            try:
                return await request(session, *arguments, **more)
            finally:
                reaper._end(count)

        aiohttp.ClientSession._request = watched_request  # type: ignore[assignment,method-assign]

    def tell(self, text: str) -> None:
        """Say something to the parent, which is no step."""
        data = text.encode()
        while data:
            data = data[self._write(self._told, data) :]

    def step(self, name: str, call: Callable[[], T]) -> T:
        """Do one write, unless it is the one at which to die."""
        count = self._begin(name)
        try:
            return call()
        finally:
            # A call that failed counts as well: what it raised may be part of the plan, as for a folder that is there.
            self._end(count)

    def _begin(self, name: str) -> int:
        with self._lock:
            self._count += 1
            count = self._count
            self.tell(f"{name}\n")
        if count == self._at and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    def _end(self, count: int) -> None:
        if count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **more: Any) -> Any:
            if name == "open" and not (arguments[1] if len(arguments) > 1 else more["flags"]) & CREATING:
                return call(*arguments, **more)
            return self.step(name, lambda: call(*arguments, **more))

        return watched


class File(io.FileIO):
    """An unbuffered file whose writes are seen."""

    def write(self, data: Any) -> int:
        """Write, as a step."""
        return os.write(self.fileno(), data)


async def run(config: Path) -> dict[str, Any]:
    """One sync that reads everything, as the program does it; what came of it."""
    async with open_mirror(shop(config), "yard") as mirror:
        report = await sync(mirror, CycleOptions(full_check=True))
    return {
        "outcome": report.outcome.value,
        "error": None if report.error is None else report.error.message,
        "troubles": [str(trouble) for trouble in report.troubles],
    }


def shop(config: Path) -> Workshop:
    """What every command builds from."""
    return Workshop(load(config, {"HOME": str(config.parent)}), Masker(), QuickClock(), Mute(), {})


async def push(config: Path) -> dict[str, Any]:
    """The same, and then the save of the first image is taken back, unless that was done before."""
    answer = await run(config)
    async with open_mirror(shop(config), "yard") as mirror:
        done = [save for save in await mirror.state.journal.saves() if save.outcome.had_effect]
        first = [save for save in done if save.key == min(each.key for each in done)]
        if len(first) == 1:
            report = await undo(mirror, first)
            answer["undone"] = report.outcome.value
    return answer


async def save(config: Path) -> dict[str, Any]:
    """One backup with images; its snapshot."""
    here = shop(config)
    async with open_resting_mirror(here, "yard") as mirror, open_snapshots(here, Access.CREATE) as store:
        images_from = here.config.settings.datasets["yard"].path
        report = await backup(mirror, store, images_from=images_from, clock=here.clock, reporter=here.reporter)
    assert report.snapshot is not None
    return {"snapshot": report.snapshot.id}


async def thin(config: Path) -> dict[str, Any]:
    """One prune that keeps the newest snapshot; what was swept."""
    here = shop(config)
    async with open_snapshots(here, Access.CHANGE) as store:
        judged = await judge(store, None, Rules(last=1), now_s=here.clock.now_s())
        return {"files": (await prune(store, judged)).files}


COMMANDS = {"sync": run, "push": push, "backup": save, "prune": thin}


def child(order: dict[str, Any], told: int) -> None:
    """The life of a child, which ends it."""
    reaper = Reaper(order["at"], after=order["after"], told=told)
    reaper.watch()
    answer = anyio.run(COMMANDS[order["command"]], Path(order["config"]))
    reaper.tell(json.dumps(answer))


def main() -> None:
    """Serve orders until there are no more."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for line in sys.stdin:
        ours, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(ours)
                child(json.loads(line), told)
                status = 0
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                # Never back into the loop: the parent alone takes orders.
                os._exit(status)
        os.close(told)
        with open(ours, encoding="utf-8") as pipe:  # noqa: PTH123 - a descriptor
            *steps, answer = pipe.read().split("\n")
        _, status = os.waitpid(pid, 0)
        ended = {"steps": steps, "answer": json.loads(answer) if answer else None, "status": status}
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    main()
