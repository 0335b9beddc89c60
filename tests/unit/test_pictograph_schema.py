"""What a document may hold before it is sent, by generation, and what is sent for it."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from labelmirror.model.document import Document, JsonValue, render
from labelmirror.model.remote import Dataset
from labelmirror.providers.pictograph import schema
from labelmirror.providers.pictograph.dialect import Generation
from labelmirror.providers.pictograph.format import PictographFormat
from labelmirror.standin.exchange import Refusal
from labelmirror.standin.pictograph import annotations as server
from labelmirror.standin.pictograph.generation import Generation as ServerGeneration

Annotation = Mapping[str, Any]

CLASSES = ("car", "lake", "lane", "eye")
DATASET = Dataset("d", "street", None, None, categories=tuple({"name": name} for name in CLASSES))
FORMAT = PictographFormat()
RING = [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 5, "y": 7}]
PAIRS = [[0, 0], [9, 0], [5, 7]]
BOX: Annotation = {"id": "a", "name": "car", "type": "bbox", "bounding_box": {"x": 1, "y": 2, "w": 3, "h": 4}}
POLYGON: Annotation = {"id": "p", "name": "lake", "type": "polygon", "polygon": {"paths": [RING]}}
LINE: Annotation = {"id": "l", "name": "lane", "type": "polyline", "polyline": {"path": RING}}
POINT: Annotation = {"id": "k", "name": "eye", "type": "keypoint", "keypoint": {"x": 5, "y": 6}}
TURNED: Annotation = {**BOX, "oriented_box": {"cx": 4, "cy": 4, "w": 8, "h": 2, "angle": 30.0}}
HOLED: Annotation = {**POLYGON, "polygon": {"paths": [RING, RING]}}
G0, G1, G1B, G2 = Generation.G0, Generation.G1, Generation.G1B, Generation.G2


def document(*annotations: object) -> Document:
    held: JsonValue = json.loads(json.dumps(annotations))
    return {"image": "a.jpg", "image_uuid": "i", "annotation_count": 1, "annotations": held}


def found(*annotations: object, generation: Generation = G2) -> list[tuple[str, str]]:
    problems = schema.invalid(render(document(*annotations)), DATASET, "i", generation)
    return [(problem.pointer, f"{problem.message} {problem.hint}") for problem in problems]


def sent(*annotations: Annotation, generation: Generation = G2) -> Sequence[Annotation]:
    assert found(*annotations, generation=generation) == []
    return schema.sendable(document(*annotations), generation)


def without(annotation: Annotation, *keys: str) -> Annotation:
    return {key: value for key, value in annotation.items() if key not in keys}


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "pointer", "said"),
    [
        ({**without(BOX, "name"), "class": "car"}, "/class", 'The key of the class is "name"'),
        (without(BOX, "name"), "", '"name" is missing'),
        ({**BOX, "name": " "}, "/name", "blank"),
        ({**BOX, "name": None}, "/name", "null"),
        ({**BOX, "name": "caar"}, "/name", 'no class "caar"'),
        ({**BOX, "name": "caar"}, "/name", 'nearest classes are: "car"'),
        (without(BOX, "id"), "", '"id" is missing'),
        ({**BOX, "id": ""}, "/id", "blank"),
        ({**BOX, "id": 7}, "/id", "a number"),
        (without(BOX, "type"), "", '"type" is missing'),
        ({**BOX, "type": "skeleton"}, "/type", "Types are: bbox, polygon, polyline, keypoint"),
        ({**BOX, "type": ["bbox"]}, "/type", "not known"),
        (without(BOX, "bounding_box"), "", '"bounding_box" is missing'),
        ({**BOX, "bounding_box": {"x": 1, "y": 2, "w": 0, "h": 4}}, "/bounding_box/w", "above 0"),
        ({**BOX, "bounding_box": {"x": 1, "y": 2, "w": 3, "h": -4}}, "/bounding_box/h", "above 0"),
        ({**BOX, "bounding_box": {"x": 1, "y": 2, "w": 3}}, "/bounding_box", '"h" is missing'),
        ({**BOX, "bounding_box": {"x": "1", "y": 2, "w": 3, "h": 4}}, "/bounding_box/x", "a text"),
        ({**BOX, "bounding_box": {"x": True, "y": 2, "w": 3, "h": 4}}, "/bounding_box/x", "true or false"),
        ({**BOX, "bounding_box": {"x": 10**400, "y": 2, "w": 3, "h": 4}}, "/bounding_box/x", "finite"),
        ({**BOX, "bounding_box": {"x": 1, "y": 2, "w": 3, "h": 4, "z": 5}}, "/bounding_box/z", 'no key "z"'),
        ({**BOX, "bounding_box": [1, 2, 3, 4]}, "/bounding_box", "a list"),
        ({**BOX, "bbox": [1, 2, 3, 4]}, "/bbox", 'no key "bbox"'),
        ({**without(BOX, "bounding_box"), "bbox": [1, 2, 3]}, "/bbox", "x, y, w, h"),
        ({**without(BOX, "bounding_box"), "bbox": [1, 2, 3, 0]}, "/bbox/3", "above 0"),
        ({**POLYGON, "polygon": [0, 0, 9, 0, 5, 7]}, "/polygon", "flat list"),
        ({**POLYGON, "polygon": {"paths": [[0, 0, 9, 0, 5, 7]]}}, "/polygon/paths/0", "flat list"),
        ({**POLYGON, "polygon": {"paths": [RING, RING[:2]]}}, "/polygon/paths/1", "2 of 3 points"),
        ({**POLYGON, "polygon": {"path": RING[:2]}}, "/polygon/path", "2 of 3 points"),
        ({**POLYGON, "polygon": {"paths": []}}, "/polygon/paths", "at least one ring"),
        ({**POLYGON, "polygon": {"paths": [RING], "path": RING}}, "/polygon/path", "no key"),
        ({**POLYGON, "polygon": {"paths": [[*RING, {"x": 1, "y": 2, "z": 3}]]}}, "/polygon/paths/0/3/z", "no key"),
        ({**POLYGON, "polygon": {"paths": [[*RING, {"x": 1}]]}}, "/polygon/paths/0/3", '"y" is missing'),
        ({**POLYGON, "polygon": [*PAIRS, [1]]}, "/polygon/3", "x, y"),
        ({**POLYGON, "polygon": "M0 0"}, "/polygon", "a text"),
        ({**LINE, "polyline": {"path": RING[:1]}}, "/polyline/path", "1 of 2 points"),
        ({**LINE, "polyline": [0, 0, 9, 9]}, "/polyline", "flat list"),
        ({**POINT, "keypoint": {"x": 1}}, "/keypoint", '"y" is missing'),
        ({**POINT, "keypoint": [1, 2, 3]}, "/keypoint", "x, y"),
        ({**POINT, "bounding_box": {"x": 1, "y": 2, "w": 3, "h": 4}}, "/bounding_box", "a keypoint has no key"),
        ({**POINT, "instance_id": 0}, "/instance_id", "from 1 on"),
        ({**POINT, "instance_id": True}, "/instance_id", "from 1 on"),
        ({**POINT, "instance_id": 1.5}, "/instance_id", "from 1 on"),
        ({**BOX, "instance_id": 1}, "/instance_id", "a bbox has no key"),
        ({**TURNED, "oriented_box": {**TURNED["oriented_box"], "angle": 360}}, "/oriented_box/angle", "below 360"),
        ({**TURNED, "oriented_box": {**TURNED["oriented_box"], "angle": -1}}, "/oriented_box/angle", "below 360"),
        ({**TURNED, "oriented_box": {**TURNED["oriented_box"], "w": 0}}, "/oriented_box/w", "above 0"),
        ({**TURNED, "oriented_box": {"cx": 1}}, "/oriented_box", '"cy" is missing'),
        ({**BOX, "confidence": 1.01}, "/confidence", "from 0 to 1"),
        ({**BOX, "confidence": None}, "/confidence", "null"),
        ({**BOX, "confidence": "high"}, "/confidence", "from 0 to 1"),
        ({**BOX, "attributes": "red"}, "/attributes", "A list or an object"),
        ({**BOX, "created_by": 7}, "/created_by", "A text"),
        ({**BOX, "metadata": {"note": 1}}, "/metadata", "no key"),
        ({**BOX, "confidance": 1}, "/confidance", 'Is "confidence" meant?'),
        ({**BOX, "a/b~c": 1}, "/a~1b~0c", "no key"),
    ],
)
def test_what_the_server_would_refuse_is_named_with_its_place(annotation: Annotation, pointer: str, said: str) -> None:
    problems = found(POLYGON, annotation)
    assert [place for place, _ in problems][:1] == [f"/annotations/1{pointer}"]
    assert any(said in text for place, text in problems if place == f"/annotations/1{pointer}")


def test_an_id_that_is_used_twice_is_refused_where_it_comes_again() -> None:
    ((pointer, said),) = found(BOX, POLYGON, {**POINT, "id": "a"})
    assert pointer == "/annotations/2/id"
    assert "twice" in said


def test_all_problems_of_a_document_are_told_at_once_with_their_lines() -> None:
    data = render(document({**BOX, "confidence": 7}, {**POINT, "name": "ear"}))
    problems = schema.invalid(data, DATASET, "other", G2)
    assert [problem.pointer for problem in problems] == [
        "/image_uuid",
        "/annotations/0/confidence",
        "/annotations/1/name",
    ]
    rows = data.decode().splitlines()
    for problem, expected in zip(problems, ('"image_uuid"', '"confidence"', '"name": "ear"'), strict=True):
        assert expected in rows[problem.line - 1]


@pytest.mark.parametrize("seed", range(100))
def test_the_line_of_a_problem_is_where_it_stands(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    annotations = [{**rng.choice([BOX, POLYGON, LINE, POINT]), "id": f'{n}"\n[{{,'} for n in range(rng.randint(1, 9))]
    place = rng.randrange(len(annotations))
    annotations[place] = {**annotations[place], "confidence": "HERE"}
    data = json.dumps(document(*annotations), indent=rng.choice([0, 1, 4]))
    data = data.replace("\n", rng.choice(["\n", "\r\n", "\n\n"]))
    (problem,) = schema.invalid(b"\xef\xbb\xbf" + data.encode(), DATASET, "i", G2)
    assert problem.pointer == f"/annotations/{place}/confidence"
    assert "HERE" in data.split("\n")[problem.line - 1]


def test_what_is_no_document_is_the_one_problem() -> None:
    (problem,) = schema.invalid(b'{"annotations": [\n{"x": NaN}]}', DATASET, "i", G2)
    assert (problem.pointer, problem.line) == ("/annotations/0/x", 2)


def test_classes_are_left_to_a_server_that_does_not_name_them() -> None:
    unnamed = Dataset("d", "street", None, None)
    assert schema.problems(document({**BOX, "name": "anything"}), unnamed, "i", G0) == []


def test_what_a_message_repeats_is_printable() -> None:
    ((_, said),) = found({**BOX, "name": "c\u202ear\ud800" + "x" * 1000})
    assert said.isprintable()
    assert len(said) < 300


@pytest.mark.parametrize("generation", [G0, G1, G1B])
@pytest.mark.parametrize(
    ("annotation", "pointer"),
    [
        (TURNED, "/oriented_box"),
        ({**POINT, "instance_id": 1}, "/instance_id"),
        ({**BOX, "attributes": {"occluded": "true"}}, "/attributes"),
    ],
)
def test_what_an_older_generation_cannot_keep_is_refused(
    generation: Generation, annotation: Annotation, pointer: str
) -> None:
    ((place, said),) = found(annotation, generation=generation)
    assert place == f"/annotations/0{pointer}"
    assert "this generation" in said
    assert found(annotation) == []


def test_the_oldest_generation_keeps_neither_holes_nor_attributes() -> None:
    ((place, _),) = found(HOLED, generation=G0)
    assert place == "/annotations/0/polygon/paths"
    ((place, _),) = found({**BOX, "attributes": ["red"]}, generation=G0)
    assert place == "/annotations/0/attributes"
    assert found(HOLED, {**BOX, "attributes": ["red"]}, generation=G1) == []


# --- what is sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("annotation", [BOX, POLYGON, HOLED, LINE, POINT, TURNED, {**POINT, "instance_id": 2}])
def test_the_newest_form_is_sent_as_it_stands(annotation: Annotation) -> None:
    full = {**annotation, "confidence": 0.50, "created_by": "someone", "attributes": {"occluded": "true"}}
    assert sent(full) == [full]


@pytest.mark.parametrize("generation", [G1, G1B, G2])
@pytest.mark.parametrize(
    ("older", "newest"),
    [
        ({**without(BOX, "bounding_box"), "bbox": [1, 2, 3, 4]}, BOX),
        ({**POLYGON, "polygon": PAIRS}, POLYGON),
        ({**POLYGON, "polygon": {"path": RING}}, POLYGON),
        ({**POLYGON, "polygon": {"path": PAIRS}}, POLYGON),
        ({**LINE, "polyline": PAIRS}, LINE),
        ({**POINT, "keypoint": [5, 6]}, POINT),
        ({**BOX, "metadata": None, "instance_id": None, "attributes": None}, BOX),
        ({**LINE, "bounding_box": {"x": 0, "y": 0, "w": 9, "h": 0}}, LINE),
    ],
)
def test_older_spellings_are_sent_in_the_newest(older: Annotation, newest: Annotation, generation: Generation) -> None:
    assert sent(older, generation=generation) == [newest]


def test_the_spelling_of_numbers_and_a_closing_point_are_kept() -> None:
    (polygon,) = sent({**POLYGON, "polygon": [[0, 0.0], [9, 1e2], [5.25, 7], [0, 0]]})
    assert json.dumps(polygon["polygon"]["paths"][0]) == (
        '[{"x": 0, "y": 0.0}, {"x": 9, "y": 100.0}, {"x": 5.25, "y": 7}, {"x": 0, "y": 0}]'
    )


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (POLYGON, {**POLYGON, "polygon": {"path": RING}}),
        ({**POLYGON, "polygon": PAIRS}, {**POLYGON, "polygon": PAIRS}),
        ({**BOX, "attributes": []}, BOX),
        ({**BOX, "metadata": {"note": 1}, "odd": 1}, {**BOX, "metadata": {"note": 1}, "odd": 1}),
        ({**LINE, "bounding_box": {"x": 0, "y": 0, "w": 9, "h": 7}}, LINE),
    ],
)
def test_the_oldest_generation_gets_its_own_dialects(annotation: Annotation, expected: Annotation) -> None:
    assert sent(annotation, generation=G0) == [expected]


def test_an_empty_map_of_attributes_is_no_list_and_left_out_where_only_lists_are_kept() -> None:
    assert sent({**BOX, "attributes": {}}, generation=G1) == [BOX]


# --- law ---------------------------------------------------------------------------------------------------------

_ODD: Sequence[JsonValue] = (None, True, 0, -1, 1.5, "", " ", "x", [], {}, [1, 2], {"x": 1, "y": 2}, [[1, 2]] * 3)


def _mutated(rng: random.Random, value: Any) -> Any:
    """The value with something in it replaced, dropped or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        match rng.randrange(6):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return {**value, rng.choice(["x", "metadata", "bbox", "instance_id", "oriented_box"]): rng.choice(_ODD)}
            case _:
                return {**value, key: _mutated(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], *([_mutated(rng, value[at])] if rng.random() < 0.8 else []), *value[at + 1 :]]
    return rng.choice(_ODD)


