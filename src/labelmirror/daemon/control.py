"""The control socket: one JSON object a line, a request and its answer. For the owner only."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import anyio
import pydantic
from anyio.abc import SocketListener, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from labelmirror.errors import DiskError, ExitCode, LabelmirrorError, Locked, UsageError
from labelmirror.model.report import MirrorOutcome, RunError
from labelmirror.ports.clock import Clock

#: A request, and an answer, is at most this long.
LINE_MAX_BYTES: Final = 2**20
#: A client that says nothing, or reads nothing, is let go after this time.
PATIENCE_S: Final = 10.0
#: How often somebody who waits for cycles asks.
_POLL_S: Final = 0.5


class NoDaemon(LabelmirrorError):
    """No daemon listens at the control socket."""

    code: ClassVar[str] = "no_daemon"
    exit_code: ClassVar[ExitCode] = ExitCode.UNREACHABLE


class Unanswered(NoDaemon):
    """A daemon listens at the control socket, and does not answer."""


class Refused(UsageError):
    """The daemon does not know what is asked of it, such as a mirror of that name."""


class Request(pydantic.BaseModel):
    """What a client asks. Without `mirrors` all are meant."""

    model_config = pydantic.ConfigDict(extra="forbid")

    command: Literal["pause", "resume", "sync-now", "status"]
    mirrors: Annotated[tuple[str, ...], pydantic.Field(max_length=10_000)] = ()


class Ending(pydantic.BaseModel):
    """How a mirror's last cycle ended: when (wall-clock seconds), and the error that it ended with, if any."""

    at_s: float
    outcome: MirrorOutcome
    error: RunError | None


class Standing(pydantic.BaseModel):
    """How the daemon has one mirror. `next_due_s`: wall-clock seconds, None while it is paused or never due again.

    `cycles` is how many ended since the daemon began, `next_cycle` the number of the one that begins next. A cycle that made
    way for an edit (`made_way`) goes on as another one. `last` is how the last that did not was ended.
    """

    name: str
    working: bool
    paused: bool
    next_due_s: float | None
    cycles: int
    next_cycle: int
    made_way: bool
    last: Ending | None


class Answer(pydantic.BaseModel):
    """What the daemon says to every request: itself, since when it runs (wall-clock seconds), and the mirrors that are meant."""

    ok: Literal[True] = True
    pid: int
    since_s: float
    mirrors: tuple[Standing, ...]


class Refusal(pydantic.BaseModel):
    """Why a request is not followed."""

    ok: Literal[False] = False
    message: str
    hint: str


Handler = Callable[[Request], Answer]


@asynccontextmanager
async def listen(path: Path) -> AsyncIterator[SocketListener]:
    """Listen at a socket of mode 0600; one that a dead daemon left is replaced, and it is gone afterwards.

    Raises Locked if a daemon listens there, UsageError for a path that no socket can have, DiskError if it cannot be made.
    """
    listener, mine = await anyio.to_thread.run_sync(_bind, path)
    try:
        async with await SocketListener.from_socket(listener) as listening:
            yield listening
    finally:
        _remove(path, mine)


def _bind(path: Path) -> tuple[socket.socket, os.stat_result]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() or path.is_symlink():
            _replace_stale(path)
        # What nobody else may use must not be open to others even for a moment.
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(16)
        listener.setblocking(False)
        mine = path.lstat()
    except OSError as error:
        listener.close()
        if error.errno is None or "too long" in str(error):
            raise UsageError(
                f"daemon.socket: {path}: the path is too long for a socket", hint="At most 107 bytes."
            ) from None
        raise DiskError(
            f"daemon.socket: {path}: {error.strerror}",
            hint="Its folder must be writable by this user, or name another one.",
        ) from error
    except BaseException:
        listener.close()
        raise
    return listener, mine


