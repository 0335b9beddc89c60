"""What cannot be saved to COCO Annotator is told with its place and what is allowed."""

from typing import Any

import pytest

from labelmirror.model.document import render
from labelmirror.providers.coco_annotator.schema import invalid, problems, unsavable
from support.coco_documents import DATASET, SQUARE, annotation, document

BOX = [1, 1, 5, 1, 5, 5, 1, 5]


def places(*annotations: dict[str, Any], metadata: dict[str, Any] | None = None) -> list[str]:
    found = problems(document(*annotations, metadata=metadata), DATASET, "3")
    return ["/".join(map(str, problem.path)) for problem in found]


@pytest.mark.parametrize(
    "good",
    [
        annotation(),
        annotation(None),
        annotation(None, segmentation=[BOX], isbbox=True),
        annotation(None, 2, segmentation=[], keypoints=[1, 2, 2, 0, 0, 0]),
        annotation(7, segmentation=[], keypoints=[]),
        annotation(7, 2, keypoints=[1, 2, 2]),
        annotation(7, isbbox=True, segmentation=[[1, 1, 5, 1, 5, 5]]),
        annotation(7, iscrowd=True),
        annotation(7, color=None, metadata=None, keypoints=None),
        annotation(7, unheard_of=1),
        annotation(metadata={"": 1, "a.b": "\0", "a$": "$"}),
        annotation(None, segmentation=[[-5, -5, 200.25, 1, 5, 300]]),
    ],
)
def test_what_can_be_saved_has_no_problem(good: dict[str, Any]) -> None:
    assert places(good) == []


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        (annotation(id="7"), "id"),
        (annotation(id=0), "id"),
        (annotation(id=2**63), "id"),
        (annotation(id=True), "id"),
        (annotation(image_id=4), "image_id"),
        (annotation(category_id=3), "category_id"),
        (annotation(category_id="cat"), "category_id"),
        (annotation(category_id=None), "category_id"),
        (annotation(category_id=True), "category_id"),
        (annotation(segmentation={"counts": [], "size": [1, 1]}), "segmentation"),
        (annotation(segmentation="abc"), "segmentation"),
        (annotation(segmentation=SQUARE), "segmentation"),
        (annotation(segmentation=[SQUARE, []]), "segmentation/1"),
        (annotation(segmentation=[[1, 2, 3, 4]]), "segmentation/0"),
        (annotation(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "segmentation/0"),
        (annotation(segmentation=[[1, 2, 3, "4", 5, 6]]), "segmentation/0/3"),
        (annotation(segmentation=[[1, 2, 3, float("inf"), 5, 6]]), "segmentation/0/3"),
        (annotation(segmentation=[[1, 2, 3, True, 5, 6]]), "segmentation/0/3"),
        (annotation(segmentation=[[1, 1, -1e9, 4, 5, 6]]), "segmentation/0/2"),
        (annotation(segmentation=[[1, -1, 2, -2, 3, -3]]), "segmentation/0"),
        (annotation(segmentation=[[100, 80, 100, 80, 100, 80]]), "segmentation/0"),
        (annotation(keypoints=[1, 2]), "keypoints"),
        (annotation(keypoints="x"), "keypoints"),
        (annotation(keypoints=[1, 2, None]), "keypoints/2"),
        (annotation(None, 2, keypoints=[1, 2, 2]), "keypoints"),
        (annotation(None, 1, keypoints=[1, 2, 2]), "keypoints"),
        (annotation(isbbox=1), "isbbox"),
        (annotation(None, isbbox=True, segmentation=[[1, 1, 5, 1, 5, 5]]), "isbbox"),
        (annotation(None, isbbox=True, segmentation=[BOX, BOX]), "isbbox"),
        (annotation(None, segmentation=[], keypoints=[]), "segmentation"),
        (annotation(None, iscrowd=True), "iscrowd"),
        (annotation(None, segmentation=[[1, 2, 1, 2, 1, 2, 1, 2]], isbbox=True), "segmentation/0"),
        (annotation(None, segmentation=[SQUARE, [1, 2, 3, 2.004, 5, 2]]), "segmentation/1"),
        (annotation(None, segmentation=[[4, 2, 4, 3, 4, 5]]), "segmentation/0"),
        (annotation(color=7), "color"),
        (annotation(metadata=[]), "metadata"),
        (annotation(metadata={"a": [{"_id": 1}]}), "metadata/a/0/_id"),
        (annotation(metadata={"a": 2**63}), "metadata/a"),
        (annotation(metadata={"a": [{"$b": 1}]}), "metadata/a/0/$b"),
        (annotation(metadata={"a\0": 1}), "metadata/a\0"),
        (annotation(metadata={"a": "\ud800"}), "metadata/a"),
        (annotation(color="\ud800"), "color"),
        (annotation(keypoints=[1, 2**63, 2]), "keypoints/1"),
        (annotation(keypoint=[1]), None),
        ({**annotation(), "segmentaton": []}, None),
    ],
)
def test_what_cannot_is_told_with_its_place(bad: dict[str, Any], place: str | None) -> None:
    assert places(annotation(9), bad) == ([] if place is None else [f"annotations/1/{place}"])


