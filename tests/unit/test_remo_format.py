"""Documents of Remo: told apart without ids, merged, and recognised when a save left half of one."""

import json
import random
from typing import Any

import pytest

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import JsonObject
from labelmirror.planning.merge import Merged, merge
from labelmirror.providers.remo.format import RemoFormat

FORMAT = RemoFormat()


def thing(name: str, x: int, y: int, *classes: str, size: int = 40, **more: Any) -> dict[str, Any]:
    corners = [{"x": x, "y": y}, {"x": x + size, "y": y + size}]
    marks = [{"name": each, "lower": each.lower(), "questionable": False} for each in classes or ("Boat",)]
    return {"name": name, "coordinates": corners, "auto_created": False, "classes": marks, **more}


def document(*annotations: JsonObject, status: str = "not_annotated", tags: tuple[str, ...] = ()) -> dict[str, Any]:
    of = {"id": 1, "name": "boxes", "task": "Object detection"}
    return {
        "image_id": 7,
        "image": "a.jpg",
        "annotation_set": of,
        "status": status,
        "tags": list(tags),
        "annotations": [{**item, "position_number": number} for number, item in enumerate(annotations, 1)],
    }


def merged(base: JsonObject, local: JsonObject, remote: JsonObject) -> Merged:
    parts = [FORMAT.keyed(side, base) for side in (base, local, remote)]
    return merge(*parts, stable_ids=FORMAT.stable_ids)


def rebuilt(base: JsonObject, local: JsonObject, remote: JsonObject) -> JsonObject:
    result = merged(base, local, remote)
    assert result.clean, result.clashes
    return FORMAT.rebuilt(remote, result.parts)


A, B, C = thing("OBJ 1", 0, 0), thing("OBJ 2", 100, 0, "Ship"), thing("OBJ 3", 200, 0)


@pytest.mark.parametrize(
    "same",
    [
        document(B, A, status="done", tags=("night", "wet")),
        document({**A, "auto_created": False}, {key: B[key] for key in ("name", "coordinates", "classes")})
        | {
            "status": "done",
            "tags": ["WET", "Night"],
        },
        document(thing("OBJ 1", 0, 0) | {"coordinates": [{"x": 0.4, "y": -0.2}, {"x": 39.5, "y": 40.0}]}, B)
        | {"status": "done", "tags": ["wet", "night"], "image": "renamed.jpg", "image_id": 8},
    ],
)
def test_order_defaults_fractions_case_of_tags_and_what_the_server_fills_in_are_no_difference(same: Any) -> None:
    assert FORMAT.digest(same) == FORMAT.digest(document(A, B, status="done", tags=("night", "wet")))


@pytest.mark.parametrize(
    "other",
    [
        document(A, status="done"),
        document(A, tags=("night",)),
        document(),
        document({**A, "name": "OBJ 9"}),
        document({**A, "auto_created": True}),
        document(thing("OBJ 1", 1, 0)),
        document(thing("OBJ 1", 0, 0, "Boat", "Ship")),
        document({**A, "classes": [{"name": "Boat", "questionable": True}]}),
    ],
)
def test_every_edit_moves_the_digest(other: Any) -> None:
    assert FORMAT.digest(other) != FORMAT.digest(document(A))


def test_annotations_are_matched_by_content_then_name_then_overlap() -> None:
    base = document(A, B, C)
    moved = thing("OBJ 2", 500, 500, "Ship")
    renamed = {**thing("other", 205, 3), "classes": [{"name": "Ship"}]}
    added = thing("new", 800, 0)
    keys = [part.key for part in FORMAT.keyed(document(renamed, A, added, moved), base)]
    assert keys[:2] == ["#3", "#1"]
    assert keys[2].startswith("+")
    assert keys[3:] == ["#2", "status"]
    assert [part.key for part in FORMAT.keyed(base)] == ["#1", "#2", "#3", "status"]


def test_what_does_not_overlap_enough_is_another_annotation() -> None:
    keys = [part.key for part in FORMAT.keyed(document(thing("other", 30, 0)), document(A))]
    assert keys[0].startswith("+")


def test_equal_additions_are_one_and_two_in_one_place_with_different_classes_clash() -> None:
    base = document(A)
    assert FORMAT.annotations(rebuilt(base, document(A, B), document(A, B))) == FORMAT.annotations(document(A, B))
    assert not merged(base, document(A, B), document(A, thing("OBJ 2", 100, 0, "Boat"))).clean


def test_two_additions_of_one_name_are_both_kept_and_the_later_one_is_renamed() -> None:
    mine, theirs = thing("OBJ 2", 300, 300), thing("OBJ 2", 100, 0)
    found = FORMAT.annotations(rebuilt(document(A), document(A, mine), document(A, theirs)))
    assert [item["name"] for item in found] == ["OBJ 1", "OBJ 2", "OBJ 3"]
    assert [item["position_number"] for item in found] == [1, 2, 3]
    assert found[2]["coordinates"] == mine["coordinates"]


