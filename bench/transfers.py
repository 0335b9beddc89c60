"""How fast files come, and for how much CPU, beside curl and the official SDK.

`python -m bench.transfers`. The contenders take turns on the same files, each into an empty folder in memory, and only
ratios are judged. The storage host answers at once, or after a delay as over a distance. curl writes what comes and
nothing else; labelmirror checks, hashes, syncs and records each file, and its time is that of the whole command. The SDK
fetches its documents one by one, from the stand-in's API, and so its time has some of the stand-in's in it.
"""

import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import sdk
from bench.machine import Figure, describe, show
from bench.mirror import Ended, mirror_of, run_command
from bench.server import Server, server

IMAGES = 5_000
CONNECTIONS = 32
ROUNDS = 3
#: Over a distance labelmirror adapts the number of its connections up to this many.
CONNECTIONS_MAX = 64
DELAY_S = 0.03
_MEMORY = "/dev/shm"


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians over all rounds."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s, {IMAGES / self.wall_s:.0f} images/s, {self.cpu_s:.2f} s CPU"


def run() -> list[Figure]:
    """Measure."""
    return [*_near(), *_far()]


def _near() -> list[Figure]:
    contenders = {
        "labelmirror, all": _ours("all", CONNECTIONS),
        "labelmirror, images": _ours("images", CONNECTIONS),
        "SDK": _sdk,
    }
    if _curl() is not None:
        contenders["curl"] = _bare
    costs = _raced(contenders, delay_s=0)
    figures = [Figure(f"{name}, answers at once", str(cost)) for name, cost in costs.items()]
    ours, images, official = costs["labelmirror, all"], costs["labelmirror, images"], costs["SDK"]
    figures.append(_ratio("SDK / labelmirror, wall", official.wall_s / ours.wall_s, at_least=5))
    figures.append(_ratio("SDK / labelmirror, CPU", official.cpu_s / ours.cpu_s, at_least=5))
    if _curl() is None:
        return [*figures, _NO_CURL]
    figures.append(_ratio("labelmirror, images / curl -Z, wall", images.wall_s / costs["curl"].wall_s, at_most=3))
    return figures


def _far() -> list[Figure]:
    if _curl() is None:
        return [_NO_CURL]
    costs = _raced({"labelmirror, images": _ours("images", CONNECTIONS_MAX), "curl": _bare}, delay_s=DELAY_S)
    figures = [Figure(f"{name}, answers after {DELAY_S * 1000:.0f} ms", str(cost)) for name, cost in costs.items()]
    ratio = costs["labelmirror, images"].wall_s / costs["curl"].wall_s
    return [*figures, _ratio("labelmirror, images / curl -Z, wall, with that delay", ratio, at_most=1)]


def _raced(contenders: dict[str, Callable[[Server], Ended]], *, delay_s: float) -> dict[str, Cost]:
    ended: dict[str, list[Ended]] = {name: [] for name in contenders}
    with server(images=IMAGES) as on:
        on.hasten(delay_s)
        names = list(contenders)
        for number in range(ROUNDS):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                ended[name].append(contenders[name](on))
    return {
        name: Cost(statistics.median(run.wall_s for run in runs), statistics.median(run.cpu_s for run in runs))
        for name, runs in ended.items()
    }


def _ours(content: str, connections: int) -> Callable[[Server], Ended]:
    def measured(on: Server) -> Ended:
        with mirror_of(on, content=content, connections=connections, below=_MEMORY) as mirror:
            ended = mirror.sync()
            assert ended.mirror["images"]["pulled"] == IMAGES
            return ended

    return measured


def _sdk(on: Server) -> Ended:
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        return sdk.download(on, Path(folder))


def _bare(on: Server) -> Ended:
    curl = _curl()
    assert curl is not None
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        lines = (f'url = "{link}"\noutput = "{folder}/{image}"\n' for image, link in on.links().items())
        config = Path(folder) / "curl.txt"
        config.write_text("".join(lines), "utf-8")
        ended = run_command([curl, "-Z", "--parallel-max", str(CONNECTIONS), "-s", "-S", "-f", "-K", config])
        assert len(list(Path(folder).iterdir())) == IMAGES + 1
        return ended


def _curl() -> str | None:
    return shutil.which("curl")


_NO_CURL = Figure("curl -Z", "curl is not installed: apt-get install curl")


def _ratio(what: str, ratio: float, *, at_least: float | None = None, at_most: float | None = None) -> Figure:
    if at_least is not None:
        return Figure(what, f"{ratio:.2f}", f"≥ {at_least:g}", ratio >= at_least)
    assert at_most is not None
    return Figure(what, f"{ratio:.2f}", f"≤ {at_most:g}", ratio <= at_most)


if __name__ == "__main__":
    print(describe())
    show(f"Transfers, {IMAGES} images of 40 to 80 kB, {CONNECTIONS} connections, {ROUNDS} rounds in turn", run())
