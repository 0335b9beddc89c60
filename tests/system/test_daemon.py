"""`labelmirror run` as a process against a stand-in: what it does by itself, what it is told, and how it ends."""

import json
import signal
import socket
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from labelmirror.standin import Fault, FaultKind, delivery
from labelmirror.state.lock import hold_lock
from labelmirror.telemetry.clock import SystemClock
from support.cli import Home, drop_annotation, home, labelmirror
from support.daemon import daemon

SETTLE = ("[daemon]", 'settle = "300ms"')


def saves(here: Home) -> int:
    return sum(request.method == "POST" and "/annotations/" in request.path for request in here.standin.requests)


def annotations(document: Path) -> int:
    return len(json.loads(document.read_bytes())["annotations"])


async def test_it_mirrors_at_once_then_pushes_an_edit_as_it_is_made_and_takes_its_own_files_for_none(
    tmp_path: Path,
) -> None:
    async with home(tmp_path, images=12) as here:
        here.configure("push = true", 'every = "1h"', *SETTLE)
        async with daemon(here) as running:
            first = await running.line("cycle.finished")
            assert (first["outcome"], first["images_pulled"], first["documents_pulled"]) == ("synced", 12, 12)
            document = here.documents()[0]
            before = annotations(document)
            drop_annotation(document)
            pushed = await running.line("edits.finished")
            # By a hint, or by the look that follows when the folders that the cycle made are watched too.
            assert (pushed["outcome"], pushed["pushed"]) == ("synced", 1)
            # No listing, no other document: dataset, re-read, save, read-back.
            assert pushed["requests"] <= 5
            where = document.relative_to(here.mirror / "annotations").as_posix().removesuffix(".json")
            directory, _, name = where.rpartition("/")
            image = here.dataset.at(f"/{directory}", name)
            assert image is not None
            assert len(image.annotations) == before - 1

            # Another edit of the same document, which nothing was listed since.
            drop_annotation(document)
            await running.line("edits.finished", 2, pushed=1)
            assert len(image.annotations) == before - 2
            assert saves(here) == 2
            assert len(running.log("cycle.finished")) == 1
            (mirror,) = (await here.json("status"))["mirrors"]
            assert mirror["state"] == "in_step"


async def test_an_edit_is_pushed_while_a_cycle_waits_for_the_listing_of_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, pushed = anyio.Event(), anyio.Event()

    async def hang(_request: object, _longest_s: float) -> None:
        asked.set()
        await pushed.wait()

    monkeypatch.setattr(delivery, "hang", hang)
    async with home(tmp_path) as here:
        here.configure("push = true", 'every = "1h"', *SETTLE)
        async with daemon(here) as running:
            await running.line("cycle.finished")
            listing = f"/api/v1/developer/datasets/{here.dataset.id}"
            here.standin.faults.add(Fault(route=listing, kind=FaultKind.TIMEOUT))
            await here.json("sync-now")
            await running.until(asked.is_set, "the listing")
            drop_annotation(here.documents()[0])
            edits = await running.line("edits.finished", pushed=1)
            assert edits["requests"] <= 5
            assert len(running.log("cycle.finished")) == 1
            pushed.set()
            await running.line("cycle.finished", cause="asked", outcome="synced", pushed=0, documents_pulled=0)
        assert saves(here) == 1