def test_what_is_too_large_for_the_servers_database_is_told_before_any_of_it_is_sent() -> None:
    assert places(annotation(segmentation=[[1.5, 2, 7] * 50_000, [1.5, 2] * 75_000])) == []
    assert places(annotation(segmentation=[[1.5, 2, 7] * 50_000, [1.5, 2] * 75_001])) == ["annotations/0/segmentation"]
    for levels, found in ((50, []), (51, ["annotations/0/metadata"])):
        nested: Any = 1
        for level in range(levels):
            nested = [nested] if level % 2 and level < levels - 1 else {"in": nested}
        assert places(annotation(metadata=nested)) == found


def test_a_key_that_is_nearly_one_is_told() -> None:
    bare = {key: value for key, value in annotation().items() if key != "segmentation"}
    assert places({**bare, "segmentaton": []}) == ["annotations/0/segmentaton"]


def test_a_missing_category_is_told_with_the_nearest_name() -> None:
    bare = {key: value for key, value in annotation().items() if key != "category_id"}
    (problem,) = problems(document({**bare, "category": "persn"}), DATASET, "3")
    assert problem.path == ("annotations", 0, "category_id")
    assert "2 (person)" in problem.allowed
    (problem,) = problems(document(annotation(category_id="dgo")), DATASET, "3")
    assert "4 (dog)" in problem.allowed


def test_a_box_that_is_only_a_bbox_is_told_with_the_polygon_to_write() -> None:
    (problem,) = problems(document({"category_id": 1, "bbox": [1, 2, 3, 4]}), DATASET, "3")
    assert '"segmentation": [[1, 2, 4, 2, 4, 6, 1, 6]]' in problem.allowed


def test_a_document_of_another_image_is_told_as_that_alone() -> None:
    (problem,) = problems(document(annotation(id="x")), DATASET, "4")
    assert problem.path == ("image", "id")


def test_an_id_that_is_used_twice_is_told_at_the_second() -> None:
    assert places(annotation(1), annotation(2), annotation(1)) == ["annotations/2/id"]


def test_categories_cannot_be_renamed_here_and_must_be_named_to_be_used() -> None:
    renamed = document(annotation())
    renamed["categories"][0]["name"] = "lion"
    (problem,) = problems(renamed, DATASET, "3")
    assert problem.path == ("categories", 0, "name")
    assert '"cat"' in problem.message
    unnamed = document(annotation(None, 4))
    del unnamed["categories"][2]
    (problem,) = problems(unnamed, DATASET, "3")
    assert problem.path == ("annotations", 0, "category_id")
    assert '{"id": 4, "name": "dog"}' in problem.allowed


def test_the_metadata_of_the_image_is_checked_too() -> None:
    assert places(metadata={"_id": 1}) == ["image/metadata/_id"]


def test_a_crowd_mark_cannot_be_changed() -> None:
    held = document(annotation(1, iscrowd=True), annotation(2))
    assert list(unsavable(held, held)) == []
    for changed in (document(annotation(1)), document(annotation(2, iscrowd=True)), document(annotation(3, iscrowd=1))):
        (problem,) = unsavable(changed, held)
        assert problem.path == ("annotations", 0, "iscrowd")


def test_a_category_that_went_since_the_dataset_was_read_cannot_be_saved_to() -> None:
    wanted, gone, renamed = document(annotation(1), annotation(None, 2)), document(annotation(1)), document()
    del gone["categories"][1]
    renamed["categories"][1]["name"] = "people"
    assert list(unsavable(wanted, document(annotation(1)))) == []
    for held in (gone, renamed):
        (problem,) = unsavable(wanted, held)
        assert problem.path == ("annotations", 1, "category_id")


def test_problems_have_the_lines_of_their_file() -> None:
    data = render(document(annotation(), annotation(2, isbbox="yes")))
    (problem,) = invalid(data, DATASET, "3")
    assert problem.pointer == "/annotations/1/isbbox"
    assert '"isbbox": "yes"' in data.decode().splitlines()[problem.line - 1]
    (problem,) = invalid(b"{", DATASET, "3")
    assert problem.line == 1


def test_a_polygon_of_no_size_is_not_saved_unless_the_server_holds_it_already() -> None:
    point = [[1, 2, 1, 2, 1, 2, 1, 2]]
    held = document(annotation(1, segmentation=point), annotation(2))
    moved = document(annotation(1, segmentation=point, color="#000000"), annotation(2, category=2))
    assert list(unsavable(moved, held)) == []
    for changed in (
        document(annotation(1, segmentation=[[3, 4] * 4])),
        document(annotation(2, segmentation=point)),
        document(annotation(9, segmentation=point)),
    ):
        (problem,) = unsavable(changed, held)
        assert problem.path == ("annotations", 0, "segmentation", 0)


def test_polygons_cannot_change_where_the_server_has_no_size_to_compute_them_by() -> None:
    held = document(annotation(1, width=None, height=None), annotation(2))
    kept = document(annotation(1, color="#000000"), annotation(2, segmentation=[[1, 1, 9, 1, 9, 9.5]]))
    assert list(unsavable(kept, held)) == []
    (problem,) = unsavable(document(annotation(1, segmentation=[[1, 1, 9, 1, 9, 9.5]])), held)
    assert problem.path == ("annotations", 0, "segmentation")
    held["image"]["width"] = None
    assert list(unsavable(document(annotation(2), annotation(None, segmentation=[], keypoints=[1, 2, 2])), held)) == []
    (problem,) = unsavable(document(annotation(None)), held)
    assert problem.path == ("annotations", 0, "segmentation")
