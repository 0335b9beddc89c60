"""Adaptive concurrency against a simulated small server, and the gate and breaker around it."""

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable

import anyio
import pytest

from labelmirror.errors import Unavailable
from labelmirror.transport.concurrency import Breaker, Concurrency, Gate, Load, Slot
from support.virtual_loop import VirtualClock, run_virtual

DURATION_S = 600.0


class Simulated:
    """A server of four workers, 0.1 s a request, and a queue of a hundred; one person asks once a second."""

    def __init__(self, seed: int) -> None:
        self.now_s = 0.0
        self.random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._busy = 0
        self._queue: deque[Callable[[bool], None]] = deque()
        self.served = self.failed = self._running = 0
        self.waits_s: list[float] = []
        self.controller = Concurrency()

    def run(self, *, ours: bool) -> None:
        if ours:
            self.at(0.0, self._fill)
        self.at(0.0, self._person)
        while self._events and self._events[0][0] <= DURATION_S:
            self.now_s, _, event = heapq.heappop(self._events)
            event()

    def at(self, time_s: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), event))

    def _submit(self, done: Callable[[bool], None]) -> None:
        if self._busy < 4:
            self._busy += 1
            took_s = self.random.lognormvariate(math.log(0.1), 0.4)
            self.at(self.now_s + took_s, lambda: self._finish(done))
        elif len(self._queue) < 100:
            self._queue.append(done)
        else:
            self.at(self.now_s + 0.005, lambda: done(False))

    def _finish(self, done: Callable[[bool], None]) -> None:
        self._busy -= 1
        if self._queue:
            self._submit(self._queue.popleft())
        done(True)

    def _fill(self) -> None:
        while self._running < self.controller.limit:
            self._running += 1
            self._request(self.now_s)

    def _request(self, born_s: float) -> None:
        def done(ok: bool) -> None:
            self.controller = self.controller.after(
                Load.SERVED if ok else Load.FAILED,
                latency_s=self.now_s - born_s,
                running=self._running,
                now_s=self.now_s,
            )
            self.served += ok
            self.failed += not ok
            self._running -= 1
            self._fill()

        self._submit(done)

    def _person(self) -> None:
        born_s = self.now_s
        self._submit(lambda ok: self.waits_s.append(self.now_s - born_s if ok else 30.0))
        self.at(self.now_s + self.random.expovariate(1.0), self._person)

    def wait_95_s(self) -> float:
        return sorted(self.waits_s)[int(0.95 * len(self.waits_s))]


@pytest.mark.parametrize("seed", range(5))
def test_a_small_server_is_used_fully_and_people_hardly_notice(seed: int) -> None:
    alone, shared = Simulated(seed), Simulated(seed)
    alone.run(ours=False)
    shared.run(ours=True)
    capacity = 4 / (0.1 * math.exp(0.08)) - 1
    assert shared.failed == 0, f"seed {seed}"
    assert shared.served / DURATION_S >= 0.9 * capacity, f"seed {seed}"
    assert shared.wait_95_s() <= 2 * alone.wait_95_s(), f"seed {seed}"


def test_an_error_cuts_once_a_second_and_not_below_one() -> None:
    state = Concurrency(level=10.0)
    state = state.after(Load.FAILED, latency_s=0.1, running=10, now_s=5.0)
    assert state.limit == 7
    assert state.after(Load.FAILED, latency_s=0.1, running=7, now_s=5.5) == state
    for second in range(6, 40):
        state = state.after(Load.FAILED, latency_s=0.1, running=1, now_s=second)
    assert state.limit == 1


def test_what_is_not_used_does_not_grow() -> None:
    state = Concurrency(level=10.0)
    for step in range(1_000):
        state = state.after(Load.SERVED, latency_s=0.1, running=2, now_s=step / 10)
    assert state.limit == 10


def test_the_limit_never_passes_the_configured_connections() -> None:
    state = Concurrency(most=5)
    for step in range(10_000):
        state = state.after(Load.SERVED, latency_s=0.1, running=state.limit, now_s=step / 10)
    assert state.limit == 5