def _replace_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise UsageError(f"daemon.socket: {path} is there and is no socket", hint="Move it away, or name another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise Locked(f"{path}: another daemon listens there", hint="Give each daemon a `[daemon] socket` of its own.")


def _remove(path: Path, mine: os.stat_result) -> None:
    """Take the socket away, unless somebody has put another one in its place."""
    try:
        there = path.lstat()
        if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
            path.unlink()
    except OSError:
        # The folder is gone, or is not ours any more: a socket without a listener is replaced by the next daemon.
        return


async def serve(listener: SocketListener, handle: Handler) -> None:
    """Answer requests until it is cancelled. `handle` raises Refused for what cannot be done."""

    async def answer(client: SocketStream) -> None:
        async with client:
            received = BufferedByteReceiveStream(client)
            try:
                with anyio.move_on_after(PATIENCE_S):
                    while (line := await _line(received)) is not None:
                        await client.send(_answer(line, handle).model_dump_json().encode() + b"\n")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.DelimiterNotFound):
                return  # it left, or talks something else

    await listener.serve(answer)


def _answer(line: bytes, handle: Handler) -> Answer | Refusal:
    try:
        return handle(Request.model_validate_json(line))
    except pydantic.ValidationError:
        return Refusal(message="this daemon does not know that request", hint="Is it of another version? Restart it.")
    except Refused as error:
        return Refusal(message=error.message, hint=error.hint)


async def _line(received: BufferedByteReceiveStream) -> bytes | None:
    """The next line without its end, None at the end of the stream."""
    try:
        return await received.receive_until(b"\n", LINE_MAX_BYTES)
    except (anyio.IncompleteRead, anyio.EndOfStream):
        return None


async def ask(path: Path, command: str, mirrors: Sequence[str] = ()) -> Answer:
    """Ask the daemon that listens at this socket. Raises NoDaemon, or Refused with what it says."""
    request = Request.model_validate({"command": command, "mirrors": tuple(mirrors)})
    try:
        with anyio.fail_after(PATIENCE_S):
            async with await anyio.connect_unix(path) as stream:
                await stream.send(request.model_dump_json().encode() + b"\n")
                line = await _line(BufferedByteReceiveStream(stream))
    except TimeoutError as error:
        raise Unanswered(f"the daemon at {path} does not answer", hint="If that goes on, restart it.") from error
    except (OSError, anyio.BrokenResourceError) as error:
        raise NoDaemon(
            f"no daemon answers at {path}", hint="Start it with: labelmirror run, or as the service labelmirror"
        ) from error
    try:
        answer = _ANSWER.validate_json(line or b"")
    except pydantic.ValidationError:
        raise NoDaemon(f"what answers at {path} is no daemon of this version", hint="Restart the daemon.") from None
    if isinstance(answer, Refusal):
        raise Refused(answer.message, hint=answer.hint)
    return answer


async def await_cycles(path: Path, asked: Answer, *, clock: Clock, wait_s: float) -> Answer:
    """Wait for the cycles that the mirrors of this answer have next, and give the answer after the last of them.

    Raises Locked if one has not ended after `wait_s`, NoDaemon if the daemon ends before.
    """
    awaited = {each.name: each.next_cycle for each in asked.mirrors}
    give_up_s = clock.monotonic_s() + wait_s
    answer = asked
    while waiting := [each.name for each in answer.mirrors if each.cycles < awaited[each.name] or each.made_way]:
        left_s = give_up_s - clock.monotonic_s()
        if left_s <= 0:
            raise Locked(
                f"{', '.join(waiting)}: the daemon's cycle has not ended yet", hint="It goes on: see `status`."
            )
        await clock.sleep(min(_POLL_S, left_s))
        answer = await ask(path, "status", tuple(awaited))
        if answer.pid != asked.pid:
            raise NoDaemon("the daemon was started anew meanwhile", hint="Ask again.")
    return answer


_ANSWER: Final = pydantic.TypeAdapter[Answer | Refusal](Answer | Refusal)
