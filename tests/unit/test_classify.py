"""The decision table, every cell of it."""

import itertools

import pytest

from labelmirror.model.document import Digest
from labelmirror.model.trouble import HoldReason
from labelmirror.planning.classify import Outcome, Side, Verdict, Void, classify

A, B, C = Digest("a"), Digest("b"), Digest("c")
ABSENT, INVALID, UNKNOWN = Void.ABSENT, Void.INVALID, Void.UNKNOWN


def hold(reason: HoldReason) -> Verdict:
    return Verdict(Outcome.HOLD, reason)


# base, local, remote -> verdict; digests up to renaming. The order is that of the published table.
TABLE: dict[tuple[Digest | None, Side, Side], Verdict] = {
    (A, A, A): Verdict(Outcome.IN_STEP),
    (A, A, B): Verdict(Outcome.PULL),
    (A, B, A): Verdict(Outcome.PUSH),
    (A, B, B): Verdict(Outcome.ADOPT),
    (A, B, C): Verdict(Outcome.MERGE),
    (A, ABSENT, A): Verdict(Outcome.PULL),
    (A, ABSENT, B): Verdict(Outcome.PULL),
    (A, A, ABSENT): Verdict(Outcome.RETIRE),
    (A, B, ABSENT): hold(HoldReason.EDITED_AND_DELETED),
    (A, ABSENT, ABSENT): Verdict(Outcome.FORGET),
    (None, A, ABSENT): Verdict(Outcome.LOCAL_ONLY),
    (None, ABSENT, A): Verdict(Outcome.PULL),
    (None, A, A): Verdict(Outcome.ADOPT),
    (None, A, B): hold(HoldReason.BOTH_ADDED),
    (None, ABSENT, ABSENT): Verdict(Outcome.IN_STEP),
}
BASES: tuple[Digest | None, ...] = (None, A)
LOCALS: tuple[Side, ...] = (A, B, ABSENT)
REMOTES: tuple[Side, ...] = (A, B, ABSENT, UNKNOWN, INVALID)
TABLE |= {(base, INVALID, remote): Verdict(Outcome.INVALID) for base, remote in itertools.product(BASES, REMOTES)}
TABLE |= {(base, local, UNKNOWN): Verdict(Outcome.UNKNOWN) for base, local in itertools.product(BASES, LOCALS)}
TABLE |= {(base, local, INVALID): Verdict(Outcome.UNKNOWN) for base, local in itertools.product(BASES, LOCALS)}


def renamed(base: Digest | None, local: Side, remote: Side) -> tuple[Digest | None, Side, Side]:
    """The same three sides with digests renamed a, b, c in the order of their first sight, base being a."""
    names: dict[Digest, Digest] = {}
    free = iter((A, B, C) if base is not None else (A, B))

    def name(side: Side | None) -> Side | None:
        return side if not isinstance(side, str) else names.setdefault(side, next(free, C))

    first, second, third = name(base), name(local), name(remote)
    assert not isinstance(first, Void)
    assert second is not None
    assert third is not None
    return first, second, third


@pytest.mark.parametrize("base", [None, A, B, C])
@pytest.mark.parametrize("local", [A, B, C, ABSENT, INVALID])
@pytest.mark.parametrize("remote", [A, B, C, ABSENT, INVALID, UNKNOWN])
def test_every_combination_of_the_three_sides_gets_the_outcome_of_the_table(
    base: Digest | None, local: Side, remote: Side
) -> None:
    key = renamed(base, local, remote)
    if key[0] is None and key[1] is ABSENT and isinstance(key[2], str):
        key = (None, ABSENT, A)
    if key[0] is not None and key[1] in (A, ABSENT, INVALID) and isinstance(key[2], str) and key[2] != A:
        key = (key[0], key[1], B)
    assert classify(base, local, remote) == TABLE[key]


def test_no_row_of_the_table_is_out_of_reach() -> None:
    reached = {classify(base, local, remote).outcome for base, local, remote in TABLE}
    assert reached == set(Outcome)


@pytest.mark.parametrize("base", [None, A])
@pytest.mark.parametrize("local", [A, B, ABSENT, INVALID])
def test_what_is_not_known_of_the_server_never_causes_an_action(base: Digest | None, local: Side) -> None:
    assert classify(base, local, UNKNOWN).outcome in {Outcome.UNKNOWN, Outcome.INVALID}


@pytest.mark.parametrize("remote", [A, B, ABSENT])
def test_a_missing_file_is_never_an_order_to_clear_the_server(remote: Side) -> None:
    assert classify(A, ABSENT, remote).outcome in {Outcome.PULL, Outcome.FORGET}
