"""The daemon under a steady load for a while: does it grow, does it leak, does it stay alive, does every edit arrive?

`make soak` takes 20 minutes; `make soak MINUTES=4320` is the form of 72 hours. A person edits a document every second here, another
one adds a box on the server every 20 s, the configuration is reloaded every minute, the server goes down for a while every
five.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from bench.machine import Figure, describe, show

from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve

IMAGES = 200
SAMPLE_S = 5.0
SLOPE_MAX_KIB_PER_H = 2048.0
WATCHDOG_S = 20.0
#: What was edited last is pushed in this time, also when the server has just come back.
QUIET_S = 60.0
DOWN_EVERY_S, DOWN_S = 300.0, 30.0
#: Interpreter, libraries and caches come to rest in this part of the time.
WARM_UP_SHARE = 0.3

CONFIG = """
version = 1
state = "state"
ledger = "ledger.db"
[servers.acme]
kind = "pictograph"
url = "{url}"
key = {{ env = "SOAK_KEY" }}
[datasets.street]
server = "acme"
name = "harbour"
path = "street"
push = true
every = "10s"
full_check_every = "5m"
[daemon]
settle = "500ms"
metrics = "127.0.0.1:{port}"
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one time: seconds since the beginning, resident memory, open files, threads."""

    at_s: float
    memory_kib: int
    files: int
    threads: int


@dataclass(slots=True)
class Soaked:
    """What was seen."""

    samples: list[Sample] = field(default_factory=list)
    beats_s: list[float] = field(default_factory=list)
    edits: int = 0
    unpushed: int = 0
    exit_code: int | None = None
    stop_s: float = 0.0
    log: list[dict[str, object]] = field(default_factory=list)

    def slope_kib_per_h(self) -> float:
        """Growth of memory after the warm-up, by least squares."""
        kept = self.samples[int(len(self.samples) * WARM_UP_SHARE) :]
        middle_s = sum(sample.at_s for sample in kept) / len(kept)
        middle_kib = sum(sample.memory_kib for sample in kept) / len(kept)
        spread = sum((sample.at_s - middle_s) ** 2 for sample in kept)
        return 3600 * sum((s.at_s - middle_s) * (s.memory_kib - middle_kib) for s in kept) / spread


async def soak(minutes: float, folder: Path) -> Soaked:
    """Run a daemon for so long, and watch it."""
    seen = Soaked()
    async with serve(StandinOptions(images=IMAGES, export_polls=0, limit=None)) as standin:
        with _manager(folder) as manager, _daemon(folder, standin) as process:
            begun_s = time.monotonic()
            with anyio.move_on_after(minutes * 60):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_sample, process.pid, begun_s, seen)
                    tasks.start_soon(_listen, manager, begun_s, seen)
                    tasks.start_soon(_edit_here, folder, seen)
                    tasks.start_soon(_edit_there, standin)
                    tasks.start_soon(_reload, process)
                    tasks.start_soon(_take_down, standin)
            standin.faults.clear()
            await anyio.sleep(QUIET_S)
            stopped_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            seen.exit_code = await anyio.to_thread.run_sync(lambda: process.wait(30))
            seen.stop_s = time.monotonic() - stopped_s
    seen.log, seen.unpushed = _aftermath(folder)
    return seen


def _aftermath(folder: Path) -> tuple[list[dict[str, object]], int]:
    """What was logged, and how many edits are not on the server."""
    lines = (folder / "log").read_text().splitlines()
    command = [sys.executable, "-m", "labelmirror", "status", "--json"]
    status = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    ahead = json.loads(status.stdout)["mirrors"][0]["counts"]["ahead"]
    return [json.loads(line) for line in lines if line.startswith("{")], ahead


@contextmanager
def _manager(folder: Path) -> Iterator[socket.socket]:
    """The end of the service manager, which hears signs of life."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.setblocking(False)
        yield manager


