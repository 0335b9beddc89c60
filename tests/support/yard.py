"""A small world on a stand-in server before and after people worked on it, and a mirror of it on disk to be compared."""

import copy
import hashlib
import itertools
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelmirror.model.events import Event
from labelmirror.providers.pictograph.format import PictographFormat
from labelmirror.standin import Dataset, Standin

NAME = "harbour"
MARKER = ".labelmirror/marker.json"
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
    "mirrors": {"listing", "begun", "facts"},
    "listed": {"listing"},
    "images": {"mtime_ns", "ctime_ns", "inode"},
    "documents": {"base_checked_at_s", "local_mtime_ns", "local_ctime_ns", "local_inode"},
}
#: What depends on the way in which a document was read.
_PASSING_OF_READING = {"base_content", "local_size_bytes"}
_PASSING_FACTS = {"store_id", "last_look_s", "last_sync_s", "last_full_check_s"}


class Mute:
    """A reporter without a listener."""

    def emit(self, event: Event) -> None:
        """Take one fact."""


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
        self.standin.pages.clear()

    def fetched(self) -> set[str]:
        """The images whose bytes were asked for since the requests were forgotten."""
        routes = {"storage.image", "images.bytes"}
        return {entry.path.rpartition("/")[2] for entry in self.standin.requests if entry.route in routes}


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
    """One mirror with its state, in a folder of its own.

    Unless `exact`, documents that say the same are the same: ways of reading them differ in what is not compared.
    """

    folder: Path
    exact: bool = True

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
    def make(cls, folder: Path, standin: Standin, *, exact: bool = True) -> "Yard":
        """An empty yard."""
        folder.mkdir()
        yard = cls(folder, exact)
        yard.config.touch(mode=0o600)
        yard.config.write_text(CONFIG.format(url=standin.url, key=standin.key, name=NAME), "utf-8")
        return yard

    def lose(self, image: str) -> None:
        """Delete the working document of an image."""
        place = self.places()[image]
        (self.mirror / "annotations" / f"{place}.json").unlink()

    def files(self) -> dict[str, str]:
        """What tells the content of every file of the mirror, by its path."""
        return {
            path: self._print(path, (self.mirror / path).read_bytes())
            for path in sorted(str(path.relative_to(self.mirror)) for path in self.mirror.rglob("*") if path.is_file())
        }

    def _print(self, path: str, data: bytes) -> str:
        if self.exact or "annotations/" not in path or not path.endswith(".json"):
            return hashlib.sha256(data).hexdigest()
        documents = PictographFormat()
        return documents.digest(documents.parse(data))

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
                table: sorted((self._lasting(table, row, listing) for row in _rows(connection, table)), key=repr)
                for (table,) in tables
                if self.exact or table != "contents"
            }

    def _lasting(self, table: str, row: Mapping[str, Any], listing: Mapping[int, int]) -> dict[str, Any]:
        passing = _PASSING.get(table, set()) | (set() if self.exact else _PASSING_OF_READING)
        lasting = {name: value for name, value in row.items() if name not in passing}
        if table == "mirrors":
            facts = json.loads(row["facts"])
            lasting["facts"] = {name: value for name, value in facts.items() if name not in _PASSING_FACTS}
        if table == "listed":
            lasting["now"] = row["listing"] == listing[row["mirror"]]
        return lasting

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


@dataclass(frozen=True, slots=True)
class Held:
    """What a mirror holds when nobody disturbed it: files by path, and by image id its two files and its place."""

    files: dict[str, str]
    images: dict[str, str]
    documents: dict[str, str]
    places: dict[str, str]
    state: dict[str, Any]

    @classmethod
    def by(cls, yard: Yard) -> "Held":
        files, places = yard.files(), yard.places()
        return cls(
            files=files,
            images={id_: files[f"images/{place}"] for id_, place in places.items()},
            documents={id_: files[f"annotations/{place}.json"] for id_, place in places.items()},
            places=places,
            state=yard.state(),
        )


NOTHING = Held({}, {}, {}, {}, {})


