import json
import random
from collections.abc import Mapping
from typing import Any

import pytest

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import JsonObject, render
from labelmirror.providers.pictograph.format import PictographFormat

FORMAT = PictographFormat()
BOX: Mapping[str, Any] = {"id": "a", "name": "car", "type": "bbox", "bounding_box": {"x": 1, "y": 2, "w": 3, "h": 4}}
RING = [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 5, "y": 7}]
RING_PAIRS = [[0, 0], [9, 0], [5, 7]]
POLYGON: Mapping[str, Any] = {"id": "p", "name": "lake", "type": "polygon", "polygon": {"paths": [RING]}}
LINE: Mapping[str, Any] = {"id": "l", "name": "lane", "type": "polyline", "polyline": {"path": RING}}
POINT: Mapping[str, Any] = {"id": "k", "name": "eye", "type": "keypoint", "keypoint": {"x": 5, "y": 6}}


def document(*annotations: JsonObject) -> bytes:
    return render({"image": "a.jpg", "annotations": list(annotations)})


def digest(*annotations: JsonObject) -> str:
    return FORMAT.digest(FORMAT.parse(document(*annotations)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BOX, {**BOX, "confidence": 1.0}),
        (BOX, {**BOX, "attributes": []}),
        (BOX, {**BOX, "attributes": {}}),
        (BOX, {**BOX, "created_by": "someone"}),
        (BOX, {**BOX, "metadata": None}),
        (BOX, {**BOX, "oriented_box": None, "instance_id": None}),
        (BOX, {**BOX, "bounding_box": {"h": 4.0, "w": 3.0, "y": 2.0, "x": 1.0}}),
        (BOX, {"id": "a", "name": "car", "type": "bbox", "bbox": [1, 2, 3, 4]}),
        (POLYGON, {**POLYGON, "bounding_box": {"x": 0, "y": 0, "w": 9, "h": 7}}),
        (POLYGON, {**POLYGON, "polygon": {"path": RING}}),
        (POLYGON, {**POLYGON, "polygon": RING_PAIRS}),
        (LINE, {**LINE, "polyline": RING_PAIRS}),
        (LINE, {**LINE, "bounding_box": {"x": 0, "y": 0, "w": 9, "h": 7}}),
        (POINT, {**POINT, "keypoint": [5, 6]}),
    ],
)
def test_spellings_of_the_same_annotation_have_one_digest(one: JsonObject, other: JsonObject) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BOX, {**BOX, "name": "bus"}),
        (BOX, {**BOX, "id": "b"}),
        (BOX, {**BOX, "confidence": 0.9}),
        (BOX, {**BOX, "attributes": {"occluded": "true"}}),
        (BOX, {**BOX, "bounding_box": {"x": 1, "y": 2, "w": 3, "h": 4.5}}),
        (BOX, {**BOX, "metadata": {"note": "x"}}),
        (BOX, {**BOX, "unheard_of": 1}),
        (POLYGON, {**POLYGON, "polygon": {"paths": [RING, RING]}}),
        (POLYGON, {**POLYGON, "polygon": {"paths": [[*RING, RING[0]]]}}),
        (POINT, {**POINT, "instance_id": 1}),
    ],
)
def test_every_edit_changes_the_digest(one: JsonObject, other: JsonObject) -> None:
    assert digest(one) != digest(other)


