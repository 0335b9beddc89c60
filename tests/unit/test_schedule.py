"""What is due and when: enumerated where the space is small, and played through in days of made-up time."""

import itertools
import random
from dataclasses import replace

import pytest

from labelmirror.daemon.calendar import read_calendar
from labelmirror.daemon.schedule import (
    DOWN,
    NAP_MAX_S,
    PATIENCE_S,
    PER_SERVER,
    WAY_AFTER_S,
    WAY_EVERY_S,
    Cause,
    Decision,
    Ended,
    Health,
    Rhythm,
    Start,
    Turn,
    Work,
    after,
    begun,
    decide,
    draw_of,
    due_s,
    next_turn,
    scan_every_s,
)
from labelmirror.model.report import MirrorOutcome

NOW_S = 1_800_000_000.0
WELL = Health()
HOURLY = Rhythm(3600.0)


def turn(name: str = "street", **facts: object) -> Turn:
    return replace(Turn(name=name, server="acme", rhythm=HOURLY, begun_s=NOW_S - 60), **facts)  # type: ignore[arg-type]


def starts(*turns: Turn, health: Health = WELL) -> tuple[Start, ...]:
    return decide(turns, {"acme": health, "other": WELL}, NOW_S).starts


def cycle(name: str, cause: Cause = Cause.SCHEDULE) -> Start:
    return Start(name, Work.CYCLE, cause)


def test_a_mirror_that_was_never_synced_is_due_at_once() -> None:
    assert starts(turn(begun_s=None)) == (cycle("street"),)


def test_a_mirror_is_due_after_its_time_and_not_before() -> None:
    assert decide([turn()], {"acme": WELL}, NOW_S) == Decision((), NOW_S + NAP_MAX_S)
    assert decide([turn(begun_s=NOW_S - 3590)], {"acme": WELL}, NOW_S).wake_s == NOW_S + 10
    assert starts(turn(begun_s=NOW_S - 3600)) == (cycle("street"),)


def test_turns_that_were_missed_run_once() -> None:
    late = turn(begun_s=NOW_S - 10 * 3600)
    assert starts(late) == (cycle("street"),)
    done, _ = after(begun(late, cycle("street")), WELL, ended(MirrorOutcome.SYNCED), now_s=NOW_S + 5, draw=0.5)
    assert due_s(done, WELL, NOW_S + 5) == NOW_S + 3600


def test_a_clock_that_was_wrong_puts_no_turn_off_for_ever() -> None:
    assert next_turn(HOURLY, NOW_S + 10**9, NOW_S) == NOW_S + 3600


def test_the_moments_of_a_calendar_are_spread_and_each_counts_once() -> None:
    calm = Rhythm(900.0, read_calendar("*:00"), draw=0.5)
    hour_s = NOW_S - NOW_S % 3600
    first = next_turn(calm, hour_s + 60, NOW_S)
    assert first == hour_s + 3600 + 30
    assert next_turn(calm, first, first) == hour_s + 7200 + 30
    dense = Rhythm(900.0, read_calendar("*:*:00/10"), draw=0.5)
    assert next_turn(dense, hour_s, hour_s) == hour_s + 10.5