@pytest.mark.parametrize("generation", [G0, G1, G2])
@pytest.mark.parametrize("seed", range(30))
def test_what_has_no_problem_is_taken_by_a_strict_server_and_comes_back_equal(
    seed: int, generation: Generation
) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    accepted = 0
    whole: Callable[[], Any] = lambda: rng.choice([BOX, POLYGON, HOLED, LINE, POINT, TURNED])  # noqa: E731 - drawn anew
    for _ in range(100):
        annotation = json.loads(json.dumps(whole()))
        if rng.random() < 0.8:
            annotation = _mutated(rng, annotation)
        if not isinstance(annotation, dict):
            continue
        held = document(annotation)
        if schema.problems(held, DATASET, "i", generation):
            continue
        body = json.loads(json.dumps(schema.sendable(held, generation)))
        try:
            kept = server.accepted(ServerGeneration(generation.value), body, frozenset(CLASSES), (), "someone")
        except Refusal as refusal:
            pytest.fail(f"{annotation}: {refusal.details or refusal.message}")
        accepted += 1
        back = server.written(ServerGeneration(generation.value), kept)
        unknown = {"metadata", "x"} & annotation.keys() if generation is G0 else set()
        if not unknown:  # the oldest generation may drop what it does not know
            assert FORMAT.digest(document(*back)) == FORMAT.digest(held), annotation
    assert accepted
