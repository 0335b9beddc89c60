"""How many API requests 10 000 annotated images cost, counted by the program and by the server, beside the SDK.

`python -m bench.requests`. A page is what the cheapest listing returns: 10 000 images.
"""

import tempfile
from pathlib import Path

from bench import sdk
from bench.machine import Figure, describe, show
from bench.mirror import Ended, mirror_of
from bench.server import Server, server

IMAGES = 10_000
PAGES = 1
CHANGED = IMAGES // 100


def run() -> list[Figure]:
    """Measure."""
    with server(images=IMAGES) as on, mirror_of(on) as mirror:
        figures = [_counted(on, mirror.sync(), "first mirror", 15)]
        figures.append(_counted(on, mirror.sync(), "nothing changed", PAGES + 3))
        on.change(CHANGED)
        changed = mirror.sync("--full-check")
        figures.append(_counted(on, changed, "1 % changed, half of it geometry only (`--full-check`)", 15))
        pulled = changed.mirror["documents"]["pulled"]
        figures.append(Figure("documents pulled then", str(pulled), str(CHANGED), pulled == CHANGED))
        figures.append(_official(on))
    return figures


def _counted(on: Server, ended: Ended, what: str, goal: int) -> Figure:
    asked, told = on.asked(), ended.mirror["requests"]["api"]
    measured = f"{asked.api} requests ({told} by its own count), {asked.storage} files, {ended.wall_s:.1f} s"
    return Figure(what, measured, f"≤ {goal}", asked.api == told <= goal)


def _official(on: Server) -> Figure:
    with tempfile.TemporaryDirectory(prefix="labelmirror-bench-") as folder:
        ended = sdk.download(on, Path(folder))
    return Figure(f"official SDK {sdk.VERSION}, download", f"{on.asked().api} requests, {ended.wall_s:.1f} s")


if __name__ == "__main__":
    print(describe())
    show(f"API requests, {IMAGES} annotated images", run())
