# ruff: noqa: D102 - the port says what each method promises
"""MirrorState on the state database. Every method is one hop to a worker thread, for a page or a batch."""

import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from labelmirror.model.document import ContentId, JsonValue, content_id
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import ListedImage, Reading, Token
from labelmirror.model.rows import (
    DocumentRow,
    ImageRecord,
    ImageRow,
    LocalFile,
    MirrorFacts,
    Move,
    SetRecord,
    Unplaced,
)
from labelmirror.model.trouble import Trouble
from labelmirror.ports.journal import SaveJournal
from labelmirror.ports.provider import ProviderMemory
from labelmirror.ports.state import DocumentRecorded
from labelmirror.state import values
from labelmirror.state.database import Database, open_database, passing
from labelmirror.state.journal import SqliteJournal
from labelmirror.state.statements import SQL, sides_of
from labelmirror.state.values import inside, key_out, outside

#: Sorts before every BLOB: SQLite puts numbers first.
_FIRST: Final = -1
#: Sorts after every folded path.
_LAST_FOLD: Final = chr(0x10FFFF)
#: No limit, to SQLite.
_ALL: Final = -1


@asynccontextmanager
async def open_state(folder: Path, *, create: bool = True) -> AsyncIterator["StateDatabase"]:
    """Open the state of a configuration. Raises StateDamaged if it cannot be used, or is missing without `create`."""
    async with open_database(folder, create=create) as database:
        yield StateDatabase(database)


class StateDatabase:
    """The memories of all mirrors of a configuration."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mirrors(self) -> Sequence[str]:
        """The mirrors that have a memory, sorted by name."""
        return [name for name, _ in await self._ids()]

    async def mirror(self, name: str) -> "SqliteMirrorState":
        """The memory of a mirror; a new one, with a store id of its own, if there is none yet."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(SQL["add_mirror"], (name, values.facts_out(MirrorFacts(uuid4().hex))))

        ids = dict(await self._ids())
        if name not in ids:
            await self._database.write(work)
            ids = dict(await self._ids())
        return SqliteMirrorState(self._database, ids[name])

    async def _ids(self) -> Sequence[tuple[str, int]]:
        return await self._database.read(lambda connection: connection.execute(SQL["mirror_ids"]).fetchall())


class SqliteMemory:
    """ProviderMemory of one mirror."""

    def __init__(self, database: Database, mirror: int) -> None:
        self._database = database
        self._mirror = mirror

    async def get(self, name: str) -> JsonValue:
        """What was put under this name, None if nothing was."""

        def work(connection: sqlite3.Connection) -> JsonValue:
            row = connection.execute(SQL["remembered"], (self._mirror, name)).fetchone()
            value: JsonValue = json.loads(row[0]) if row is not None else None
            return value

        return await self._database.read(work)

    async def put(self, name: str, value: JsonValue) -> None:
        """Remember, durably; None forgets."""

        def work(connection: sqlite3.Connection) -> None:
            if value is None:
                connection.execute(SQL["forget_remembered"], (self._mirror, name))
            else:
                connection.execute(SQL["remember"], (self._mirror, name, values.to_json(value)))

        await self._database.write(work)