def test_the_breaker_stays_closed_for_single_failures_and_forgets() -> None:
    breaker = Breaker()
    for second in range(10):
        breaker = breaker.after(Load.FAILED, second)
    assert breaker.refusal(10.0) == 0.0
    for second in range(10, 60):
        breaker = breaker.after(Load.FAILED, second)
    assert breaker.refusal(60.0) > 0.9
    assert breaker.refusal(300.0) == 0.0


def test_the_breaker_stays_closed_while_half_is_served() -> None:
    breaker = Breaker()
    for step in range(200):
        breaker = breaker.after(Load.SERVED if step % 2 else Load.FAILED, step / 4)
    assert breaker.refusal(50.0) == 0.0


def test_the_gate_lets_no_more_through_than_its_limit() -> None:
    async def main() -> None:
        clock = VirtualClock()
        gate = Gate(clock, host="test", connections=4, chance=random.Random(1))
        running = most = 0

        async def request() -> None:
            nonlocal running, most
            async with Slot(gate) as slot:
                running += 1
                most = max(most, running)
                assert running <= 4
                await clock.sleep(0.1)
                slot.done(Load.SERVED, 0.1)
                running -= 1

        async with anyio.create_task_group() as tasks:
            for _ in range(300):
                tasks.start_soon(request)
        assert most == gate.limit == 4

    run_virtual(main())


def test_the_gate_refuses_locally_while_a_host_fails_everything() -> None:
    async def main() -> None:
        clock = VirtualClock()
        gate = Gate(clock, host="test", connections=4, chance=random.Random(1))
        refused = 0
        for _ in range(200):
            try:
                async with Slot(gate) as slot:
                    slot.done(Load.FAILED, 0.1)
            except Unavailable:
                refused += 1
                await clock.sleep(0.5)
        assert refused > 100

    run_virtual(main())


def test_a_waiter_cancelled_at_the_gate_gives_its_place_on() -> None:
    async def main() -> None:
        clock = VirtualClock()
        gate = Gate(clock, host="test", connections=1, chance=random.Random(1))
        async with Slot(gate):
            with anyio.move_on_after(1.0):
                async with Slot(gate):
                    pytest.fail("there is only one place")
        with anyio.fail_after(1.0):
            async with Slot(gate):
                pass

    run_virtual(main())


def test_a_far_server_that_bears_it_is_used_at_full_width_after_a_few_answers() -> None:
    controller, now_s, answers = Concurrency(most=32), 0.0, 0
    while controller.limit < 32:
        running = controller.limit
        now_s += 0.03
        for _ in range(running):
            controller = controller.after(Load.SERVED, latency_s=0.03, running=running, now_s=now_s)
            answers += 1
        assert answers < 200


def test_the_first_sign_of_load_ends_the_doubling() -> None:
    controller = Concurrency(most=64)
    for _ in range(2 + 10):
        controller = controller.after(Load.SERVED, latency_s=0.03, running=2, now_s=1.0)
    assert controller.limit == 4
    for _ in range(4 + 10):
        controller = controller.after(Load.SERVED, latency_s=0.3, running=4, now_s=2.0)
    assert (controller.limit, controller.opening) == (2, False)


def test_making_connections_is_no_sign_of_load() -> None:
    controller = Concurrency(most=64)
    while controller.opening and controller.limit < 64:
        running = controller.limit
        for number in range(running + max(10, running)):
            latency_s = 0.3 if number < running else 0.03
            controller = controller.after(Load.SERVED, latency_s=latency_s, running=running, now_s=1.0)
    assert controller.limit == 64


def test_a_limit_that_was_found_too_high_shrinks_by_as_much_and_grows_in_proportion() -> None:
    controller = Concurrency(level=40.0, medians=((0.0, 0.03),))
    for _ in range(40 + 40):
        controller = controller.after(Load.SERVED, latency_s=0.06, running=40, now_s=1.0)
    assert (controller.limit, controller.opening) == (30, False)
    for step in range(61):
        controller = controller.after(Load.SERVED, latency_s=0.03, running=30, now_s=1.0 + step / 100)
    assert controller.limit == 31
