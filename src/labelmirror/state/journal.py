# ruff: noqa: D102 - the port says what each method promises
"""SaveJournal on the state database."""

import sqlite3
from collections.abc import Mapping, Sequence

from labelmirror.model.document import ContentId, Digest
from labelmirror.model.keys import DocumentKey
from labelmirror.model.saving import SaveOutcome, SaveRecord
from labelmirror.state import values
from labelmirror.state.database import Database
from labelmirror.state.statements import SQL
from labelmirror.state.values import inside, key_out


class SqliteJournal:
    """The saves of one mirror. They outlive a repair: what was sent stays known, and can be undone."""

    def __init__(self, database: Database, mirror: int) -> None:
        self._database = database
        self._mirror = mirror

    async def open_saves(self, records: Sequence[SaveRecord], contents: Mapping[ContentId, bytes]) -> None:
        stored = [(content, values.content_out(data)) for content, data in contents.items()]
        rows = [(self._mirror, *_row_out(record)) for record in records]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(SQL["put_content"], stored)
            connection.executemany(SQL["open_save"], rows)

        await self._database.write(work)

    async def close_save(self, save: str, outcome: SaveOutcome, previous_count: int | None = None) -> None:
        row = (self._mirror, save, outcome.value, previous_count)
        await self._database.write(lambda connection: connection.execute(SQL["close_save"], row))

    async def open_records(self) -> Sequence[SaveRecord]:
        return await self._records("saves_left_open", self._mirror)

    async def saves(
        self, *, key: DocumentKey | None = None, run: str | None = None, since_s: float = 0.0
    ) -> Sequence[SaveRecord]:
        records = await self._records("saves", self._mirror, since_s)
        return [record for record in records if key in {None, record.key} and run in {None, record.run}]

    async def set_alarm(self, key: DocumentKey) -> None:
        await self._alarm("set_alarm", key)

    async def clear_alarm(self, key: DocumentKey) -> None:
        await self._alarm("clear_alarm", key)

    async def alarms(self) -> frozenset[DocumentKey]:
        rows = await self._database.read(
            lambda connection: connection.execute(SQL["alarms"], (self._mirror,)).fetchall()
        )
        return frozenset(DocumentKey(inside(image), inside(set_id)) for image, set_id in rows)

    async def _records(self, name: str, *about: values.Column) -> Sequence[SaveRecord]:
        rows = await self._database.read(lambda connection: connection.execute(SQL[name], about).fetchall())
        return [_row_in(row) for row in rows]

    async def _alarm(self, name: str, key: DocumentKey) -> None:
        await self._database.write(lambda connection: connection.execute(SQL[name], (self._mirror, *key_out(key))))


def _row_out(record: SaveRecord) -> tuple[values.Column, ...]:
    return (
        record.id,
        record.run,
        *key_out(record.key),
        record.image,
        record.at_s,
        record.base,
        record.before,
        record.before_digest,
        record.body,
        record.body_digest,
        record.idempotency_key,
        record.read_count,
        record.new_count,
        record.previous_count,
        record.outcome.value,
    )


def _row_in(row: values.Row) -> SaveRecord:
    id_, run, image, set_id, place, at_s, base, before, before_digest, body, body_digest, key, *counts, outcome = row
    read_count, new_count, previous_count = counts
    return SaveRecord(
        id_,
        run,
        DocumentKey(inside(image), inside(set_id)),
        place,
        at_s,
        ContentId(base) if base is not None else None,
        ContentId(before),
        Digest(before_digest),
        ContentId(body),
        Digest(body_digest),
        key,
        read_count,
        new_count,
        previous_count,
        SaveOutcome(outcome),
    )
