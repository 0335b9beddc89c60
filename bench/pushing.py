"""What pushing edited documents costs: re-reads, saves and readings back, counted by the server.

`python -m bench.pushing`. Each edit changes one annotation of one document, in a mirror of documents alone.
"""

import json
from pathlib import Path

from bench.machine import Figure, describe, show
from bench.mirror import MirrorFolder, mirror_of
from bench.server import Server, server

IMAGES = 1000
EDITS = 500

#: One document's read and one's save, and a save of many, as the stand-in calls them.
READ, SAVE, BULK_SAVE = "annotations.read", "annotations.save", "annotations.bulk-save"


def run() -> list[Figure]:
    """Measure."""
    with server(images=IMAGES) as on, mirror_of(on, content="annotations") as mirror:
        mirror.configure(on, content="annotations", connections=16, status=None, push=True)
        mirror.run("sync")
        on.asked()
        mirror.run("sync")
        idle = on.asked().api
        return [figure for edits in (1, EDITS) for figure in _pushed(on, mirror, edits, idle)]


def _pushed(on: Server, mirror: MirrorFolder, edits: int, idle: int) -> list[Figure]:
    """A sync that pushes so many edits, beside one of `idle` requests that has nothing to do."""
    documents = sorted((mirror.folder / "mirror" / "annotations").rglob("*.json"))[:edits]
    for document in documents:
        _edit(document, 1 / (1 + edits))
    ended = mirror.run("sync")
    routes, spent = on.routes(), on.asked().api - idle
    pushed = ended.mirror["documents"]["pushed"]
    window_s = json.loads(mirror.run("status").stdout.splitlines()[-1])["mirrors"][0]["window_s"]["last"]
    mirror.run("sync")
    after = on.asked().api - idle
    forecast = 2 * edits + -(-edits // 200)
    parts = f"{routes[READ]} reads, {routes.get(SAVE, 0) + routes.get(BULK_SAVE, 0)} saves"
    return [
        Figure(
            f"{edits} edited, {pushed} pushed",
            f"{spent} requests more ({parts}), {ended.wall_s:.1f} s, last window {window_s:.2f} s",
            f"2 each and ⌈n / 200⌉: {forecast}",
            pushed == edits and spent <= forecast,
        ),
        # What was read back has not been seen beside a listing yet.
        Figure("the run after that", f"{after} requests more"),
    ]


def _edit(document: Path, confidence: float) -> None:
    held = json.loads(document.read_bytes())
    held["annotations"][0]["confidence"] = confidence
    document.write_text(json.dumps(held, indent=2))


if __name__ == "__main__":
    print(describe())
    show(f"Pushing, {IMAGES} documents", run())
