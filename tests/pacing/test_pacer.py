"""The pacer itself, in virtual time: order, budgets, news, and what it gives back."""

import math
from collections.abc import Awaitable, Callable, Mapping

import anyio
import pytest

from labelmirror.errors import BudgetSpent, Limited
from labelmirror.model.events import Answered, Waited
from labelmirror.model.pacing import Priority, QuotaRules, WaitCause, WindowKind
from labelmirror.transport.allowance import RunBudget
from labelmirror.transport.line import Line, Ticket
from labelmirror.transport.pacer import Pacer, Permit
from support.ledger import MemoryAccount
from support.memory_mirror import Recorder
from support.virtual_loop import VirtualClock, run_virtual

NOTHING_KEPT = QuotaRules(reserve=0.0, others_per_hour=0.0)


class Server:
    """A fixed window of 100 seconds from the first request on."""

    def __init__(self, clock: VirtualClock, limit: int = 10, window_s: float = 100.0) -> None:
        self._clock, self._limit, self._window_s = clock, limit, window_s
        self._ends_s, self._used = -math.inf, 0
        self.order: list[str] = []

    async def answer(self, name: str) -> tuple[int, Mapping[str, str]]:
        await self._clock.sleep(0.05)
        now_s = self._clock.now_s()
        if now_s >= self._ends_s:
            self._ends_s, self._used = now_s + self._window_s, 0
        served = self._used < self._limit
        self._used += served
        self.order.append(name)
        headers = {
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": str(self._limit - self._used),
            "X-RateLimit-Reset": str(math.ceil(self._ends_s)),
        }
        if not served:
            headers["Retry-After"] = str(math.ceil(self._ends_s - now_s))
        return (200 if served else 429), headers


class Bench:
    def __init__(self, limit: int = 10, rules: QuotaRules = NOTHING_KEPT) -> None:
        self.clock = VirtualClock()
        self.server = Server(self.clock, limit)
        self.account = MemoryAccount()
        self.rules = rules
        self.pacer = self.another_process()

    def another_process(self) -> Pacer:
        return Pacer(self.account, self.clock, host="test", rules=self.rules)

    async def send(self, priority: Priority = Priority.PULL, name: str = "", pacer: Pacer | None = None) -> int:
        async with (pacer or self.pacer).permit(priority) as permit:
            sent_s = self.clock.now_s()
            status, headers = await self.server.answer(name or priority.name)
            permit.observe(status, headers, sent_s, self.clock.now_s())
            return status


def in_virtual_time(story: Callable[[Bench], Awaitable[None]], bench: Callable[[], Bench] = Bench) -> None:
    async def main() -> None:
        await story(bench())

    run_virtual(main())


def test_the_first_request_goes_alone_and_the_others_wait_for_its_headers() -> None:
    async def story(bench: Bench) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(bench.send)
            await bench.clock.sleep(0.04)
            assert bench.server.order == []
            await bench.clock.sleep(0.03)
            assert len(bench.server.order) == 1
        assert bench.pacer.tally().waits.keys() == {WaitCause.OPENING}

    in_virtual_time(story)


def test_two_processes_share_one_window_and_are_not_refused() -> None:
    async def story(bench: Bench) -> None:
        other = bench.another_process()
        async with anyio.create_task_group() as tasks:
            for pacer in [bench.pacer, other] * 12:
                tasks.start_soon(bench.send, Priority.PULL, "", pacer)
        assert bench.pacer.tally().limited + other.tally().limited == 0
        assert bench.pacer.tally().requests + other.tally().requests == 24
        assert 200 <= bench.clock.monotonic_s() <= 220
        assert bench.pacer.tally().waited_s >= 190

    in_virtual_time(story)


def test_pushes_go_first_and_the_rest_by_weight() -> None:
    async def story(_: Bench) -> None:
        line = Line()
        for priority in [Priority.VERIFY, Priority.BYTES, Priority.PULL] * 12 + [Priority.PUSH] * 2:
            line.join(Ticket(priority))
        order = [line.next().priority for _ in range(len(line))]
        assert order[:2] == [Priority.PUSH] * 2
        assert [order[2:14].count(priority) for priority in Priority] == [0, 8, 3, 1]
        assert [order[14:].count(priority) for priority in Priority] == [0, 4, 9, 11]

    in_virtual_time(story)


def test_a_push_may_use_what_bulk_work_must_leave() -> None:
    async def story(bench: Bench) -> None:
        await bench.send()
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(bench.send)
            await bench.clock.sleep(10.0)
            before = len(bench.server.order)
            assert before < 100
            with anyio.fail_after(1.0):
                assert await bench.send(Priority.PUSH) == 200
            tasks.cancel_scope.cancel()

    in_virtual_time(story, lambda: Bench(limit=100, rules=QuotaRules(reserve=0.2)))


def test_a_run_for_pushes_may_read_from_what_bulk_work_must_leave() -> None:
    async def story(bench: Bench) -> None:
        for _ in range(5):
            await bench.send()
        reads = bench.another_process()
        reads.start_run(RunBudget(for_pushes=True))
        began_s = bench.clock.now_s()
        for _ in range(5):
            await bench.send(Priority.PULL, "reading", reads)
        assert bench.clock.now_s() - began_s < 5
        assert bench.server.order.count("reading") == 5

    in_virtual_time(story, lambda: Bench(rules=QuotaRules(reserve=0.5, others_per_hour=0.0)))


