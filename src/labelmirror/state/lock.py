"""One run for a mirror at a time: a lock of the kernel, which a dead process cannot keep, with a note of who holds it."""

import fcntl
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import anyio
import anyio.to_thread

from labelmirror.errors import DiskError, Locked, disk_error
from labelmirror.ports.clock import Clock

#: How often a waiting run looks again.
_RETRY_S: Final = 0.5
_NOTE_BYTES: Final = 4096
_COMMAND_CHARS: Final = 200
_LET_FINISH: Final = (
    "Let it finish; `sync`, `apply`, `verify`, `backup`, `restore` and `prune` can wait for it: --wait 10m."
)


@asynccontextmanager
async def hold_lock(folder: Path, mirror: str, *, clock: Clock, wait_s: float = 0.0) -> AsyncIterator[None]:
    """Hold the lock of a mirror. `folder` is the state folder.

    Raises Locked, naming the holder, when another process (or another task of this one) still has it after `wait_s`;
    DiskError when the lock's file cannot be made.
    """
    path = folder / "locks" / f"{quote(mirror, safe='')}.lock"
    busy = f"{mirror}: another run works on this mirror"
    async with hold_file(path, busy=busy, clock=clock, wait_s=wait_s):
        yield


@asynccontextmanager
async def hold_file(
    path: Path, *, busy: str, clock: Clock, wait_s: float = 0.0, hint: str = _LET_FINISH
) -> AsyncIterator[None]:
    """Hold a lock by the file that stands for it. `busy` says what is the matter when somebody else has it, `hint` what helps.

    Raises Locked and DiskError as `hold_lock`.
    """
    give_up_s = clock.monotonic_s() + wait_s
    while (descriptor := await anyio.to_thread.run_sync(_try, path, clock.now_s())) is None:
        left_s = give_up_s - clock.monotonic_s()
        if left_s <= 0:
            raise await _locked(path, busy, hint)
        await clock.sleep(min(_RETRY_S, left_s))
    try:
        yield
    finally:
        # The file stays: removing it would let two processes lock two files of one name.
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


@asynccontextmanager
async def share_file(path: Path, *, busy: str, clock: Clock, wait_s: float = 0.0) -> AsyncIterator[None]:
    """Keep others from holding a lock meanwhile, together with whoever else only reads. Writes nothing.

    Where its file is not there, nobody ever held it, and there is nothing to keep anybody from. Raises Locked.
    """
    give_up_s = clock.monotonic_s() + wait_s
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
        except FileNotFoundError:
            yield
            return
        except OSError as error:
            raise disk_error(str(path), error, forbidden="It must be readable by this user.") from error
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                left_s = give_up_s - clock.monotonic_s()
                if left_s <= 0:
                    raise await _locked(path, busy, _LET_FINISH) from None
            await clock.sleep(min(_RETRY_S, left_s))
        yield


async def _locked(path: Path, busy: str, hint: str) -> Locked:
    holder = await anyio.to_thread.run_sync(_holder, path)
    return Locked(f"{busy} ({holder})", hint=hint)


def _try(path: Path, now_s: float) -> int | None:
    """Take the lock and note who has it: the open file that keeps it, or None if somebody else has it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _disk_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        note = json.dumps(
            {
                "pid": os.getpid(),
                "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:_COMMAND_CHARS],
                "host": socket.gethostname(),
                "since": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds"),
            }
        )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note.encode(), 0)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise _disk_error(path, error) from error
    return descriptor


def _disk_error(path: Path, error: OSError) -> DiskError:
    return disk_error(str(path), error, forbidden=f"{path.parent} must be writable by this user.")


def _holder(path: Path) -> str:
    """Who holds the lock, as far as its note says."""
    try:
        with path.open("rb") as file:
            note = json.loads(file.read(_NOTE_BYTES))
    except (OSError, ValueError):
        note = None
    match note:
        case {"pid": int(pid), "command": str(command), "host": str(host), "since": str(since)}:
            return f"process {pid} on {host}, since {since}: {command}"
        case _:
            return "its name is not known"
