"""One run for a mirror at a time, whoever died holding the lock."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import anyio
import pytest

from labelmirror.errors import DiskError, Locked
from labelmirror.state.lock import hold_lock
from labelmirror.telemetry.clock import SystemClock

HOLD_AND_DIE = """
import asyncio, os, sys
from pathlib import Path
from labelmirror.state.lock import hold_lock
from labelmirror.telemetry.clock import SystemClock

async def main():
    async with hold_lock(Path(sys.argv[1]), "m", clock=SystemClock()):
        print("held", flush=True)
        sys.stdin.read()
        os._exit(9)

asyncio.run(main())
"""


class PatientClock:
    """Counts how long was waited, and does something meanwhile."""

    def __init__(self) -> None:
        self.waited_s = 0.0
        self.meanwhile = anyio.Event()

    def now_s(self) -> float:
        return 1_700_000_000.0 + self.waited_s

    def monotonic_s(self) -> float:
        return self.waited_s

    async def sleep(self, seconds: float) -> None:
        self.waited_s += seconds
        self.meanwhile.set()
        await anyio.sleep(0)


async def try_lock(folder: Path, mirror: str = "m") -> None:
    async with hold_lock(folder, mirror, clock=SystemClock()):
        pass


async def test_a_second_run_is_told_who_holds_the_lock_and_what_to_do(tmp_path: Path) -> None:
    async with hold_lock(tmp_path, "m", clock=PatientClock()):
        with pytest.raises(Locked) as caught:
            await try_lock(tmp_path)
    assert f"process {os.getpid()} on" in caught.value.message
    assert "since 2023-11-14T22:13:20+00:00" in caught.value.message
    assert "`sync`, `apply`, `verify`, `backup`, `restore` and `prune` can wait for it: --wait" in caught.value.hint
    await try_lock(tmp_path)


async def test_other_mirrors_are_free_whatever_their_names(tmp_path: Path) -> None:
    async with hold_lock(tmp_path, "m", clock=SystemClock()):
        for name in ("n", "../x", "a/b", ".", "ü" * 40):
            await try_lock(tmp_path, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks"]


async def test_a_waiting_run_goes_on_when_the_lock_is_free(tmp_path: Path) -> None:
    clock = PatientClock()
    ran = False

    async def second() -> None:
        nonlocal ran
        async with hold_lock(tmp_path, "m", clock=clock, wait_s=1e9):
            ran = True

    async with anyio.create_task_group() as tasks, hold_lock(tmp_path, "m", clock=SystemClock()):
        tasks.start_soon(second)
        await clock.meanwhile.wait()
        assert not ran
    assert ran


async def test_a_waiting_run_gives_up_after_its_time(tmp_path: Path) -> None:
    clock = PatientClock()
    async with hold_lock(tmp_path, "m", clock=SystemClock()):
        with pytest.raises(Locked):
            async with hold_lock(tmp_path, "m", clock=clock, wait_s=1.2):
                pass
    assert clock.waited_s == pytest.approx(1.2)


async def test_a_dead_holder_is_no_obstacle(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD_AND_DIE, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Locked, match=f"process {holder.pid} "):
            await try_lock(tmp_path)
        holder.stdin.close()
        assert holder.wait(30) == 9
    assert (tmp_path / "locks" / "m.lock").stat().st_size > 0
    await try_lock(tmp_path)


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff"])
async def test_an_unreadable_note_is_said_to_be_so(tmp_path: Path, note: bytes) -> None:
    async with hold_lock(tmp_path, "m", clock=SystemClock()):
        (tmp_path / "locks" / "m.lock").write_bytes(note)
        with pytest.raises(Locked, match="not known"):
            await try_lock(tmp_path)


@pytest.mark.parametrize("call", ["mkdir", "open", "ftruncate", "pwrite"])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "Make room"),
        (errno.EDQUOT, "Make room"),
        (errno.EROFS, "mount it for writing"),
        (errno.EACCES, "must be writable by this user"),
        (errno.ELOOP, "See what is wrong there"),
    ],
)
async def test_a_disk_that_refuses_the_lock_is_told_with_its_own_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str, call: str
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, refuse)
        with pytest.raises(DiskError, match=os.strerror(code)) as caught:
            await try_lock(tmp_path)
    assert remedy in caught.value.hint
    await try_lock(tmp_path)


async def test_the_lock_is_for_its_owner_only(tmp_path: Path) -> None:
    await try_lock(tmp_path)
    assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "locks" / "m.lock").stat().st_mode) == 0o600
