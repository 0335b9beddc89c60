"""A world in virtual time where programs share a server's quota: the shipped policy beside naive ones.

A discrete-event simulation. The server keeps a fixed or a sliding window and answers with whole-second headers; our
processes are driven by `labelmirror.transport.budget` alone, through one shared book; people and other programs send
in between. Everything follows from a seed.
"""

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import partial
from typing import Protocol, TypeVar

from labelmirror.model.pacing import Book, Priority, QuotaRules, RateObservation
from labelmirror.transport import budget
from labelmirror.transport.budget import Answer, Ask, Fate, Granted, ServerClock, Wait

T = TypeVar("T")

EPOCH_S = 1_700_000_000.0
DEFAULT_RULES = QuotaRules()
EMPTY = Book()


class Reset(Enum):
    """What X-RateLimit-Reset means on a server with a sliding window: pages disagree."""

    OLDEST_LEAVES = auto()
    FULL_WINDOW = auto()


@dataclass(frozen=True)
class Scenario:
    limit: int = 5000
    window_s: float = 3600.0
    sliding: bool = False
    reset: Reset = Reset.OLDEST_LEAVES
    rounding: Callable[[float], int] = math.ceil
    first_left_s: float | None = None  # of a fixed window, when the job begins; None: two thirds
    jobs: int = 12_000
    processes: int = 4
    connections: int = 8
    latency_s: float = 0.15
    pushes: float = 60.0  # per window
    others: float = 0.0  # requests of others per window
    batch: int = 1  # others come in bursts of this many, 20 a second
    greedy: int = 0
    skews_s: tuple[float, ...] = (0.0,)
    kill_every_s: float = 0.0
    learn: float = 0.0  # windows of light use before the job begins
    rules: QuotaRules = DEFAULT_RULES
    windows_max: float = 12.0
    seed: int = 1


@dataclass
class Outcome:
    done: int = 0
    time_s: float = math.inf
    limited: int = 0
    others_served: float = 1.0
    greedy_share: float = 0.0
    push_waits_s: list[float] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)
    book: Book = EMPTY
    ledger_operations: int = 0

    def push_wait_s(self, part: float) -> float:
        waits = sorted(self.push_waits_s)
        return waits[min(len(waits) - 1, math.ceil(part * len(waits)) - 1)] if waits else 0.0


class _Agenda:
    def __init__(self, seed: int) -> None:
        self.now_s = 0.0
        self.random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, time_s: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(time_s, self.now_s), next(self._order), event))

    def run(self, until_s: float, done: Callable[[], bool]) -> None:
        while self._events and self._events[0][0] <= until_s and not done():
            self.now_s, _, event = heapq.heappop(self._events)
            event()


@dataclass(frozen=True)
class _Reply:
    limited: bool
    seen: RateObservation


class _Server:
    """Counts per window. A 429 costs nothing."""

    def __init__(self, scenario: Scenario, phase_s: float) -> None:
        self._scenario = scenario
        self._phase_s = phase_s
        self._window = -1
        self._used = 0
        self._sent: deque[float] = deque()
        self.served: dict[str, int] = {}

    def handle(self, now_s: float, who: str) -> _Reply:
        limit, length_s = self._scenario.limit, self._scenario.window_s
        if self._scenario.sliding:
            while self._sent and self._sent[0] <= now_s - length_s:
                self._sent.popleft()
            ok = len(self._sent) < limit
            if ok:
                self._sent.append(now_s)
            used, back_s = len(self._sent), self._sent[0] + length_s
            reset_s = back_s if self._scenario.reset is Reset.OLDEST_LEAVES else now_s + length_s
        else:
            window = math.floor((now_s - self._phase_s) / length_s)
            if window != self._window:
                self._window, self._used = window, 0
            ok = self._used < limit
            self._used += ok
            used = self._used
            back_s = reset_s = self._phase_s + (window + 1) * length_s
        if ok:
            self.served[who] = self.served.get(who, 0) + 1
        return _Reply(
            not ok,
            RateObservation(
                limit=limit,
                remaining=limit - used,
                reset_s=self._scenario.rounding(EPOCH_S + reset_s),
                retry_after_s=None if ok else max(1, math.ceil(back_s - now_s)),
                date_s=math.floor(EPOCH_S + now_s),
            ),
        )


class Policy(Protocol):
    """When one process may send. Times are its own clock's."""

    def take(self, priority: Priority, wanted: int, now_s: float) -> float | None:
        """None: send one now; else the time to ask again."""
        ...

    def result(self, priority: Priority, sent_s: float, now_s: float, reply: _Reply) -> None: ...


