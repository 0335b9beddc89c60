"""The state database keeps the laws of the state, and those of a file that outlives processes and versions."""

import random
import re
import sqlite3
import stat as stat_module
import zlib
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from contracts.state import StateContract, base_of, begin_to_list, list_all, listed, reading, record, settle, stat
from labelmirror.errors import Locked, StateDamaged
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Token
from labelmirror.model.rows import DocumentRow, ImageRecord, LocalFile, Move, Unplaced
from labelmirror.planning import places
from labelmirror.ports.state import DocumentRecorded, MirrorState
from labelmirror.state import database
from labelmirror.state.database import FILE_NAME, set_aside, statements_of
from labelmirror.state.sqlite import open_state
from labelmirror.state.statements import SQL, migrations
from support.memory_state import MemoryState


class TestSqliteState(StateContract):
    @pytest.fixture
    async def state(self, tmp_path: Path) -> AsyncIterator[MirrorState]:
        async with open_state(tmp_path / "state") as opened:
            mirror = await opened.mirror("m")
            await mirror.reset("s")
            yield mirror


def schema_of(script: str) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements_of(script):
            connection.execute(statement)
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(name, re.sub(r"\s*([(),])\s*", r"\1", " ".join(sql.split()))) for name, sql in rows}


def test_the_schema_is_what_the_migrations_make() -> None:
    schema = (files("labelmirror.state") / "schema.sql").read_text("utf-8")
    assert schema_of(schema) == schema_of("".join(migrations()))


def test_every_statement_is_read_and_has_its_sentence() -> None:
    text = (files("labelmirror.state") / "statements.sql").read_text("utf-8")
    assert text.count(";\n") == len(SQL)
    assert all(sql.strip() for sql in SQL.values())


def test_saves_left_open_are_found_without_going_over_all_that_there_ever_were() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements_of("".join(migrations())):
            connection.execute(statement)
        ((*_, step),) = connection.execute(f"EXPLAIN QUERY PLAN {SQL['saves_left_open']}", (1,)).fetchall()
    assert "saves_open" in step


async def test_everything_is_there_when_the_state_is_opened_again(tmp_path: Path) -> None:
    async with open_state(tmp_path) as opened:
        await list_all(await opened.mirror("m"), listed("a"))
        await settle(await opened.mirror("m"), "a")
        facts = await (await opened.mirror("m")).facts()
    async with open_state(tmp_path, create=False) as opened:
        state = await opened.mirror("m")
        assert await state.facts() == facts
        assert [row.key.image for row in await state.document_rows(None, 10)] == ["a"]


async def test_mirrors_do_not_see_each_other(tmp_path: Path) -> None:
    async with open_state(tmp_path) as opened:
        first, second = await opened.mirror("1"), await opened.mirror("2")
        done = await settle(first, "a", b"shared")
        await settle(second, "a", b"shared")
        assert (await first.facts()).store_id != (await second.facts()).store_id
        assert list(await opened.mirrors()) == ["1", "2"]
        await second.compact()
        assert await second.contents([done.base.content]) == {done.base.content: b"shared"}


async def test_two_processes_may_have_the_state_open(tmp_path: Path) -> None:
    async with open_state(tmp_path) as one, open_state(tmp_path) as other:
        await settle(await one.mirror("1"), "a")
        await settle(await other.mirror("2"), "b")
        assert list(await one.mirrors()) == ["1", "2"]


async def test_the_state_is_for_its_owner_only(tmp_path: Path) -> None:
    async with open_state(tmp_path / "deep" / "state") as opened:
        await opened.mirror("m")
        assert stat_module.S_IMODE((tmp_path / "deep" / "state").stat().st_mode) == 0o700
        for path in (tmp_path / "deep" / "state").iterdir():
            assert stat_module.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_a_missing_state_is_not_made_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(StateDamaged, match="no state"):
        async with open_state(tmp_path, create=False):
            pass
    assert not (tmp_path / FILE_NAME).exists()


async def test_a_file_that_is_no_database_is_damage_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all, but long enough for a header" * 100)
    with pytest.raises(StateDamaged) as caught:
        async with open_state(tmp_path):
            pass
    assert "labelmirror repair" in caught.value.hint


async def test_a_page_overwritten_with_noise_is_damage(tmp_path: Path) -> None:
    async with open_state(tmp_path) as opened:
        state = await opened.mirror("m")
        await list_all(state, *(listed(f"{number:05}") for number in range(2000)))
    data = bytearray((tmp_path / FILE_NAME).read_bytes())
    data[4096 * 20 :] = random.Random(1).randbytes(len(data) - 4096 * 20)
    (tmp_path / FILE_NAME).write_bytes(data)
    with pytest.raises(StateDamaged):
        await _read_all_images(tmp_path)


async def _read_all_images(folder: Path) -> None:
    async with open_state(folder) as opened:
        await (await opened.mirror("m")).image_rows(None, 10_000)


@pytest.mark.parametrize("noise", [b"", b"noise", zlib.compress(b"another document")])
async def test_a_content_that_is_not_what_its_name_says_is_damage(tmp_path: Path, noise: bytes) -> None:
    async with open_state(tmp_path) as opened:
        state = await opened.mirror("m")
        done = await settle(state, "a")
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other, other:
            other.execute("UPDATE contents SET data = ?", (noise,))
        with pytest.raises(StateDamaged):
            await state.contents([done.base.content])


