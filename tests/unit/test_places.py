"""Places are safe, distinct on every file system, stable, and independent of the order of a listing."""

import hashlib
import itertools
import random
import unicodedata
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelmirror.model.folding import folded, folders_of
from labelmirror.model.remote import AnnotationSet, ListedImage
from labelmirror.model.rows import ImageRecord, SetRecord, Unplaced
from labelmirror.planning import places

RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{kind}{n}" for kind in ("com", "lpt") for n in range(10)
}

HOSTILE = (
    "",
    ".",
    "..",
    "...",
    "/",
    "\\",
    "/etc/passwd",
    "..\\..\\x",
    "a/b.jpg",
    "a\\b.jpg",
    "C:\\x.jpg",
    "a:b.jpg",
    "CON",
    "con.jpg",
    "Nul.tar.gz",
    "COM1",
    "lpt9.png",
    "COM¹.x",
    "aux ",
    "PRN .txt",
    "CONIN$",
    "a.jpg.",
    "a.jpg ",
    "a\x00b.jpg",
    "a\nb.jpg",
    "\x7f.jpg",
    "\x9b.jpg",
    'a"b.jpg',
    "a|b?.jpg",
    "a*b.jpg",
    "<a>.jpg",
    "\ud800.jpg",
    "x\udfff",
    ".labelmirror",
    ".LabelMirror-x",
    ".labelmirror-1.jpg",
    "~",
    "~x.jpg",
    "x~deadbeef.jpg",
    "X~DEADBEEF.JPG",
    "a" * 300 + ".jpg",
    "ü" * 200 + ".jpg",
    "😀" * 100,
    "." + "x" * 400,
    "a." + "b" * 300,
    "a" * 200,
    "a" * 201,
)
ORDINARY = (
    "a.jpg",
    "IMG 0001.JPG",
    " leading.png",
    "Straße.jpg",
    "写真.png",
    "a.b.c",
    ".hidden",
    "~x.jpg",
    "a~b.jpg",
    "x",
    "a'b&c#d%.jpg",
)

#: Names with twins of every kind close together, so that random draws collide.
NAMES = st.sampled_from(
    [
        "a.jpg",
        "A.jpg",
        "a.JPG",
        "b.jpg",
        "b.jpg.json",
        "é.jpg",
        "e\u0301.jpg",
        "É.jpg",
        "ß.jpg",
        "ss.jpg",
        "ﬁ",
        "fi",
        "a?.jpg",
        "a*.jpg",
        "a_.jpg",
        "a_~00000000.jpg",
        "CON",
        "con",
        "_con",
        "..",
        "_",
        "",
        "x" * 201,
        "x" * 202,
        "c.jpg",
        "\ud800",
        "\udc00",
    ]
) | st.text(st.characters(), max_size=8)
DIRECTORIES = st.lists(NAMES, max_size=3).map("/".join)


def image(id_: str, directory: str, name: str) -> ListedImage:
    return ListedImage(id_, directory, name, None, None, None, None, None, None, ())


def settle(listing: Sequence[ListedImage], recorded: Sequence[ImageRecord] = ()) -> dict[str, ImageRecord]:
    """What a store and the engine do together: find who needs a place, in order, and record it."""
    records = {record.id: record for record in recorded}
    waiting = [
        row
        for row in listing
        if row.id not in records or (records[row.id].directory, records[row.id].name) != (row.directory, row.name)
    ]
    folds = {row.id: places.fold(row.directory, row.name) for row in waiting}
    groups = Counter(folds.values())
    taken = {folded(record.place): record.id for record in records.values()}
    unplaced = [
        Unplaced(row, records.get(row.id), groups[folds[row.id]], taken.get(folds[row.id], row.id) != row.id)
        for row in waiting
    ]
    asked = set(places.candidates(unplaced))
    files = {folded(record.place) for record in records.values()} & asked
    folders = {folder for record in records.values() for folder in folders_of(folded(record.place))} & asked
    for id_, place in places.assign(unplaced, files, folders).items():
        row = next(row for row in listing if row.id == id_)
        records[id_] = ImageRecord(id_, row.directory, row.name, place)
    return records