class SqliteMirrorState:
    """The memory of one mirror. The port, `MirrorState`, says what each method promises."""

    def __init__(self, database: Database, mirror: int) -> None:
        self._database = database
        self._mirror = mirror
        self.memory: ProviderMemory = SqliteMemory(database, mirror)
        self.journal: SaveJournal = SqliteJournal(database, mirror)

    async def facts(self) -> MirrorFacts:
        (text,) = await self._row("facts", self._mirror)
        return values.facts_in(text)

    async def set_facts(self, facts: MirrorFacts) -> None:
        await self._write_all("set_facts", [(self._mirror, values.facts_out(facts))])

    async def reset(self, store_id: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for table in _TABLES:
                connection.execute(f"DELETE FROM {table} WHERE mirror = ?", (self._mirror,))  # noqa: S608 - our own names
            connection.execute(SQL["set_facts"], (self._mirror, values.facts_out(MirrorFacts(store_id))))

        await self._database.write(work)

    async def forget_future(self, now_s: float) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for name in ("forget_future_readings", "forget_future_checks"):
                connection.execute(SQL[name], (self._mirror, now_s))

        await self._database.write(work)

    # --- looking at the server -------------------------------------------------------------------------------------

    async def begin_listing(self) -> None:
        await self._write_all("begin_listing", [(self._mirror,)])

    async def end_listing(self) -> None:
        await self._write_all("end_listing", [(self._mirror,)])

    async def add_listed(self, images: Sequence[ListedImage], folds: Sequence[str]) -> None:
        mirror = self._mirror

        def work(connection: sqlite3.Connection) -> None:
            listing = self._begun(connection)
            connection.executemany(SQL["mark_listed"], [(mirror, outside(image.id), listing) for image in images])
            changed: list[tuple[values.Column, ...]] = []
            documents: list[tuple[values.Column, ...]] = []
            for image, fold in zip(images, folds, strict=True):
                row = (mirror, *values.listed_out(image, fold))
                if connection.execute(SQL["put_listing"], row).fetchone() is None:
                    continue
                changed.append(row[:2])
                documents += [
                    (*row[:2], outside(document.set), values.token_out(document.token), document.empty)
                    for document in image.documents
                ]
            connection.executemany(SQL["drop_listed_documents"], changed)
            connection.executemany(SQL["put_listed_document"], documents)

        await self._database.write(work)

    async def listed_count(self) -> int:
        def work(connection: sqlite3.Connection) -> int:
            parameters = (self._mirror, self._begun(connection))
            (count,) = connection.execute(SQL["listed_count"], parameters).fetchone()
            return int(count)

        return await self._database.read(work)

    async def listed(self, ids: Sequence[str]) -> Sequence[ListedImage]:
        def work(connection: sqlite3.Connection) -> Sequence[ListedImage]:
            listing = self._listing(connection)
            found = (
                connection.execute(SQL["listed_image"], (self._mirror, outside(id_), listing)).fetchone() for id_ in ids
            )
            return [values.listed_in(row[0], row[1:]) for row in found if row is not None]

        return await self._database.read(work)

    async def add_readings(self, readings: Sequence[tuple[Reading, Token | None]], at_s: float) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for reading, token in readings:
                assert reading.data is not None, "a reading with a problem has nothing to put on record"
                content = content_id(reading.data)
                if connection.execute(SQL["has_content"], (content,)).fetchone() is None:
                    connection.execute(SQL["put_content"], (content, values.content_out(reading.data)))
                row = (reading.digest, content, values.to_json(reading.counts), values.token_out(token), at_s)
                connection.execute(SQL["put_reading"], (self._mirror, *key_out(reading.key), *row))

        await self._database.write(work)

    async def unlisted(self) -> Sequence[str]:
        return [inside(image) for (image,) in await self._rows(SQL["unlisted"], {})]

    # --- rows ------------------------------------------------------------------------------------------------------

    async def image_rows(self, after: str | None, limit: int) -> Sequence[ImageRow]:
        start = outside(after) if after is not None else _FIRST
        return [
            values.image_row_in(row) for row in await self._rows(SQL["image_rows"], {"after": start, "limit": limit})
        ]

    async def document_rows(self, after: DocumentKey | None, limit: int) -> Sequence[DocumentRow]:
        return await self._page("keys_in_order", after, limit)

    async def unrecorded(self, after: DocumentKey | None, limit: int) -> Sequence[DocumentRow]:
        return await self._page("keys_unrecorded", after, limit)

    async def rows_of_images(self, images: Sequence[str]) -> Sequence[DocumentRow]:
        def work(connection: sqlite3.Connection) -> Sequence[DocumentRow]:
            here = {"mirror": self._mirror, "listing": self._listing(connection)}
            query, folders = sides_of("keys_of_image"), self._folders(connection)
            found = (connection.execute(query, {**here, "image": outside(image)}) for image in sorted(set(images)))
            return [values.document_row_in(row, folders) for rows in found for row in rows]

        return await self._database.read(work)

    async def unplaced(self, after: tuple[str, str] | None, limit: int) -> Sequence[Unplaced]:
        def work(connection: sqlite3.Connection) -> Sequence[tuple[Any, ...]]:
            fold, image = (after[0], outside(after[1])) if after is not None else ("", _FIRST)
            parameters = {"mirror": self._mirror, "listing": self._listing(connection)}
            query = SQL["unplaced"]
            page = connection.execute(
                query, parameters | {"fold": fold, "image": image, "last": _LAST_FOLD, "limit": limit}
            ).fetchall()
            if len(page) == limit:
                fold, image = page[-1][:2]
                group = parameters | {"fold": fold, "image": image, "last": fold, "limit": _ALL}
                page += connection.execute(query, group).fetchall()
            return page

        page = await self._database.read(work)
        groups = Counter(row[0] for row in page)
        return [
            Unplaced(
                values.listed_in(row[1], row[2:5]), values.record_in(row[1], row[5:14]), groups[row[0]], bool(row[14])
            )
            for row in page
        ]

    async def begin_moves(self, moves: Sequence[Move]) -> None:
        await self._write_all(
            "begin_move",
            [
                (self._mirror, outside(new.id), values.origin_out(new.directory, new.name), new.place)
                for new in (move.new for move in moves)
            ],
        )

    async def unfinished_moves(self) -> Sequence[Move]:
        rows = await self._database.read(
            lambda connection: connection.execute(SQL["moving"], (self._mirror,)).fetchall()
        )
        return [values.move_in(row) for row in rows]

    async def end_moves(self, records: Sequence[ImageRecord]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(SQL["put_image"], [(self._mirror, *values.record_out(record)) for record in records])
            connection.executemany(SQL["end_move"], [(self._mirror, outside(record.id)) for record in records])

        await self._database.write(work)

    async def occupied(self, folds: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
        def work(connection: sqlite3.Connection) -> tuple[frozenset[str], frozenset[str]]:
            query = SQL["occupied"]
            found = [(fold, *connection.execute(query, (self._mirror, fold)).fetchone()) for fold in folds]
            return (
                frozenset(fold for fold, is_file, _ in found if is_file),
                frozenset(fold for fold, _, is_folder in found if is_folder),
            )

        return await self._database.read(work)

    async def sets(self) -> Sequence[SetRecord]:
        rows = await self._database.read(self._sets)
        return [SetRecord(inside(set_id), inside(name), folder) for set_id, name, folder in rows]

    async def record_sets(self, sets: Sequence[SetRecord]) -> None:
        await self._write_all(
            "put_set", [(self._mirror, outside(entry.id), outside(entry.name), entry.folder) for entry in sets]
        )

    async def known_paths(self, paths: Sequence[str]) -> frozenset[str]:
        def work(connection: sqlite3.Connection) -> frozenset[str]:
            folders = set(self._folders(connection).values())
            places = {path: place for path in paths if (place := _place_of(path, folders)) is not None}
            rows = ((path, (self._mirror, place)) for path, place in places.items())
            return frozenset(path for path, row in rows if connection.execute(SQL["is_place"], row).fetchone())

        return await self._database.read(work)

    async def contents(self, ids: Sequence[ContentId]) -> Mapping[ContentId, bytes]:
        def work(connection: sqlite3.Connection) -> Mapping[ContentId, bytes]:
            found = {id_: connection.execute(SQL["content"], (id_,)).fetchone() for id_ in ids}
            return {id_: values.content_in(id_, row[0]) for id_, row in found.items() if row is not None}

        return await self._database.read(work)

    # --- recording -------------------------------------------------------------------------------------------------

    async def record_images(self, records: Sequence[ImageRecord]) -> None:
        await self._write_all("put_image", [(self._mirror, *values.record_out(record)) for record in records])

    async def record_documents(self, records: Sequence[DocumentRecorded]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for record in records:
                row = (self._mirror, *key_out(record.key))
                stored = connection.execute(SQL["has_content"], (record.base.content,)).fetchone()
                assert stored is not None, "a base without its content"
                connection.execute(
                    SQL["put_document"], (*row, *values.base_out(record.base), *values.local_out(record.local))
                )
                connection.execute(SQL["drop_reading"], row)

        await self._database.write(work)

    async def record_local(self, found: Sequence[tuple[DocumentKey, LocalFile | None]]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for key, local in found:
                row = (self._mirror, *key_out(key))
                if local is not None:
                    connection.execute(SQL["put_local"], (*row, *values.local_out(local)))
                else:
                    connection.execute(SQL["clear_local"], row)
                    connection.execute(SQL["drop_sideless"], row)

        await self._database.write(work)

    async def record_checked(self, checked: Sequence[tuple[DocumentKey, Token | None, float]]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for key, token, at_s in checked:
                row = (self._mirror, *key_out(key))
                connection.execute(SQL["put_checked"], (*row, values.token_out(token), at_s))
                connection.execute(SQL["drop_reading"], row)

        await self._database.write(work)

    async def forget_images(self, ids: Sequence[str]) -> None:
        rows = [(self._mirror, outside(id_)) for id_ in ids]

        def work(connection: sqlite3.Connection) -> None:
            for name in ("forget_image", "forget_documents_of", "drop_readings_of"):
                connection.executemany(SQL[name], rows)

        await self._database.write(work)

    async def forget_documents(self, keys: Sequence[DocumentKey]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for name in ("forget_document", "drop_reading"):
                connection.executemany(SQL[name], self._keys(keys))

        await self._database.write(work)

    # --- what went wrong -------------------------------------------------------------------------------------------

    async def set_troubles(self, troubles: Sequence[Trouble]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(SQL["clear_troubles"], (self._mirror,))
            connection.executemany(
                SQL["put_trouble"],
                [(self._mirror, position, values.trouble_out(trouble)) for position, trouble in enumerate(troubles)],
            )

        await self._database.write(work)

    async def troubles(self) -> Sequence[Trouble]:
        rows = await self._database.read(
            lambda connection: connection.execute(SQL["troubles"], (self._mirror,)).fetchall()
        )
        return [values.trouble_in(item) for (item,) in rows]

    async def compact(self) -> None:
        def work(connection: sqlite3.Connection) -> None:
            present = {"mirror": self._mirror, "listing": self._listing(connection)}
            for name in ("drop_old_listed_documents", "drop_old_listings", "drop_old_listed"):
                connection.execute(SQL[name], present)
            connection.execute(SQL["drop_unused_sets"], present)
            with passing(connection):
                connection.execute(SQL["drop_unused_contents"])

        await self._database.write(work)

    # --- on the worker thread ----------------------------------------------------------------------------------------

    def _listing(self, connection: sqlite3.Connection) -> int:
        (listing,) = connection.execute(SQL["listing"], (self._mirror,)).fetchone()
        return int(listing)

    def _begun(self, connection: sqlite3.Connection) -> int:
        (begun,) = connection.execute(SQL["begun"], (self._mirror,)).fetchone()
        return int(begun)

    # --- on the loop -------------------------------------------------------------------------------------------------

    def _keys(self, keys: Sequence[DocumentKey]) -> Sequence[tuple[int, bytes, bytes]]:
        return [(self._mirror, *key_out(key)) for key in keys]

    async def _row(self, name: str, *parameters: values.Column) -> values.Row:
        def work(connection: sqlite3.Connection) -> values.Row:
            row: values.Row = connection.execute(SQL[name], parameters).fetchone()
            return row

        return await self._database.read(work)

    def _sets(self, connection: sqlite3.Connection) -> Sequence[values.Row]:
        return connection.execute(SQL["sets"], (self._mirror,)).fetchall()

    def _folders(self, connection: sqlite3.Connection) -> Mapping[bytes, str]:
        return {set_id: folder for set_id, _, folder in self._sets(connection)}

    async def _page(self, keys: str, after: DocumentKey | None, limit: int) -> Sequence[DocumentRow]:
        image, set_id = key_out(after) if after is not None else (_FIRST, _FIRST)
        parameters = {"mirror": self._mirror, "image": image, "set_id": set_id, "limit": limit}

        def work(connection: sqlite3.Connection) -> Sequence[DocumentRow]:
            folders = self._folders(connection)
            rows = connection.execute(sides_of(keys), parameters | {"listing": self._listing(connection)})
            return [values.document_row_in(row, folders) for row in rows]

        return await self._database.read(work)

    async def _rows(self, query: str, parameters: Mapping[str, values.Column]) -> Sequence[values.Row]:
        def work(connection: sqlite3.Connection) -> Sequence[values.Row]:
            here = {"mirror": self._mirror, "listing": self._listing(connection)}
            return connection.execute(query, here | dict(parameters)).fetchall()

        return await self._database.read(work)

    async def _write_all(self, name: str, rows: Sequence[tuple[values.Column, ...]]) -> None:
        await self._database.write(lambda connection: connection.executemany(SQL[name], rows))


#: What hangs on a mirror, beside its facts.
_TABLES: Final = (
    "memory",
    "listings",
    "listed",
    "listed_documents",
    "images",
    "documents",
    "sets",
    "readings",
    "troubles",
)


def _place_of(path: str, folders: AbstractSet[str]) -> str | None:
    """The place of the image that a path may belong to. A file whose name is no Unicode cannot belong to any.

    `folders` are those of annotation sets; where there are any, every document lies in one of them.
    """
    if any("\ud800" <= char <= "\udfff" for char in path):
        return None
    if path.startswith("images/"):
        return path.removeprefix("images/")
    if path.startswith("annotations/") and path.endswith(".json"):
        place = path.removeprefix("annotations/").removesuffix(".json")
        if not folders:
            return place
        folder, _, inner = place.partition("/")
        return inner if folder in folders else None
    return None