async def test_an_edit_made_while_no_daemon_ran_is_found_and_pushed(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true", 'every = "1h"', *SETTLE)
        await here.json("sync")
        drop_annotation(here.documents()[0])
        async with daemon(here) as running:
            found = await running.line("edits.finished")
            assert (found["cause"], found["pushed"]) == ("scan", 1)
            assert running.log("cycle.finished") == []


async def test_a_file_that_is_half_written_is_pushed_when_it_is_whole(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true", 'every = "1h"', *SETTLE)
        await here.json("sync")
        async with daemon(here) as running:
            document = here.documents()[0]
            drop_annotation(document)
            whole = document.read_bytes()
            document.write_bytes(whole[: len(whole) // 2])
            await anyio.sleep(1.0)
            assert saves(here) == 0
            document.write_bytes(whole)
            await running.line("edits.finished", pushed=1)
        assert saves(here) == 1


async def test_it_syncs_again_and_again_and_ends_within_seconds_with_a_record(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure('every = "1s"')
        async with daemon(here, "--json") as running:
            await running.line("cycle.finished", 3)
            running.tell(signal.SIGTERM)
            ended = await running.ended()
        assert ended.exit_code == 0
        assert ended.answer["ended_by"] == "SIGTERM"
        (mirror,) = ended.answer["mirrors"]
        assert mirror["cycles"] >= 3
        assert mirror["last"]["name"] == "harbour"
        assert not (here.folder / "state" / "control.sock").exists()


async def test_a_cycle_in_the_middle_is_ended_in_good_order_and_the_next_run_goes_on(tmp_path: Path) -> None:
    async with home(tmp_path, images=60, latency_s=0.3) as here:
        here.configure('every = "1h"')
        async with daemon(here, "--json") as running:
            await running.until(lambda: here.mirror.exists() and len(here.files()) > 5, "some files")
            running.tell(signal.SIGTERM)
            ended = await running.ended()
            assert ended.exit_code == 0
        (mirror,) = (await here.json("sync"))["mirrors"]
        assert mirror["outcome"] == "synced"


async def test_ctrl_c_ends_it_with_130_and_sigusr2_once_the_cycle_is_done(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with daemon(here) as running:
            await running.line("cycle.finished")
            running.tell(signal.SIGINT)
            assert (await running.ended()).exit_code == 130
        async with daemon(here, "--json") as running:
            running.tell(signal.SIGUSR2)
            ended = await running.ended()
        assert (ended.exit_code, ended.answer["ended_by"]) == (0, "SIGUSR2")


async def test_a_second_daemon_on_one_state_is_refused_and_one_shot_commands_are_not(tmp_path: Path) -> None:
    async with home(tmp_path) as here, daemon(here) as running:
        await running.line("cycle.finished")
        refused = await here.json("run", exit_code=5)
        assert "another daemon" in refused["error"]["message"]
        assert f"process {running.process.pid}" in refused["error"]["message"]
        await here.json("verify", "--wait", "30s")


async def test_a_socket_that_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with daemon(here) as running:
            await running.line("cycle.finished")
            running.tell(signal.SIGKILL)
            await running.ended()
        path = here.folder / "state" / "control.sock"
        assert path.exists()
        async with daemon(here):
            assert path.stat().st_mode & 0o777 == 0o600
            await here.json("pause")


async def test_pause_holds_until_resume_and_sync_now_needs_the_name(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true", 'every = "1s"', *SETTLE)
        async with daemon(here) as running:
            await running.line("cycle.finished")
            (paused,) = (await here.json("pause", "harbour"))["mirrors"]
            assert paused.keys() == {"name", "working", "paused", "next_due"}
            assert (paused["paused"], paused["next_due"]) == (True, None)
            await running.until(lambda: not _working(here), "rest")
            cycles = len(running.log("cycle.finished"))
            drop_annotation(here.documents()[0])
            await anyio.sleep(2.5)
            assert (len(running.log("cycle.finished")), running.log("edits.finished")) == (cycles, [])
            (standing,) = (await here.json("status"))["mirrors"]
            assert (standing["paused"], standing["next_due"], standing["state"]) == (True, None, "ahead")

            assert (await here.json("sync-now"))["mirrors"] == []
            (asked,) = (await here.json("sync-now", "harbour", "--wait", "40s"))["mirrors"]
            assert (asked["last_cycle"]["outcome"], asked["last_cycle"]["error"]) == ("synced", None)
            await running.line("cycle.finished", cause="asked", pushed=1)
            assert len(running.log("cycle.finished")) == cycles + 1
            (resumed,) = (await here.json("resume"))["mirrors"]
            assert not resumed["paused"]
            await running.line("cycle.finished", cycles + 2)
            unknown = await here.json("pause", "harbor", exit_code=2)
            assert "harbor" in unknown["error"]["message"]
            assert "harbour" in unknown["error"]["hint"]


def _working(here: Home) -> bool:
    status = json.loads(labelmirror("status", "--json", cwd=here.folder, env=here.env).stdout)
    return bool(status["mirrors"][0]["working"])


@pytest.mark.parametrize("command", ["pause", "resume", "sync-now"])
async def test_without_a_daemon_nobody_can_be_told_anything(tmp_path: Path, command: str) -> None:
    async with home(tmp_path) as here:
        answer = await here.json(command, exit_code=11)
        assert answer["error"]["code"] == "no_daemon"
        assert "labelmirror run" in answer["error"]["hint"]
        await here.json("sync")
        (mirror,) = (await here.json("status"))["mirrors"]
        assert (mirror["next_due"], mirror["paused"], mirror["working"]) == (None, None, None)


async def test_a_reload_takes_a_good_configuration_and_refuses_a_bad_one(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure('every = "1h"')
        async with daemon(here) as running:
            await running.line("cycle.finished")
            good = here.config.read_text()
            here.config.write_text(good.replace('every = "1h"', 'evry = "1s"'))
            running.tell(signal.SIGHUP)
            refused = await running.line("config.refused")
            assert "evry" in refused["message"]
            here.config.write_text(good.replace('state = "state"', 'state = "elsewhere"'))
            running.tell(signal.SIGHUP)
            refused = await running.line("config.refused", 2)
            assert "state: changes only with a restart" in refused["message"]
            assert len(running.log("cycle.finished")) == 1

            second = ["[datasets.second]", 'server = "acme"', 'name = "harbour"', 'path = "second"']
            here.config.write_text("\n".join([good, *second]))
            running.tell(signal.SIGHUP)
            loaded = await running.line("config.loaded")
            assert loaded["mirrors"] == ["harbour", "second"]
            await running.line("cycle.finished", mirror="second", outcome="synced")
            here.config.write_text(good)
            running.tell(signal.SIGHUP)
            assert (await running.line("config.loaded", 2))["mirrors"] == ["harbour"]


async def test_a_mirror_that_is_locked_is_tried_again_soon(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with hold_lock(here.folder / "state", "harbour", clock=SystemClock()), daemon(here) as running:
            locked = await running.line("cycle.finished", outcome="locked")
            assert locked["requests"] == 0
        async with daemon(here) as running:
            async with hold_lock(here.folder / "state", "harbour", clock=SystemClock(), wait_s=30):
                pass
            await running.line("cycle.finished", outcome="synced")


async def test_a_server_that_is_down_costs_one_probe_and_keeps_no_other_mirror_from_its_turn(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
            here.configure(
                'every = "1s"',
                "[servers.dead]",
                'kind = "pictograph"',
                f'url = "{dead}"',
                'key = { env = "LABELMIRROR_TEST_KEY" }',
                *(
                    line
                    for name in ("a", "b", "c")
                    for line in (
                        f"[datasets.{name}]",
                        'server = "dead"',
                        'name = "x"',
                        f'path = "{name}"',
                        'every = "1s"',
                    )
                ),
            )
            async with daemon(here) as running:
                await running.line("cycle.finished", outcome="unreachable")
                await running.line("cycle.finished", 3, mirror="harbour", outcome="synced")
                down = [entry for entry in running.log("cycle.finished") if entry["outcome"] == "unreachable"]
                # All three were due at once at the start; after that nobody asks again so soon.
                assert len(down) <= 3
                assert {entry["code"] for entry in down} == {"unavailable"}


async def test_a_server_that_fails_is_asked_with_a_single_request_until_it_is_well(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure('every = "1s"')
        async with daemon(here) as running:
            await running.line("cycle.finished", outcome="synced")
            here.standin.faults.add(Fault(route="*", kind=FaultKind.ERROR_503, times=10**9))
            await running.line("cycle.finished", outcome="unreachable")
            asked = len(list(here.standin.requests))
            await running.line("server.down", tries=2)
            assert len(list(here.standin.requests)) == asked + 1
            (mirror,) = (await here.json("status"))["mirrors"]
            assert (mirror["last_cycle"]["outcome"], mirror["last_cycle"]["error"]["code"]) == (
                "unreachable",
                "unavailable",
            )
            assert (
                "acme"
                in (await here.json("sync-now", "--wait", "40s", exit_code=11))["mirrors"][0]["last_cycle"]["error"][
                    "message"
                ]
            )
            here.standin.faults.clear()
            checks = {check["name"]: check for check in (await here.json("doctor", exit_code=1))["checks"]}
            assert f"process {running.process.pid}" in checks["daemon"]["detail"]
            assert [name for name, check in checks.items() if not check["ok"]] == ["mirror.harbour.cycle"]
            cycles = len(running.log("cycle.finished"))
            await here.json("sync-now")
            await running.until(lambda: running.log("cycle.finished")[cycles:], "the cycle that was asked for")
            assert running.log("cycle.finished")[cycles]["outcome"] == "synced"


async def test_systemd_hears_of_readiness_life_reload_and_the_end(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.settimeout(30.0)
            heard: list[str] = []

            def hear(wanted: str) -> None:
                while not any(line.startswith(wanted) for message in heard for line in message.splitlines()):
                    heard.append(manager.recv(4096).decode())

            env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
            async with daemon(here, env=env) as running:
                await to_thread.run_sync(hear, "READY=1")
                assert heard[0].startswith("READY=1"), "nothing is told before it is ready"
                await to_thread.run_sync(hear, "WATCHDOG=1")
                await to_thread.run_sync(hear, "STATUS=at work: ")
                heard.clear()
                running.tell(signal.SIGHUP)
                await to_thread.run_sync(hear, "RELOADING=1")
                assert any("MONOTONIC_USEC=" in message for message in heard)
                await to_thread.run_sync(hear, "READY=1")
                running.tell(signal.SIGTERM)
                await to_thread.run_sync(hear, "STOPPING=1")
                assert any("EXTEND_TIMEOUT_USEC=" in message for message in heard)
                assert (await running.ended()).exit_code == 0


async def test_metrics_health_textfile_and_hooks_tell_what_happened(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\ncat >> heard\nenv > environment\n")
    hook.chmod(0o755)
    async with home(tmp_path) as here:
        here.configure(
            'every = "1h"',
            "[daemon]",
            f'metrics = "127.0.0.1:{port}"',
            'textfile = "labelmirror.prom"',
            f'on_change = ["{hook}"]',
        )
        async with daemon(here, env={"WATCHDOG_PID": "1"}) as running:
            await running.line("cycle.finished")
            await running.until((tmp_path / "environment").exists, "the hook")
            status, page = await _get(port, "/metrics")
            assert status == 200
            for line in (
                'labelmirror_cycles_total{mirror="harbour",outcome="synced"} 1.0',
                'labelmirror_held{mirror="harbour"} 0.0',
                'labelmirror_documents_total{action="pulled",mirror="harbour"} 6.0',
                'labelmirror_requests_total{outcome="sent",route="storage",server="acme"} 6.0',
                'labelmirror_paused{mirror="harbour"} 0.0',
            ):
                assert line in page
            assert "labelmirror_staleness_seconds{" in page
            assert "labelmirror_quota_remaining{" in page
            assert (await _get(port, "/healthz"))[0] == 200
            taken = await here.json("run", "--set", "state=other", exit_code=5)
            assert f"127.0.0.1:{port} cannot be served" in taken["error"]["message"]
        textfile = tmp_path / "labelmirror.prom"
        assert "labelmirror_cycles_total" in textfile.read_text()
        assert textfile.stat().st_mode & 0o777 == 0o644, "node_exporter is another user"
        told = json.loads((tmp_path / "heard").read_text())
        assert (told["event"], told["mirror"]["documents"]["pulled"]) == ("change", 6)
        environment = (tmp_path / "environment").read_text()
        assert here.standin.key not in environment
        assert "WATCHDOG_PID" not in environment


async def _get(port: int, path: str) -> tuple[int, str]:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        received = b""
        try:
            while True:
                received += await stream.receive()
        except anyio.EndOfStream:
            head, _, body = received.partition(b"\r\n\r\n")
            return int(head.split()[1]), body.decode()


async def test_what_cannot_begin_says_why_in_one_line(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        (here.folder / "file").write_text("")
        long_name = "s" * 120
        for setting, code, said in (
            ("daemon.socket=file/control.sock", 12, "daemon.socket"),
            (f"daemon.socket={long_name}", 2, "too long"),
            ("daemon.socket=file", 2, "is no socket"),
            ("state=file", 12, "file"),
            ("datasets.harbour.calendar=every monday", 2, "calendar"),
        ):
            ended = await here.run("run", "--set", setting)
            assert ended.exit_code == code, ended
            (line,) = (line for line in ended.stderr.splitlines() if line.startswith("error: "))
            assert said in line


async def test_status_says_when_a_mirror_is_due(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure('calendar = "2040-01-01 00:00"')
        async with daemon(here, env={"TZ": "UTC"}) as running:
            await running.line("cycle.finished")
            (mirror,) = (await here.json("status"))["mirrors"]
            assert mirror["next_due"].startswith("2040-01-01T00:0")


async def test_the_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    async with home(tmp_path, images=40, latency_s=1.0) as here, daemon(here) as running:
        await running.until(here.mirror.exists, "the first file")
        running.tell(signal.SIGTERM)
        running.tell(signal.SIGTERM)
        await running.until(lambda: running.log("daemon.ending") or running.process.poll() is not None, "an end")
        running.tell(signal.SIGTERM)
        assert (await running.ended()).exit_code in {0, 143}