def place_of(directory: str, name: str) -> str:
    return settle([image("id", directory, name)])["id"].place


def suffix(meant: str) -> str:
    return "~" + hashlib.sha256(meant.encode()).hexdigest()[:8]


def assert_safe(place: str) -> None:
    for part in place.split("/"):
        assert 0 < len(part.encode()) <= places.COMPONENT_BYTES, place
        assert part not in {".", ".."}, place
        assert not set(part) & set('<>:"\\|?*'), place
        assert all(unicodedata.category(char) not in {"Cc", "Cs"} for char in part), place
        assert part[-1] not in {".", " "}, place
        assert part.partition(".")[0].rstrip(" ").lower() not in RESERVED, place
        assert not part.lower().startswith(".labelmirror"), place


def assert_apart(records: Sequence[ImageRecord]) -> None:
    """No file and no document is, to any file system, another one, or a folder of another one."""
    images = [folded(record.place) for record in records]
    documents = [f"{path}.json" for path in images]
    for files in (images, documents):
        assert len(set(files)) == len(files), sorted(files)
        assert not set(files) & {folder for file in files for folder in folders_of(file)}, sorted(files)


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_name_is_kept_exactly(name: str) -> None:
    assert place_of("", name) == name
    assert place_of(f"Some Folder/{name}", name) == f"Some Folder/{name}/{name}"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_becomes_one_safe_component(name: str) -> None:
    place = place_of("", name)
    assert "/" not in place
    assert_safe(place)


@pytest.mark.parametrize("name", [name for name in HOSTILE if "/" not in name])
def test_a_hostile_folder_becomes_safe_components(name: str) -> None:
    place = place_of(f"a/{name}/b", "c.jpg")
    assert place.split("/")[0] == "a"
    assert place.split("/")[2:] == ["b", "c.jpg"]
    assert_safe(place)


def test_an_escaped_name_has_the_hash_of_its_id_before_the_extension() -> None:
    assert place_of("", "a?b.jpg") == f"a_b{suffix('id')}.jpg"


def test_an_escaped_folder_has_the_hash_of_its_server_path() -> None:
    assert place_of("a/b?/c", "d.jpg") == f"a/b_{suffix('a/b?')}/c/d.jpg"


def test_a_folder_deeper_than_any_path_may_be_becomes_one_component() -> None:
    place = place_of("/".join(["deep"] * 1000), "a.jpg")
    assert place.count("/") == 1
    assert_safe(place)


@pytest.mark.parametrize(
    ("first", "second"),
    list(
        itertools.combinations(
            [("", "a.jpg"), ("", "A.JPG"), ("", "é.jpg"), ("", "e\u0301.jpg"), ("", "É.jpg"), ("", "a.jpg")], 2
        )
    ),
)
def test_twins_first_seen_together_both_get_a_suffix(first: tuple[str, str], second: tuple[str, str]) -> None:
    records = settle([image("1", *first), image("2", *second)])
    if places.fold(*first) == places.fold(*second):
        assert all(suffix(id_) in record.place for id_, record in records.items())
    else:
        assert [records["1"].place, records["2"].place] == [first[1], second[1]]
    assert_apart(list(records.values()))


def test_equal_names_in_two_folders_are_no_twins() -> None:
    records = settle([image("1", "x", "a.jpg"), image("2", "y", "a.jpg")])
    assert [records["1"].place, records["2"].place] == ["x/a.jpg", "y/a.jpg"]


def test_a_twin_that_comes_later_leaves_the_first_where_it_is() -> None:
    first = settle([image("1", "", "a.jpg")])
    both = settle([image("1", "", "a.jpg"), image("2", "", "A.jpg")], list(first.values()))
    assert both["1"].place == "a.jpg"
    assert both["2"].place == f"A{suffix('2')}.jpg"


