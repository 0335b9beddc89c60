"""The shipped policy in a simulated world, beside naive ones: the goal figures of docs/pacing.md, by seed."""

import math
from dataclasses import replace

import pytest

from labelmirror.model.pacing import QuotaRules
from support.quota_world import (
    EvenSpacing,
    HeadersAlone,
    NaiveBurst,
    Outcome,
    Reset,
    Scenario,
    lower_bound_s,
    simulate,
)

FIXED = Scenario()
#: Reset moves with every answer, or tells when the oldest request leaves.
SLIDING = Scenario(sliding=True, reset=Reset.FULL_WINDOW, learn=3.0)
SLIDING_OLDEST = Scenario(sliding=True, reset=Reset.OLDEST_LEAVES, learn=3.0)
NOTHING_KEPT = QuotaRules(reserve=0.0)

KINDS = [
    pytest.param(FIXED, id="fixed"),
    pytest.param(SLIDING, id="sliding"),
    pytest.param(SLIDING_OLDEST, id="sliding-oldest"),
]
TELLING_KINDS = KINDS[:2]
SEEDS = [1, 2]


def assert_near_the_bound(outcome: Outcome, scenario: Scenario) -> None:
    assert outcome.time_s <= 1.02 * lower_bound_s(scenario) + 2, scenario


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jobs", [1_500, 7_000])
def test_alone_it_ends_near_the_lower_bound_and_is_never_refused(kind: Scenario, jobs: int, seed: int) -> None:
    scenario = replace(kind, jobs=jobs, seed=seed, rules=NOTHING_KEPT)
    outcome = simulate(scenario)
    assert outcome.limited == 0, scenario
    assert_near_the_bound(outcome, scenario)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_pushes_alone_with_bulk_work_wait_at_most_two_seconds(kind: Scenario, seed: int) -> None:
    scenario = replace(kind, jobs=6_000, seed=seed)
    outcome = simulate(scenario)
    assert outcome.limited == 0, scenario
    assert outcome.push_wait_s(0.99) <= 2, scenario


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("others", [1_000, 2_500])
@pytest.mark.parametrize("kind", TELLING_KINDS)
def test_steady_others_are_served(kind: Scenario, others: int, seed: int) -> None:
    scenario = replace(kind, others=others, jobs=6_000, seed=seed)
    outcome = simulate(scenario)
    assert outcome.limited == 0, scenario
    assert outcome.others_served >= 0.999, scenario
    assert outcome.push_wait_s(0.99) <= 2, scenario
    assert outcome.time_s <= 1.02 * lower_bound_s(scenario), scenario


@pytest.mark.parametrize("seed", SEEDS)
def test_with_others_a_window_that_tells_only_its_oldest_request_is_learned_from_what_returns(seed: int) -> None:
    scenario = replace(SLIDING_OLDEST, others=1_000, jobs=6_000, seed=seed)
    outcome = simulate(scenario)
    assert outcome.limited == 0, scenario
    assert outcome.others_served >= 0.999, scenario
    assert outcome.time_s <= 1.1 * lower_bound_s(scenario), scenario


@pytest.mark.parametrize("kind", TELLING_KINDS)
def test_others_in_bursts_are_served_nine_times_of_ten(kind: Scenario) -> None:
    outcomes = [
        simulate(replace(kind, others=1_000, batch=200, jobs=8_000, learn=3.0, seed=seed)) for seed in range(1, 4)
    ]
    assert sum(outcome.limited for outcome in outcomes) <= 2 * len(outcomes)
    assert sum(outcome.others_served for outcome in outcomes) >= 0.9 * len(outcomes)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", TELLING_KINDS)
def test_a_cold_start_costs_others_little_and_us_a_window_at_most(kind: Scenario, seed: int) -> None:
    scenario = replace(kind, others=1_000, jobs=8_000, learn=0.0, first_left_s=3_600.0, seed=seed)
    outcome = simulate(scenario)
    assert outcome.others_served >= 0.98, scenario
    assert outcome.time_s <= lower_bound_s(scenario) + scenario.window_s, scenario


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", TELLING_KINDS)
def test_clocks_off_by_two_minutes_make_no_difference(kind: Scenario, seed: int) -> None:
    scenario = replace(kind, skews_s=(-90.0, 45.0, 0.0, 120.0), jobs=6_000, rules=NOTHING_KEPT, seed=seed)
    outcome = simulate(scenario)
    assert outcome.limited == 0, scenario
    assert_near_the_bound(outcome, scenario)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", TELLING_KINDS)
def test_being_killed_every_two_minutes_makes_no_difference(kind: Scenario, seed: int) -> None:
    scenario = replace(kind, kill_every_s=120.0, jobs=6_000, rules=NOTHING_KEPT, seed=seed)
    outcome = simulate(scenario)
    assert outcome.limited == 0, scenario
    assert_near_the_bound(outcome, scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_greedy_competitor_gets_about_half_of_a_fixed_window(seed: int) -> None:
    scenario = replace(FIXED, greedy=1, others=250, jobs=8_000, learn=3.0, seed=seed)
    outcome = simulate(scenario)
    assert math.isfinite(outcome.time_s), scenario
    assert outcome.greedy_share <= 0.55, scenario
    assert outcome.limited <= 2 * math.ceil(outcome.time_s / scenario.window_s), scenario


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("rounding", [math.floor, math.ceil, round])
@pytest.mark.parametrize("window_s", [2.0, 2.5, 4.0])
@pytest.mark.parametrize("kind", KINDS)
def test_in_windows_of_seconds_nobody_is_refused_alone(
    kind: Scenario, window_s: float, rounding: type[int], seed: int
) -> None:
    scenario = replace(
        kind,
        limit=100,
        window_s=window_s,
        first_left_s=window_s * seed / 4,
        rounding=rounding,
        jobs=330,
        processes=2,
        latency_s=0.01,
        pushes=0,
        learn=2.0,
        windows_max=30,
        rules=NOTHING_KEPT,
        seed=seed,
    )
    outcome = simulate(scenario)
    assert outcome.limited == 0, scenario
    assert math.isfinite(outcome.time_s), scenario


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize(("limit", "window_s"), [(600, 60.0), (1_000, 900.0), (10_000, 3_600.0)])
@pytest.mark.parametrize("kind", TELLING_KINDS)
def test_other_limits_and_lengths_are_used_as_fully(kind: Scenario, limit: int, window_s: float, seed: int) -> None:
    scenario = replace(
        kind, limit=limit, window_s=window_s, jobs=limit * 6 // 5, pushes=0, rules=NOTHING_KEPT, learn=3.0, seed=seed
    )
    outcome = simulate(scenario)
    assert outcome.limited == 0, scenario
    assert outcome.time_s <= 1.02 * lower_bound_s(scenario) + 2 + 4.4, scenario  # 2.2 s for each of two openings


def test_the_naive_policies_fail_where_the_shipped_one_does_not() -> None:
    scenario = replace(FIXED, others=1_000, kill_every_s=120.0, jobs=8_000)
    ours = simulate(scenario)
    assert ours.limited == 0
    assert ours.others_served >= 0.999
    for policy in (NaiveBurst, EvenSpacing, HeadersAlone):
        naive = simulate(scenario, policy)
        assert naive.limited > 0, policy
        assert naive.others_served < 0.999, policy
