"""Whatever a hook or a pinged address does, it is told and stops nothing."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import structlog
from aiohttp import web
from structlog.testing import capture_logs

from labelmirror.telemetry.hooks import WAITING_MAX, HookCall, Hooks, Ping
from support.web import site


def script(folder: Path, name: str, *lines: str) -> tuple[str, ...]:
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return (str(path),)


async def made(
    *calls: HookCall | Ping, timeout_s: float = 30.0, environ: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Make these calls; what was logged."""
    structlog.reset_defaults()
    hooks = Hooks(environ or {"PATH": "/usr/bin:/bin"}, timeout_s=timeout_s)
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hooks.work)
            for call in calls:
                hooks.call(call)
            await hooks.finish()
    return [dict(entry) for entry in logs]


async def test_a_hook_reads_what_happened_and_has_the_environment_it_is_given(tmp_path: Path) -> None:
    argv = script(tmp_path, "hook", f"cat > {tmp_path}/heard; echo $COLOUR > {tmp_path}/colour")
    environ = {"PATH": "/usr/bin:/bin", "COLOUR": "green"}
    assert await made(HookCall("on_change", argv, {"event": "change"}), environ=environ) == []
    assert json.loads((tmp_path / "heard").read_text()) == {"event": "change"}
    assert (tmp_path / "colour").read_text() == "green\n"


async def test_a_hook_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    argv = script(tmp_path, "hook", "echo no room >&2", "exit 3")
    (entry,) = await made(HookCall("on_held", argv, {}))
    assert (entry["event"], entry["hook"], entry["reason"], entry["said"]) == (
        "hook.failed",
        "on_held",
        "exit code 3",
        "no room",
    )


async def test_a_hook_that_is_not_there_or_reads_nothing_is_no_trouble_for_the_next(tmp_path: Path) -> None:
    deaf = script(tmp_path, "deaf", "exec <&-", "exit 0")
    last = script(tmp_path, "last", f"touch {tmp_path}/called")
    logs = await made(
        HookCall("on_change", ("/nowhere/hook",), {}),
        HookCall("on_change", deaf, {"much": "x" * 10**6}),
        HookCall("on_change", last, {}),
    )
    assert [entry["reason"] for entry in logs] == ["No such file or directory"]
    assert (tmp_path / "called").exists()


async def test_a_hook_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    argv = script(tmp_path, "hook", "sleep 1000 &", f"echo $! > {tmp_path}/child", "sleep 1000")
    (entry,) = await made(HookCall("on_failure", argv, {}), timeout_s=0.5)
    assert (entry["hook"], entry["reason"]) == ("on_failure", "killed after 0 s")
    child = int((tmp_path / "child").read_text())
    await _until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def _until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not holds():
            await anyio.sleep(0.02)


async def test_too_many_calls_are_dropped_and_that_is_said() -> None:
    logs = await made(*[HookCall("on_change", ("/nowhere/hook",), {})] * (WAITING_MAX + 2))
    assert [entry["event"] for entry in logs].count("hook.dropped") == 2
    assert [entry["event"] for entry in logs].count("hook.failed") == WAITING_MAX


async def test_an_address_is_pinged_as_healthchecks_has_it_and_never_shown() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}/secret-uuid"
        logs = await made(Ping(dead))
    assert [(entry["event"], entry["host"]) for entry in logs] == [("ping.failed", "127.0.0.1")]
    assert "secret-uuid" not in str(logs)


async def test_each_ping_goes_to_its_own_path() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=500 if request.path.endswith("fail") else 200)

    async with site(answer) as there:
        url = f"{there.url}/8d0f/?key=1"
        logs = await made(Ping(url, "start"), Ping(url), Ping(url, "fail"))
        assert [request.path_qs for request in there.requests] == [
            "/8d0f/start?key=1",
            "/8d0f/?key=1",
            "/8d0f/fail?key=1",
        ]
    assert [(entry["event"], entry["status"]) for entry in logs] == [("ping.failed", 500)]