class NaiveBurst:
    """Full concurrency; after a 429 this process sleeps for Retry-After."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._until_s = 0.0

    def take(self, priority: Priority, wanted: int, now_s: float) -> float | None:
        return self._until_s if now_s < self._until_s else None

    def result(self, priority: Priority, sent_s: float, now_s: float, reply: _Reply) -> None:
        if reply.limited:
            self._until_s = now_s + (reply.seen.retry_after_s or 0.0)


class EvenSpacing(NaiveBurst):
    """A static share of the limit for each process, evenly spread."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._next_s = 0.0

    def take(self, priority: Priority, wanted: int, now_s: float) -> float | None:
        gap_s = self._scenario.window_s * self._scenario.processes / self._scenario.limit
        until_s = max(self._next_s, super().take(priority, wanted, now_s) or 0.0)
        if now_s < until_s:
            return until_s
        self._next_s = now_s + gap_s
        return None


class HeadersAlone(NaiveBurst):
    """Each process by its own headers: burst until the reserve, then sleep until Reset."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._remaining, self._reset_s = 1, 0.0

    def take(self, priority: Priority, wanted: int, now_s: float) -> float | None:
        until_s = super().take(priority, wanted, now_s)
        if until_s is not None:
            return until_s
        kept = 0 if priority is Priority.PUSH else self._scenario.rules.reserve * self._scenario.limit
        return self._reset_s + 0.5 if now_s < self._reset_s and self._remaining <= kept else None

    def result(self, priority: Priority, sent_s: float, now_s: float, reply: _Reply) -> None:
        super().result(priority, sent_s, now_s, reply)
        self._remaining, self._reset_s = reply.seen.remaining or 0, reply.seen.reset_s or 0.0


class SharedBook:
    """What a ledger holds."""

    def __init__(self) -> None:
        self.book = Book()
        self.operations = 0


class Governor:
    """The shipped policy: leases are spent without the book, answers are told to it in batches."""

    def __init__(self, scenario: Scenario, shared: SharedBook, holder: str) -> None:
        self._rules = scenario.rules
        self._shared = shared
        self._holder = holder
        self._clock = ServerClock()
        self._lease: Granted | None = None
        self._unspent = 0
        self._under_way = 0
        self._pending: list[Answer] = []

    def take(self, priority: Priority, wanted: int, now_s: float) -> float | None:
        server_s = self._clock.now_s(now_s)
        lease = self._lease
        if lease is not None and server_s >= lease.spend_by_s:
            self._pending.extend(Answer(self._holder, Fate.UNSENT, server_s, server_s) for _ in range(self._unspent))
            self._lease, self._unspent = None, 0
        if self._unspent == 0:
            ask = Ask(self._holder, 1 if priority is Priority.PUSH else wanted + self._under_way, priority)
            reply = self._transact(lambda book: budget.grant(book, self._rules, ask, server_s))
            if isinstance(reply, Wait):
                return reply.again_s - (self._clock.lower_s or 0.0)
            self._lease, self._unspent = reply, reply.count
        assert self._lease is not None
        self._unspent -= 1
        self._under_way += 1
        return None

    def result(self, priority: Priority, sent_s: float, now_s: float, reply: _Reply) -> None:
        self._clock = self._clock.after(reply.seen.date_s, sent_s, now_s)
        self._under_way -= 1
        self._pending.append(
            Answer(
                self._holder,
                Fate.LIMITED if reply.limited else Fate.ANSWERED,
                self._clock.now_s(sent_s),
                self._clock.now_s(now_s),
                reply.seen,
            )
        )
        urgent = reply.limited or self._shared.book.limit is None
        if urgent or len(self._pending) >= 16:
            self._transact(lambda book: (book, None))

    def idle(self) -> None:
        """Nothing waits and nothing is under way: what was leased goes back."""
        unspent = self._unspent
        if self._under_way == 0 and (self._pending or unspent):
            self._lease, self._unspent = None, 0
            self._transact(lambda book: (budget.release(book, self._holder, unspent), None))

    def _transact(self, step: Callable[[Book], tuple[Book, T]]) -> T:
        book = self._shared.book
        for answer in self._pending:
            book = budget.observe(book, self._rules, answer)
        self._pending.clear()
        self._shared.operations += 1
        self._shared.book, result = step(book)
        return result


class _Process:
    """One process: its bulk connections, two more for pushes, and a policy."""

    def __init__(self, world: "_World", index: int, make: Callable[[int], Policy], tenant: "_Tenant") -> None:
        self._world = world
        self._index = index
        self._make = make
        self._policy = make(0)
        self._tenant = tenant
        self._skew_s = world.scenario.skews_s[index % len(world.scenario.skews_s)]
        self._life = 0
        self._bulk = self._pushing = 0
        self._pushes: deque[float] = deque()
        self._timer_s = math.inf

    def clock_s(self) -> float:
        return EPOCH_S + self._world.agenda.now_s + self._skew_s

    def push(self, born_s: float) -> None:
        self._pushes.append(born_s)
        self.pump()

    def waiting_pushes(self) -> list[float]:
        return list(self._pushes)

    def pump(self) -> None:
        agenda, connections = self._world.agenda, self._tenant.connections
        while True:
            if self._pushes and self._pushing < 2:
                priority = Priority.PUSH
            elif self._tenant.todo > 0 and self._bulk < connections:
                priority = Priority.PULL
            else:
                if isinstance(self._policy, Governor):
                    self._policy.idle()
                return
            wanted = min(self._tenant.todo, connections - self._bulk)
            again_s = self._policy.take(priority, max(1, wanted), self.clock_s())
            if again_s is not None:
                wake_s = max(agenda.now_s + 0.002, again_s - EPOCH_S - self._skew_s)
                if wake_s < self._timer_s or self._timer_s <= agenda.now_s:
                    self._timer_s = wake_s
                    agenda.at(wake_s, partial(self._wake, wake_s))
                return
            self._send(priority)

    def _wake(self, timer_s: float) -> None:
        if timer_s == self._timer_s:
            self._timer_s = math.inf
            self.pump()

    def _send(self, priority: Priority) -> None:
        agenda, life, sent_s = self._world.agenda, self._life, self.clock_s()
        born_s = 0.0
        if priority is Priority.PUSH:
            self._pushing += 1
            born_s = self._pushes.popleft()
        else:
            self._bulk += 1
            self._tenant.todo -= 1
        latency_s = agenda.random.lognormvariate(math.log(self._world.scenario.latency_s), 0.5)
        back_s = agenda.now_s + latency_s

        def arrive() -> None:
            reply = self._world.server.handle(agenda.now_s, self._tenant.name)
            agenda.at(back_s, lambda: self._answer(priority, born_s, life, sent_s, reply))

        agenda.at(agenda.now_s + latency_s / 2, arrive)

    def _answer(self, priority: Priority, born_s: float, life: int, sent_s: float, reply: _Reply) -> None:
        if life != self._life:
            return
        tenant = self._tenant
        tenant.limited += reply.limited
        self._policy.result(priority, sent_s, self.clock_s(), reply)
        if priority is Priority.PUSH:
            self._pushing -= 1
            if reply.limited:
                self._pushes.appendleft(born_s)
            else:
                tenant.push_waits_s.append(self._world.agenda.now_s - born_s)
        else:
            self._bulk -= 1
            if reply.limited:
                tenant.todo += 1
            else:
                tenant.done += 1
                tenant.last_s = self._world.agenda.now_s
        self.pump()

    def kill(self) -> None:
        """As by SIGKILL: what was under way is asked for again, nothing is given back."""
        self._life += 1
        self._tenant.todo += self._bulk
        self._bulk = self._pushing = 0
        self._policy = self._make(self._life)
        self.pump()
        self._world.agenda.at(self._world.agenda.now_s + self._world.scenario.kill_every_s, self.kill)


@dataclass
class _Tenant:
    name: str
    todo: int
    connections: int
    done: int = 0
    limited: int = 0
    last_s: float = 0.0
    push_waits_s: list[float] = field(default_factory=list)


class _World:
    def __init__(self, scenario: Scenario, naive: Callable[[Scenario], Policy] | None) -> None:
        self.scenario = scenario
        self.agenda = _Agenda(scenario.seed)
        length_s = scenario.window_s
        left_s = length_s * 2 / 3 if scenario.first_left_s is None else scenario.first_left_s
        self.begins_s = scenario.learn * length_s
        self.server = _Server(scenario, (self.begins_s + left_s) % length_s - length_s)
        self.us = _Tenant("us", 0, scenario.connections)
        self.shared = SharedBook()
        self._asked = self._served = 0
        self._greedy: list[_Tenant] = []

        def make(index: int) -> Callable[[int], Policy]:
            if naive is not None:
                return lambda _: naive(scenario)
            return lambda life: Governor(scenario, self.shared, f"{index}.{life}")

        self._processes = [_Process(self, index, make(index), self.us) for index in range(scenario.processes)]

    def run(self) -> Outcome:
        scenario, agenda, random_ = self.scenario, self.agenda, self.agenda.random
        length_s = scenario.window_s
        if scenario.learn:
            for step in range(int(scenario.learn * 20)):
                agenda.at(step * length_s / 20, self._learn)
        if scenario.others:
            self._past_others()
        if scenario.others:
            agenda.at(random_.expovariate(scenario.others / length_s / scenario.batch), self._people)
        if scenario.pushes:
            agenda.at(self.begins_s + random_.expovariate(scenario.pushes / length_s), lambda: self._push(0))
        for index in range(scenario.greedy):
            tenant = _Tenant(f"greedy{index}", 10**9, 4)
            self._greedy.append(tenant)
            process = _Process(self, 100 + index, lambda _: NaiveBurst(scenario), tenant)
            agenda.at(self.begins_s, process.pump)
        agenda.at(self.begins_s, self._begin)
        horizon_s = self.begins_s + scenario.windows_max * length_s
        agenda.run(horizon_s, lambda: self.us.done >= scenario.jobs + int(scenario.learn * 20))
        return self._outcome()

    def _begin(self) -> None:
        spread_s = min(1.0, self.scenario.window_s / 100)
        self.us.todo += self.scenario.jobs
        for index, process in enumerate(self._processes):
            self.agenda.at(self.begins_s + self.agenda.random.random() * spread_s, process.pump)
            if self.scenario.kill_every_s:
                self.agenda.at(self.begins_s + self.scenario.kill_every_s * (1 + 0.01 * index), process.kill)

    def _learn(self) -> None:
        self.us.todo += 1
        self._processes[0].pump()

    def _past_others(self) -> None:
        """What others have sent before we look for the first time is in the window already."""
        if not self.scenario.sliding:
            self.server._window = math.floor(-self.server._phase_s / self.scenario.window_s)
            self.server._used = int(self.scenario.others * (-self.server._phase_s / self.scenario.window_s % 1))
            return
        for _ in range(int(self.scenario.others)):
            self.server._sent.append(self.agenda.random.uniform(-self.scenario.window_s, 0.0))
        self.server._sent = deque(sorted(self.server._sent))

    def _people(self) -> None:
        for index in range(self.scenario.batch):
            self.agenda.at(self.agenda.now_s + index / 20, self._person)
        gap = self.scenario.others / self.scenario.window_s / self.scenario.batch
        self.agenda.at(self.agenda.now_s + self.agenda.random.expovariate(gap), self._people)

    def _person(self) -> None:
        self._asked += 1
        self._served += not self.server.handle(self.agenda.now_s, "people").limited

    def _push(self, index: int) -> None:
        self._processes[index % len(self._processes)].push(self.agenda.now_s)
        gap_s = self.agenda.random.expovariate(self.scenario.pushes / self.scenario.window_s)
        self.agenda.at(self.agenda.now_s + gap_s, lambda: self._push(index + 1))

    def _outcome(self) -> Outcome:
        us, greedy = self.us, sum(tenant.done for tenant in self._greedy)
        unserved = [self.agenda.now_s - born_s for process in self._processes for born_s in process.waiting_pushes()]
        finished = us.done >= self.scenario.jobs + int(self.scenario.learn * 20)
        return Outcome(
            done=us.done,
            time_s=us.last_s - self.begins_s if finished else math.inf,
            limited=us.limited,
            others_served=self._served / self._asked if self._asked else 1.0,
            greedy_share=greedy / max(1, greedy + us.done),
            push_waits_s=us.push_waits_s + unserved,
            served=self.server.served,
            book=self.shared.book,
            ledger_operations=self.shared.operations,
        )


def simulate(scenario: Scenario, naive: Callable[[Scenario], Policy] | None = None) -> Outcome:
    """Run a scenario with the shipped policy, or with a naive one."""
    return _World(scenario, naive).run()


def lower_bound_s(scenario: Scenario) -> float:
    """Earliest end if the others' whole demand is served and only quota and connections bound us.

    Full rate from the first instant at which quota is there. A greedy competitor counts as half the quota.
    """
    length_s, limit = scenario.window_s, scenario.limit
    rate = scenario.processes * scenario.connections / (scenario.latency_s * math.exp(0.125))
    others = min(limit, scenario.others + scenario.greedy * limit / 2 + scenario.pushes)
    left_s = length_s * 2 / 3 if scenario.first_left_s is None else scenario.first_left_s
    if scenario.sliding:
        left_s = length_s
    need, time_s = float(scenario.jobs), 0.0
    while True:
        share = left_s / length_s
        usable = limit - others * share - (0 if scenario.sliding else scenario.others * (1 - share))
        usable = min(usable, rate * left_s)
        if need <= usable:
            return time_s + need / rate
        need -= usable
        time_s, left_s = time_s + left_s, length_s


def seeds(scenario: Scenario, count: int) -> list[Scenario]:
    return [replace(scenario, seed=seed) for seed in range(1, count + 1)]
