"""Differences, held documents and saves: their published JSON, and what somebody is told who sees them for the first time."""

import io
import json
import random
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from labelmirror.cli import explaining, shapes
from labelmirror.cli.options import moment_s
from labelmirror.cli.output import table
from labelmirror.cli.saves import Wanted
from labelmirror.engine.compare import AnnotationDiff, DocumentDiff, HeldDocument
from labelmirror.engine.status import MirrorStanding
from labelmirror.errors import UsageError
from labelmirror.model.document import ContentId, Digest, JsonObject
from labelmirror.model.keys import DocumentKey
from labelmirror.model.rows import MirrorFacts
from labelmirror.model.saving import SaveOutcome, SaveRecord
from labelmirror.model.trouble import Held, HoldReason
from labelmirror.planning.merge import Difference, Sides

PATH = "annotations/a/my boat.jpg.json"
FOLDER = Path("/data/street")
DIFF = DocumentDiff(
    DocumentKey("1", "set-7"),
    PATH,
    Difference(("n1",), (), ("c1", "c2")),
    None,
    (
        AnnotationDiff(Sides("n1", None, {"name": "car"}, None), {"local": "car"}),
        AnnotationDiff(Sides("c1", {"x": 1.5}, {"x": 2}, None), {"base": "boat", "local": "boat"}),
        AnnotationDiff(Sides("c2", {"name": "boat"}, {"name": "ship"}, None), {"base": "boat", "local": "ship"}),
    ),
    has_base=True,
)
SAVE = SaveRecord(
    id="0123456789abcdef0123456789abcdef",
    run="20260101T000000.000000Z",
    key=DocumentKey("1"),
    image="a/my boat.jpg",
    at_s=86_400.0,
    base=None,
    before=ContentId("before"),
    before_digest=Digest("before"),
    body=ContentId("body"),
    body_digest=Digest("body"),
    idempotency_key="key",
    read_count=3,
    new_count=2,
    previous_count=None,
    outcome=SaveOutcome.SAVED,
)


def held(reason: HoldReason) -> HeldDocument:
    remote = None if reason is HoldReason.EDITED_AND_DELETED else f".labelmirror/held/{PATH}.remote.json"
    return HeldDocument(Held("1", "", "images/a/my boat.jpg", reason), PATH, None, PATH, remote)


def plain(shape: JsonObject) -> object:
    return json.loads(json.dumps(shape))


def shown(answer: RenderableType, width: int = 500) -> str:
    file = io.StringIO()
    Console(file=file, width=width, markup=False, highlight=False, emoji=False).print(answer, crop=False)
    return file.getvalue()


def test_a_difference() -> None:
    assert plain(shapes.diff_shape(DIFF)) == {
        "id": "1",
        "set": "set-7",
        "document_path": PATH,
        "local": {"added": ["n1"], "removed": [], "changed": ["c1", "c2"]},
        "remote": None,
    }
    assert shapes.sides_shape(None) == {"local": None, "remote": None}


def test_a_held_document_is_given_with_the_files_to_compare() -> None:
    assert plain(shapes.held_shape("street", FOLDER, held(HoldReason.BOTH_ADDED))) == {
        "mirror": "street",
        "id": "1",
        "document_path": PATH,
        "reason": "both_added",
        "base": None,
        "local": f"/data/street/{PATH}",
        "remote": f"/data/street/.labelmirror/held/{PATH}.remote.json",
    }


def test_a_save() -> None:
    assert plain(shapes.save_shape("street", SAVE)) == {
        "id": SAVE.id,
        "run": SAVE.run,
        "mirror": "street",
        "image": "images/a/my boat.jpg",
        "image_id": "1",
        "at": "1970-01-02T00:00:00Z",
        "read_count": 3,
        "previous_count": 3,
        "new_count": 2,
        "outcome": "saved",
    }


def test_a_status_says_how_long_saves_of_others_could_be_overwritten() -> None:
    standing = MirrorStanding("street", MirrorFacts("store", window_last_s=0.25, window_max_s=2.00049))
    shape = shapes.status_shape(standing, server="acme", full_check_every_s=60.0, with_images=False, error=None)
    assert shape["window_s"] == {"last": 0.25, "max": 2.0}


@pytest.mark.parametrize("reason", HoldReason)
def test_every_reason_is_explained_with_the_commands_that_can_help(reason: HoldReason) -> None:
    text = shown(explaining.held_document("street", FOLDER, held(reason), DIFF))
    assert reason.value in text
    assert f"/data/street/{PATH}" in text
    offered = [
        line.split("  ")[0].strip() for line in text.splitlines() if line.startswith("labelmirror conflicts take")
    ]
    expected = [f"labelmirror conflicts take {version} street '{PATH}'" for version in ("local", "remote")]
    # What is gone is not made again, and there is no base to go back to.
    assert offered == ([] if reason is HoldReason.EDITED_AND_DELETED else expected)


def test_the_list_of_what_is_held_leads_on() -> None:
    text = shown(explaining.held_list([("street", held(HoldReason.BOTH_EDITED))] * 30))
    assert "edited here and changed on the server" in text
    assert "and 10 more; --json has all" in text
    assert f"next: labelmirror conflicts show street '{PATH}'" in text
    assert shown(explaining.held_list([])) == "nothing is held\n"


def test_differences_say_when_the_server_was_seen() -> None:
    text = shown(explaining.differences("street", [DIFF], 86_400.0))
    for line in (PATH, "n1 (car): added here", "c1 (boat): changed here", "x      1.5   2", 'category  "boat"  "ship"'):
        assert line in text
    assert text.count('"ship"') == 1
    assert "The server's version is not compared" in text
    assert "The server as it was seen at 1970-01-02T00:00:00Z" in text
    assert "The server was never looked at" in shown(explaining.differences("street", [], None))