def test_waits_and_answers_are_reported() -> None:
    async def story(bench: Bench) -> None:
        heard = Recorder()
        pacer = Pacer(bench.account, bench.clock, host="test", rules=bench.rules, reporter=heard)
        for _ in range(11):
            await bench.send(pacer=pacer)
        answers = [event for event in heard.events if isinstance(event, Answered)]
        assert [(event.server, event.outcome) for event in answers] == [("test", "answered")] * 11
        assert [event.remaining for event in answers] == [*range(9, -1, -1), 9]
        waits = [event for event in heard.events if isinstance(event, Waited)]
        assert {(event.server, event.cause) for event in waits} == {("test", "empty")}
        assert sum(event.seconds for event in waits) == pytest.approx(pacer.tally().waited_s)

    in_virtual_time(story)


def test_a_refusal_is_news_for_every_process_and_retry_after_is_kept() -> None:
    async def story(bench: Bench) -> None:
        await bench.send()
        bench.server._used = 10  # somebody else took the rest
        assert await bench.send() == 429
        refused_s = bench.clock.monotonic_s()
        assert await bench.send(pacer=bench.another_process()) == 200
        assert bench.clock.monotonic_s() >= refused_s + 99
        assert bench.pacer.tally().limited == 1

    in_virtual_time(story)


def test_a_wait_of_more_than_two_windows_ends_the_work_resumably() -> None:
    async def story(bench: Bench) -> None:
        await bench.send()
        async with bench.pacer.permit(Priority.PULL) as permit:
            now_s = bench.clock.now_s()
            permit.observe(429, {"Retry-After": "86000"}, now_s, now_s)
        with pytest.raises(Limited) as raised:
            await bench.send()
        assert raised.value.retry_after_s >= 86_000

    in_virtual_time(story)


def test_a_run_stops_at_its_number_of_requests() -> None:
    async def story(bench: Bench) -> None:
        bench.pacer.start_run(RunBudget(requests=3))
        for _ in range(3):
            await bench.send()
        with pytest.raises(BudgetSpent):
            await bench.send()
        bench.pacer.start_run(RunBudget())
        assert await bench.send() == 200

    in_virtual_time(story)


def test_a_run_does_not_wait_beyond_its_time() -> None:
    async def story(bench: Bench) -> None:
        async def send_all() -> None:
            for _ in range(11):
                await bench.send()

        bench.pacer.start_run(RunBudget(time_s=30.0))
        with pytest.raises(BudgetSpent):
            await send_all()
        assert bench.clock.monotonic_s() < 30

    in_virtual_time(story)


def test_a_server_without_rate_headers_is_not_held_up() -> None:
    async def story(bench: Bench) -> None:
        for _ in range(200):
            async with bench.pacer.permit(Priority.PULL) as permit:
                permit.observe(200, {}, bench.clock.now_s(), bench.clock.now_s())
        assert bench.pacer.kind is WindowKind.UNANNOUNCED
        assert bench.pacer.quota().usable is None
        assert bench.clock.monotonic_s() < 2

    in_virtual_time(story)


def test_a_configured_ceiling_holds_where_none_is_announced() -> None:
    async def story(bench: Bench) -> None:
        for _ in range(40):
            async with bench.pacer.permit(Priority.PULL) as permit:
                permit.observe(200, {}, bench.clock.now_s(), bench.clock.now_s())
        assert 3_600 <= bench.clock.monotonic_s() < 3_700

    in_virtual_time(story, lambda: Bench(rules=QuotaRules(requests_per_hour=25)))


def test_a_request_that_was_never_sent_costs_nothing() -> None:
    async def story(bench: Bench) -> None:
        await bench.send()
        bench.pacer.start_run(RunBudget(requests=1))
        for _ in range(50):
            async with bench.pacer.permit(Priority.PULL) as permit:
                permit.unsent()
        assert await bench.send() == 200
        assert bench.pacer.tally().requests == 2

    in_virtual_time(story)


def test_a_waiter_that_is_cancelled_leaves_no_trace() -> None:
    async def story(bench: Bench) -> None:
        for _ in range(10):
            await bench.send()
        with anyio.move_on_after(5):
            await bench.send()
        assert bench.clock.monotonic_s() < 10
        await bench.pacer.aclose()
        assert bench.account.book.leases == ()
        assert await bench.send() == 200

    in_virtual_time(story)


def test_closing_gives_back_what_was_leased() -> None:
    async def story(bench: Bench) -> None:
        async def fail(permit: Permit) -> None:
            assert permit is not None
            raise ConnectionResetError

        await bench.send()
        with pytest.raises(ConnectionResetError):
            async with bench.pacer.permit(Priority.PULL) as permit:
                await fail(permit)
        await bench.pacer.aclose()
        assert bench.account.book.leases == ()
        assert sum(count for _, count in bench.account.book.own) == 2  # the lost one may have been counted

    in_virtual_time(story)


def test_an_error_without_headers_does_not_pass_for_a_server_without_limits() -> None:
    async def story(bench: Bench) -> None:
        async with bench.pacer.permit(Priority.PULL) as permit:
            permit.observe(503, {}, bench.clock.now_s(), bench.clock.now_s())
        assert bench.pacer.kind is WindowKind.UNKNOWN
        assert bench.account.book.limit is None
        assert await bench.send() == 200

    in_virtual_time(story)
