"""The arithmetic on the shared book: when a request may be sent, step by step."""

import random
from dataclasses import replace

import pytest

from labelmirror.model.pacing import Book, Priority, QuotaRules, RateObservation, WaitCause, WindowKind
from labelmirror.transport import budget
from labelmirror.transport.budget import Answer, Ask, Fate, Granted, ServerClock, Wait
from labelmirror.transport.budget.granting import forget
from labelmirror.transport.budget.others import floor
from labelmirror.transport.budget.window import free

NOW_S = 1_700_000_000.0
RULES = QuotaRules()
NOTHING_KEPT = QuotaRules(reserve=0.0, others_per_hour=0.0)


def answer(
    now_s: float,
    remaining: int | None,
    reset_s: float | None,
    *,
    limit: int = 100,
    fate: Fate = Fate.ANSWERED,
    retry_after_s: float | None = None,
    holder: str = "a",
    took_s: float = 0.05,
) -> Answer:
    seen = RateObservation(limit, remaining, reset_s, None, retry_after_s, float(int(now_s)))
    if remaining is None:
        seen = RateObservation(retry_after_s=retry_after_s, date_s=float(int(now_s)))
    return Answer(holder, fate, now_s - took_s, now_s, seen)


def ask(
    book: Book,
    now_s: float,
    *,
    want: int = 1,
    holder: str = "a",
    priority: Priority = Priority.PULL,
    rules: QuotaRules = NOTHING_KEPT,
) -> tuple[Book, Granted | Wait]:
    return budget.grant(book, rules, Ask(holder, want, priority), now_s)


def opened(remaining: int = 99, *, window_s: float = 100.0) -> Book:
    """A window that nobody but us has used, after one answer."""
    book, granted = ask(Book(), NOW_S)
    assert isinstance(granted, Granted)
    return budget.observe(book, NOTHING_KEPT, answer(NOW_S, remaining, NOW_S + window_s, limit=remaining + 1))


def test_before_the_first_answer_one_request_goes_and_all_others_wait() -> None:
    book, first = ask(Book(), NOW_S, want=8)
    assert first == Granted(1, first.spend_by_s if isinstance(first, Granted) else 0.0)
    _, second = ask(book, NOW_S, holder="b")
    assert isinstance(second, Wait)
    assert second.cause is WaitCause.OPENING


def test_a_first_request_that_is_never_answered_is_followed_by_another() -> None:
    book, _ = ask(Book(), NOW_S)
    _, later = ask(book, NOW_S + 11, holder="b")
    assert isinstance(later, Granted)


def test_what_is_leased_is_not_granted_again() -> None:
    book, granted = opened(remaining=10), 0
    for holder in "abcdefgh" * 10:
        book, reply = ask(book, NOW_S + 1, want=25, holder=holder)
        granted += reply.count if isinstance(reply, Granted) else 0
    assert granted == 10


def test_bulk_work_leaves_the_reserve_and_a_push_may_use_it() -> None:
    rules = QuotaRules(reserve=0.2, others_per_hour=0.0)
    book = budget.observe(opened(), rules, answer(NOW_S + 0.5, 20, NOW_S + 100))
    book = replace(book, own_here=80)
    _, bulk = ask(book, NOW_S + 1, rules=rules)
    assert isinstance(bulk, Wait)
    assert bulk.cause is WaitCause.RESERVE
    _, push = ask(book, NOW_S + 1, rules=rules, priority=Priority.PUSH)
    assert isinstance(push, Granted)


def test_the_reserve_of_a_fixed_window_is_released_towards_its_end() -> None:
    rules = QuotaRules(reserve=0.2, others_per_hour=0.0)
    kept = [floor(opened(), rules, NOW_S + later_s) for later_s in (0, 25, 50, 100)]
    assert kept == pytest.approx([20, 15, 10, 0])


def test_an_empty_window_is_asked_again_a_second_after_its_reset_by_one_request() -> None:
    book = opened(remaining=0)
    _, waits = ask(book, NOW_S + 50)
    assert isinstance(waits, Wait)
    assert waits.expected_s == NOW_S + 101
    _, at_the_reset = ask(book, NOW_S + 100.9)
    assert isinstance(at_the_reset, Wait)
    book, probe = ask(book, NOW_S + 101, want=9)
    assert isinstance(probe, Granted)
    assert probe.count == 1
    _, others = ask(book, NOW_S + 101, holder="b")
    assert isinstance(others, Wait)