def test_a_clash_is_shown_with_the_values_of_all_sides() -> None:
    sides = Sides("#1", {"box": {"x": 1}}, {"box": {"x": 2}}, {"box": {"x": 3}})
    changed = Difference((), (), ("#1",))
    annotations = (AnnotationDiff(sides, dict.fromkeys(("base", "local", "remote"), "boat")),)
    diff = DocumentDiff(DocumentKey("1"), PATH, changed, changed, annotations, has_base=True)
    text = shown(explaining.held_document("street", FOLDER, held(HoldReason.BOTH_EDITED), diff))
    assert "#1 (boat): changed here, changed on the server\nfield  base  local  remote" in text
    assert "box.x  1     2      3" in text


def test_without_a_base_the_two_sides_are_compared_with_each_other() -> None:
    added = Difference(("a", "b"), (), ())
    annotations = (
        AnnotationDiff(Sides("a", None, {"x": 2}, {"x": 3}), {}),
        AnnotationDiff(Sides("b", None, None, {"x": 3}), {}),
    )
    diff = DocumentDiff(DocumentKey("1"), PATH, added, added, annotations, has_base=False)
    text = shown(explaining.held_document("street", FOLDER, held(HoldReason.BOTH_ADDED), diff))
    assert "a: not the same here and on the server\nfield  local  remote" in text
    assert "b: only on the server" in text
    assert "It is not known what both sides last agreed on" in text


@pytest.mark.parametrize("width", [20, 80])
def test_commands_and_paths_stay_whole_however_narrow_the_terminal(width: int) -> None:
    folder = FOLDER / ("deep/" * 20)
    lines = shown(explaining.held_document("street", folder, held(HoldReason.BOTH_EDITED), DIFF), width).splitlines()
    assert {PATH, f"{folder}/{PATH}", f"labelmirror conflicts take local street '{PATH}'"} <= set(lines)
    listed = shown(explaining.held_list([("street", held(HoldReason.BOTH_EDITED))]), width).splitlines()
    assert {PATH, f"next: labelmirror conflicts show street '{PATH}'"} <= set(listed)


def test_a_table_wider_than_the_terminal_becomes_blocks_of_lines() -> None:
    made = table(("mirror", "outcome"), [("harbour", "stopped"), ("street", None)])
    assert shown(made, 20) == "mirror   outcome\nharbour  stopped\nstreet   -      \n"
    assert shown(made, 12) == "mirror   harbour\noutcome  stopped\n\nmirror   street\noutcome  -\n"


def test_no_table_breaks_a_word_or_is_wider_than_the_terminal(seed: int) -> None:
    rng = random.Random(seed)
    tables = 0
    for _ in range(500):
        columns = [f"column{number}" for number in range(rng.randint(1, 6))]
        cells = [" ".join("a" * rng.randint(1, 12) for _ in range(rng.randint(1, 5))) for _ in columns]
        lines = shown(table(columns, [cells]), 60).splitlines()
        assert sorted(" ".join(lines).split()) == sorted(" ".join([*columns, *cells]).split())
        if lines[0].split() == columns:
            assert max(map(len, lines)) <= 60
            tables += 1
    assert 0 < tables < 500


def test_history_shows_what_undo_takes() -> None:
    text = shown(explaining.history([("street", SAVE)]))
    assert "0123456789ab " in text
    assert "3 -> 2" in text
    assert Wanted(id="0123456789ab").means(SAVE, {})
    assert shown(explaining.history([])) == "no save is on record\n"


def test_history_names_the_annotation_set_where_there_are_any() -> None:
    assert " set " not in shown(explaining.history([("street", SAVE)]), 200)
    in_set = replace(SAVE, key=DocumentKey(SAVE.key.image, "17"))
    assert " 17 " in shown(explaining.history([("street", SAVE), ("street", in_set)]), 200)


@pytest.mark.parametrize("image", ["1", "images/a/my boat.jpg", f"./{PATH}"])
def test_a_save_is_found_by_the_images_id_and_paths(image: str) -> None:
    assert Wanted(image=image).means(SAVE, {})
    assert not Wanted(image=image).means(replace(SAVE, key=DocumentKey("2"), image="b.jpg"), {})


def test_a_save_of_an_annotation_set_is_found_by_the_path_in_its_folder_only() -> None:
    folders = {"7": "boxes", "8": "points"}
    wanted = Wanted(image="annotations/boxes/a/my boat.jpg.json")
    assert wanted.means(replace(SAVE, key=DocumentKey("1", "7")), folders)
    assert not wanted.means(replace(SAVE, key=DocumentKey("1", "8")), folders)


@pytest.mark.parametrize("outcome", SaveOutcome)
def test_only_what_the_server_took_in_can_be_undone(outcome: SaveOutcome) -> None:
    assert outcome.had_effect == (outcome.value in {"saved", "superseded", "foreign_save_overwritten"})


def test_a_moment_is_a_time_ago_or_a_date() -> None:
    assert moment_s("2h", 10_000.0) == 2_800.0
    assert moment_s("1970-01-02T00:00:00Z", 0.0) == 86_400.0
    assert moment_s("2026-01-31", 0.0) == datetime(2026, 1, 31).timestamp()  # noqa: DTZ001 - local time is meant
    for wrong in ("yesterday", "2026-13-01", "", "12", "2026-1-"):
        with pytest.raises(UsageError):
            moment_s(wrong, 0.0)