def test_the_spread_belongs_to_the_name_and_is_even() -> None:
    assert draw_of("a") == draw_of("a") != draw_of("b")
    draws = [draw_of(str(number)) for number in range(1000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert 0.45 < sum(draws) / len(draws) < 0.55


def test_only_a_person_can_start_a_paused_mirror() -> None:
    everything = turn(begun_s=None, paused=True, settled_s=NOW_S - 9, restless_s=NOW_S - 9, scan_s=NOW_S - 9, owed=True)
    assert starts(everything) == ()
    assert due_s(everything, WELL, NOW_S) is None
    assert starts(replace(everything, asked=True)) == (cycle("street", Cause.ASKED),)


def test_what_is_asked_for_waits_for_nothing() -> None:
    held_back = turn(not_before_s=NOW_S + 500, asked=True, settled_s=NOW_S + 1, restless_s=NOW_S)
    assert starts(held_back, health=Health(3, NOW_S + 900)) == (cycle("street", Cause.ASKED),)


def test_a_mirror_at_work_is_left_alone() -> None:
    assert starts(turn(begun_s=None, working=True, asked=True, settled_s=NOW_S - 5)) == ()


def test_asking_while_a_cycle_runs_gives_another_one() -> None:
    running = begun(turn(asked=True), cycle("street", Cause.ASKED))
    assert not running.asked
    again, _ = after(replace(running, asked=True), WELL, ended(MirrorOutcome.SYNCED), now_s=NOW_S, draw=0.0)
    assert starts(again) == (cycle("street", Cause.ASKED),)


def test_settled_edits_go_before_a_scan_and_a_cycle() -> None:
    busy = turn(begun_s=None, settled_s=NOW_S - 1, restless_s=NOW_S - 3, scan_s=NOW_S - 1)
    assert starts(busy) == (Start("street", Work.EDITS, Cause.EDITED),)
    assert starts(replace(busy, settled_s=None, restless_s=None)) == (Start("street", Work.EDITS, Cause.SCAN),)


def test_a_cycle_waits_for_a_file_that_is_being_edited_but_not_for_long() -> None:
    due = turn(begun_s=NOW_S - 3600)
    editing = replace(due, settled_s=NOW_S + 2, restless_s=NOW_S - 1)
    assert decide([editing], {"acme": WELL}, NOW_S) == Decision((), NOW_S + 2)
    for_long = replace(due, begun_s=NOW_S - 3600 - PATIENCE_S, settled_s=NOW_S + 2, restless_s=NOW_S - 2 * PATIENCE_S)
    assert starts(for_long) == (cycle("street"),)


def test_edits_without_end_hold_up_no_cycle_for_ever() -> None:
    edited = replace(turn(begun_s=NOW_S - 3600), settled_s=NOW_S, restless_s=NOW_S - 2 * PATIENCE_S)
    assert starts(edited) == (Start("street", Work.EDITS, Cause.EDITED),)
    assert starts(replace(edited, begun_s=NOW_S - 3600 - 2 * PATIENCE_S)) == (cycle("street"),)
    assert starts(replace(edited, begun_s=NOW_S, asked=True)) == (cycle("street", Cause.ASKED),)


def test_a_server_that_is_down_is_asked_by_one_mirror_at_a_time_and_seldom() -> None:
    turns = [turn(name, owed=True) for name in "abc"]
    down = Health(2, NOW_S - 1)
    assert starts(*turns, health=down) == (cycle("a", Cause.RETRY),)
    assert starts(replace(turns[0], working=True), *turns[1:], health=down) == ()
    assert decide(turns, {"acme": Health(2, NOW_S + 30)}, NOW_S) == Decision((), NOW_S + 30)
    assert len(starts(*turns)) == 3


def test_one_servers_trouble_never_holds_up_another_servers_mirror() -> None:
    elsewhere = Turn(name="z", server="other", rhythm=HOURLY)
    many = [turn(str(number), begun_s=None) for number in range(PER_SERVER + 3)]
    assert starts(*many, elsewhere) == (*(cycle(str(number)) for number in range(PER_SERVER)), cycle("z"))
    assert starts(*(replace(each, working=True) for each in many), elsewhere) == (cycle("z"),)
    assert starts(*many, elsewhere, health=Health(5, NOW_S + 900)) == (cycle("z"),)


def test_the_longest_due_goes_first() -> None:
    turns = [turn(str(number), begun_s=NOW_S - 3600 - number) for number in range(PER_SERVER + 1)]
    assert [start.name for start in starts(*turns)] == ["4", "3", "2", "1"]


BESIDE = Start("street", Work.EDITS, Cause.EDITED, beside=True)


def test_edits_are_pushed_beside_a_cycle_that_only_asks_its_server_one_push_after_the_other() -> None:
    listing = begun(turn(begun_s=None, room=True, settled_s=NOW_S, restless_s=NOW_S - 2), cycle("street"))
    assert starts(listing) == (BESIDE,)
    assert starts(replace(listing, room=False)) == starts(replace(listing, paused=True)) == ()
    assert decide([replace(listing, settled_s=NOW_S + 1)], {"acme": WELL}, NOW_S) == Decision((), NOW_S + 1)
    looked_at = replace(listing, settled_s=None, restless_s=None, scan_s=NOW_S)
    assert starts(looked_at) == (replace(BESIDE, cause=Cause.SCAN),)
    assert starts(begun(listing, BESIDE)) == ()
    # It has the cycle's place on the server, and no other one.
    others = [replace(listing, name=str(number), room=False) for number in range(PER_SERVER)]
    due = turn("due", begun_s=None)
    assert starts(*others, listing, due) == (BESIDE,)
    assert starts(*others[2:], listing, due) == (BESIDE, cycle("due"))
    assert starts(begun(listing, BESIDE), *others[2:], due) == (cycle("due"),)


@pytest.mark.parametrize("outcome", [*MirrorOutcome, None])
def test_what_becomes_of_a_push_beside_a_cycle_neither_ends_that_nor_asks_for_another(
    outcome: MirrorOutcome | None,
) -> None:
    listing = begun(turn(room=True, settled_s=NOW_S), cycle("street"))
    beside = Ended(start=BESIDE, began_s=NOW_S, outcome=outcome, more=True)
    pushed, health = after(begun(listing, BESIDE), WELL, beside, now_s=NOW_S + 1, draw=0.5)
    assert (pushed.working, pushed.beside, pushed.begun_s) == (True, False, listing.begun_s)
    # A server that fails is left in peace for a while, beside a cycle too.
    waits = outcome in {
        MirrorOutcome.FAILED, MirrorOutcome.STOPPED, MirrorOutcome.LOCKED, MirrorOutcome.UNREACHABLE
    }  # fmt: skip
    assert decide([pushed], {"acme": health}, NOW_S + 1).starts == (() if waits else (BESIDE,))
    done, _ = after(pushed, health, ended(MirrorOutcome.SYNCED, reached=True), now_s=NOW_S + 2, draw=0.5)
    assert (done.working, done.owed, done.failures, due_s(done, WELL, NOW_S + 2)) == (False, False, 0, NOW_S + 3600)


def test_a_long_cycle_makes_way_for_an_edit_now_and_then() -> None:
    listing = begun(turn(settled_s=NOW_S, restless_s=NOW_S - 2), cycle("street"))
    assert decide([listing], {"acme": WELL}, NOW_S).ways == ()
    running = replace(begun(turn(), cycle("street")), listed_s=NOW_S - WAY_AFTER_S)
    edited = replace(running, settled_s=NOW_S, restless_s=NOW_S - 2)
    assert decide([running], {"acme": WELL}, NOW_S).ways == ()
    assert decide([edited], {"acme": WELL}, NOW_S).ways == ("street",)
    assert decide([replace(edited, paused=True)], {"acme": WELL}, NOW_S).ways == ()
    young = replace(edited, listed_s=NOW_S - 1)
    assert decide([young], {"acme": WELL}, NOW_S) == Decision((), NOW_S - 1 + WAY_AFTER_S)
    unsettled = replace(edited, settled_s=NOW_S + 1)
    assert decide([unsettled], {"acme": WELL}, NOW_S) == Decision((), NOW_S + 1)
    pushing = replace(begun(turn(), Start("street", Work.EDITS, Cause.EDITED)), settled_s=NOW_S - 1)
    assert decide([pushing], {"acme": WELL}, NOW_S).ways == ()

    made_way, _ = after(edited, WELL, ended(MirrorOutcome.STOPPED, made_way=True), now_s=NOW_S + 5, draw=0.5)
    assert decide([made_way], {"acme": WELL}, NOW_S + 5).starts == (Start("street", Work.EDITS, Cause.EDITED),)
    pushed, _ = after(
        replace(made_way, settled_s=None), WELL, ended(MirrorOutcome.SYNCED, Work.EDITS), now_s=NOW_S + 6, draw=0.5
    )
    assert decide([pushed], {"acme": WELL}, NOW_S + 6).starts == (cycle("street", Cause.RETRY),)
    again = replace(begun(pushed, cycle("street", Cause.RETRY)), settled_s=NOW_S + 7, listed_s=NOW_S + 8)
    assert decide([again], {"acme": WELL}, NOW_S + 100).ways == ()
    assert decide([again], {"acme": WELL}, NOW_S + 5 + WAY_EVERY_S).ways == ("street",)


# --- after a turn ---------------------------------------------------------------------------------------------------


def ended(outcome: MirrorOutcome | None, work: Work = Work.CYCLE, **facts: object) -> Ended:
    return replace(Ended(start=Start("street", work, Cause.SCHEDULE), began_s=NOW_S, outcome=outcome), **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "work", "more"),
    [
        *itertools.product(MirrorOutcome, Work, [False, True]),
        (None, Work.EDITS, False),
        (None, Work.EDITS, True),
    ],
)
def test_after_every_ending_a_mirror_rests_and_has_a_next_time(
    outcome: MirrorOutcome | None, work: Work, more: bool
) -> None:
    running = turn(working=True)
    rested, health = after(running, WELL, ended(outcome, work, more=more), now_s=NOW_S + 1, draw=0.5)
    due = due_s(rested, health, NOW_S + 1)
    assert not rested.working
    assert due is not None
    match outcome:
        case MirrorOutcome.LOCKED:
            assert NOW_S + 1 < due <= NOW_S + 6
        case MirrorOutcome.UNREACHABLE:
            assert rested.owed
            assert NOW_S + 1 < due == health.not_before_s
        case MirrorOutcome.FAILED | MirrorOutcome.STOPPED:
            assert due == NOW_S + 3600 if work is Work.CYCLE else NOW_S + 1 < due < NOW_S + 20
        case _:
            assert due == (0.0 if more else NOW_S + 3600 if work is Work.CYCLE else NOW_S - 60 + 3600)


def test_a_failing_mirror_waits_longer_and_longer_and_a_success_ends_that() -> None:
    hasty = turn(rhythm=Rhythm(1.0))
    waits: list[float] = []
    for _ in range(12):
        hasty, _ = after(replace(hasty, working=True), WELL, ended(MirrorOutcome.FAILED), now_s=NOW_S, draw=0.99)
        waits.append(hasty.not_before_s - NOW_S)
    assert waits == sorted(waits)
    assert 10 < waits[0] < 20
    assert 800 < waits[-1] <= 900
    well, _ = after(hasty, WELL, ended(MirrorOutcome.SYNCED), now_s=NOW_S, draw=0.5)
    assert (well.failures, well.not_before_s) == (0, 0.0)


def test_any_answer_makes_a_server_well_again() -> None:
    for outcome in (MirrorOutcome.SYNCED, MirrorOutcome.FAILED, MirrorOutcome.HELD):
        _, health = after(turn(), Health(4, NOW_S + 99), ended(outcome, reached=True), now_s=NOW_S, draw=0.5)
        assert health == WELL
    _, health = after(turn(), Health(4, 7.0), ended(None, Work.EDITS), now_s=NOW_S, draw=0.5)
    assert health == Health(4, 7.0)


def test_a_scan_never_takes_more_than_a_twentieth_of_the_time() -> None:
    assert scan_every_s(watched=True, took_s=0.1) == 300.0
    assert scan_every_s(watched=False, took_s=0.1) == 5.0
    assert scan_every_s(watched=False, took_s=30.0) == 600.0


@pytest.mark.parametrize("seed", range(6))
def test_days_of_trouble_neither_starve_a_mirror_nor_flood_a_server(seed: int) -> None:
    """A day of made-up time: servers go down and come back, locks are held, cycles fail; decisions drive everything."""
    draw = random.Random(seed)
    every_s = draw.choice([60.0, 900.0])
    names = [f"m{number}" for number in range(6)]
    turns = {
        name: Turn(name=name, server="ab"[number % 2], rhythm=Rhythm(every_s, draw=draw.random()))
        for number, name in enumerate(names)
    }
    health = {"a": WELL, "b": WELL}
    down = {server: (draw.uniform(0, 40_000), draw.uniform(0, 40_000)) for server in "ab"}
    under_way: list[tuple[float, Ended]] = []
    probes: dict[str, list[float]] = {"a": [], "b": []}
    last = dict.fromkeys(names, 0.0)
    gaps = dict.fromkeys(names, 0.0)
    now_s, steps = 0.0, 0
    while now_s < 86_400:
        steps += 1
        assert steps < 40_000, f"busy loop; replay with seed {seed}"
        decision = decide(list(turns.values()), health, now_s)
        for start in decision.starts:
            server = turns[start.name].server
            is_down = down[server][0] <= now_s < sum(down[server])
            outcome = draw.choices(
                [MirrorOutcome.SYNCED, MirrorOutcome.LOCKED, MirrorOutcome.FAILED, MirrorOutcome.HELD], [20, 1, 1, 1]
            )[0]
            if is_down:
                outcome = MirrorOutcome.UNREACHABLE
                probes[server].append(now_s)
            turns[start.name] = begun(turns[start.name], start)
            took_s = draw.uniform(0.1, 20)
            reached = not is_down and outcome is not MirrorOutcome.LOCKED
            under_way.append((now_s + took_s, Ended(start=start, began_s=now_s, outcome=outcome, reached=reached)))
        under_way.sort(key=lambda each: each[0])
        next_end = under_way[0][0] if under_way else float("inf")
        now_s = min(next_end, max(decision.wake_s, now_s))
        while under_way and under_way[0][0] <= now_s:
            _, end = under_way.pop(0)
            name = end.start.name
            server = turns[name].server
            turns[name], health[server] = after(turns[name], health[server], end, now_s=now_s, draw=draw.random())
            if end.outcome is MirrorOutcome.SYNCED:
                gaps[name] = max(gaps[name], now_s - last[name] if not _touches(last[name], now_s, down[server]) else 0)
                last[name] = now_s
    for name, gap_s in gaps.items():
        assert 0 < gap_s < 3 * every_s + 1800, f"{name} waited {gap_s:.0f} s; replay with seed {seed}"
    for server, times in probes.items():
        bound = 30 + down[server][1] / (DOWN.longest_s / 2)
        assert len(times) < bound, f"{len(times)} probes of {server}; replay with seed {seed}"


def _touches(from_s: float, to_s: float, outage: tuple[float, float]) -> bool:
    return from_s < sum(outage) and outage[0] < to_s
