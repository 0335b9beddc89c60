"""What Remo would drop, create or break on is told before it is sent."""

import json
from typing import Any

import pytest

from labelmirror.model.keys import DocumentKey
from labelmirror.providers.remo.schema import SetRules, invalid, save_body, unsavable

KEY = DocumentKey("7", "3")
CLASSES = ["Boat", "Ship", "Sailing ship"]
BOXES = SetRules("object_detection", CLASSES)
OUTLINES = SetRules("instance_segmentation", CLASSES)
SCENE = SetRules("image_classification", CLASSES)


def points(*numbers: float) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def thing(**more: Any) -> dict[str, Any]:
    whole = {"name": "OBJ 1", "coordinates": points(1, 2, 30, 40), "classes": [{"name": "Boat", "lower": "boat"}]}
    return {**whole, "auto_created": False, "position_number": 1, **more}


def document(*annotations: Any, **more: Any) -> dict[str, Any]:
    of = {"id": 3, "name": "boxes", "task": "Object detection"}
    head = {"image_id": 7, "image": "a.jpg", "annotation_set": of, "status": "done", "tags": ["night"]}
    return {**head, "annotations": list(annotations), **more}


def found(held: Any, rules: SetRules = BOXES) -> list[tuple[str, str, str]]:
    data = json.dumps(held, indent=2).encode()
    problems = invalid(data, KEY, rules)
    assert all(problem.line > 0 for problem in problems)
    return [(problem.pointer, problem.message, problem.hint) for problem in problems]


@pytest.mark.parametrize(
    ("held", "rules"),
    [
        (document(), BOXES),
        (document(thing(), thing(name="OBJ 2", coordinates=points(-5, 2.5, 9, 9), classes=[])), BOXES),
        (document(thing(coordinates=points(1, 2, 3, 4, 5, 0))), OUTLINES),
        (document({"name": "Boat", "score": 0.5, "lower": "boat"}, {"name": "Ship", "questionable": True}), SCENE),
        (document(tags=[], status="skipped"), SCENE),
        (document(thing(classes=[{"name": "Boat"}] * 2)), BOXES),
    ],
)
def test_what_the_server_keeps_has_no_problem(held: Any, rules: SetRules) -> None:
    assert found(held, rules) == []


TWO = (thing(), thing(name="OBJ 2", coordinates=points(50, 2, 60, 40)))


@pytest.mark.parametrize(
    ("held", "pointer", "said"),
    [
        (document(image_id=8), "/image_id", "another image"),
        (document(annotation_set={"id": 4}), "/annotation_set/id", "another annotation set"),
        (document(status="finished"), "/status", "finished"),
        (document(tags="night"), "/tags", "a text"),
        (document(tags=["night", "Night"]), "/tags", "twice"),
        (document(tags=[" "]), "/tags/0", "blank"),
        (document(thing(coordinates=points(1, 2))), "/annotations/0/coordinates", "1 points"),
        (document(thing(coordinates=points(1, 2, 3, 4, 5, 6))), "/annotations/0/coordinates", "3 points"),
        (document(thing(coordinates=[])), "/annotations/0/coordinates", "0 points"),
        (
            document(thing(coordinates=[{"x": 1, "y": None}, {"x": 1, "y": 2}])),
            "/annotations/0/coordinates/0/y",
            "null",
        ),
        (document(thing(coordinates=[[1, 2], [3, 4]])), "/annotations/0/coordinates/0", "[1, 2]"),
        (document(thing(name="  ")), "/annotations/0/name", "blank"),
        (document(thing(name="x" * 256)), "/annotations/0/name", "256 letters"),
        (document(thing(name="a\0b")), "/annotations/0/name", "cannot be stored"),
        (document(thing(classes=[{"name": "y" * 256}])), "/annotations/0/classes/0/name", "256 letters"),
        (document(thing(classes=["Boat"])), "/annotations/0/classes/0", "a text"),
        (
            document(thing(classes=[{"name": "Boat", "questionable": 1}])),
            "/annotations/0/classes/0/questionable",
            "number",
        ),
        (document(thing(classes=[{"name": "Boat", "score": 1}])), "/annotations/0/classes/0/score", "no key"),
        (document(thing(labels=[])), "/annotations/0/labels", "no key"),
        (document({"name": "OBJ 1", "classes": []}), "/annotations/0", "coordinates"),
        (document(TWO[0], {**TWO[1], "name": "OBJ 1"}), "/annotations/1/name", "used twice"),
        (
            document(TWO[0], {**TWO[1], "coordinates": points(1.2, 2, 29.5, 40)}),
            "/annotations/1/coordinates",
            "number 1",
        ),
    ],
)
def test_what_it_would_drop_or_break_on_is_told_with_its_place(held: Any, pointer: str, said: str) -> None:
    places = {place: message for place, message, _ in found(held)}
    assert said in places[pointer]


def test_a_mistyped_class_is_not_created_but_told_with_the_nearest() -> None:
    ((place, said, hint),) = found(document(thing(classes=[{"name": "Shp"}])))
    assert place == "/annotations/0/classes/0/name"
    assert '"Shp"' in said
    assert '"Ship"' in hint
    ((_, said, hint),) = found(document({"name": "boat"}), SCENE)
    assert '"Boat"' in hint


def test_what_is_sent_is_rounded_in_order_and_without_what_the_server_fills_in() -> None:
    first = thing(coordinates=points(10.7, 20.2, -5.9, 120.5))
    second = thing(name="OBJ 2", position_number=9, auto_created=True, classes=[{"name": "Ship", "questionable": True}])
    body = save_body(document(second, first), BOXES)
    assert body == {
        "objects": [
            {
                "name": "OBJ 2",
                "coordinates": points(1, 2, 30, 40),
                "auto_created": True,
                "classes": [{"name": "Ship", "questionable": True}],
            },
            {"name": "OBJ 1", "coordinates": points(11, 20, -6, 121), "classes": [{"name": "Boat", "lower": "boat"}]},
        ]
    }


def test_a_classification_is_sent_with_its_status() -> None:
    body = save_body(document({"name": "Boat", "lower": "boat", "questionable": False, "score": 0.5}), SCENE)
    assert body == {"classes": [{"name": "Boat", "score": 0.5}], "status": "done"}


def test_what_is_no_document_is_told_once() -> None:
    (problem,) = invalid(b'{"annotations": [1]}', KEY, BOXES)
    assert problem.pointer == "/annotations/0"


@pytest.mark.parametrize(
    "flat", [points(1, 2, 1, 2), points(1, 2, 30, 2), points(1, 2, 1.4, 40), points(5, 1, 5, 9, 5, 20)]
)
def test_an_object_of_no_size_is_not_saved_unless_the_server_holds_it_already(flat: list[dict[str, float]]) -> None:
    held = document(thing(coordinates=flat), TWO[1])
    assert list(unsavable(document(TWO[1], thing(coordinates=flat, position_number=7), status="skipped"), held)) == []
    for changed in (
        document(thing(name="OBJ 3", coordinates=flat)),
        document(thing(coordinates=flat, classes=[])),
        document(thing(name="OBJ 2", coordinates=flat)),
    ):
        (problem,) = unsavable(changed, held)
        assert problem.path == ("annotations", 0, "coordinates")


def test_classes_of_an_image_have_no_size_to_look_at() -> None:
    assert list(unsavable(document({"name": "Boat"}), document())) == []