def test_retry_after_is_never_shortened() -> None:
    book = opened()
    book = budget.observe(book, RULES, answer(NOW_S + 1, 0, NOW_S + 100, fate=Fate.LIMITED, retry_after_s=500))
    book = budget.observe(book, RULES, answer(NOW_S + 2, 0, NOW_S + 100, fate=Fate.LIMITED, retry_after_s=5))
    book = budget.observe(book, RULES, answer(NOW_S + 3, 90, NOW_S + 100, holder="b", took_s=2.5))
    for later_s in (4.0, 100.0, 102.0, 500.9):
        _, reply = ask(book, NOW_S + later_s, priority=Priority.PUSH)
        assert isinstance(reply, Wait), later_s
        assert reply.cause is WaitCause.BLOCKED
        assert reply.expected_s >= NOW_S + 501


def test_a_refusal_without_any_time_waits_longer_each_time() -> None:
    book, waits = Book(), []
    for _ in range(4):
        book, _ = ask(book, max(NOW_S, book.blocked_until_s))
        now_s = max(NOW_S, book.blocked_until_s) + 0.1
        book = budget.observe(book, RULES, answer(now_s, None, None, fate=Fate.LIMITED))
        waits.append(book.blocked_until_s - now_s)
    assert waits == sorted(waits)
    assert waits[0] >= 60
    assert waits[-1] >= 480


def test_what_was_under_way_when_the_first_was_refused_makes_no_wait_longer() -> None:
    book = opened()
    for _ in range(16):
        refused = answer(NOW_S + 1, 90, NOW_S + 100, fate=Fate.LIMITED, retry_after_s=4, took_s=0.9)
        book = budget.observe(book, RULES, refused)
    assert book.blocked_until_s == NOW_S + 6
    again = answer(NOW_S + 7, 90, NOW_S + 100, fate=Fate.LIMITED, retry_after_s=4, took_s=0.9)
    assert budget.observe(book, RULES, again).strikes == 2


def test_a_reset_that_is_always_past_lets_one_request_after_the_other_go() -> None:
    book, now_s = Book(), NOW_S
    for _ in range(4):
        book, reply = ask(book, now_s)
        assert isinstance(reply, Granted)
        assert reply.spend_by_s > now_s
        book = budget.observe(book, RULES, answer(now_s + 0.1, 50, now_s - 100))
        now_s += 1


def test_after_a_refusal_one_request_goes_first() -> None:
    book = opened()
    book = budget.observe(book, RULES, answer(NOW_S + 1, None, None, fate=Fate.LIMITED, retry_after_s=3))
    book, first = ask(book, NOW_S + 6, want=9)
    assert isinstance(first, Granted)
    assert first.count == 1
    _, second = ask(book, NOW_S + 6, holder="b")
    assert isinstance(second, Wait)


def test_a_dead_holders_lease_is_forgotten_only_after_its_time() -> None:
    book = opened(remaining=10, window_s=1_000.0)
    book, lost = ask(book, NOW_S + 1, want=25)
    assert isinstance(lost, Granted)
    assert free(forget(book, lost.spend_by_s)) == 10 - lost.count
    assert free(forget(book, lost.spend_by_s + 3)) == 10


def test_answers_that_overtake_one_another_leave_the_smallest_remaining() -> None:
    book = opened()
    for now_s, remaining in [(1.0, 90), (1.1, 95), (1.2, 93)]:
        book = budget.observe(book, RULES, answer(NOW_S + now_s, remaining, NOW_S + 100, took_s=0.9))
    assert free(book) == 90


def test_an_answer_of_a_closed_window_changes_nothing() -> None:
    book = budget.observe(opened(), RULES, answer(NOW_S + 101, 98, NOW_S + 200))
    late = budget.observe(book, RULES, answer(NOW_S + 102, 3, NOW_S + 100, holder="b", took_s=10))
    assert free(late) == free(book)