def versions(before: Held, after: Held) -> dict[str, set[str]]:
    """The hashes that each working file may have: those of its image's file, wherever it may be by now."""
    allowed: dict[str, set[str]] = {}
    for id_ in before.places | after.places:
        held_by = [held for held in (before, after) if id_ in held.places]
        for place in {held.places[id_] for held in held_by}:
            allowed.setdefault(f"images/{place}", set()).update(held.images[id_] for held in held_by)
            allowed.setdefault(f"annotations/{place}.json", set()).update(held.documents[id_] for held in held_by)
    return allowed


def is_working(path: str) -> bool:
    """Whether a file of a mirror is one of the dataset's."""
    return path.startswith(("images/", "annotations/"))


def is_temporary(path: str) -> bool:
    """Whether a file is not in place yet."""
    return path.rpartition("/")[2].startswith(".labelmirror-")


def is_kept(path: str) -> bool:
    """Whether a file is a former version."""
    return path.startswith((".labelmirror/history/", ".labelmirror/trash/"))


def check_interrupted(yard: Yard, changed: Changed, before: Held, after: Held, where: str) -> set[str]:
    """What must hold whenever a run was cut off: INV1, INV2, INV5 and INV6. Returns the images on record with their files."""
    files = yard.files()
    allowed = versions(before, after)
    for path, found in files.items():
        if is_working(path) and not is_temporary(path):
            assert found in allowed.get(path, ()), f"{where}: {path} is no whole version"
    for id_, place in before.places.items():
        spots = {place, after.places.get(id_, place)}
        if id_ != changed.deleted:
            assert any(f"images/{spot}" in files for spot in spots), f"{where}: the image {place} is gone"
            lost = id_ == changed.lost
            assert lost or any(f"annotations/{spot}.json" in files for spot in spots), f"{where}: {place}.json is gone"
    records = {row["image"]: row for row in yard.rows("images")}
    recorded = set()
    for id_, row in records.items():
        spots = {place for place in (row["place"], row["next_place"]) if place is not None}
        there = {files.get(f"images/{spot}") for spot in spots}
        if row["condition"] == "intact" and id_ != changed.deleted:
            assert row["sha256"] in there, f"{where}: {row['place']} is on record, not on disk"
            recorded.add(id_)
    for document in yard.rows("documents"):
        id_, base = document["image"], document["base_content" if yard.exact else "base_digest"]
        if base is not None and base != before.documents.get(id_):
            path = f"annotations/{records[id_]['place']}.json"
            assert files.get(path) == base, f"{where}: base of {path} is on record before its file"
    return recorded


def check_whole(yard: Yard, before: Held, after: Held, where: str, *, but: str = "") -> None:
    """What must hold after the next run: no difference from a mirror that was never disturbed, and no version lost.

    The table `but` is not compared.
    """
    files = yard.files()
    marker = json.loads((yard.mirror / MARKER).read_bytes())
    assert marker["store_id"] == yard.facts()["store_id"], f"{where}: the marker is another store's"
    now, expected = _without_former(files), _without_former(after.files)
    assert now == expected, f"{where}: {sorted(set(now.items()) ^ set(expected.items()))}"
    state = yard.state()
    for table, rows in after.state.items():
        assert table == but or state[table] == rows, f"{where}: {table}: {_first_difference(state[table], rows)}"
    replaced = {found for path, found in before.files.items() if is_working(path)}
    assert replaced <= set(files.values()), f"{where}: a former version is neither in use nor in history or trash"


def _first_difference(found: Sequence[object], expected: Sequence[object]) -> object:
    pairs = itertools.zip_longest(found, expected)
    return next((f"{one} instead of {other}" for one, other in pairs if one != other), None)


def _without_former(files: Mapping[str, str]) -> dict[str, str]:
    return {path: found for path, found in files.items() if not is_kept(path) and path != MARKER}


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    for row in connection.execute(f"SELECT * FROM {table}") if known else ():
        yield {
            name: row[name].decode("utf-8", "surrogatepass") if name in {"image", "set_id"} else row[name]
            for name in row.keys()  # noqa: SIM118 - a Row iterates over its values
        }
