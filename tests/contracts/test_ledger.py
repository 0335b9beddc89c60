"""The ledgers against their contract, and what only the one in a file can get wrong."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from labelmirror.ledger.sqlite import SCHEMA_VERSION, SqliteLedger
from labelmirror.model.pacing import Book
from support.ledger import MemoryLedger
from support.ledger_contract import FULL, LedgerContract, OpenLedger, get, put

ORIGIN, KEY = "https://a.example", "pk_live_secret"


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "pacing.db"


@pytest.fixture
async def open_file(file: Path, warnings: list[str]) -> AsyncIterator[Callable[[], SqliteLedger]]:
    opened: list[SqliteLedger] = []

    def open_one() -> SqliteLedger:
        opened.append(SqliteLedger(file, warnings.append))
        return opened[-1]

    yield open_one
    for ledger in opened:
        await ledger.aclose()


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def open_ledger(self) -> OpenLedger:
        ledger = MemoryLedger()
        return lambda: ledger


class TestSqliteLedger(LedgerContract):
    @pytest.fixture
    def open_ledger(self, open_file: Callable[[], SqliteLedger], warnings: list[str]) -> OpenLedger:
        assert warnings == []
        return open_file

    async def test_neither_server_nor_key_can_be_read_from_the_file(
        self, open_file: Callable[[], SqliteLedger], file: Path
    ) -> None:
        ledger = open_file()
        await (await ledger.account(ORIGIN, KEY)).transact(put(FULL))
        await ledger.aclose()
        stored = b"".join(path.read_bytes() for path in file.parent.iterdir())
        assert KEY.encode() not in stored
        assert b"a.example" not in stored

    async def test_the_file_is_for_its_owner_only(self, open_file: Callable[[], SqliteLedger], file: Path) -> None:
        await open_file().account(ORIGIN, KEY)
        assert file.stat().st_mode & 0o077 == 0

    async def test_a_damaged_file_is_kept_aside_and_replaced(
        self, open_file: Callable[[], SqliteLedger], file: Path, warnings: list[str]
    ) -> None:
        file.parent.mkdir()
        file.write_bytes(b"no database at all, but long enough to be taken for one" * 40)
        account = await open_file().account(ORIGIN, KEY)
        await account.transact(put(FULL))
        assert await (await open_file().account(ORIGIN, KEY)).transact(get) == FULL
        assert file.with_name("pacing.db.damaged").exists()
        assert len(warnings) == 1

    async def test_an_unreadable_book_begins_anew(
        self, open_file: Callable[[], SqliteLedger], file: Path, warnings: list[str]
    ) -> None:
        await (await open_file().account(ORIGIN, KEY)).transact(put(FULL))
        connection = sqlite3.connect(file)
        connection.execute('UPDATE book SET body = \'{"limit": "many"}\'')
        connection.commit()
        connection.close()
        assert await (await open_file().account(ORIGIN, KEY)).transact(get) == Book()
        assert len(warnings) == 1

    async def test_a_file_of_a_newer_version_is_left_alone(
        self, open_file: Callable[[], SqliteLedger], file: Path, warnings: list[str]
    ) -> None:
        file.parent.mkdir()
        connection = sqlite3.connect(file)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.close()
        before = file.read_bytes()
        account = await open_file().account(ORIGIN, KEY)
        await account.transact(put(FULL))
        assert await account.transact(get) == FULL
        assert file.read_bytes() == before
        assert len(warnings) == 1

    async def test_a_place_that_cannot_be_written_gives_way_to_a_private_book(
        self, tmp_path: Path, warnings: list[str]
    ) -> None:
        (tmp_path / "not_a_folder").touch()
        account = await SqliteLedger(tmp_path / "not_a_folder" / "pacing.db", warnings.append).account(ORIGIN, KEY)
        await account.transact(put(FULL))
        assert await account.transact(get) == FULL
        assert len(warnings) == 1

    async def test_a_killed_process_leaves_the_last_whole_book(
        self, open_file: Callable[[], SqliteLedger], file: Path, warnings: list[str]
    ) -> None:
        await (await open_file().account(ORIGIN, KEY)).transact(put(FULL))
        script = (
            "import os, sqlite3, sys\n"
            "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "connection.execute('BEGIN IMMEDIATE')\n"
            "connection.execute(\"UPDATE book SET body = 'half'\")\n"
            "os.kill(os.getpid(), 9)\n"
        )
        killed = subprocess.run([sys.executable, "-c", script, str(file)], timeout=30, check=False)
        assert killed.returncode == -9
        assert await (await open_file().account(ORIGIN, KEY)).transact(get) == FULL
        assert warnings == []
