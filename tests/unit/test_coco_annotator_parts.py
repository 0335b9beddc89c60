"""Geometry, places, steps of a save and the long answer, each for itself."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from labelmirror.errors import DiskError, ProtocolError, TooLarge
from labelmirror.providers.coco_annotator.composing import Stored, Surroundings, compose, creation, data_save
from labelmirror.providers.coco_annotator.convert import place_of
from labelmirror.providers.coco_annotator.elements import Elements
from labelmirror.providers.coco_annotator.geometry import NOTHING, compound_path, rounded, segmentation_of
from labelmirror.providers.coco_annotator.spool import Spool
from support.coco_documents import CATEGORIES, SQUARE, annotation

# --- geometry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(100, 80), (101, 81), (1, 1), (4961, 3508), (640, 427)])
def test_two_decimals_survive_the_way_through_a_compound_path(size: tuple[int, int]) -> None:
    rng = random.Random(size[0])
    for _ in range(2000):
        rings = rounded([[rng.uniform(-10, 5000) for _ in range(2 * rng.randrange(3, 6))] for _ in range(2)])
        assert isinstance(rings, list)
        assert segmentation_of(compound_path(rings, *size), *size) == rings


def test_a_compound_path_has_the_shape_that_the_editor_loads() -> None:
    segments = [[-40.0, -30.0], [0.0, -30.0], [0.0, 0.0], [-40.0, 0.0]]
    path = ["Path", {"applyMatrix": True, "segments": segments, "closed": True}]
    assert compound_path([SQUARE], 100, 80) == ["CompoundPath", {"applyMatrix": True, "children": [path]}]


def test_no_polygons_are_a_path_that_clears() -> None:
    assert compound_path([], 10, 10) == NOTHING
    assert segmentation_of(NOTHING, 10, 10) == []


def test_a_path_is_read_as_the_server_reads_it() -> None:
    def path(*segments: object) -> Any:
        return ["Path", {"segments": list(segments), "closed": True}]

    curve, plain = [[1, 1], [0, 0], [0, 0], 1], [2.004, 3]
    assert segmentation_of(path(curve, plain, [4, 5]), 10, 10) == [[6, 6, 7, 8, 9, 10]]
    assert segmentation_of(path([[1, 1], [0, 0], [0, 0]], plain), 10, 10) is None
    assert segmentation_of(path([1, 1, 1], plain, [4, 5], [5, 6]), 10, 10) == [[7, 8, 9, 10, 10, 11]]
    two, zero, corner = path([1, 1], [2, 2]), path([-5, -5], [-5, -5], [-5, -5]), path([5, 5], [5, 5], [5, 5])
    assert segmentation_of(["CompoundPath", {"children": [two, zero, corner]}], 10, 10) == []
    odds: list[Any] = [
        [],
        "x",
        ["CompoundPath"],
        ["CompoundPath", {"children": 1}],
        ["CompoundPath", {"children": [1]}],
    ]
    for odd in odds:
        assert segmentation_of(odd, 10, 10) is None


@pytest.mark.parametrize("odd", ["abc", {"counts": []}, [1, 2], [[1, "x"]], [[None]], None])
def test_what_is_no_list_of_polygons_is_left_as_it_is(odd: Any) -> None:
    assert rounded(odd) == odd


# --- places ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/datasets/ds one/a.jpg", ("", "a.jpg")),
        ("/datasets/ds one/sub/b/a.jpg", ("sub/b", "a.jpg")),
        ("/datasets/ds one/sub/../a.jpg", ("", "a.jpg")),
        ("/datasets/ds one/./sub//a.jpg", ("sub", "a.jpg")),
        ("/datasets/ds one/../ds2/esc.jpg", ("../ds2", "esc.jpg")),
        ("/datasets/ds one/../../../../etc/passwd", ("../../etc", "passwd")),
        ("/elsewhere/a.jpg", ("../../elsewhere", "a.jpg")),
        ("/datasets/ds one/..", ("", "..")),
        ("a.jpg", ("../..", "a.jpg")),
        ("/datasets/ds one/", ("", "")),
    ],
)
def test_an_image_lies_where_its_path_leads_below_its_dataset(path: str, place: tuple[str, str]) -> None:
    assert place_of("/datasets/ds one/", path) == place


# --- the steps of a save -----------------------------------------------------------------------------------------


def test_what_is_there_is_kept_moved_or_deleted_and_the_rest_created() -> None:
    held = [annotation(1), annotation(2), annotation(3)]
    steps = compose([annotation(2, 2), annotation(None, 4), annotation(1)], held)
    assert [(target.held or {}).get("id") for target in steps.targets] == [2, None, 1]
    assert [target.moves for target in steps.targets] == [True, False, False]
    assert steps.surplus == [3]


def test_an_addition_takes_over_what_an_earlier_attempt_created_for_it() -> None:
    left = annotation(9, 2, color="#abcdef", metadata={"default": ""})
    steps = compose([annotation(1), annotation(None, 2, metadata={"name": "n"})], [annotation(1), left])
    assert [(target.held or {}).get("id") for target in steps.targets] == [1, 9]
    assert steps.targets[1].color == "#123456"
    assert steps.surplus == []


def test_an_annotation_that_was_deleted_meanwhile_is_created_anew() -> None:
    steps = compose([annotation(17)], [])
    assert steps.targets[0].held is None
    assert creation(3, annotation(17)) == {
        "image_id": 3,
        "category_id": 1,
        "segmentation": [SQUARE],
        "keypoints": [],
        "isbbox": False,
    }


def test_a_data_save_names_everything_wanted_and_echoes_what_it_would_wipe() -> None:
    around = Surroundings(3, {"p": 1}, {"id": 1, "annotate_url": "http://x", "name": "ds"}, CATEGORIES)
    wanted = [annotation(5, 2, keypoints=[1, 2, 2, 0, 0, 0]), annotation(4, color=None, metadata={"name": "n"})]
    targets = compose(wanted, [annotation(4), annotation(5, 2)]).targets
    body: Any = data_save(
        around, {"w": 1}, [Stored(target, number, 100, 80) for target, number in zip(targets, (5, 4), strict=True)]
    )
    assert body["user"] == {"p": 1}
    assert body["dataset"] == {"id": 1, "annotate_url": "http://x"}
    assert body["image"] == {"id": 3, "metadata": {"w": 1}, "category_ids": [1, 2]}
    assert [category["id"] for category in body["categories"]] == [1, 2]
    person = body["categories"][1]
    assert (person["color"], person["keypoint_edges"], person["keypoint_colors"]) == ("#00ff00", [[1, 2]], [])
    assert person["keypoint_labels"] == ["head", "hand"]
    assert [item["id"] for category in body["categories"] for item in category["annotations"]] == [4, 5]
    assert body["categories"][0]["annotations"][0] == {
        "id": 4,
        "isbbox": False,
        "color": None,
        "metadata": {"name": "n"},
        "keypoints": [],
        "compoundPath": compound_path([SQUARE], 100, 80),
        "sessions": [],
    }


def test_the_editors_own_path_is_given_back_while_it_says_the_same() -> None:
    own = compound_path([SQUARE], 100, 80)
    assert isinstance(own, list)
    marked = [own[0], {**own[1], "data": "the editor's"}]
    around = Surroundings(3, {}, {"id": 1}, CATEGORIES)
    for ring, path in ((SQUARE, marked), ([1.0, 1.0, 2.0, 1.0, 2.0, 2.0], None)):
        targets = compose([annotation(4, segmentation=[ring])], [annotation(4, paper_object=marked)]).targets
        body: Any = data_save(around, {}, [Stored(targets[0], 4, 100, 80)])
        sent = body["categories"][0]["annotations"][0]["compoundPath"]
        assert sent == (path or compound_path([ring], 100, 80))


def test_an_annotation_without_a_size_keeps_its_polygons_by_not_naming_them() -> None:
    around = Surroundings(3, {}, {"id": 1}, CATEGORIES)
    targets = compose([annotation(4)], [annotation(4, width=None)]).targets
    body: Any = data_save(around, {}, [Stored(targets[0], 4, None, 80)])
    assert "compoundPath" not in body["categories"][0]["annotations"][0]


# --- the long answer ---------------------------------------------------------------------------------------------


def elements(text: str, piece: int, depth: int = 8) -> list[Any]:
    cutter = Elements("GET /x", depth)
    found = [item for at in range(0, len(text), piece) for item, _ in cutter.feed(text[at : at + piece])]
    cutter.end()
    return found


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    "rows",
    [[], [{}], [{"id": 1, "a": [1, 2.5, {"b": "]},{"}]}, {"id": 2, "t": 'ä"\\日'}], [{"id": n} for n in range(9)]],
)
def test_elements_are_cut_out_wherever_the_text_is_cut(rows: list[Any], piece: int) -> None:
    for text in (json.dumps(rows), json.dumps(rows, indent=1, ensure_ascii=False), f" {json.dumps(rows)}\n"):
        assert elements(text, piece) == rows


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"message": "x"}', "[", "[{}", "[{},", "[{},]x", "[1]", "[{}]]", "[{} {}]", "[,{}]", "[{},,{}]", "[NaN]",
     '[{"a": NaN}]', "<!DOCTYPE html>", '[{"a" 1}]', "null"],
)  # fmt: skip
@pytest.mark.parametrize("piece", [1, 1000])
def test_what_is_no_list_of_objects_is_refused(text: str, piece: int) -> None:
    with pytest.raises(ProtocolError):
        elements(text, piece)


def test_an_element_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(TooLarge):
        elements('[{"a": ' + "[" * 10 + "]" * 10 + "}]", 1000)
    with pytest.raises(TooLarge):
        elements('[{"a": ' + "[" * 100_000 + "]" * 100_000 + "}]", 10**6)


def test_a_spool_keeps_what_can_be_seen_and_leaves_no_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert list(tmp_path.iterdir()) == []
    spool.add_seen([1, 2, 3, 2])
    spool.add_images([{"id": 1, "metadata": {}}, {"id": 3, "metadata": {"a": 1}}])
    rows = [
        {"id": 7, "image_id": 3, "category_id": 1},
        {"id": 5, "image_id": 3, "category_id": 2, "note": "日"},
        {"id": 6, "image_id": 3, "category_id": 1, "deleted": True},
        {"id": 8, "image_id": 3, "category_id": 9},
        {"id": 9, "image_id": 2, "category_id": 1},
        {"id": 10, "category_id": 1},
        {"id": 11, "image_id": 3},
    ]
    data = json.dumps(rows, ensure_ascii=False).encode()
    pieces = [data[at : at + 5] for at in range(0, len(data), 5)]
    spool.take_annotations(pieces, frozenset({1, 2}), "GET /x", 8)
    assert (spool.seen(), spool.images()) == (3, 2)
    ((first,), (second,)) = spool.pages(1, b"salt")
    assert (first.image["id"], first.annotations) == (1, ())
    assert [json.loads(text)["id"] for text in second.annotations] == [5, 7]
    assert spool.kept([3, 2, 1], b"salt") == [first, second]
    spool.take_annotations([b"[]"], frozenset({1}), "GET /x", 8)
    (_, emptied) = spool.kept([1, 3], b"salt")
    assert emptied.annotations == ()
    assert emptied.hash != second.hash
    spool.close()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiskError):
        Spool(tmp_path / "none")


def test_text_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for data in ([b'[{"id": 1, "a": "\xff"}]'], [b"[]", b"\xc3"]):
        with pytest.raises(ProtocolError):
            spool.take_annotations(data, frozenset(), "GET /x", 8)
    spool.close()
