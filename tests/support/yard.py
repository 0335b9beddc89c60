"""A small world on a stand-in server before and after people worked on it, and a mirror of it on disk to be compared."""

import copy
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelmirror.standin import Dataset, Standin

NAME = "harbour"
CONFIG = """
version = 1
state = "state"
ledger = "ledger.db"

[servers.standin]
kind = "pictograph"
url = "{url}"
key = "{key}"
connections = 4

[datasets.yard]
server = "standin"
name = "{name}"
path = "mirror"
"""

#: What differs from run to run, by table: times, names of runs, and what the disk says of files.
_PASSING = {
    "mirrors": {"listing", "facts"},
    "listed": {"listing"},
    "images": {"mtime_ns", "ctime_ns", "inode"},
    "documents": {"base_checked_at_s", "local_mtime_ns", "local_ctime_ns", "local_inode"},
}
_PASSING_FACTS = {"store_id", "last_sync_s", "last_full_check_s"}


class Scene:
    """The worlds of one stand-in, to be put on it again and again."""

    def __init__(self, standin: Standin) -> None:
        self.standin = standin
        self.before = self._held()
        self.changed = change(standin)
        self.after = self._held()

    def _held(self) -> dict[str, Dataset]:
        return copy.deepcopy(self.standin.world.datasets)

    def put(self, datasets: dict[str, Dataset]) -> None:
        """Let the server hold this, and forget what it was asked."""
        world = self.standin.world
        world.datasets.clear()
        world.datasets.update(copy.deepcopy(datasets))
        world._dataset_of.clear()
        world._dataset_of.update({image.id: held for held in world.datasets.values() for image in held})
        self.standin.faults.clear()
        self.standin.requests.clear()


@dataclass(frozen=True, slots=True)
class Changed:
    """The ids of the images that people changed."""

    added: str
    counted: str
    moved_box: str
    renamed: str
    deleted: str
    #: Its local document is deleted too, by whoever has the mirror.
    lost: str


def change(standin: Standin) -> Changed:
    """What people did: one image of each kind, with annotations except the added one."""
    world = standin.world
    dataset = world.dataset(NAME)
    images = [image for image in dataset if image.annotations]
    counted, moved_box, renamed, deleted, lost = images[:5]
    added = world.add_image(dataset, "new.png", "/day")
    world.annotate(added)
    world.annotate(counted)
    world.move_geometry(moved_box)
    world.move_image(renamed, "/moved", "renamed" + Path(renamed.filename).suffix)
    world.annotate(renamed)
    world.remove_image(deleted)
    return Changed(added.id, counted.id, moved_box.id, renamed.id, deleted.id, lost.id)


@dataclass(frozen=True, slots=True)
class Yard:
    """One mirror with its state, in a folder of its own."""

    folder: Path

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "labelmirror.toml"

    @property
    def mirror(self) -> Path:
        """The mirror's directory."""
        return self.folder / "mirror"

    @property
    def database(self) -> Path:
        """The state database."""
        return self.folder / "state" / "labelmirror.db"

    @classmethod
    def make(cls, folder: Path, standin: Standin) -> "Yard":
        """An empty yard."""
        folder.mkdir()
        yard = cls(folder)
        yard.config.touch(mode=0o600)
        yard.config.write_text(CONFIG.format(url=standin.url, key=standin.key, name=NAME), "utf-8")
        return yard

    def lose(self, image: str) -> None:
        """Delete the working document of an image."""
        place = self.places()[image]
        (self.mirror / "annotations" / f"{place}.json").unlink()

    def working_files(self) -> dict[str, bytes]:
        """What lies below images/ and annotations/, whatever its name, by path."""
        return {path: data for path, data in self.files().items() if path.startswith(("images/", "annotations/"))}

    def files(self) -> dict[str, bytes]:
        """Every file of the mirror by its path."""
        return {
            str(path.relative_to(self.mirror)): path.read_bytes()
            for path in sorted(self.mirror.rglob("*"))
            if path.is_file()
        }

    def kept(self) -> set[bytes]:
        """The contents of history and trash."""
        folders = (self.mirror / ".labelmirror" / name for name in ("history", "trash"))
        return {path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}

    def summary(self) -> dict[str, Any]:
        """What dataset.json says."""
        summary: dict[str, Any] = json.loads((self.mirror / "dataset.json").read_text("utf-8"))
        return summary

    def places(self) -> dict[str, str]:
        """The place of each image on record, by id."""
        return {row["image"]: row["place"] for row in self.rows("images")}

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table of the state, read from a copy, so that the original is left as a dead process left it."""
        with self._copied() as connection:
            return list(_rows(connection, table))

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """All that the state remembers and that does not differ from run to run."""
        with self._copied() as connection:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
            listing = dict(connection.execute("SELECT id, listing FROM mirrors"))
            return {
                table: sorted((_lasting(table, row, listing) for row in _rows(connection, table)), key=repr)
                for (table,) in tables
            }

    def facts(self) -> dict[str, Any]:
        """What is known of the mirror as a whole; empty before there is a state."""
        rows = self.rows("mirrors")
        facts: dict[str, Any] = json.loads(rows[0]["facts"]) if rows else {}
        return facts

    def _copied(self) -> "closing[sqlite3.Connection]":
        copied = self.folder / "look"
        shutil.rmtree(copied, ignore_errors=True)
        copied.mkdir()
        for path in self.database.parent.glob(f"{self.database.name}*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, copied / path.name)
        connection = sqlite3.connect(copied / self.database.name)
        connection.row_factory = sqlite3.Row
        return closing(connection)


def sha256(data: bytes) -> str:
    """The hash by which the state knows an image, in hex."""
    return hashlib.sha256(data).hexdigest()


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    for row in connection.execute(f"SELECT * FROM {table}") if known else ():
        yield {
            name: row[name].decode("utf-8", "surrogatepass") if name in {"image", "set_id"} else row[name]
            for name in row.keys()  # noqa: SIM118 - a Row iterates over its values
        }


def _lasting(table: str, row: Mapping[str, Any], listing: Mapping[int, int]) -> dict[str, Any]:
    lasting = {name: value for name, value in row.items() if name not in _PASSING.get(table, set())}
    if table == "mirrors":
        facts = json.loads(row["facts"])
        lasting["facts"] = {name: value for name, value in facts.items() if name not in _PASSING_FACTS}
    if table == "listed":
        lasting["now"] = row["listing"] == listing[row["mirror"]]
    return lasting
