"""Exporting a mirror: numbers, sizes, categories and failures, on a mirror in memory; and the file that is whole or not there."""

import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from PIL import Image

from labelmirror.engine.export import SECTIONS, Exported, export_coco
from labelmirror.errors import DiskError, MarkerMismatch, UsageError
from labelmirror.model.coco import CocoAnnotation, CocoCategory, CocoDocument
from labelmirror.model.document import Document, JsonObject
from labelmirror.tree.export import rows_file
from support.memory_mirror import Bench


@dataclass(slots=True)
class Rows:
    """A rows file in memory."""

    lists: dict[str, list[JsonObject]] = field(default_factory=lambda: {section: [] for section in SECTIONS})

    async def add(self, section: str, rows: Sequence[JsonObject]) -> None:
        self.lists[section] += rows


def cars(document: Document) -> CocoDocument:
    """One box for each annotation, of a category that it names; "truck" cannot be carried."""
    annotations = document["annotations"]
    assert isinstance(annotations, list)
    names = [entry["name"] for entry in annotations]
    boxes = [CocoAnnotation(name, (0, 0, 2, 3), 6, source_id="x") for name in names if name != "truck"]
    return CocoDocument(boxes, [CocoCategory("walker", keypoints=["head"])], {"truck": names.count("truck")}, {"z": 1})


async def exported(bench: Bench) -> tuple[Rows, Exported]:
    rows = Rows()
    return rows, await export_coco(bench.mirror, cars, rows, bench.reporter)


async def mirrored(images: int = 3) -> Bench:
    bench = Bench()
    for number in range(images):
        bench.add(number, annotations=number)
    await bench.sync()
    return bench


async def test_a_mirror_that_nothing_was_brought_to_yet_is_not_exported() -> None:
    with pytest.raises(UsageError, match="never synced"):
        await exported(Bench())


async def test_images_and_annotations_are_numbered_and_refer_to_one_another() -> None:
    bench = await mirrored()
    sent = bench.provider.sent
    rows, done = await exported(bench)
    assert (done.images, done.annotations, bench.provider.sent) == (3, 3, sent)
    assert [(row["id"], row["file_name"], row["source_id"]) for row in rows.lists["images"]] == [
        (1, "000.jpg", "000"),
        (2, "001.jpg", "001"),
        (3, "002.jpg", "002"),
    ]
    assert [(row["id"], row["image_id"]) for row in rows.lists["annotations"]] == [(1, 2), (2, 3), (3, 3)]
    numbers = {row["name"]: row["id"] for row in rows.lists["categories"]}
    assert {row["category_id"] for row in rows.lists["annotations"]} == {numbers["car"]}
    assert sorted(str(number) for number in numbers.values()) == [str(number) for number in range(1, len(numbers) + 1)]


async def test_more_is_said_of_a_category_once_it_is_known() -> None:
    rows, _ = await exported(await mirrored())
    walker = next(row for row in rows.lists["categories"] if row["name"] == "walker")
    assert (walker["keypoints"], walker["skeleton"]) == (["head"], [])


async def test_documents_count_as_they_lie_there_edited_or_missing() -> None:
    bench = await mirrored()
    bench.edit(0, [{"id": "mine", "name": "bike"}, {"id": "b", "name": "truck"}])
    bench.tree.remove(bench.document(1))
    rows, done = await exported(bench)
    assert [row["file_name"] for row in rows.lists["images"]] == ["000.jpg", "002.jpg"]
    assert "bike" in {row["name"] for row in rows.lists["categories"]}
    assert (done.left_out["truck"], done.lost["z"]) == (1, 2)


async def test_a_document_that_is_none_fails_and_the_others_go_on() -> None:
    bench = await mirrored()
    bench.tree.edit(bench.document(1), b"{")
    rows, done = await exported(bench)
    assert [row["source_id"] for row in rows.lists["images"]] == ["000", "002"]
    (trouble,) = done.troubles
    assert (trouble.id, trouble.image) == ("001", "images/001.jpg")
    assert bench.document(1) in trouble.message


async def test_the_size_of_an_image_is_read_from_its_file_where_nothing_else_says_it() -> None:
    bench = await mirrored()
    file = io.BytesIO()
    Image.new("RGB", (9, 8)).save(file, "PNG")
    bench.tree.edit("images/001.jpg", file.getvalue())
    rows, done = await exported(bench)
    sizes = [(row.get("width"), row.get("height")) for row in rows.lists["images"]]
    assert sizes == [(None, None), (9, 8), (None, None)]
    assert done.sizeless == 2


async def test_a_directory_without_its_marker_is_not_exported() -> None:
    bench = await mirrored()
    bench.tree.held.marker = None
    with pytest.raises(MarkerMismatch):
        await exported(bench)


async def test_a_rows_file_appears_whole_with_its_lists_in_order(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    async with rows_file(path, ("a", "b", "c")) as out:
        await out.add("b", [{"n": 1}])
        await out.add("a", [{"name": "ü\ud800"}, {"name": "y"}])
        await out.add("b", [])
        await out.add("b", [{"n": 2}])
        assert list(tmp_path.iterdir()) == []
    assert json.loads(path.read_bytes()) == {
        "a": [{"name": "ü\ud800"}, {"name": "y"}],
        "b": [{"n": 1}, {"n": 2}],
        "c": [],
    }
    assert list(tmp_path.iterdir()) == [path]


async def test_what_was_there_stays_when_an_export_breaks(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    async def broken() -> None:
        async with rows_file(path, ("a",)) as out:
            await out.add("a", [{"n": 1}])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await broken()
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


async def test_a_full_disk_is_told_as_one_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    lists: list[IO[bytes]] = []

    def full(**_: object) -> IO[bytes]:
        lists.append(Path("/dev/full").open("r+b"))  # noqa: SIM115 - the export closes it
        return lists[-1]

    async def write() -> None:
        async with rows_file(path, ("a", "b")) as out:
            await out.add("a", [{"n": 1}])
            await out.add("b", [{"text": "x" * io.DEFAULT_BUFFER_SIZE}])

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(DiskError, match="No space left") as caught:
        await write()
    assert "Make room" in caught.value.hint
    assert [file.closed for file in lists] == [True, True]
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="nowhere"):
        async with rows_file(tmp_path / "nowhere" / "out.json", ("a",)):
            pass
