"""How the ends of several mirrors become one exit code."""

import itertools

import pytest

from labelmirror.cli import endings
from labelmirror.engine.verify import Damage, VerifyReport
from labelmirror.errors import EXIT_PRECEDENCE, ExitCode
from labelmirror.model.actions import Refusal
from labelmirror.model.report import MirrorReport, RunError
from labelmirror.model.trouble import Failed, Held, HoldReason, Stage

FAILED = Failed("1", "", "images/a.jpg", Stage.PULL, "size_mismatch", "too short")
HELD = Held("2", "", "images/b.jpg", HoldReason.BOTH_EDITED)
REFUSAL = Refusal("images gone", 30, 20, 100, (), "--allow-deletes 30")


def codes(*each: ExitCode) -> frozenset[ExitCode]:
    return frozenset(each)


def test_nothing_to_complain_about_is_exit_code_0() -> None:
    assert endings.exit_code([]) is ExitCode.DONE
    assert endings.exit_code([codes(), codes()]) is ExitCode.DONE


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(EXIT_PRECEDENCE, 2)))
def test_of_two_codes_of_one_mirror_the_weightier_counts(first: ExitCode, second: ExitCode) -> None:
    expected = first
    if second in {ExitCode.LOCKED, ExitCode.UNREACHABLE} and first not in {ExitCode.LOCKED, ExitCode.UNREACHABLE}:
        expected = min(first, ExitCode.SOME_FAILED, key=EXIT_PRECEDENCE.index)
    elif first in {ExitCode.LOCKED, ExitCode.UNREACHABLE} and second is ExitCode.BUDGET:
        expected = ExitCode.SOME_FAILED
    assert endings.exit_code([codes(first, second)]) is expected


@pytest.mark.parametrize("idle", [ExitCode.LOCKED, ExitCode.UNREACHABLE])
def test_locked_and_unreachable_count_only_when_no_mirror_could_work(idle: ExitCode) -> None:
    assert endings.exit_code([codes(idle), codes(idle)]) is idle
    assert endings.exit_code([codes(idle), codes()]) is ExitCode.SOME_FAILED
    assert endings.exit_code([codes(idle), codes(ExitCode.HELD)]) is ExitCode.HELD
    assert endings.exit_code([codes(ExitCode.LOCKED), codes(ExitCode.UNREACHABLE)]) is ExitCode.LOCKED


def test_a_run_has_the_codes_of_all_that_happened_in_it() -> None:
    assert endings.run_codes(MirrorReport("m")) == codes()
    error = RunError("disk", "full", "", int(ExitCode.DISK))
    report = MirrorReport("m", troubles=[FAILED, HELD], refused=REFUSAL, error=error)
    assert endings.run_codes(report) == codes(ExitCode.SOME_FAILED, ExitCode.HELD, ExitCode.REFUSED, ExitCode.DISK)


def test_a_role_that_is_refused_for_an_item_decides_the_code() -> None:
    refused = Failed("a", "", "images/a.jpg", Stage.PULL, "role_refused", "viewers may not read")
    report = MirrorReport("m", troubles=[refused])
    assert endings.exit_code([endings.run_codes(report)]) is ExitCode.KEY_REFUSED


def test_only_damage_that_stays_is_damage() -> None:
    repaired, stays = Damage("images/a.jpg", "digest", repaired=True), Damage("images/b.jpg", "missing", repaired=False)
    assert endings.verify_codes(VerifyReport("m", 2, [repaired])) == codes()
    assert endings.verify_codes(VerifyReport("m", 2, [repaired, stays])) == codes(ExitCode.DAMAGED)


def test_the_error_that_decided_speaks() -> None:
    locked, disk = RunError("locked", "held", "", 5), RunError("disk", "full", "", 12)
    assert endings.speaking([None, locked, disk], ExitCode.DISK) is disk
    assert endings.speaking([None, locked], ExitCode.SOME_FAILED) is None
