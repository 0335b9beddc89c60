"""What snapshots of 10 000 documents take, and what it costs to bring 10 000 vandalised documents back.

`python -m bench.backups`.
"""

from pathlib import Path

from bench.machine import Figure, describe, show
from bench.mirror import MirrorFolder, mirror_of
from bench.server import Server, server

DOCUMENTS = 10_000
SECOND_PERCENT = 1.0


def run() -> list[Figure]:
    """Measure."""
    with server(images=DOCUMENTS) as on, mirror_of(on, content="annotations") as mirror:
        mirror.sync()
        return [*_saved(mirror), *_restored(on, mirror)]


def _saved(mirror: MirrorFolder) -> list[Figure]:
    """Two snapshots, between which nothing changed."""
    first = mirror.run("backup")
    first_bytes = _stored_bytes(mirror)
    second = mirror.run("backup")
    share = 100 * (_stored_bytes(mirror) - first_bytes) / first_bytes
    return [
        Figure(f"first snapshot of {DOCUMENTS} documents", f"{first_bytes / 2**20:.1f} MiB, {first.wall_s:.1f} s"),
        Figure(
            "second, nothing changed: share of the first",
            f"{share:.2f} %, {second.wall_s:.1f} s",
            f"< {SECOND_PERCENT:.0f} %",
            share < SECOND_PERCENT,
        ),
    ]


def _restored(on: Server, mirror: MirrorFolder) -> list[Figure]:
    """Every document changed on the server, half of them by their geometry only, and brought back."""
    before = on.digests()
    on.change(DOCUMENTS)
    changed = sum(after != before[image] for image, after in on.digests().items())
    on.asked()
    ended = mirror.run("restore", "latest", "--to-server", "--exact", *_consent(changed))
    asked, told = on.asked(), ended.mirror["requests"]["api"]
    equal = sum(after == before[image] for image, after in on.digests().items())
    return [
        Figure(
            f"{changed} vandalised documents restored: equal in canonical form",
            f"{equal}",
            f"{DOCUMENTS}",
            changed == equal == DOCUMENTS,
        ),
        Figure(
            "requests for that",
            f"{asked.api} ({told} by its own count), {ended.wall_s:.0f} s",
            "",
        ),
    ]


def _consent(changed: int) -> list[str]:
    return ["--allow-changes", str(changed), "--allow-deletes", str(changed)]


def _stored_bytes(mirror: MirrorFolder) -> int:
    """The size of all files of the store."""
    return sum(file.stat().st_size for file in Path(mirror.folder / "backups").rglob("*") if file.is_file())


if __name__ == "__main__":
    print(describe())
    show(f"Snapshots, {DOCUMENTS} documents", run())
