"""The one place where a request waits for its turn: one pacer per (server, key) and process.

Usage::

    async with pacer.permit(Priority.PULL) as permit:
        sent_s = clock.now_s()
        ...  # send exactly one request to the API host
        permit.observe(status, headers, sent_s, clock.now_s())

A retry is another permit. Storage hosts need none; `concurrency.Gate` bounds how many requests run at once.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio
from aiolimiter import AsyncLimiter

from labelmirror.errors import BudgetSpent, Limited
from labelmirror.model.events import Answered, Event, Waited
from labelmirror.model.pacing import Book, Priority, QuotaRules, WaitCause, WindowKind
from labelmirror.model.remote import Quota
from labelmirror.ports.clock import Clock
from labelmirror.ports.ledger import Account
from labelmirror.ports.reporter import Reporter
from labelmirror.transport import budget
from labelmirror.transport.allowance import Allowance, RunBudget
from labelmirror.transport.budget import NOTHING_SEEN, Answer, Ask, Fate, Granted, ServerClock, Wait
from labelmirror.transport.headers import read_headers
from labelmirror.transport.line import WEIGHTS, Line, Ticket

#: Requests per second to one API host, after as many at once: far above what a quota lasts for, far below a flood.
SPIKE_PER_S = 200.0

_REPORT_AFTER = 16  # answers kept back from the ledger at most, while a lease lasts
_PATIENCE_WINDOWS = 2
_PATIENCE_UNKNOWN_S = 7_200.0  # two hours: the window of an hour that is usual

T = TypeVar("T")
_DEFAULT_RULES = QuotaRules()


@dataclass(frozen=True, slots=True)
class Tally:
    """What was sent and waited for since the pacer was made.

    `waited_s` is time in which at least one request waited for quota, not the sum over requests; `waits` counts those
    times by cause.
    """

    requests: int = 0
    limited: int = 0
    waited_s: float = 0.0
    waits: Mapping[WaitCause, int] = field(default_factory=dict)


class Permit:
    """Leave to send one request. Without a call of `observe` or `unsent`, the request counts as sent and lost."""

    __slots__ = ("_pacer", "fate", "granted_s", "received_s", "route", "seen", "sent_s")

    def __init__(self, pacer: "Pacer", granted_s: float) -> None:
        self._pacer = pacer
        self.granted_s = granted_s
        self.sent_s = granted_s
        self.received_s: float | None = None
        self.fate = Fate.LOST
        self.seen = NOTHING_SEEN
        #: What was asked for, for the statistics.
        self.route = ""

    def observe(self, status: int, headers: Mapping[str, str], sent_s: float, received_s: float) -> None:
        """Tell what came back. Times are `Clock.now_s`: just before sending, and when the headers were there."""
        self.seen = read_headers(headers, received_s)
        self.sent_s, self.received_s = sent_s, received_s
        if status == 429:
            self.fate = Fate.LIMITED
        else:
            self.fate = Fate.ANSWERED if status < 400 else Fate.FAILED
        self._pacer.learn_clock(self)

    def unsent(self) -> None:
        """Tell that surely nothing reached the server (no connection): the request does not count."""
        self.fate = Fate.UNSENT


class Pacer:
    """Decides when requests of this process to one server may be sent, together with all other processes.

    Of the requests that wait, one leads: it asks the ledger, waits, and hands out what was granted. `host` names the
    server in messages. Raises nothing when made; `aclose` gives back what was leased.
    """

    def __init__(
        self,
        account: Account,
        clock: Clock,
        *,
        host: str,
        rules: QuotaRules = _DEFAULT_RULES,
        spike_per_s: float = SPIKE_PER_S,
        holder: str | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self._reporter = reporter
        self._account = account
        self._clock = clock
        self._host = host
        self._rules = rules
        self._spikes = AsyncLimiter(spike_per_s, 1.0)
        self._holder = holder or uuid.uuid4().hex[:12]
        self._server = ServerClock()
        self._book = Book()
        self._line = Line()
        self._led = False
        self._news = anyio.Event()
        self._lease: Granted | None = None
        self._unspent = 0
        self._under_way = 0
        self._pending: list[Answer] = []
        self._requests = 0
        self._limited = 0
        self._waited_s = 0.0
        self._waits: dict[WaitCause, int] = {}
        self._allowance = Allowance(RunBudget(), clock, host)

    def start_run(self, run: RunBudget) -> None:
        """Begin to count against a run's budget; it holds until the next call."""
        self._allowance = Allowance(run, self._clock, self._host)

    @asynccontextmanager
    async def permit(self, priority: Priority) -> AsyncIterator[Permit]:
        """Wait for leave to send one request, and learn from its answer afterwards.

        Raises Limited when the wait would be longer than two windows or than the run allows, BudgetSpent when the
        run's own budget of requests or time is used up.
        """
        await self._turn(Priority.PUSH if self._allowance.run.for_pushes else priority)
        permit = Permit(self, self._clock.now_s())
        try:
            try:
                await self._spikes.acquire()
            except BaseException:
                permit.unsent()
                raise
            permit.sent_s = self._clock.now_s()
            yield permit
        finally:
            self._settle(permit)
            await self._report_if_due()

    def tally(self) -> Tally:
        """What was sent and waited for so far."""
        return Tally(self._requests, self._limited, self._waited_s, dict(self._waits))

    def quota(self) -> Quota:
        """What the window allows now, as far as this process knows."""
        return budget.quota(self._book, self._rules, self._server.now_s(self._clock.now_s()))

    @property
    def kind(self) -> WindowKind:
        """What kind of window the server was found to have."""
        return self._book.kind

    @property
    def clock_offset_s(self) -> float | None:
        """Server time less host time, to about half a second, as the answers so far tell; None before the first Date."""
        clock = self._server
        return None if clock.lower_s is None else (clock.lower_s + clock.upper_s) / 2

    async def aclose(self) -> None:
        """Report what is not reported yet, and give back what was leased and will not be spent."""
        await self._report()

    def learn_clock(self, permit: Permit) -> None:
        """Narrow the difference to the server's clock by one answer."""
        if permit.received_s is not None:
            self._server = self._server.after(permit.seen.date_s, permit.sent_s, permit.received_s)

    # --- waiting ---

    async def _turn(self, priority: Priority) -> None:
        """Wait to be served."""
        self._allowance.spend()
        ticket = Ticket(priority)
        self._line.join(ticket)
        self._news.set()
        try:
            while not ticket.settled:
                if self._led:
                    await ticket.called.wait()
                    ticket.called = anyio.Event()
                else:
                    self._led = True
                    try:
                        await self._lead(ticket)
                    finally:
                        self._led = False
                        self._line.call_one()
        except BaseException:
            self._line.leave(ticket)
            if ticket.served:
                self._under_way -= 1
                self._pending.append(self._unused())
            self._allowance.give_back()
            raise
        if ticket.trouble is not None:
            self._allowance.give_back()
            raise ticket.trouble

    async def _lead(self, ticket: Ticket) -> None:
        """Serve the line until this ticket's turn has come."""
        while True:
            self._serve()
            if ticket.settled:
                return
            self._news = anyio.Event()
            reply, asked = await self._ask()
            if isinstance(reply, Granted):
                self._lease, self._unspent = reply, reply.count
                continue
            trouble = self._too_long(reply)
            if trouble is None:
                await self._pause(reply)
            else:
                for other in self._line.drain(asked):
                    other.trouble = trouble
                    other.called.set()

    def _serve(self) -> None:
        """Hand what is leased to those who wait."""
        if self._lease is not None and self._server.now_s(self._clock.now_s()) >= self._lease.spend_by_s:
            self._pending.extend([self._unused()] * self._unspent)
            self._unspent, self._lease = 0, None
        while self._lease is not None and self._unspent > 0 and len(self._line) > 0:
            ticket = self._line.next()
            ticket.served = True
            ticket.called.set()
            self._unspent -= 1
            self._under_way += 1

    async def _ask(self) -> tuple[Granted | Wait, tuple[Priority, ...]]:
        pushes = self._line.waiting(Priority.PUSH)
        # Of bulk work, those under way come back for more, most of them.
        want = pushes or len(self._line) + self._under_way
        asked: tuple[Priority, ...] = (Priority.PUSH,) if pushes else tuple(WEIGHTS)
        ask = Ask(self._holder, want, asked[0])
        return await self._transact(lambda book, now_s: budget.grant(book, self._rules, ask, now_s)), asked

    def _too_long(self, wait: Wait) -> Exception | None:
        """What to raise instead of waiting, if anything."""
        wait_s = wait.expected_s - self._server.now_s(self._clock.now_s())
        left_s = self._allowance.left_s()
        if left_s is not None and wait_s > left_s:
            return BudgetSpent(
                f"{self._host}: more is allowed in {wait_s:.0f} s, and this run has {left_s:.0f} s left",
                hint="Run again later: what is done is recorded.",
            )
        window_s = budget.window_s(self._book)
        patience_s = _PATIENCE_UNKNOWN_S
        if window_s is not None:
            patience_s = _PATIENCE_WINDOWS * (window_s + budget.WHOLE_SECOND_S)
        if self._allowance.run.wait_max_s is not None:
            patience_s = min(patience_s, self._allowance.run.wait_max_s)
        if wait_s <= patience_s:
            return None
        return Limited(
            f"{self._host} allows no more requests for {wait_s:.0f} s",
            retry_after_s=wait_s,
            hint="Run again after that time: what is done is recorded.",
        )

    async def _pause(self, wait: Wait) -> None:
        """Wait until it is time to ask again, or until there is news."""
        begun_s = self._clock.monotonic_s()
        wait_s = max(0.0, wait.again_s - self._server.now_s(self._clock.now_s()))

        async def wake() -> None:
            await self._clock.sleep(wait_s)
            self._news.set()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wake)
                await self._news.wait()
                tasks.cancel_scope.cancel()
        finally:
            waited_s = self._clock.monotonic_s() - begun_s
            self._waited_s += waited_s
            self._waits[wait.cause] = self._waits.get(wait.cause, 0) + 1
            self._tell(Waited(self._host, wait.cause.value, waited_s))

    # --- learning ---

    def _settle(self, permit: Permit) -> None:
        """Enter the end of one request among the answers to be reported."""
        self._under_way -= 1
        self._tell(Answered(self._host, permit.route, permit.fate.value, permit.seen.remaining))
        if permit.fate is Fate.UNSENT:
            self._allowance.give_back()
            self._pending.append(self._unused())
        else:
            self._requests += 1
            self._limited += permit.fate is Fate.LIMITED
            received_s = self._clock.now_s() if permit.received_s is None else permit.received_s
            self._pending.append(
                Answer(
                    self._holder,
                    permit.fate,
                    self._server.now_s(permit.sent_s),
                    self._server.now_s(received_s),
                    permit.seen,
                )
            )
        self._news.set()

    def _tell(self, event: Event) -> None:
        if self._reporter is not None:
            self._reporter.emit(event)

    def _unused(self) -> Answer:
        now_s = self._server.now_s(self._clock.now_s())
        return Answer(self._holder, Fate.UNSENT, now_s, now_s)

    async def _report_if_due(self) -> None:
        """Tell the ledger when others wait for the news, or enough has gathered. A leader tells it anyway."""
        idle = self._under_way == 0 and len(self._line) == 0
        urgent = self._book.limit is None or any(answer.fate is Fate.LIMITED for answer in self._pending)
        if idle or urgent or len(self._pending) >= _REPORT_AFTER:
            await self._report(keep_lease=not idle)

    async def _report(self, *, keep_lease: bool = False) -> None:
        unspent = 0 if keep_lease else self._unspent
        if not keep_lease:
            self._lease, self._unspent = None, 0
        await self._transact(lambda book, _: (budget.release(book, self._holder, unspent), None))

    async def _transact(self, step: Callable[[Book, float], tuple[Book, T]]) -> T:
        """Enter what is pending, then take one step on the shared book; `step` gets the server's time."""
        pending, self._pending = self._pending, []
        host_s = self._clock.now_s()
        server = self._server

        def change(book: Book) -> tuple[Book, tuple[Book, T]]:
            clock = server.joined(book.offset_s)
            for answer in pending:
                book = budget.observe(book, self._rules, answer)
            book, result = step(book, clock.now_s(host_s))
            if clock.lower_s is not None and clock.lower_s != book.offset_s:
                book = replace(book, offset_s=clock.lower_s)
            return book, (book, result)

        with anyio.CancelScope(shield=True):
            self._book, result = await self._account.transact(change)
        self._server = self._server.joined(self._book.offset_s)
        return result