@contextmanager
def _daemon(folder: Path, standin: Standin) -> Iterator["subprocess.Popen[bytes]"]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "labelmirror.toml").write_text(CONFIG.format(url=standin.url, port=port))
    env = {
        **os.environ,
        "SOAK_KEY": standin.key,
        "NOTIFY_SOCKET": str(folder / "notify"),
        "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "labelmirror", "run"], cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _sample(pid: int, begun_s: float, seen: Soaked) -> None:
    while True:
        await anyio.sleep(SAMPLE_S)
        seen.samples.append(_look(pid, time.monotonic() - begun_s))


def _look(pid: int, at_s: float) -> Sample:
    process = Path(f"/proc/{pid}")
    facts = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    files = sum(1 for _ in (process / "fd").iterdir())
    return Sample(at_s, int(facts["VmRSS"].split()[0]), files, int(facts["Threads"]))


async def _listen(manager: socket.socket, begun_s: float, seen: Soaked) -> None:
    while True:
        await anyio.wait_readable(manager)
        if b"WATCHDOG=1" in manager.recv(4096):
            seen.beats_s.append(time.monotonic() - begun_s)


async def _edit_here(folder: Path, seen: Soaked) -> None:
    """Change the confidence of an annotation, in a file and at a time drawn by lot."""
    draw = random.Random(1)
    while True:
        await anyio.sleep(draw.uniform(0.5, 1.5))
        documents = sorted((folder / "street" / "annotations").rglob("*.json"))
        if not documents:
            continue
        chosen = draw.choice(documents)
        held = json.loads(chosen.read_bytes())
        if not held["annotations"]:
            continue
        held["annotations"][0]["confidence"] = round(draw.random(), 6)
        chosen.write_text(json.dumps(held, indent=2, ensure_ascii=False))
        seen.edits += 1


async def _edit_there(standin: Standin) -> None:
    draw = random.Random(2)
    while True:
        await anyio.sleep(20)
        standin.world.annotate(draw.choice(list(standin.world.dataset("harbour"))))


async def _reload(process: "subprocess.Popen[bytes]") -> None:
    while True:
        await anyio.sleep(60)
        process.send_signal(signal.SIGHUP)


async def _take_down(standin: Standin) -> None:
    while True:
        await anyio.sleep(DOWN_EVERY_S - DOWN_S)
        standin.faults.add(Fault(route="*", kind=FaultKind.ERROR_503, times=10**9))
        await anyio.sleep(DOWN_S)
        standin.faults.clear()


def figures(seen: Soaked) -> Sequence[Figure]:
    """What was seen, beside what it should be."""
    last = seen.samples[-1]
    tenths = [f"{seen.samples[(len(seen.samples) - 1) * tenth // 10].memory_kib / 1024:.0f}" for tenth in range(1, 11)]
    files = [sample.files for sample in seen.samples]
    pauses = [later - earlier for earlier, later in zip(seen.beats_s, seen.beats_s[1:], strict=False)]
    cycles = [entry for entry in seen.log if entry["event"] == "cycle.finished"]
    pushed = sum(int(str(entry.get("pushed", 0))) for entry in seen.log)
    unexpected = [entry for entry in seen.log if entry["event"] in {"turn.failed", "config.refused"}]
    slope = seen.slope_kib_per_h()
    return [
        Figure("time", f"{last.at_s / 60:.1f} min"),
        Figure("cycles / edits made / documents pushed", f"{len(cycles)} / {seen.edits} / {pushed}"),
        Figure("edits left unpushed at the end", str(seen.unpushed), "0", seen.unpushed == 0),
        Figure("defects in the log", str(len(unexpected)), "0", not unexpected),
        Figure("resident memory after each tenth of the time", f"{', '.join(tenths)} MiB"),
        Figure(
            "memory slope after the warm-up",
            f"{slope:.0f} KiB/h",
            f"≤ {SLOPE_MAX_KIB_PER_H:.0f} KiB/h over an hour or more",
            slope <= SLOPE_MAX_KIB_PER_H if last.at_s >= 3600 else None,
        ),
        Figure(
            "open files, least / most / last", f"{min(files)} / {max(files)} / {files[-1]}", "≤ 64", max(files) <= 64
        ),
        Figure("threads at most", str(max(sample.threads for sample in seen.samples))),
        Figure(
            "longest time between signs of life",
            f"{max(pauses):.1f} s of {WATCHDOG_S:.0f} s",
            f"< {WATCHDOG_S:.0f} s",
            max(pauses) < WATCHDOG_S,
        ),
        Figure("SIGTERM to exit", f"{seen.stop_s:.1f} s, exit code {seen.exit_code}", "< 10 s, 0", seen.exit_code == 0),
    ]


def main() -> int:
    """Soak for the minutes that are named (20), and print; 1 if a goal was missed."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as folder:
        print(describe(), flush=True)
        found = figures(anyio.run(soak, minutes, Path(folder)))
    show("Soak", found)
    return 1 if any(figure.held is False for figure in found) else 0


if __name__ == "__main__":
    sys.exit(main())
