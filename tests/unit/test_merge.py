"""The laws of the merge, on many random documents, and its rules one by one."""

import random
from collections.abc import Sequence

import pytest

from labelmirror.model.document import JsonObject, digest_of
from labelmirror.model.keyed import Keyed
from labelmirror.planning.merge import Field, Merged, Sides, difference, differing, merge

CASES = 100_000


def keyed(key: str, version: int) -> Keyed:
    value: JsonObject = {"id": key, "x": version}
    return Keyed(key, digest_of(value), value)


#: Every annotation that the tests use, made once: five keys in four versions.
POOL = {(key, version): keyed(key, version) for key in "abcde" for version in range(4)}


def some(rng: random.Random) -> list[Keyed]:
    keys = rng.sample("abcde", rng.randrange(6))
    return [POOL[key, rng.randrange(3)] for key in keys]


def edited(rng: random.Random, base: Sequence[Keyed]) -> list[Keyed]:
    """A descendant of base: some annotations deleted, some changed, some added."""
    kept = [POOL[item.key, rng.randrange(4)] if rng.random() < 0.3 else item for item in base if rng.random() < 0.8]
    free = [key for key in "abcde" if key not in {item.key for item in base}]
    return kept + [POOL[key, rng.randrange(4)] for key in free if rng.random() < 0.3]


def content(items: Sequence[Keyed]) -> dict[str, str]:
    return {item.key: item.digest for item in items}


def outcome(merged: Merged) -> tuple[dict[str, str], list[str]]:
    return content(merged.parts), sorted(clash.key for clash in merged.clashes)


def test_the_laws_hold_for_random_documents(seed: int) -> None:
    rng = random.Random(seed)
    clean = 0
    for _ in range(CASES):
        base = some(rng)
        local, remote = edited(rng, base), edited(rng, base)
        assert content(merge(base, base, remote).parts) == content(remote)
        assert content(merge(base, local, base).parts) == content(local)
        assert outcome(merge(base, local, local)) == (content(local), [])
        merged = merge(base, local, remote)
        assert outcome(merged) == outcome(merge(base, remote, local))
        held, known = content(merged.parts), (content(base), content(local), content(remote))
        for key, digest in held.items():
            assert digest in {known[1].get(key), known[2].get(key)}, "invented"
        clashing = {clash.key for clash in merged.clashes}
        for key, digest in known[1].items():
            if known[2].get(key) == digest:
                assert held[key] == digest, "dropped though both sides kept it"
            elif key not in known[0] and key not in clashing:
                assert held[key] == digest, "an addition was dropped"
        clean += merged.clean
    assert 0 < clean < CASES


A0, A1, A2, B0, C0 = (POOL["a", 0], POOL["a", 1], POOL["a", 2], POOL["b", 0], POOL["c", 0])


@pytest.mark.parametrize(
    ("base", "local", "remote", "expected"),
    [
        ([A0], [A1], [A0], [A1]),
        ([A0], [A0], [A1], [A1]),
        ([A0], [A1], [A1], [A1]),
        ([A0], [], [A0], []),
        ([A0], [A0], [], []),
        ([A0], [], [], []),
        ([A0], [A0, B0], [A0], [A0, B0]),
        ([A0], [A0, B0], [A0, C0], [A0, C0, B0]),
        ([], [B0], [B0], [B0]),
        ([A0, B0], [A0, B0], [B0, A0], [B0, A0]),
    ],
)
def test_changes_of_one_side_are_taken_in_remote_order_with_local_additions_last(
    base: list[Keyed], local: list[Keyed], remote: list[Keyed], expected: list[Keyed]
) -> None:
    merged = merge(base, local, remote)
    assert merged.clean
    assert list(merged.parts) == expected


@pytest.mark.parametrize(
    ("base", "local", "remote"),
    [([A0], [A1], [A2]), ([A0], [], [A1]), ([A0], [A1], []), ([], [A1], [A2])],
)
def test_an_annotation_that_both_sides_changed_differently_clashes(
    base: list[Keyed], local: list[Keyed], remote: list[Keyed]
) -> None:
    merged = merge(base, [*local, B0], remote)
    assert [clash.key for clash in merged.clashes] == ["a"]


def test_a_clash_names_the_fields_that_differ() -> None:
    (clash,) = merge([A0], [A1], [A2]).clashes
    assert clash.fields == [Field("x", {"base": 0, "local": 1, "remote": 2})]
    (deleted,) = merge([A0], [], [A2]).clashes
    assert deleted.fields == [Field("x", {"base": 0, "remote": 2})]


def test_a_field_that_differs_is_named_as_deep_as_the_sides_are_alike() -> None:
    sides = Sides(
        "a",
        {"box": {"x": 1, "y": 2}, "ring": [{"x": 1}, {"x": 2}], "path": [1], "same": True},
        {"box": {"x": 5, "y": 2}, "ring": [{"x": 1}, {"x": 9}], "path": [1, 2], "same": True, "note": "mine"},
        None,
    )
    assert sides.fields == [
        Field("box.x", {"base": 1, "local": 5}),
        Field("ring[1].x", {"base": 2, "local": 9}),
        Field("path", {"base": [1], "local": [1, 2]}),
        Field("note", {"local": "mine"}),
    ]


def test_sides_that_are_known_are_compared_with_each_other() -> None:
    found = differing([A0, B0], [A1, B0], [A0, B0, C0])
    assert found == [Sides("a", A0.value, A1.value, A0.value), Sides("c", None, None, C0.value)]
    assert differing([A0, B0], None, [A0, B0]) == []
    assert differing(None, [A0, B0], [A0, C0]) == [Sides("c", None, None, C0.value), Sides("b", None, B0.value, None)]


def test_what_an_unchanged_side_spells_differently_is_no_difference() -> None:
    spelt = Keyed("a", A0.digest, {**A0.value, "made_by": "server"})
    (found,) = differing([A0], [A1], [spelt])
    assert found.remote == A0.value


def test_a_difference_lists_what_was_added_removed_and_changed() -> None:
    found = difference([A0, B0], [C0, A1])
    assert (found.added, found.removed, found.changed) == (("c",), ("b",), ("a",))