def test_a_change_of_case_alone_keeps_the_plain_name() -> None:
    first = settle([image("1", "", "a.jpg")])
    assert settle([image("1", "", "A.jpg")], list(first.values()))["1"].place == "A.jpg"


@pytest.mark.parametrize("folder", ["b.jpg", "B.JPG", "b.jpg.json"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("file_first", [True, False])
def test_a_file_and_a_folder_of_its_name_do_not_meet(folder: str, *, together: bool, file_first: bool) -> None:
    pair = [image("1", "", "b.jpg"), image("2", folder, "c.jpg")]
    if not file_first:
        pair.reverse()
    records = settle(pair) if together else settle(pair, list(settle(pair[:1]).values()))
    assert_apart(list(records.values()))


def test_ten_thousand_images_of_one_name_in_one_folder_get_distinct_places() -> None:
    records = settle([image(str(number), "", "image.jpg") for number in range(10_000)])
    assert_apart(list(records.values()))


def test_a_document_moves_with_its_image() -> None:
    assert places.moved_document("annotations/a/b.jpg.json", "a/b.jpg", "c.jpg") == "annotations/c.jpg.json"
    assert places.moved_document("annotations/set/a.jpg.json", "a.jpg", "b.jpg") == "annotations/set/b.jpg.json"


@given(st.lists(st.tuples(DIRECTORIES, NAMES), max_size=12), st.integers(0, 12), st.randoms(use_true_random=False))
def test_places_are_safe_apart_stable_and_independent_of_order(
    names: list[tuple[str, str]], known: int, rng: random.Random
) -> None:
    listing = [image(f"i{number}", *pair) for number, pair in enumerate(names)]
    before = settle(listing[:known])
    after = settle(listing, list(before.values()))
    shuffled = rng.sample(listing, len(listing))
    assert {id_: record.place for id_, record in settle(shuffled, list(before.values())).items()} == {
        id_: record.place for id_, record in after.items()
    }
    assert all(after[id_] == record for id_, record in before.items())
    for record in after.values():
        assert_safe(record.place)
    assert_apart(list(after.values()))


@given(st.lists(st.tuples(DIRECTORIES, NAMES), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_renaming_keeps_places_apart(names: list[tuple[str, str]], rng: random.Random) -> None:
    before = settle([image(f"i{number}", *pair) for number, pair in enumerate(names)])
    renamed = [image(f"i{number}", *rng.choice(names)) for number in range(len(names))]
    assert_apart(list(settle(renamed, list(before.values())).values()))


def sets(*names: str) -> list[AnnotationSet]:
    return [AnnotationSet(str(number), name, "") for number, name in enumerate(names)]


def test_annotation_sets_get_folders_of_their_own_names() -> None:
    assert [entry.folder for entry in places.set_folders(sets("Boxes", "Straßen 2"), ())] == ["Boxes", "Straßen 2"]


@pytest.mark.parametrize(
    "names", [("a/b", "a_b"), ("Boxes", "boxes"), ("..", "."), ("x", "x"), ("con", "NUL "), ("", "_")]
)
def test_no_two_annotation_sets_share_a_folder(names: tuple[str, ...]) -> None:
    folders = [entry.folder for entry in places.set_folders(sets(*names), ())]
    assert len({folded(folder) for folder in folders}) == len(names)
    assert not any("/" in folder or folder in {"", ".", ".."} for folder in folders)


def test_a_recorded_annotation_set_keeps_its_folder_and_others_keep_away_from_it() -> None:
    recorded = [SetRecord("7", "boxes", "boxes")]
    renamed, new = AnnotationSet("7", "other", ""), AnnotationSet("8", "Boxes", "")
    (entry,) = places.set_folders([renamed, new], recorded)
    assert entry.id == "8"
    assert folded(entry.folder) != "boxes"
    assert entry.folder.startswith("Boxes~")
