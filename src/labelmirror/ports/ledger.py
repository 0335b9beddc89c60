"""What all processes that share a key know about its quota, kept in one place."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from labelmirror.model.pacing import Book

T = TypeVar("T")


class Account(Protocol):
    """The book of one (server, key), shared with every process that opened the same ledger."""

    async def transact(self, change: Callable[[Book], tuple[Book, T]]) -> T:
        """Replace the book by what `change` makes of it, and return what else `change` says.

        No other process reads or writes this book between. `change` is pure and may run on another thread. A book
        never written is `Book()`. Raises nothing of its own: a ledger that cannot be used gives way to a private one,
        with a warning, because pacing by headers alone is better than no work.
        """
        ...


class Ledger(Protocol):
    """A place for books that outlives processes."""

    async def account(self, origin: str, secret: str) -> Account:
        """The account of a server's origin (scheme, host, port) and an API key or user.

        Neither can be read from what is stored: the name of an account is a salted hash.
        """
        ...

    async def aclose(self) -> None:
        """Let go of files and connections; accounts must not be used afterwards."""
        ...