async def test_a_state_from_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    async with open_state(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(StateDamaged, match="newer labelmirror"):
        async with open_state(tmp_path):
            pass


async def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StateDamaged, match="another program"):
        async with open_state(tmp_path):
            pass


async def test_a_damaged_state_can_be_set_aside_and_begun_anew(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"noise")
    moved = await set_aside(tmp_path, "damaged")
    assert [path.read_bytes() for path in moved] == [b"noise"]
    async with open_state(tmp_path) as opened:
        assert list(await opened.mirrors()) == []


async def test_a_state_that_another_process_keeps_writing_to_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_S", 0.01)
    async with open_state(tmp_path) as opened:
        state = await opened.mirror("m")
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Locked):
                await state.begin_listing()
        await state.begin_listing()


async def test_an_unchanged_listing_rewrites_no_rows(tmp_path: Path) -> None:
    images = [listed(f"{number:04}") for number in range(1000)]
    async with open_state(tmp_path) as opened:
        state = await opened.mirror("m")
        await list_all(state, *images)
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await list_all(state, *images)
        written = (tmp_path / f"{FILE_NAME}-wal").stat().st_size
    rows = sum(len(repr(image)) for image in images)
    assert written < rows / 3, (written, rows)


@pytest.mark.parametrize("seed", range(10))
async def test_it_answers_as_the_twin_in_memory_does(tmp_path: Path, seed: int) -> None:
    """A long random life, in small key spaces so that everything meets everything."""
    rng = random.Random(seed)
    async with open_state(tmp_path) as opened:
        real, twin = await opened.mirror("m"), MemoryState("s")
        await real.reset("s")
        for step in range(100):
            await _live(rng, real, twin)
            if step % 10 == 0:
                assert await _everything(real, rng.randint(1, 5)) == await _everything(twin, 100), f"{seed=} {step=}"


async def _live(rng: random.Random, *states: MirrorState) -> None:
    ids = rng.sample("abcdef", rng.randint(1, 4))
    sets = ("", *rng.sample(["x", "y"], rng.randint(0, 2)))
    token = rng.choice([None, Token("1", strong=True), Token("1", strong=False), Token("2", strong=False)])
    names = {id_: rng.choice(["a.jpg", "A.jpg", "b.jpg", "d/c.jpg"]) for id_ in ids}
    images = [listed(id_, names[id_], "", *sets, token=token) for id_ in ids]
    keys = [DocumentKey(id_, rng.choice(["", "x"])) for id_ in ids]
    readings = [reading(key.image, rng.choice([b"1", b"2", b"3"]), key.set) for key in keys]
    local = LocalFile(
        stat(rng.randint(1, 9)), rng.choice([None, readings[0].digest]), {"car": 1}, rng.choice([None, "bad"])
    )
    records = [ImageRecord(id_, "", names[id_], rng.choice([names[id_], f"{id_}.jpg"])) for id_ in ids]
    kind = rng.randrange(14)
    for state in states:
        match kind:
            case 0:
                await list_all(state, *images)
            case 13:
                await begin_to_list(state, *images)
            case 1 | 2:
                await state.add_listed(images, [places.fold("", image.name) for image in images])
            case 3:
                await state.add_readings([(read, token) for read in readings], 3.0)
            case 4:
                await state.forget_documents(keys[:1])
            case 5:
                await state.record_images(records)
            case 6:
                await state.end_moves(records)
            case 7:
                await state.add_readings([(read, token) for read in readings], 3.0)
                await state.record_documents([DocumentRecorded(read.key, base_of(read), local) for read in readings])
            case 8:
                await state.record_local(
                    [(key, rng_local) for key, rng_local in zip(keys, [local, None, local, None], strict=False)]
                )
            case 9:
                based = {row.key for row in await state.document_rows(None, 100) if row.base is not None}
                await state.record_checked([(key, token, 4.0) for key in keys if key in based])
            case 10:
                await state.forget_images(ids[:1])
            case 11:
                await state.forget_documents(keys)
                await state.compact()
            case _:
                here = {row.id: row.record for row in await state.image_rows(None, 100) if row.record is not None}
                await state.begin_moves(
                    [Move(here[id_], replace(here[id_], place="moved")) for id_ in ids if id_ in here]
                )


async def _everything(state: MirrorState, size: int) -> list[object]:
    images = [row async for row in _pages(state, size)]
    documents: list[DocumentRow] = []
    while page := await state.document_rows(documents[-1].key if documents else None, size):
        documents += page
    unplaced: list[Unplaced] = []
    after = None
    while waiting := await state.unplaced(after, size):
        unplaced += waiting
        after = places.fold("", waiting[-1].image.name), waiting[-1].image.id
    contents = {row.base.content for row in documents if row.base is not None}
    return [
        images,
        documents,
        unplaced,
        list(await state.unlisted()),
        await state.listed_count(),
        list(await state.unrecorded(None, 100)),
        list(await state.rows_of_images(["c", "a", "b"])),
        list(await state.unfinished_moves()),
        await state.occupied(["a.jpg", "d", "d/c.jpg", "a_jpg"]),
        await state.contents(sorted(contents)),
    ]


async def _pages(state: MirrorState, size: int) -> AsyncIterator[object]:
    after = None
    while page := await state.image_rows(after, size):
        for row in page:
            yield row
        after = page[-1].id


async def test_a_recorded_image_is_not_told_twice(tmp_path: Path) -> None:
    async with open_state(tmp_path) as opened:
        state = await opened.mirror("m")
        await list_all(state, listed("a"))
        await state.record_images([record("a")])
        assert len(await state.image_rows(None, 10)) == 1
