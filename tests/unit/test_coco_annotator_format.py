"""COCO Annotator's documents: what is read, what a digest holds, and the parts by which they are merged."""

from typing import Any

import pytest

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import render
from labelmirror.planning.merge import merge
from labelmirror.providers.coco_annotator.format import METADATA, CocoAnnotatorFormat
from support.coco_documents import SQUARE, annotation, document

FORMAT = CocoAnnotatorFormat()
digest = FORMAT.digest


def without(item: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in keys}


def test_a_document_reads_back_as_it_was_written() -> None:
    held = document(annotation(), annotation(None, 2, unknown={"x": [1]}), metadata={"ä": 1})
    assert FORMAT.parse(render(held)) == held


@pytest.mark.parametrize(
    ("broken", "pointer"),
    [
        (without(document(), "image"), "/image"),
        ({**document(), "image": []}, "/image"),
        (without(document(), "categories"), "/categories"),
        ({**document(), "categories": {}}, "/categories"),
        ({**document(), "categories": [1]}, "/categories/0"),
        (without(document(), "annotations"), "/annotations"),
        ({**document(), "annotations": ["x"]}, "/annotations/0"),
    ],
)
def test_what_is_no_document_is_told_with_its_place(broken: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidDocument) as invalid:
        FORMAT.parse(render(broken))
    assert pointer.startswith(invalid.value.pointer) or invalid.value.pointer == pointer
    assert invalid.value.line > 0


@pytest.mark.parametrize(
    "same",
    [
        annotation(77),
        annotation(None),
        annotation(segmentation=[[int(number) for number in SQUARE]]),
        annotation(segmentation=[[number + 0.004 for number in SQUARE]]),
        annotation(area=1, bbox=[0, 0, 0, 0], width=1, height=1, creator="x", dataset_id=9, milliseconds=3),
        without(annotation(), "iscrowd", "isbbox", "keypoints", "metadata", "area", "bbox", "image_id"),
        annotation(keypoints=None, metadata=None),
    ],
)
def test_what_the_server_fills_in_or_rounds_is_no_difference(same: dict[str, Any]) -> None:
    assert digest(document(same)) == digest(document(annotation()))


@pytest.mark.parametrize(
    "other",
    [
        annotation(category_id=2),
        annotation(segmentation=[[number + 0.01 for number in SQUARE]]),
        annotation(segmentation=[]),
        annotation(segmentation=[list(SQUARE), list(SQUARE)]),
        annotation(keypoints=[1, 2, 3]),
        annotation(isbbox=True),
        annotation(iscrowd=True),
        annotation(color="#654321"),
        annotation(metadata={"name": "x"}),
    ],
)
def test_what_people_edit_is_a_difference(other: dict[str, Any]) -> None:
    assert digest(document(other)) != digest(document(annotation()))


def test_order_does_not_count_and_the_metadata_of_the_image_does() -> None:
    one, two = annotation(1), annotation(2, 2)
    assert digest(document(one, two)) == digest(document(two, one))
    assert digest(document(one, two)) != digest(document(one, one))
    assert digest(document(one, metadata={"a": 1})) != digest(document(one))
    assert digest(document(one, metadata={"a": 1, "b": 2})) == digest(document(one, metadata={"b": 2.0, "a": 1}))


def test_a_category_that_is_renamed_shows_and_how_it_looks_does_not() -> None:
    held, renamed, painted = document(annotation()), document(annotation()), document(annotation())
    renamed["categories"][0]["name"] = "lion"
    painted["categories"][0]["color"] = "#000000"
    unused = document(annotation())
    unused["categories"][1]["name"] = "people"
    assert digest(renamed) != digest(held)
    assert digest(painted) == digest(unused) == digest(held)


def test_an_addition_has_the_colour_that_it_will_be_given() -> None:
    bare = without(annotation(None), "color")
    (part, _) = FORMAT.keyed(document(bare))
    given = FORMAT.keyed(document(annotation(5, color=None)))[0].digest
    assert part.digest == given
    assert part.key == f"+{part.digest[:16]}"


def test_parts_are_annotations_by_id_additions_by_content_and_the_metadata() -> None:
    bare = without(annotation(None), "color")
    keys = [part.key for part in FORMAT.keyed(document(annotation(3), bare, bare, annotation(1, 2)))]
    addition = keys[1]
    assert keys == ["3", addition, f"{addition}.1", "1", METADATA]


@pytest.mark.parametrize("number", ["7", "", 1.5, True, [1]])
def test_an_id_that_is_no_number_cannot_be_merged_by(number: object) -> None:
    with pytest.raises(InvalidDocument) as invalid:
        FORMAT.keyed(document(annotation(1), annotation(2, id=number)))
    assert invalid.value.pointer == "/annotations/1/id"


def test_two_annotations_with_one_id_cannot_be_merged_by() -> None:
    with pytest.raises(InvalidDocument, match="two annotations"):
        FORMAT.keyed(document(annotation(1), annotation(1, 2)))


def test_a_document_is_rebuilt_around_its_parts() -> None:
    held = document(annotation(1), annotation(None, 2), metadata={"a": 1})
    assert FORMAT.rebuilt(held, FORMAT.keyed(held)) == held
    other = document(annotation(9), metadata={"b": 2})
    assert FORMAT.rebuilt(held, FORMAT.keyed(other)) == other
    assert FORMAT.rebuilt(held, ()) == document()


def test_edits_of_annotations_and_of_metadata_merge() -> None:
    base = document(annotation(1), annotation(2))
    local = document(annotation(1, color="#000000"), annotation(2), annotation(None, 2))
    remote = document(annotation(2), annotation(1), metadata={"a": 1})
    merged = merge(FORMAT.keyed(base), FORMAT.keyed(local, base), FORMAT.keyed(remote, base))
    assert merged.clean
    wanted = document(annotation(1, color="#000000"), annotation(2), annotation(None, 2), metadata={"a": 1})
    assert digest(FORMAT.rebuilt(remote, merged.parts)) == digest(wanted)


def test_an_addition_that_the_server_holds_by_now_is_not_added_again() -> None:
    base = document(annotation(1))
    local = document(annotation(1), annotation(None, 2), annotation(None, 2))
    remote = document(annotation(1, color="#000000"), annotation(7, 2))
    merged = merge(FORMAT.keyed(base, base), FORMAT.keyed(local, base), FORMAT.keyed(remote, base))
    assert merged.clean
    held = FORMAT.annotations(FORMAT.rebuilt(remote, merged.parts))
    assert [item.get("id") for item in held] == [1, 7, None]
    assert [part.key for part in FORMAT.keyed(remote)][:2] == ["1", "7"]


def test_annotations_are_counted_by_the_names_of_their_categories() -> None:
    held = document(annotation(1), annotation(2), annotation(3, 2), annotation(4, 99), annotation(5, category_id=None))
    assert FORMAT.counts(held) == {"cat": 2, "person": 1, "#99": 1, "#None": 1}
