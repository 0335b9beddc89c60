"""What it costs that every file is on the disk before it is on record.

`python -m bench.durability`. The same first mirror on a disk, as it is and with the tree's calls of fsync left out; the
database still syncs in both.
"""

import statistics
import sys
from dataclasses import dataclass

from bench.machine import Figure, describe, show
from bench.mirror import MirrorFolder, mirror_of, run_command
from bench.server import server

IMAGES = 3_000
ROUNDS = 3
GOAL = 1.5
_CARELESS = """
import os, sys
os.fsync = os.fdatasync = lambda descriptor: None
from labelmirror.__main__ import main
sys.argv[0] = "labelmirror"
main()
"""


@dataclass(slots=True)
class _Times:
    durable_s: list[float]
    careless_s: list[float]


def run() -> list[Figure]:
    """Measure."""
    times = _Times([], [])
    with server(images=IMAGES) as on:
        on.hasten(0)
        for _ in range(ROUNDS):
            with mirror_of(on, connections=32) as mirror:
                times.durable_s.append(mirror.sync().wall_s)
            with mirror_of(on, connections=32) as mirror:
                times.careless_s.append(_sync_carelessly(mirror))
    durable_s, careless_s = statistics.median(times.durable_s), statistics.median(times.careless_s)
    ratio = durable_s / careless_s
    return [
        Figure(f"{IMAGES} images and documents with fsync", f"{durable_s:.2f} s"),
        Figure("without", f"{careless_s:.2f} s"),
        Figure("with / without", f"{ratio:.2f}", f"≤ {GOAL:g}", ratio <= GOAL),
    ]


def _sync_carelessly(mirror: MirrorFolder) -> float:
    config = mirror.folder / "labelmirror.toml"
    return run_command([sys.executable, "-c", _CARELESS, "sync", "--json", "--config", config]).wall_s


if __name__ == "__main__":
    print(describe())
    show(f"Durability, on a disk, medians of {ROUNDS} rounds in turn", run())
