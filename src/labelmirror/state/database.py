"""The state database: one file for all mirrors of a configuration, one connection, one call at a time off the loop."""

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from labelmirror.errors import DiskError, Locked, StateDamaged, StateForeign, disk_error
from labelmirror.state.statements import migrations
from labelmirror.state.values import REPAIR

T = TypeVar("T")

FILE_NAME: Final = "labelmirror.db"
#: "LblM": tells this program's databases from others.
_APPLICATION_ID: Final = 0x4C626C4D
#: Another process may be writing a large page of its own mirror.
_BUSY_TIMEOUT_S: Final = 60.0
#: Rows come in the server's order and are kept by id: pages are met again and again while a listing goes by. And the
#: log is folded back seldom enough that a page which was met often is written once.
_CACHE_KIB: Final = 32 * 1024
_LOG_PAGES: Final = 8 * 1024
#: What meets each page once gains nothing by keeping it, and all that was ever saved would be kept for it.
_PASSING_CACHE_KIB: Final = 1024

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_DISK = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}


class Database:
    """An open database. Calls wait for each other; each write is one transaction, on disk when the call returns.

    Raises StateDamaged, DiskError, or Locked when another process writes without end.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some reading on a worker thread."""
        return await anyio.to_thread.run_sync(self._read, work, limiter=self._one_at_a_time)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some writing on a worker thread, all of it or nothing."""
        return await anyio.to_thread.run_sync(self._write, work, limiter=self._one_at_a_time)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with _translated(self._path):
            return work(self._connection)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with _translated(self._path), transaction(self._connection):
            return work(self._connection)


@asynccontextmanager
async def open_database(folder: Path, *, create: bool) -> AsyncIterator[Database]:
    """Open the database in a state folder and bring it to the present schema.

    Both are made, for the owner only, if they are missing and `create`; else StateDamaged is raised, as it is for a file
    that is damaged, foreign, or from a newer version.
    """
    path = folder / FILE_NAME
    connection = await anyio.to_thread.run_sync(_open, path, create)
    try:
        yield Database(path, connection)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(connection.close)


async def set_aside(folder: Path, mark: str) -> Sequence[Path]:
    """Rename a damaged database, with the files that belong to it, so that a new one can be begun; the new names."""
    return await anyio.to_thread.run_sync(_set_aside, folder, mark)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is written inside, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # SQLite rolls back by itself when the disk is full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def passing(connection: sqlite3.Connection) -> Iterator[None]:
    """Go over whole tables inside, with memory that does not grow with them."""
    connection.execute(f"PRAGMA cache_size = -{_PASSING_CACHE_KIB}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _open(path: Path, create: bool) -> sqlite3.Connection:
    with _translated(path):
        if not path.exists():
            if not create:
                raise StateDamaged(f"{path}: there is no state", hint=REPAIR)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            _migrate(path, connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    scripts = migrations()
    if _pragma(connection, "user_version") == len(scripts) and _pragma(connection, "application_id") == _APPLICATION_ID:
        return
    with transaction(connection):
        version = _pragma(connection, "user_version")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and _pragma(connection, "application_id") != _APPLICATION_ID:
            raise StateForeign(f"{path}: this is a database of another program", hint="Name another folder as `state`.")
        if version > len(scripts):
            raise StateForeign(
                f"{path}: its version is {version}, this program knows {len(scripts)}: a newer labelmirror wrote it",
                hint="Use that version again, or a newer one.",
            )
        for script in scripts[version:]:
            for statement in statements_of(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(scripts)}")


def statements_of(script: str) -> Iterator[str]:
    """The statements of a script one by one: sqlite3's executescript would commit the transaction around it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    with closing(connection.execute(f"PRAGMA {name}")) as cursor:
        (value,) = cursor.fetchone()
    return int(value)


def _set_aside(folder: Path, mark: str) -> Sequence[Path]:
    moved: list[Path] = []
    with _translated(folder):
        for suffix in ("", "-wal", "-shm"):
            path = folder / (FILE_NAME + suffix)
            if path.exists():
                moved.append(path.rename(folder / f"{FILE_NAME}.{mark}{suffix}"))
    return moved


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say about the file into errors of this program; other errors are defects."""
    try:
        yield
    except OSError as error:
        raise disk_error(str(path), error, forbidden="The state folder must be writable by this user.") from error
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else None
        if code in _DAMAGED:
            raise StateDamaged(f"{path}: the state is damaged ({error})", hint=REPAIR) from error
        if code in _DISK:
            hint = "Make room on its disk, and see that this user may write there; then run again."
            raise DiskError(f"{path}: {error}", hint=hint) from error
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            hint = "Look for a labelmirror that hangs: `labelmirror doctor` names it."
            raise Locked(f"{path}: another process kept writing for {_BUSY_TIMEOUT_S:.0f} s", hint=hint) from error
        raise
