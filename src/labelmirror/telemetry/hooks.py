"""Programs and an address that are told what happened. Whatever they do, it stops nothing."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import anyio
import structlog
from anyio.abc import Process

from labelmirror.model.document import JsonObject

#: A hook has this long before it is killed with all that it started.
HOOK_TIMEOUT_S: Final = 60.0
PING_TIMEOUT_S: Final = 10.0
#: Calls that wait; with more, the newest is dropped and that is said.
WAITING_MAX: Final = 100
_OUTPUT_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class HookCall:
    """A program to be started: its name in the configuration, its arguments, and what it reads on standard input."""

    name: str
    argv: Sequence[str]
    told: JsonObject


@dataclass(frozen=True, slots=True)
class Ping:
    """An address to be called, with `start`, `fail` or nothing behind its path, as healthchecks.io has it."""

    url: str
    what: str = ""


class Hooks:
    """Calls hooks one after the other, away from the work. `environ` is what they get for an environment."""

    def __init__(self, environ: Mapping[str, str], *, timeout_s: float = HOOK_TIMEOUT_S) -> None:
        self._environ = dict(environ)
        self._timeout_s = timeout_s
        self._calls, self._waiting = anyio.create_memory_object_stream[HookCall | Ping](WAITING_MAX)
        self._made = anyio.Event()

    def call(self, call: HookCall | Ping) -> None:
        """Take a call; never waits."""
        try:
            self._calls.send_nowait(call)
        except (anyio.WouldBlock, anyio.ClosedResourceError):
            name = call.name if isinstance(call, HookCall) else "ping_url"
            _log().warning("hook.dropped", hook=name, reason="too many calls are waiting, or the daemon ends")

    async def work(self) -> None:
        """Make the calls, until `finish` was called and all are made."""
        async with self._waiting:
            async for call in self._waiting:
                if isinstance(call, HookCall):
                    await self._start(call)
                else:
                    await _ping(call)
        self._made.set()

    async def finish(self) -> None:
        """Take no more calls, and wait until those that there are were made."""
        self._calls.close()
        await self._made.wait()

    async def _start(self, call: HookCall) -> None:
        try:
            process = await anyio.open_process(
                call.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=self._environ,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # not there, or arguments that no program can have
            _log().warning("hook.failed", hook=call.name, reason=getattr(error, "strerror", None) or str(error))
            return
        said = ""
        try:
            with anyio.move_on_after(self._timeout_s) as patience:
                said = await _converse(process, json.dumps(call.told).encode() + b"\n")
        finally:
            _end_all(process)
            with anyio.CancelScope(shield=True):
                await process.aclose()
        if patience.cancelled_caught:
            _log().warning("hook.failed", hook=call.name, reason=f"killed after {self._timeout_s:.0f} s", said=said)
        elif process.returncode:
            _log().warning("hook.failed", hook=call.name, reason=f"exit code {process.returncode}", said=said)


async def _converse(process: Process, told: bytes) -> str:
    """Hand over what is told, and hear the end of what is said until the process ends."""
    assert process.stdin is not None
    assert process.stderr is not None
    said = bytearray()
    async with anyio.create_task_group() as tasks:

        async def hand_over() -> None:
            assert process.stdin is not None
            try:
                await process.stdin.send(told)
                await process.stdin.aclose()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # a hook need not read

        tasks.start_soon(hand_over)
        async for chunk in process.stderr:
            said += chunk
            del said[:-_OUTPUT_CHARS]
        await process.wait()
    return said.decode(errors="replace").strip()


def _end_all(process: Process) -> None:
    """Kill what a hook left running; it leads a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def _ping(ping: Ping) -> None:
    parts = urlsplit(ping.url)
    path = f"{parts.path.rstrip('/')}/{ping.what}" if ping.what else parts.path
    timeout = aiohttp.ClientTimeout(total=PING_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(urlunsplit(parts._replace(path=path))) as response,
        ):
            if response.status >= 400:
                _log().warning("ping.failed", host=parts.hostname, status=response.status)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        # The path of such an address is as good as a key: neither it nor the error's own words are repeated.
        _log().warning("ping.failed", host=parts.hostname, reason=type(error).__name__)


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("labelmirror")
    return logger
