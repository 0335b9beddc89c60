"""The daemon under a steady load for a while: does it grow, does it leak, does it stay alive, does every edit arrive?

`make soak` takes 20 minutes and some; `make soak MINUTES=4320` is the form of 72 hours. A person edits a document every second
here, another one adds a box on the server every 20 s, the configuration is reloaded every minute, and every five minutes the
server fails for a while: it answers 503, or takes connections and is silent, or refuses them. At the end a worker of the daemon
is frozen, which the service manager has to learn.
"""

import json
import math
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, pairwise
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketStream
from bench.machine import Figure, describe, show

from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve

IMAGES = 200
SAMPLE_S = 5.0
GROWTH_MAX_KIB_PER_H = 1024.0
#: A fifth of the unit's patience, so that silence is seen sooner.
WATCHDOG_S = 120.0
#: What was edited last is pushed in this time, also when the server has just come back.
QUIET_S = 90.0
#: The server is well for so long, then fails in the next of these ways. The silence outlasts the patience with one answer.
WELL_S = 240.0
FAILURES_S = {"503": 30.0, "silence": 90.0, "refusal": 30.0}
#: Interpreter, libraries and caches come to rest in this part of the time, and in no more than this time. The last of it is
#: CPython's table of interned strings, which doubles once, by 0.9 MiB, after some 2 000 edits.
WARM_UP_SHARE, WARM_UP_MAX_S = 0.3, 3600.0
#: Memory goes up and down with the work; what lies within this time counts as one observation.
BLOCK_S = 60.0
#: With fewer observations than this that are independent of each other nothing is said about the error.
BLOCKS_MIN = 5
UNIT = Path(__file__).parents[1] / "systemd" / "labelmirror.service"