def test_a_window_whose_reset_moves_with_every_answer_slides() -> None:
    book = opened()
    for second in range(1, 5):
        book = budget.observe(book, RULES, answer(NOW_S + second, 99 - second, NOW_S + 100 + second))
    assert book.kind is WindowKind.SLIDING
    assert budget.window_s(book) == 100


def test_a_window_that_gives_back_before_its_reset_slides() -> None:
    book = opened(remaining=50)
    for second, remaining in [(1, 49), (2, 48), (3, 60)]:
        book = budget.observe(book, RULES, answer(NOW_S + second, remaining, NOW_S + 100))
    assert book.kind is WindowKind.SLIDING


def test_a_window_that_forgets_our_requests_at_its_reset_is_fixed() -> None:
    book = opened()
    for second in range(60, 90):
        book = budget.observe(book, RULES, answer(NOW_S + second, 120 - second, NOW_S + 100))
    book = budget.observe(book, RULES, answer(NOW_S + 101, 99, NOW_S + 201))
    assert book.kind is WindowKind.FIXED
    assert budget.window_s(book) == 100


def test_a_request_that_was_never_sent_frees_its_place() -> None:
    book, _ = ask(opened(remaining=10), NOW_S + 1)
    assert free(book) == 9
    assert free(budget.observe(book, RULES, Answer("a", Fate.UNSENT, NOW_S + 1, NOW_S + 1))) == 10


def test_the_forecast_says_what_bulk_work_may_use() -> None:
    quota = budget.quota(opened(), QuotaRules(reserve=0.2, others_per_hour=0.0), NOW_S)
    assert (quota.usable, quota.remaining, quota.limit, quota.window_s, quota.resets_in_s) == (79, 99, 100, 100, 101)
    assert budget.quota(Book(), RULES, NOW_S).usable is None


@pytest.mark.parametrize("seed", range(200))
def test_the_servers_clock_is_never_thought_ahead_of_what_it_is(seed: int) -> None:
    chance = random.Random(seed)
    offset_s, now_s, clock = chance.uniform(-200, 200), NOW_S, ServerClock()
    for _ in range(30):
        now_s += chance.expovariate(0.5)
        sent_s, latency_s = now_s, chance.expovariate(5)
        served_s = sent_s + chance.random() * latency_s
        clock = clock.after(float(int(served_s + offset_s)), sent_s, sent_s + latency_s)
        now_s += latency_s
        assert clock.now_s(now_s) <= now_s + offset_s + 1e-6, f"seed {seed}"
    assert clock.now_s(now_s) >= now_s + offset_s - 1.5, f"seed {seed}"


def test_a_clock_that_was_set_is_believed_again() -> None:
    clock = ServerClock().after(NOW_S, NOW_S, NOW_S)
    assert abs(clock.after(NOW_S + 500, NOW_S + 1, NOW_S + 1).now_s(NOW_S + 1) - (NOW_S + 500)) < 1


@pytest.mark.parametrize("seed", range(300))
def test_no_order_of_events_grants_more_than_the_server_said(seed: int) -> None:
    """A server alone with us, answers in any order: what is granted and unanswered never exceeds what it has left."""
    chance = random.Random(seed)
    limit, now_s, used, book = chance.randint(1, 60), NOW_S, 0, Book()
    reset_s = NOW_S + 1_000.0
    travelling: list[tuple[float, str, int]] = []
    for _ in range(400):
        now_s += chance.expovariate(20)
        if travelling and chance.random() < 0.5:
            sent_s, holder, remaining = travelling.pop(chance.randrange(len(travelling)))
            seen = answer(now_s, remaining, reset_s, limit=limit, holder=holder)
            book = budget.observe(book, NOTHING_KEPT, replace(seen, sent_s=sent_s))
            continue
        holder = chance.choice("abc")
        book, reply = ask(book, now_s, want=chance.randint(1, 30), holder=holder)
        for _ in range(reply.count if isinstance(reply, Granted) else 0):
            assert used < limit, f"seed {seed}"
            used += 1
            travelling.append((now_s, holder, limit - used))