@pytest.mark.parametrize("seed", range(50))
def test_the_digest_ignores_the_order_of_annotations_and_keys(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    annotations = [
        dict(item, id=str(index)) for index, item in enumerate(rng.choices([BOX, POLYGON, LINE, POINT], k=9))
    ]
    shuffled = [dict(rng.sample(list(item.items()), len(item))) for item in rng.sample(annotations, len(annotations))]
    assert digest(*annotations) == digest(*shuffled)


def test_what_surrounds_the_annotations_is_no_part_of_the_digest() -> None:
    bare = FORMAT.parse(b'{"annotations": []}')
    assert FORMAT.digest(bare) == FORMAT.digest(FORMAT.parse(document()))


def test_annotations_are_keyed_by_their_ids_in_order() -> None:
    keyed = FORMAT.keyed(FORMAT.parse(document(POLYGON, {**BOX, "confidence": 1.0})))
    assert [item.key for item in keyed] == ["p", "a"]
    assert keyed[1].value == {**BOX, "confidence": 1.0}
    (plain,) = FORMAT.keyed(FORMAT.parse(document(BOX)))
    assert keyed[1].digest == plain.digest != keyed[0].digest


@pytest.mark.parametrize("second", [{**POINT, "id": "a"}, {**POINT, "id": 1}, {"name": "eye"}])
def test_annotations_that_cannot_be_told_apart_have_no_keys(second: JsonObject) -> None:
    with pytest.raises(InvalidDocument) as refused:
        FORMAT.keyed(FORMAT.parse(document(BOX, second)))
    assert refused.value.pointer == "/annotations/1/id"


def test_another_list_in_a_document_leaves_what_surrounds_it() -> None:
    before = FORMAT.parse(b'{"image": "a.jpg", "annotation_count": 7, "annotations": [], "odd": 1}')
    after = FORMAT.rebuilt(before, FORMAT.keyed({"annotations": [BOX]}))
    assert list(after.items()) == [("image", "a.jpg"), ("annotation_count", 1), ("annotations", [BOX]), ("odd", 1)]
    assert FORMAT.rebuilt({"annotations": [BOX]}, []) == {"annotations": []}


def test_counts_are_by_class_name() -> None:
    parsed = FORMAT.parse(document(BOX, POLYGON, {**BOX, "id": "b"}, {"id": "c"}))
    assert FORMAT.counts(parsed) == {"car": 2, "lake": 1, "": 1}


def test_unknown_fields_and_key_order_survive_reading_and_writing() -> None:
    data = document({"zeta": 1, "id": "a", "alpha": {"b": 1, "a": 2}})
    assert render(FORMAT.parse(data)) == data


def test_a_byte_order_mark_is_skipped() -> None:
    assert FORMAT.parse(b"\xef\xbb\xbf" + document(BOX)) == FORMAT.parse(document(BOX))


@pytest.mark.parametrize(
    ("data", "said", "pointer", "line"),
    [
        (b"", "not JSON", "", 1),
        (b'{"annotations": [\n]', "not JSON", "", 2),
        (b'{"annotations": [\n"\xff"]}', "not UTF-8", "", 2),
        (b"[]", "the document is a list", "", 0),
        (b"null", "the document is null", "", 0),
        (b"{}", "list of annotations", "/annotations", 1),
        (b'{\n"annotations": {}}', "list of annotations", "/annotations", 2),
        (b'{"annotations": [{},\n 7]}', "an annotation is a number", "/annotations/1", 2),
        (b'{"annotations": [{"id": 1,\n "id": 2}]}', '"id" stands twice', "/annotations/0/id", 2),
        (b'{"annotations": [{"x": NaN}]}', "NaN", "/annotations/0/x", 1),
        (b'{"annotations": [{"x": -Infinity}]}', "Infinity", "/annotations/0/x", 1),
        (b'{"annotations": [{"x": 1e999}]}', "too large", "/annotations/0/x", 1),
        (b'{"annotations": [{"x": ' + b"9" * 5000 + b"}]}", "too long", "", 0),
        (b'{"annotations": ' + b"[" * 100_000, "nested too deeply", "", 0),
        (b'{"annotations": [{"x": ' + b"[" * 299 + b"]" * 299 + b"}]}", "nested too deeply", "", 0),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(data: bytes, said: str, pointer: str, line: int) -> None:
    with pytest.raises(InvalidDocument) as refused:
        FORMAT.parse(data)
    assert said in refused.value.message
    assert (refused.value.pointer, refused.value.line) == (pointer, line)


def test_what_is_nested_as_deeply_as_it_may_be_is_compared_and_written() -> None:
    parsed = FORMAT.parse(b'{"annotations": [{"x": ' + b"[" * 298 + b"]" * 298 + b"}]}")
    assert FORMAT.digest(FORMAT.parse(render(parsed))) == FORMAT.digest(parsed)


@pytest.mark.parametrize("seed", range(200))
def test_damaged_bytes_are_read_or_refused_but_never_crash(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    data = bytearray(document(BOX, POLYGON, LINE, POINT))
    for _ in range(rng.randint(1, 5)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    try:
        parsed = FORMAT.parse(bytes(data))
    except InvalidDocument:
        return
    FORMAT.digest(parsed)
    FORMAT.counts(parsed)
    assert json.loads(render(parsed)) == parsed
