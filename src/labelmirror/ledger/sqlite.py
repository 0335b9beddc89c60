"""A ledger in one SQLite file (WAL), shared by all processes of a host that run as one user.

A change is one IMMEDIATE transaction: the book is locked first, then read, so no two processes spend the same quota.
A crash loses at most what was never committed. Nothing here stops the work: a damaged file is put aside and replaced,
a file that cannot be used (full disk, newer version, lock never free) gives way to books of this process alone; either
is told once through `warn`.
"""

import hashlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
from pydantic import TypeAdapter, ValidationError

from labelmirror.model.pacing import Book
from labelmirror.ports.ledger import Account

T = TypeVar("T")

SCHEMA_VERSION = 1
_LOCK_TIMEOUT_S = 10.0
_BOOK = TypeAdapter(Book)


class SqliteLedger:
    """The ledger in `file`, which is made with its folder when first used, for its owner only."""

    def __init__(self, file: Path, warn: Callable[[str], None]) -> None:
        self._file = file
        self._warn = warn
        self._warned: set[str] = set()
        # Calls come from worker threads, and cancelled ones may still be running: one at a time uses the connection.
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._private_salt = secrets.token_bytes(16)
        self._private: dict[str, Book] = {}

    async def account(self, origin: str, secret: str) -> Account:
        """See the port. Origins that differ in case or a closing slash are the same."""
        salt = await anyio.to_thread.run_sync(self._salt)
        subject = f"{origin.rstrip('/').lower()}\n{secret}".encode()
        return SqliteAccount(self, hashlib.blake2b(subject, key=salt, digest_size=16).hexdigest())

    async def aclose(self) -> None:
        """Close the file."""
        await anyio.to_thread.run_sync(self._close)

    def transact(self, account: str, change: Callable[[Book], tuple[Book, T]]) -> T:
        """`Account.transact`, blocking."""
        with self._lock:
            found = self._in_file(lambda connection: self._change(connection, account, change))
            if found is not None:
                return found[0]
            book, result = change(self._private.get(account, Book()))
            self._private[account] = book
            return result

    def _change(
        self, connection: sqlite3.Connection, account: str, change: Callable[[Book], tuple[Book, T]]
    ) -> tuple[T]:
        with _immediate(connection):
            row = connection.execute("SELECT body FROM book WHERE account = ?", (account,)).fetchone()
            before = self._parse(row[0]) if row else Book()
            book, result = change(before)
            if book != before:
                body = _BOOK.dump_json(book).decode()
                connection.execute("INSERT OR REPLACE INTO book (account, body) VALUES (?, ?)", (account, body))
        self._private[account] = book
        return (result,)

    def _parse(self, body: str) -> Book:
        try:
            return _BOOK.validate_json(body)
        except ValidationError:
            self._tell("an entry of the pacing ledger is not readable; it begins anew")
            return Book()

    def _salt(self) -> bytes:
        def read(connection: sqlite3.Connection) -> bytes:
            row = connection.execute("SELECT salt FROM salt").fetchone()
            if row is None:
                raise sqlite3.DatabaseError("the salt is missing")
            return bytes(row[0])

        with self._lock:
            return self._in_file(read) or self._private_salt

    def _in_file(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do some work on the file, replacing a damaged one; None if the file cannot be used now."""
        for _ in range(2):
            try:
                return work(self._open())
            except (sqlite3.OperationalError, OSError) as error:
                self._tell(f"pacing ledger {self._file}: {error}; other processes are not seen until it can be used")
                self._close()
                return None
            except sqlite3.DatabaseError as error:
                self._put_aside(error)
        return None

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file.touch(mode=0o600)
        self._inode = self._file.stat().st_ino
        connection = sqlite3.connect(self._file, timeout=_LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _put_aside(self, error: Exception) -> None:
        """Rename a damaged file, unless another process did so already."""
        self._close()
        try:
            if self._file.stat().st_ino != self._inode:
                return
            self._tell(f"pacing ledger {self._file} is damaged ({error}); it is kept as .damaged, a new one begins")
            for suffix in ("-wal", "-shm"):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
            self._file.replace(self._file.with_name(self._file.name + ".damaged"))
        except OSError as problem:
            self._tell(f"pacing ledger {self._file} cannot be replaced: {problem}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _tell(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)


class SqliteAccount:
    """One account of a SqliteLedger."""

    def __init__(self, ledger: SqliteLedger, name: str) -> None:
        self._ledger = ledger
        self.name = name

    async def transact(self, change: Callable[[Book], tuple[Book, T]]) -> T:
        """See the port; `change` runs on a worker thread."""
        return await anyio.to_thread.run_sync(self._ledger.transact, self.name, change)


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _prepare(connection: sqlite3.Connection) -> None:
    """Settings, and the tables if they are missing. Several processes may do this at the same time."""
    connection.execute("PRAGMA synchronous = NORMAL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise sqlite3.OperationalError(f"made by a newer version ({version})")
    if version == SCHEMA_VERSION:
        return
    connection.execute("PRAGMA journal_mode = WAL")
    with _immediate(connection):
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in resources.files(__package__).joinpath("schema.sql").read_text("utf-8").split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO salt (only, salt) VALUES (1, ?)", (os.urandom(16),))
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
