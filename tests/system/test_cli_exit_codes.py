"""Every exit code, reached by a situation in which a person would meet it."""

import io
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from PIL import Image as Picture

from labelmirror.standin import Fault, FaultKind
from labelmirror.state.lock import hold_lock
from labelmirror.telemetry.clock import SystemClock
from support.cli import Home, drop_annotation, environment, home

#: How often tests look whether a process has come so far.
POLL_S = 0.02
PATIENCE_S = 60


async def test_1_when_a_file_is_not_what_was_announced_and_the_others_come(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        broken = next(iter(here.dataset))
        broken.size_bytes += 1
        answer = await here.json("sync", exit_code=1)
        (mirror,) = answer["mirrors"]
        assert (mirror["outcome"], mirror["images"]["pulled"]) == ("partial", 5)
        (failed,) = mirror["failed"]
        assert (failed["id"], failed["stage"], failed["code"]) == (broken.id, "pull", "size_mismatch")
        assert failed["image"].startswith("images/")
        broken.size_bytes -= 1
        assert (await here.json("sync"))["mirrors"][0]["images"]["pulled"] == 1


async def test_1_when_the_server_answers_with_a_web_page(tmp_path: Path) -> None:
    async with home(tmp_path, faults=(Fault(route="/api/*", kind=FaultKind.HTML, times=10_000),)) as here:
        answer = await here.json("sync", exit_code=1)
    assert answer["error"]["code"] == "protocol"
    assert "HTML" in answer["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("sync", "nothing"),
        ("sync", "--pull-only", "--push-only"),
        ("sync", "--wait", "10"),
        ("verify", "--subset", "8/7"),
        ("demo", "--kind", "nothing"),
    ],
    ids=" ".join,
)
async def test_2_when_the_command_line_cannot_be_followed(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    async with home(tmp_path) as here:
        answer = await here.json(*arguments, exit_code=2)
        assert answer["error"]["code"] == "usage"
        assert not here.mirror.exists()


async def test_2_when_the_server_has_no_such_dataset(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure(dataset="harbor")
        answer = await here.json("sync", exit_code=2)
        assert answer["error"]["code"] == "unknown_dataset"
        assert "harbour" in answer["error"]["hint"]


async def test_3_when_a_document_changed_on_both_sides(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        for document in here.documents():
            drop_annotation(document)
        here.standin.world.annotate(next(image for image in here.dataset if image.annotation_count))
        assert (await here.json("sync", exit_code=3))["mirrors"][0]["outcome"] == "held"


async def test_4_when_the_server_lost_its_images_until_a_number_consents(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        files = here.files()
        for image in list(here.dataset):
            here.standin.world.remove_image(image)
        (mirror,) = (await here.json("sync", exit_code=4))["mirrors"]
        assert (mirror["outcome"], mirror["images"]["retired"]) == ("refused", 0)
        assert mirror["refused"]["override"] == "--allow-deletes 6"
        assert here.files() == files
        assert "--allow-deletes 6" in (await here.run("sync")).stdout
        # Not even afterwards does it pass for a sync.
        assert (await here.json("status"))["mirrors"][0]["refused"]["override"] == "--allow-deletes 6"
        assert "--allow-deletes 6" in (await here.run("status")).stdout
        # A consent for fewer is none, and `plan` says the same and exits 0.
        await here.json("sync", "--allow-deletes", "5", exit_code=4)
        assert (await here.json("plan"))["mirrors"][0]["refused"]["count"] == 6
        (mirror,) = (await here.json("sync", "--allow-deletes", "6"))["mirrors"]
        assert mirror["images"]["retired"] == 6
        assert here.files() == {}
        assert len(list((here.mirror / ".labelmirror" / "trash").rglob("*.json"))) == 6


@pytest.mark.parametrize("marker", ["missing", "foreign"])
async def test_4_when_the_directory_is_not_the_one_that_was_mirrored(tmp_path: Path, marker: str) -> None:
    async with home(tmp_path) as here:
        here.configure("[datasets.other]", 'server = "acme"', 'name = "meadow & shore"', 'path = "other"')
        await here.json("sync")
        shutil.rmtree(here.mirror)
        if marker == "foreign":
            shutil.copytree(tmp_path / "other", here.mirror)
        else:
            here.mirror.mkdir()
        spent = len(here.standin.requests)
        answer = await here.json("sync", "harbour", exit_code=4)
        assert answer["error"]["code"] == "marker"
        assert str(here.mirror) in answer["error"]["message"]
        assert "`path` of [datasets.harbour]" in answer["error"]["hint"]
        assert len(here.standin.requests) == spent
        if marker == "missing":
            here.mirror.rmdir()
            here.mirror.touch()  # no folder can be read there: of the other mirror that is to be told all the same
        mirrors = (await here.json("status"))["mirrors"]
        told = {mirror["name"]: (mirror["state"], (mirror["error"] or {}).get("code")) for mirror in mirrors}
        assert told == {"harbour": ("failed", "marker" if marker == "foreign" else "disk"), "other": ("in_step", None)}


async def test_5_when_another_run_has_the_lock_unless_it_is_waited_for(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with hold_lock(tmp_path / "state", "harbour", clock=SystemClock()):
            answer = await here.json("sync", exit_code=5)
            assert answer["mirrors"][0]["outcome"] == "locked"
            assert answer["error"]["code"] == "locked"
            assert "process" in answer["error"]["message"]
            waiting = here.start("sync", "--wait", "10m")
        assert await to_thread.run_sync(waiting.wait) == 0
        waiting.communicate()


async def test_5_is_not_the_code_of_a_run_in_which_another_mirror_could_work(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("[datasets.other]", 'server = "acme"', 'name = "meadow & shore"', 'path = "other"')
        async with hold_lock(tmp_path / "state", "other", clock=SystemClock()):
            answer = await here.json("sync", exit_code=1)
        assert [mirror["outcome"] for mirror in answer["mirrors"]] == ["synced", "locked"]


async def test_6_when_the_server_refuses_the_key(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.standin.revoke_key()
        assert (await here.json("sync", exit_code=6))["error"]["code"] == "key_refused"
        assert (await here.json("datasets", exit_code=6))["error"]["code"] == "key_refused"


async def test_7_when_the_directory_was_mirrored_and_the_state_is_gone(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        shutil.rmtree(tmp_path / "state")
        assert (await here.json("sync", exit_code=7))["error"]["code"] == "state"


@pytest.mark.parametrize("budget", [("--budget-requests", "3"), ("--budget-requests", "0")], ids=" ".join)
async def test_8_when_the_budget_of_requests_is_spent_and_the_next_run_goes_on(
    tmp_path: Path, budget: tuple[str, str]
) -> None:
    async with home(tmp_path) as here:
        answer = await here.json("sync", *budget, exit_code=8)
        (mirror,) = answer["mirrors"]
        assert (mirror["outcome"], answer["error"]["code"]) == ("stopped", "budget")
        assert mirror["requests"]["api"] <= int(budget[1])
        await here.json("sync")
        assert len(here.files()) == 12


async def test_8_when_the_quota_is_spent_for_longer_than_the_run_may_last(tmp_path: Path) -> None:
    async with home(tmp_path, limit=10) as here:
        here.standin.spend(10)
        (mirror,) = (await here.json("sync", "--budget-time", "2s", exit_code=8))["mirrors"]
        assert mirror["outcome"] == "stopped"


async def test_8_when_the_time_is_over_and_the_next_run_goes_on(tmp_path: Path) -> None:
    async with home(tmp_path, images=14, latency_s=0.12) as here:
        slow = ("--set", "servers.acme.connections=1")
        (mirror,) = (await here.json("sync", "--budget-time", "2s", *slow, exit_code=8))["mirrors"]
        assert mirror["outcome"] == "stopped"
        (rest,) = (await here.json("sync"))["mirrors"]
        assert mirror["images"]["pulled"] + rest["images"]["pulled"] == 14


async def test_10_when_a_damaged_file_cannot_be_fetched_again(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        image = here.dataset.at("/day", "pier-00000.png")
        assert image is not None
        here.standin.world.remove_image(image)
        damaged = here.mirror / "images" / "day" / "pier-00000.png"
        damaged.write_bytes(b"x" * image.size_bytes)
        answer = await here.json("verify", exit_code=10)
        assert [(item["path"], item["repaired"]) for item in answer["damaged"]] == [
            ("images/day/pier-00000.png", False)
        ]


async def test_11_when_nobody_answers(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
    answer = await here.json("sync", exit_code=11)
    assert answer["mirrors"][0]["outcome"] == "unreachable"
    assert answer["error"]["code"] == "unavailable"
    assert (await here.json("status"))["mirrors"][0]["state"] == "in_step"


async def test_12_when_the_disk_takes_no_more_and_what_came_before_is_kept(tmp_path: Path) -> None:
    async with home(tmp_path, images=3) as here:
        here.standin.world.add_image(here.dataset, "large.png", payload=noise(1200), size=(1200, 1200))

        def run() -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [sys.executable, "-m", "labelmirror", "sync", "--json"],
                cwd=tmp_path,
                env=environment(tmp_path, here.env),
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_S,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 2**20, 2 * 2**20)),
            )

        full = await to_thread.run_sync(run)
        assert (full.returncode, '"code": "disk"' in full.stdout) == (12, True), full
        await here.json("sync")
        assert len(here.files()) == 8


async def test_12_when_a_file_is_in_the_place_of_the_mirror(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.mirror.write_text("somebody's notes")
        assert (await here.json("sync", exit_code=12))["error"]["code"] == "disk"
        assert here.mirror.read_text() == "somebody's notes"


@pytest.mark.parametrize(
    ("number", "exit_code", "code"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
async def test_130_and_143_when_a_signal_ends_a_run_and_the_next_one_fetches_only_the_rest(
    tmp_path: Path, number: signal.Signals, exit_code: int, code: str
) -> None:
    async with home(tmp_path, images=14, latency_s=0.12) as here:
        process = here.start("sync", "--json", "--set", "servers.acme.connections=1")
        await until_images(here)
        process.send_signal(number)
        stdout, stderr = await to_thread.run_sync(process.communicate)
        assert process.returncode == exit_code, stderr
        answer = json.loads(stdout)
        assert (answer["exit_code"], answer["error"]["code"]) == (exit_code, code)
        assert answer["mirrors"][0]["outcome"] == "stopped"
        came = sum(path.startswith("images/") for path in here.files())
        assert 0 < came < 14
        (rest,) = (await here.json("sync"))["mirrors"]
        assert rest["images"]["pulled"] == 14 - came


async def test_130_at_once_when_the_signal_comes_twice(tmp_path: Path) -> None:
    async with home(tmp_path, images=14, latency_s=0.12) as here:
        process = here.start("sync", "--set", "servers.acme.connections=1")
        await until_images(here)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        await to_thread.run_sync(process.communicate)
        assert process.returncode == 130
        await here.json("sync")
        assert len(here.files()) == 28


async def test_130_when_a_run_that_waits_for_the_lock_is_stopped(tmp_path: Path) -> None:
    async with home(tmp_path) as here, hold_lock(tmp_path / "state", "harbour", clock=SystemClock()):
        process = here.start("sync", "--wait", "10m")
        await until_it_heeds_signals(process.pid)
        process.send_signal(signal.SIGINT)
        await to_thread.run_sync(process.communicate)
        assert process.returncode == 130


async def until_it_heeds_signals(pid: int) -> None:
    """Wait until a process has a handler of its own for SIGTERM, which Python has not."""
    with anyio.fail_after(60):
        while True:
            (caught,) = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
                return
            await anyio.sleep(0.05)


async def until_images(here: Home) -> None:
    """Wait until the first image is in its place."""
    with anyio.fail_after(PATIENCE_S):
        while not any((here.mirror / "images").rglob("pier-*")):
            await anyio.sleep(POLL_S)


def noise(edge_px: int) -> bytes:
    """A picture that does not shrink: about three bytes for each pixel."""
    file = io.BytesIO()
    Picture.effect_noise((edge_px, edge_px), 100).convert("RGB").resize((edge_px, edge_px)).save(
        file, "PNG", compress_level=0
    )
    return file.getvalue()