def test_status_and_tags_are_merged_as_a_value_and_as_a_set() -> None:
    base = document(A, tags=("night", "wet"))
    found = rebuilt(base, document(A, status="done", tags=("wet",)), document(A, B, tags=("night", "wet", "fog")))
    assert (found["status"], found["tags"]) == ("done", ["wet", "fog"])
    assert len(FORMAT.annotations(found)) == 2
    assert not merged(base, document(A, status="done"), document(A, status="skipped")).clean


def test_two_annotations_in_one_place_cannot_be_told_apart() -> None:
    twice = document(thing("x", 700, 0), thing("y", 700, 0, "Ship"))
    with pytest.raises(InvalidDocument) as refused:
        FORMAT.keyed(twice, document(A))
    assert refused.value.pointer == "/annotations/1"


@pytest.mark.parametrize("seed", range(200))
def test_one_annotation_that_is_moved_differently_on_both_sides_is_held(seed: int) -> None:
    rng = random.Random(seed)
    base = document(*(thing(f"OBJ {n}", rng.randrange(900), 60 * n) for n in range(1, rng.randrange(2, 8))))
    chosen = rng.randrange(len(base["annotations"]))

    def one_moved(by: int) -> dict[str, Any]:
        items = [dict(item) for item in base["annotations"]]
        items[chosen]["coordinates"] = [
            {"x": point["x"] + by, "y": point["y"]} for point in items[chosen]["coordinates"]
        ]
        if rng.random() < 0.5:  # a tool that gives names by itself
            items[chosen]["name"] = f"other {by}"
        rng.shuffle(items)
        return {**base, "annotations": items}

    mine, theirs = rng.sample(range(1, 500), 2)
    assert not merged(base, one_moved(mine), one_moved(-theirs)).clean, f"seed {seed}"


@pytest.mark.parametrize("seed", range(300))
def test_merging_keeps_its_laws_without_ids(seed: int) -> None:
    rng = random.Random(seed)
    base = document(*(thing(f"OBJ {n}", rng.randrange(900), 60 * n) for n in range(1, 6)), tags=("night",))
    side = json.loads(json.dumps(base))
    for _ in range(rng.randrange(1, 4)):
        items = side["annotations"]
        match rng.randrange(4):
            case 0 if items:
                items.pop(rng.randrange(len(items)))
            case 1 if items:
                rng.choice(items)["coordinates"][0]["x"] -= rng.randrange(1, 9)
            case 2:
                items.append(thing(f"new {rng.randrange(10**6)}", rng.randrange(2000, 9000), 0))
            case _:
                side["tags"] = rng.sample(["night", "wet", "fog"], 2)
    for local, remote in ((base, side), (side, base), (side, side)):
        assert FORMAT.digest(rebuilt(base, local, remote)) == FORMAT.digest(side), f"seed {seed}"


BEFORE = document(C, tags=("old", "both"))
BODY = document(A, thing("OBJ 2", 100, 0, "Ship", "Boat"), status="done", tags=("both", "new"))


@pytest.mark.parametrize(
    "found",
    [
        document(tags=("old", "both")),
        document(A, tags=("old", "both")),
        document(A, thing("OBJ 2", 100, 0, "Ship"), tags=("old", "both")),
        document(*BODY["annotations"], tags=("old", "both")),
        document(*BODY["annotations"], status="done", tags=("old", "both", "new")),
        document(*BODY["annotations"], status="done", tags=("both",)),
        document(C, status="done", tags=("old", "both")),
    ],
)
def test_what_a_save_leaves_when_it_is_cut_off_is_recognised(found: Any) -> None:
    assert FORMAT.half_saved(BEFORE, BODY, found)


@pytest.mark.parametrize(
    "found",
    [
        document(A, C, tags=("both",)),
        document(BODY["annotations"][1], tags=("both",)),
        document(A, tags=("both", "theirs")),
        document(A, tags=()),
        document(A, status="skipped", tags=("both",)),
        document(thing("OBJ 1", 1, 0), tags=("both",)),
    ],
)
def test_what_holds_anything_of_somebody_else_is_no_half_of_a_save(found: Any) -> None:
    assert not FORMAT.half_saved(BEFORE, BODY, found)


def test_deleting_annotations_is_no_half_of_a_save_that_changed_only_tags() -> None:
    before, body = document(A, B), document(A, B, tags=("new",))
    assert FORMAT.half_saved(before, body, body)
    assert not FORMAT.half_saved(before, body, document(A))


def test_an_object_counts_for_the_first_of_its_classes() -> None:
    held = document(thing("x", 0, 0, "Ship", "Boat"), {**thing("y", 100, 0), "classes": []}, A)
    assert FORMAT.counts(held) == {"Ship": 1, "": 1, "Boat": 1}
    assert FORMAT.counts({**held, "annotations": [{"name": "Busy"}, {"name": "Calm", "score": 0.5}]}) == {
        "Busy": 1,
        "Calm": 1,
    }
