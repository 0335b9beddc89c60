"""Half of a composed save is known as such, and nothing else is: exhaustively small, and by seed."""

import random
from copy import deepcopy
from typing import Any

import pytest

from labelmirror.providers.coco_annotator.format import CocoAnnotatorFormat
from support.coco_documents import SteppingServer, annotation, document, edited, some_annotation

FORMAT = CocoAnnotatorFormat()


def half(before: dict[str, Any], body: dict[str, Any], found: dict[str, Any]) -> bool:
    return FORMAT.half_saved(before, body, found)


def world(seed: int) -> tuple[random.Random, dict[str, Any], dict[str, Any]]:
    rng = random.Random(seed)
    held = [some_annotation(rng, number) for number in rng.sample(range(1, 20), rng.randrange(5))]
    before = document(*held, metadata=rng.choice([{}, {"a": 1}]))
    body = document(*edited(rng, held), metadata=rng.choice([{}, {"a": 1}, {"b": 2}]))
    return rng, before, body


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_every_state_on_the_way_is_half_and_a_repetition_from_it_ends_in_what_was_wanted(start: int) -> None:
    halves = 0
    for seed in range(start, start + 100):
        rng, before, body = world(seed)
        ends = {FORMAT.digest(before), FORMAT.digest(body)}
        states = list(SteppingServer(before, 100, rng).save(body))
        if states:
            assert FORMAT.digest(states[-1]) == FORMAT.digest(body), f"replay with seed {seed}"
        for state in states:
            if FORMAT.digest(state) in ends:
                continue
            halves += 1
            assert half(before, body, state), f"replay with seed {seed}"
            if rng.random() < 0.8:
                continue
            again = list(SteppingServer(state, 200, rng).save(body))
            assert FORMAT.digest(again[-1]) == FORMAT.digest(body), f"replay with seed {seed}"
            for later in again:
                if FORMAT.digest(later) not in ends:
                    assert half(before, body, later), f"replay with seed {seed}"
    assert halves > 100


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_a_half_with_anything_of_somebody_else_in_it_is_none(start: int) -> None:
    tried = 0
    for seed in range(start, start + 100):
        rng, before, body = world(seed)
        for state in SteppingServer(before, 100, rng).save(body):
            other = deepcopy(state)
            rows = other["annotations"]
            match rng.randrange(4):
                case 0:
                    rows.append(annotation(500, 4))
                case 1 if rows:
                    rng.choice(rows)["segmentation"] = [[1, 1, 2, 1, 2, 2.25]]
                case 2 if rows:
                    rng.choice(rows)["category_id"] = 4
                case _:
                    other["image"]["metadata"] = {"somebody": "else"}
            tried += 1
            assert not half(before, body, other), f"replay with seed {seed}"
    assert tried > 100


def test_both_ends_are_no_halves() -> None:
    before = document(annotation(1), annotation(2, 2))
    body = document(annotation(1, color="#000000"), metadata={"a": 1})
    assert not half(before, body, before)
    assert not half(before, body, body)


def test_an_addition_that_came_late_is_there_twice_and_is_still_half() -> None:
    before, body = document(), document(annotation(None, color="#000000"))
    bare: dict[str, Any] = {"area": 0, "bbox": [0, 0, 0, 0], "color": "#777777", "metadata": {"default": ""}}
    once, twice = annotation(7, **bare), annotation(8, **bare)
    assert half(before, body, document(once))
    assert half(before, body, document(once, twice))
    assert half(before, body, document(annotation(7, color="#000000"), twice))
    assert not half(before, body, document(annotation(7, color="#000000")))


def test_what_an_addition_was_made_of_and_then_drawn_anew_by_somebody_is_no_half() -> None:
    before, body = document(), document(annotation(None, color="#000000"))
    assert not half(before, body, document(annotation(7, color="#777777")))


def test_a_deletion_before_all_else_was_stored_is_somebody_elses() -> None:
    before = document(annotation(1), annotation(2, 2))
    body = document(annotation(1, color="#000000"))
    assert not half(before, body, document(annotation(1)))
    assert half(before, body, document(annotation(1, color="#000000"), annotation(2, 2)))


def test_an_annotation_that_is_wanted_and_missing_was_deleted_by_somebody() -> None:
    before = document(annotation(1), annotation(2, 2))
    body = document(annotation(1, color="#000000"), annotation(2, 2, color="#000000"))
    assert not half(before, body, document(annotation(1, color="#000000")))


def test_annotations_are_stored_one_after_the_other() -> None:
    before = document(annotation(1), annotation(2))
    body = document(annotation(1, color="#000000"), annotation(2, color="#000000"))
    assert half(before, body, document(annotation(1, color="#000000"), annotation(2)))
    assert not half(before, body, document(annotation(1), annotation(2, color="#000000")))


def test_all_are_in_their_categories_before_the_first_is_stored() -> None:
    before = document(annotation(1), annotation(2))
    body = document(annotation(1, 2, color="#000000"), annotation(2, 2))
    assert half(before, body, document(annotation(1, 2), annotation(2)))
    assert half(before, body, document(annotation(1, 2), annotation(2, 2)))
    assert not half(before, body, document(annotation(1, 2, color="#000000"), annotation(2)))