CONFIG = """
version = 1
state = "state"
ledger = "ledger.db"
[servers.acme]
kind = "pictograph"
url = "http://127.0.0.1:{line}"
key = {{ file = "key" }}
[datasets.street]
server = "acme"
name = "harbour"
path = "street"
push = true
every = "10s"
full_check_every = "5m"
[daemon]
settle = "500ms"
metrics = "127.0.0.1:{page}"
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one time: seconds since the beginning, resident memory, open files, threads."""

    at_s: float
    memory_kib: int
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of memory, and how far off it may be (two standard errors; None: too little was seen to say)."""

    kib_per_h: float
    error_kib_per_h: float | None

    def held(self, most_kib_per_h: float) -> bool | None:
        """Whether it is at most so much; None: what was seen does not decide that."""
        if self.error_kib_per_h is None:
            return None
        if self.kib_per_h + self.error_kib_per_h <= most_kib_per_h:
            return True
        return False if self.kib_per_h - self.error_kib_per_h > most_kib_per_h else None


@dataclass(slots=True)
class Soaked:
    """What was seen. Times are seconds since the beginning; a failure has its kind, its beginning and its end; `beat` is the next sign of life."""

    samples: list[Sample] = field(default_factory=list)
    beats_s: list[float] = field(default_factory=list)
    beat: anyio.Event = field(default_factory=anyio.Event)
    failures: list[tuple[str, float, float]] = field(default_factory=list)
    edits: int = 0
    unpushed: int = 0
    frozen_s: float = 0.0
    thawed_s: float = 0.0
    exit_code: int | None = None
    stop_s: float = 0.0
    log: list[dict[str, object]] = field(default_factory=list)

    def pause_s(self, from_s: float, to_s: float) -> float:
        """The longest time without a sign of life of those that touch this span."""
        pauses = zip(self.beats_s, self.beats_s[1:], strict=False)
        return max(
            (later - earlier for earlier, later in pauses if later > from_s and earlier < to_s), default=math.inf
        )


def growth_of(samples: Sequence[Sample]) -> Growth:
    """Growth after the warm-up: a line through the means of blocks of time, by least squares.

    A block resembles the one before it, so the error of independent blocks is widened as for a first-order autoregressive
    process; how alike they are is taken for higher than it looks, because the line has followed what they share. Memory that
    wanders about as slowly as the run is long cannot be told from growth: then there is no error.
    """
    begin_s = min(samples[-1].at_s * WARM_UP_SHARE, WARM_UP_MAX_S)
    blocks: dict[int, list[int]] = {}
    for sample in samples:
        if sample.at_s >= begin_s:
            blocks.setdefault(int((sample.at_s - begin_s) // BLOCK_S), []).append(sample.memory_kib)
    points = [(number * BLOCK_S / 3600, sum(kib) / len(kib)) for number, kib in sorted(blocks.items())]
    count = len(points)
    middle_h, middle_kib = (sum(values) / count for values in zip(*points, strict=True))
    spread = sum((h - middle_h) ** 2 for h, _ in points)
    slope = sum((h - middle_h) * (kib - middle_kib) for h, kib in points) / spread if spread else 0.0
    if count <= BLOCKS_MIN:
        return Growth(slope, None)
    rests = [kib - middle_kib - slope * (h - middle_h) for h, kib in points]
    square = sum(rest**2 for rest in rests)
    shared = sum(rest * after for rest, after in pairwise(rests)) / square if square else 0.0
    alike = max(0.0, (count * shared + 2) / (count - 4))
    if count * (1 - alike) / (1 + alike) < BLOCKS_MIN:
        return Growth(slope, None)
    return Growth(slope, 2 * math.sqrt(square / (count - 2) / spread * (1 + alike) / (1 - alike)))


class Line:
    """The line between the daemon and its server, which can be cut: then connections break, and new ones are refused."""

    def __init__(self, server: str) -> None:
        address = urlsplit(server)
        assert address.hostname is not None
        assert address.port is not None
        self._server = (address.hostname, address.port)
        self._whole = anyio.Event()
        self._carrying = anyio.CancelScope()
        self.port = _free_port()

    async def run(self) -> None:
        """Carry what is sent, until cancelled."""
        while True:
            async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port) as listener:
                with anyio.CancelScope() as self._carrying:
                    await listener.serve(self._carry)
            self._whole = anyio.Event()
            await self._whole.wait()

    def cut(self) -> None:
        """Refuse connections from now on."""
        self._carrying.cancel()

    def mend(self) -> None:
        """Carry again."""
        self._whole.set()

    async def _carry(self, client: SocketStream) -> None:
        async with client, await anyio.connect_tcp(*self._server) as server, anyio.create_task_group() as both:

            async def one_way(source: SocketStream, sink: SocketStream) -> None:
                try:
                    async for piece in source:
                        await sink.send(piece)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass  # one of the two has hung up, which the other one learns
                both.cancel_scope.cancel()

            both.start_soon(one_way, client, server)
            both.start_soon(one_way, server, client)


async def soak(minutes: float, folder: Path, tell: Callable[[Sample], None]) -> Soaked:
    """Run a daemon for so long, and watch it. Each sample is told at once."""
    seen = Soaked()
    options = StandinOptions(images=IMAGES, export_polls=0, limit=None, hang_s=math.inf)
    async with serve(options) as standin, anyio.create_task_group() as around:
        line = Line(standin.url)
        around.start_soon(line.run)
        with _manager(folder) as manager, _daemon(folder, standin.key, line.port) as process:
            begun_s = time.monotonic()
            around.start_soon(_listen, manager, begun_s, seen)
            with anyio.move_on_after(minutes * 60):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_sample, process.pid, begun_s, seen, tell)
                    tasks.start_soon(_edit_here, folder, seen)
                    tasks.start_soon(_edit_there, standin)
                    tasks.start_soon(_reload, process)
                    tasks.start_soon(_fail, standin, line, begun_s, seen)
            await anyio.sleep(QUIET_S)
            seen.unpushed = await anyio.to_thread.run_sync(_unpushed, folder)
            await _freeze(folder, begun_s, seen)
            stopped_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            seen.exit_code = await anyio.to_thread.run_sync(lambda: process.wait(30))
            seen.stop_s = time.monotonic() - stopped_s
        around.cancel_scope.cancel()
    lines = (folder / "log").read_text().splitlines()
    seen.log = [json.loads(line) for line in lines if line.startswith("{")]
    return seen


def _unpushed(folder: Path) -> int:
    """How many edits are not on the server."""
    command = [sys.executable, "-m", "labelmirror", "status", "--json"]
    status = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return int(json.loads(status.stdout)["mirrors"][0]["counts"]["ahead"])


@contextmanager
def _manager(folder: Path) -> Iterator[socket.socket]:
    """The end of the service manager, which hears signs of life."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.setblocking(False)
        yield manager


