"""What a whole read of the server brought, on disk: memory does not grow with it.

A SQLite file in the folder for temporary files, without a name as soon as it is open, so that no end of the program leaves
it behind. Its methods block: they are called on worker threads, one at a time.
"""

import codecs
import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from labelmirror.errors import DiskError, ProtocolError
from labelmirror.model.document import JsonObject
from labelmirror.providers.answers import read
from labelmirror.providers.coco_annotator import wire
from labelmirror.providers.coco_annotator.elements import Elements
from labelmirror.providers.temporary import disk_errors

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE seen (id INTEGER PRIMARY KEY) STRICT;
CREATE TABLE image (id INTEGER PRIMARY KEY, fields TEXT NOT NULL) STRICT;
CREATE TABLE annotation (image INTEGER, id INTEGER, row TEXT NOT NULL, PRIMARY KEY (image, id)) STRICT, WITHOUT ROWID;
"""
_INSERT_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """An image of the spool: its fields as documents show them, the rows of its annotations, and a hash of all that."""

    image: JsonObject
    annotations: Sequence[str]
    hash: str


class Spool:
    """The images of one dataset, and what can be seen of their annotations."""

    def __init__(self, folder: Path) -> None:
        with disk_errors(folder), tempfile.NamedTemporaryFile(dir=folder, prefix="whole-read-") as file:
            try:
                # Serialised by the caller; the file stays usable without its name.
                self._db = sqlite3.connect(file.name, isolation_level=None, check_same_thread=False)
                self._db.executescript(_SCHEMA)
            except sqlite3.Error as error:
                raise DiskError(f"{folder}: no temporary database can be made ({error})") from error

    def close(self) -> None:
        """Give the space back."""
        self._db.close()

    def add_seen(self, ids: Iterable[int]) -> None:
        """Note images of any dataset."""
        self._run("INSERT OR IGNORE INTO seen VALUES (?)", [(number,) for number in ids])

    def seen(self) -> int:
        """How many different images were noted."""
        return int(self._db.execute("SELECT count(*) FROM seen").fetchone()[0])

    def add_images(self, images: Iterable[JsonObject]) -> None:
        """Take over images of the dataset."""
        rows = [(image["id"], json.dumps(image, separators=(",", ":"))) for image in images]
        self._run("INSERT OR REPLACE INTO image VALUES (?, ?)", rows)

    def images(self) -> int:
        """How many images the dataset has."""
        return int(self._db.execute("SELECT count(*) FROM image").fetchone()[0])

    def take_annotations(self, chunks: Iterable[bytes], categories: frozenset[int], where: str, depth_max: int) -> None:
        """Replace all annotations by those of one answer that lie in an image here and in one of these categories.

        Raises ProtocolError for what is no list of annotations.
        """
        self._run("DELETE FROM annotation", [()])
        elements, decoder = Elements(where, depth_max), codecs.getincrementaldecoder("utf-8")()
        rows: list[tuple[int, int, str]] = []
        try:
            for chunk in chunks:
                for element, text in elements.feed(decoder.decode(chunk)):
                    row = read(wire.AnnotationRow, element, where=where)
                    if row.image_id is not None and not row.deleted and row.category_id in categories:
                        rows.append((row.image_id, row.id, text))
                if len(rows) >= _INSERT_SIZE:
                    self._add_annotations(rows)
                    rows = []
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise ProtocolError(f"{where} answered something that is not UTF-8") from None
        elements.end()
        self._add_annotations(rows)

    def _add_annotations(self, rows: Sequence[tuple[int, int, str]]) -> None:
        self._run("INSERT OR REPLACE INTO annotation SELECT ?1, ?2, ?3 WHERE ?1 IN (SELECT id FROM image)", rows)

    def pages(self, size: int, salt: bytes) -> Iterator[Sequence[Kept]]:
        """All images by id, `size` at a time. `salt` goes into their hashes."""
        after = 0
        while numbers := [
            row[0] for row in self._db.execute("SELECT id FROM image WHERE id > ? ORDER BY id LIMIT ?", (after, size))
        ]:
            after = numbers[-1]
            yield self.kept(numbers, salt)

    def kept(self, ids: Sequence[int], salt: bytes = b"") -> Sequence[Kept]:
        """Those of these images that are here, by id."""
        wanted = json.dumps(list(ids))
        rows = self._db.execute(
            "SELECT image, row FROM annotation WHERE image IN (SELECT value FROM json_each(?)) ORDER BY image, id",
            [wanted],
        )
        annotations = {image: [text for _, text in group] for image, group in groupby(rows, key=itemgetter(0))}
        images = self._db.execute(
            "SELECT id, fields FROM image WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id", [wanted]
        )
        return [
            Kept(json.loads(fields), annotations.get(number, ()), _hash(salt, fields, annotations.get(number, ())))
            for number, fields in images
        ]

    def _run(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        try:
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise DiskError(f"the folder for temporary files cannot be written ({error})") from error


def _hash(salt: bytes, fields: str, annotations: Sequence[str]) -> str:
    total = hashlib.blake2b(salt, digest_size=16)
    for text in (fields, *annotations):
        data = text.encode("utf-8", "surrogatepass")
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()
