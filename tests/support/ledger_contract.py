"""What every ledger must do. A binding supplies `open_ledger`, which opens the same place each time it is called."""

from collections.abc import Callable
from dataclasses import replace

import anyio

from labelmirror.model.pacing import Book, Lease, WindowKind
from labelmirror.ports.ledger import Account, Ledger

OpenLedger = Callable[[], Ledger]

FULL = Book(
    kind=WindowKind.SLIDING,
    limit=5000,
    reset_s=1_700_000_000.0,
    own=((1.5, 2), (2.5, 1)),
    leases=(Lease("a", 3, 10.0, 20.0),),
    offset_s=-90.25,
)


def put(book: Book) -> Callable[[Book], tuple[Book, None]]:
    return lambda _: (book, None)


def get(book: Book) -> tuple[Book, Book]:
    return book, book


def count_one(book: Book) -> tuple[Book, int]:
    return replace(book, strikes=book.strikes + 1), book.strikes + 1


class LedgerContract:
    async def test_an_account_begins_with_an_empty_book(self, open_ledger: OpenLedger) -> None:
        account = await open_ledger().account("https://a.example", "key")
        assert await account.transact(get) == Book()

    async def test_a_book_comes_back_as_it_was_written(self, open_ledger: OpenLedger) -> None:
        account = await open_ledger().account("https://a.example", "key")
        await account.transact(put(FULL))
        assert await account.transact(get) == FULL

    async def test_another_opening_of_the_same_place_sees_the_book(self, open_ledger: OpenLedger) -> None:
        await (await open_ledger().account("https://a.example", "key")).transact(put(FULL))
        assert await (await open_ledger().account("https://a.example", "key")).transact(get) == FULL

    async def test_the_same_server_written_differently_is_one_account(self, open_ledger: OpenLedger) -> None:
        ledger = open_ledger()
        await (await ledger.account("https://A.example/", "key")).transact(put(FULL))
        assert await (await ledger.account("https://a.example", "key")).transact(get) == FULL

    async def test_servers_and_keys_have_books_of_their_own(self, open_ledger: OpenLedger) -> None:
        ledger = open_ledger()
        await (await ledger.account("https://a.example", "key")).transact(put(FULL))
        for origin, secret in [("https://b.example", "key"), ("https://a.example", "other")]:
            assert await (await ledger.account(origin, secret)).transact(get) == Book()

    async def test_a_change_that_fails_leaves_the_book_as_it_was(self, open_ledger: OpenLedger) -> None:
        account = await open_ledger().account("https://a.example", "key")
        await account.transact(put(FULL))

        def fail(_: Book) -> tuple[Book, None]:
            raise ArithmeticError

        try:
            await account.transact(fail)
        except ArithmeticError:
            assert await account.transact(get) == FULL
        else:
            raise AssertionError("the error of the change must be seen by its caller")

    async def test_changes_made_at_the_same_time_all_count(self, open_ledger: OpenLedger) -> None:
        accounts: list[Account] = [await open_ledger().account("https://a.example", "key") for _ in range(3)]

        async def work(account: Account) -> None:
            for _ in range(20):
                await account.transact(count_one)

        async with anyio.create_task_group() as tasks:
            for account in accounts:
                tasks.start_soon(work, account)
        assert (await accounts[0].transact(get)).strikes == 60