@contextmanager
def _daemon(folder: Path, key: str, line: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The daemon with the environment that its unit gives it."""
    config = folder / "labelmirror.toml"
    config.write_text(CONFIG.format(line=line, page=_free_port()))
    _write_key(folder / "key", key)
    env = {
        **os.environ,
        **_unit_environment(),
        "LABELMIRROR_CONFIG": str(config),
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


def _unit_environment() -> dict[str, str]:
    lines = (line.partition("=") for line in UNIT.read_text().splitlines())
    pairs = (pair.partition("=") for name, _, value in lines if name == "Environment" for pair in shlex.split(value))
    return {name: value for name, _, value in pairs}


def _write_key(path: Path, key: str) -> None:
    new = path.with_suffix(".new")
    new.touch(0o600)
    new.write_text(key)
    new.replace(path)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def _sample(pid: int, begun_s: float, seen: Soaked, tell: Callable[[Sample], None]) -> None:
    while True:
        await anyio.sleep(SAMPLE_S)
        seen.samples.append(_look(pid, time.monotonic() - begun_s))
        tell(seen.samples[-1])


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
            seen.beat.set()
            seen.beat = anyio.Event()


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


async def _fail(standin: Standin, line: Line, begun_s: float, seen: Soaked) -> None:
    for kind, lasts_s in cycle(FAILURES_S.items()):
        await anyio.sleep(WELL_S)
        from_s = time.monotonic() - begun_s
        match kind:
            case "503":
                standin.faults.add(Fault(route="*", kind=FaultKind.ERROR_503, times=10**9))
            case "silence":
                standin.faults.add(Fault(route="*", kind=FaultKind.TIMEOUT, times=10**9))
            case _:
                line.cut()
        try:
            await anyio.sleep(lasts_s)
        finally:
            standin.faults.clear()
            line.mend()
            seen.failures.append((kind, from_s, time.monotonic() - begun_s))


async def _freeze(folder: Path, begun_s: float, seen: Soaked) -> None:
    """Let the worker that reads the key next wait for a disk that does not answer, until the watchdog has fired; then go on.

    A pipe to which nobody writes stands in for the disk: who opens it sleeps in the kernel.
    """
    key, pipe = folder / "key", folder / "pipe"
    text = key.read_text()
    os.mkfifo(pipe, 0o600)
    pipe.replace(key)
    seen.frozen_s = time.monotonic() - begun_s
    # A turn begins, the watchdog's half goes by before the daemon says nothing any more, then all of it.
    with anyio.move_on_after(2 * WATCHDOG_S):
        while await _hears(seen, WATCHDOG_S):
            continue
    key.rename(pipe)
    _write_key(key, text)
    seen.thawed_s = time.monotonic() - begun_s
    await anyio.to_thread.run_sync(pipe.write_text, text, abandon_on_cancel=True)
    await _hears(seen, WATCHDOG_S)


async def _hears(seen: Soaked, within_s: float) -> bool:
    """Whether there is a sign of life in this time."""
    with anyio.move_on_after(within_s):
        await seen.beat.wait()
        return True
    return False


def figures(seen: Soaked) -> Sequence[Figure]:
    """What was seen, beside what it should be."""
    last = seen.samples[-1]
    tenths = [f"{seen.samples[(len(seen.samples) - 1) * tenth // 10].memory_kib / 1024:.1f}" for tenth in range(1, 11)]
    files = [sample.files for sample in seen.samples]
    cycles = [entry for entry in seen.log if entry["event"] == "cycle.finished"]
    pushed = sum(int(str(entry.get("pushed", 0))) for entry in seen.log)
    unexpected = [entry for entry in seen.log if entry["event"] in {"turn.failed", "config.refused"}]
    growth = growth_of(seen.samples)
    error = "too short for its error" if growth.error_kib_per_h is None else f"± {growth.error_kib_per_h:.0f}"
    pause_s = seen.pause_s(0, seen.frozen_s)
    return [
        Figure("time; load at its end", f"{last.at_s / 60:.1f} min; {os.getloadavg()[1]:.1f}"),
        Figure("cycles / edits made / documents pushed", f"{len(cycles)} / {seen.edits} / {pushed}"),
        Figure("edits left unpushed at the end", str(seen.unpushed), "0", seen.unpushed == 0),
        Figure("defects in the log", str(len(unexpected)), "0", not unexpected),
        Figure("resident memory after each tenth of the time", f"{', '.join(tenths)} MiB"),
        Figure(
            "its growth after the warm-up, with two standard errors",
            f"{growth.kib_per_h:.0f} KiB/h, {error}",
            f"< {GROWTH_MAX_KIB_PER_H:.0f} KiB/h",
            growth.held(GROWTH_MAX_KIB_PER_H),
        ),
        Figure(
            "open files, least / most / last", f"{min(files)} / {max(files)} / {files[-1]}", "≤ 64", max(files) <= 64
        ),
        Figure("threads at most", str(max(sample.threads for sample in seen.samples))),
        Figure(
            f"longest time between signs of life; while the server failed ({_failures(seen)})",
            f"{pause_s:.1f} s; {max((seen.pause_s(*span) for _, *span in seen.failures), default=0.0):.1f} s",
            f"< {WATCHDOG_S:.0f} s",
            pause_s < WATCHDOG_S,
        ),
        _frozen(seen),
        Figure("SIGTERM to exit", f"{seen.stop_s:.1f} s, exit code {seen.exit_code}", "< 10 s, 0", seen.exit_code == 0),
    ]


def _failures(seen: Soaked) -> str:
    kinds = [kind for kind, *_ in seen.failures]
    return ", ".join(f"{kinds.count(kind)} × {kind} for {lasts_s:.0f} s" for kind, lasts_s in FAILURES_S.items())


def _frozen(seen: Soaked) -> Figure:
    """From the freezing of a worker to the watchdog, and from its end to the next sign of life."""
    last_s = max(at_s for at_s in seen.beats_s if at_s < seen.thawed_s)
    next_s = min((at_s for at_s in seen.beats_s if at_s > seen.thawed_s), default=math.inf)
    fired_s = last_s + WATCHDOG_S
    fired = fired_s <= seen.thawed_s
    told = f"{fired_s - seen.frozen_s:.0f} s" if fired else "never"
    return Figure(
        f"a worker frozen until the watchdog of {WATCHDOG_S:.0f} s fires; signs of life once it goes on",
        f"{told}; after {next_s - seen.thawed_s:.1f} s",
        "fires; come back",
        fired and next_s < math.inf,
    )


def main() -> int:
    """Soak for the minutes that are named (20), and print; 1 if a goal was missed.

    A second argument names a file for the samples: a line for each as it is taken, in the order of the fields of Sample.
    """
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(sys.argv[2] if len(sys.argv) > 2 else os.devnull).open("w", buffering=1) as samples,
    ):

        def tell(sample: Sample) -> None:
            samples.write(f"{sample.at_s:.0f},{sample.memory_kib},{sample.files},{sample.threads}\n")

        print(describe(), flush=True)
        found = figures(anyio.run(soak, minutes, Path(folder), tell))
    show("Soak", found)
    return 1 if any(figure.held is False for figure in found) else 0


if __name__ == "__main__":
    sys.exit(main())
