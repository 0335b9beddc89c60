"""What large datasets cost: memory, requests and local work.

`python -m bench.scale`. Peak memory is the largest resident set of the whole `sync` process.
"""

from bench.machine import Figure, describe, show
from bench.mirror import Ended, mirror_of
from bench.server import server

IMAGES = 100_000
LISTED = 1_000_000
PAGE = 10_000
MEMORY_MIB = 300
LOCAL_S = 15.0


def run() -> list[Figure]:
    """Measure."""
    return [*_mirrored("annotations", "documents"), *_mirrored("all", "images with their documents"), *_selected()]


def _mirrored(content: str, what: str) -> list[Figure]:
    """100 000 of them: a first mirror, then nothing changed."""
    with server(images=IMAGES) as on, mirror_of(on, content=content) as mirror:
        first = mirror.sync()
        fetched = on.asked()
        again = mirror.sync()
        asked = on.asked()
    began, what = f"first mirror of {IMAGES} {what}", f"nothing changed, {IMAGES} {what}"
    pages = -(-IMAGES // PAGE)
    return [
        _peak(first, began),
        Figure(f"{began}: requests", f"{fetched.api}"),
        _peak(again, what),
        Figure(
            f"{what}: requests, bytes of files",
            f"{asked.api}, {asked.storage_bytes}",
            f"≤ {pages + 3}, 0",
            asked.api <= pages + 3 and asked.storage_bytes == 0,
        ),
        Figure(
            f"{what}: CPU of the whole command, and wall",
            f"{again.cpu_s:.1f} s, {again.wall_s:.1f} s",
            f"≤ {LOCAL_S:.0f} s of local work",
            again.cpu_s <= LOCAL_S,
        ),
    ]


def _selected() -> list[Figure]:
    """A million listed, of which a filter takes 100 000."""
    # An export with annotations in every document would be larger than labelmirror takes.
    with server(images=LISTED, unannotated_every=2) as on:
        on.complete(IMAGES)
        with mirror_of(on, content="annotations", status="complete") as mirror:
            first = mirror.sync()
    return [_peak(first, f"{LISTED} listed, {IMAGES} documents mirrored")]


def _peak(ended: Ended, what: str) -> Figure:
    peak_mib = ended.peak_bytes / 2**20
    measured = f"{peak_mib:.0f} MiB, {ended.wall_s:.1f} s, {ended.cpu_s:.1f} s CPU"
    return Figure(f"{what}: peak memory, wall, CPU", measured, f"≤ {MEMORY_MIB} MiB", peak_mib <= MEMORY_MIB)


if __name__ == "__main__":
    print(describe())
    show("Scale", run())
