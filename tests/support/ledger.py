"""A ledger in memory, for worlds without files. Bound to the same contract as the real one."""

from collections.abc import Callable
from typing import TypeVar

from labelmirror.model.pacing import Book
from labelmirror.ports.ledger import Account

T = TypeVar("T")


class MemoryAccount:
    def __init__(self) -> None:
        self.book = Book()

    async def transact(self, change: Callable[[Book], tuple[Book, T]]) -> T:
        self.book, result = change(self.book)
        return result


class MemoryLedger:
    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str], MemoryAccount] = {}

    async def account(self, origin: str, secret: str) -> Account:
        return self._accounts.setdefault((origin.rstrip("/").lower(), secret), MemoryAccount())

    async def aclose(self) -> None:
        """Nothing to let go of: the books live as long as this object, as a file would."""
