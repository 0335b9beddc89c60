"""`export --format coco` as a process: other programs read the file and find what the server holds."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from pycocotools import mask  # type: ignore[import-untyped]
from pycocotools.coco import COCO  # type: ignore[import-untyped]

from labelmirror.standin import Standin, StandinOptions, serve
from labelmirror.standin.coco_annotator import CocoWorld
from labelmirror.standin.remo.world import RemoWorld
from support.cli import KEY_VARIABLE, Home, drop_annotation, home, labelmirror


def rounded(box: list[float]) -> list[float]:
    return [round(number, 6) for number in box]


async def exported(here: Home, *arguments: str) -> tuple[dict[str, Any], COCO]:
    """Export the mirror without the key, and read the file as a training program does."""
    ended = await here.run("export", "harbour", "--format", "coco", "--json", *arguments, env={})
    assert ended.exit_code == 0, ended
    return ended.answer, COCO(ended.answer["path"])


async def test_boxes_polygons_and_points_of_a_pictograph_are_found_by_pycocotools(tmp_path: Path) -> None:
    async with home(tmp_path, images=24) as here:
        await here.json("sync")
        answer, coco = await exported(here)
        images = list(here.dataset)
        entries = {entry["id"]: entry for image in images for entry in image.annotations}
        types = Counter(entry["type"] for entry in entries.values())
        assert answer["path"] == str(here.folder / "harbour.coco.json")
        assert (answer["images"], len(coco.imgs)) == (24, 24)
        assert answer["annotations"] == len(coco.anns) == len(entries) - types["polyline"]
        assert answer["not_carried"]["annotations"] == {"polyline": types["polyline"]}
        assert answer["not_carried"]["image_sizes"] == 0
        assert {row["name"] for row in coco.cats.values()} >= {"boat", "ship", "building", "eye", "lane"}
        sizes = {row["source_id"]: (row["width"], row["height"]) for row in coco.imgs.values()}
        assert sizes == {image.id: (image.width, image.height) for image in images}
        assert all((here.mirror / "images" / row["file_name"]).is_file() for row in coco.imgs.values())
        for row in coco.anns.values():
            entry = entries[row["source_id"]]
            assert coco.cats[row["category_id"]]["name"] == entry["name"]
            if "bounding_box" in entry:
                assert row["bbox"] == [entry["bounding_box"][side] for side in "xywh"]
            if entry["type"] == "polygon":
                rings = [[point[axis] for point in ring for axis in "xy"] for ring in entry["polygon"]["paths"]]
                assert row["segmentation"] == rings
                assert mask.area(coco.annToRLE(row)) > 0
            if entry["type"] == "keypoint":
                assert row["keypoints"][:2] == [entry["keypoint"]["x"], entry["keypoint"]["y"]]
                assert row["num_keypoints"] == 1


async def test_an_edit_that_is_not_pushed_yet_is_in_the_file(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        before, _ = await exported(here)
        document = next(path for path in sorted(here.mirror.rglob("*.json")) if _boxes(path))
        drop_annotation(document)
        after, _ = await exported(here, "-o", "again.json")
        assert after["path"] == str(here.folder / "again.json")
        assert after["annotations"] <= before["annotations"]
        assert after != before


def _boxes(path: Path) -> bool:
    return any(entry.get("type") == "bbox" for entry in json.loads(path.read_bytes()).get("annotations", ())[-1:])


async def test_a_spoilt_document_fails_and_the_others_are_exported(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        total = (await exported(here))[0]["images"]
        document = min((here.mirror / "annotations").rglob("*.json"))
        document.write_text("{")
        answer = await here.json("export", "harbour", "--format", "coco", exit_code=1)
        assert answer["images"] == total - 1
        (failed,) = answer["failed"]
        assert document.name in failed["message"]


REFUSED = {
    "harbour/out.json": "the mirror harbour",
    "harbour/images/out.json": "the mirror harbour",
    "link/out.json": "the mirror harbour",
    "state/out.json": "the state",
    "nowhere/out.json": "not there",
    "harbour": "is a folder",
    "harbour/dataset.json": "the mirror harbour",
    "harbour/outward": "the mirror harbour",
    "state/labelmirror.db": "the state",
    "labelmirror.toml": "is the configuration",
    "alias.toml": "is the configuration",
    "ledger.db": "is the ledger",
    "acme.key": "is the key of the server acme",
    "notes.txt": "is not an earlier",
    "pipe": "is not an earlier",
}


def contents(folder: Path) -> dict[Path, bytes]:
    """The files below a folder that hold what somebody cares for; a state is written to by whoever looks at it."""
    kept = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name not in {"state", "locks"})
    return {path: path.read_bytes() for path in kept}


@pytest.mark.parametrize(
    ("command", "refused"),
    # Both ask the same code: each tries half of the places.
    [(("export", "harbour", "--format", "coco"), list(REFUSED)[::2]), (("plan",), list(REFUSED)[1::2])],
    ids=["export", "plan"],
)
async def test_a_file_among_those_of_the_program_or_of_others_is_refused(
    tmp_path: Path, command: tuple[str, ...], refused: list[str]
) -> None:
    async with home(tmp_path, images=2) as here:
        await here.json("sync")
        key = here.config.read_text().replace(f'{{ env = "{KEY_VARIABLE}" }}', '{ file = "acme.key" }')
        here.config.write_text(key)
        (here.folder / "link").symlink_to(here.mirror)
        (here.folder / "alias.toml").symlink_to(here.config)
        (here.folder / "notes.txt").write_text("mine")
        (here.mirror / "outward").symlink_to(here.folder / "notes.txt")
        os.mkfifo(here.folder / "pipe")
        before = contents(here.folder)
        spent = len(here.standin.requests)
        for output in refused:
            ended = await here.run(*command, "-o", output)
            assert (ended.exit_code, REFUSED[output] in ended.stderr) == (2, True), ended
        assert contents(here.folder) == before
        assert len(here.standin.requests) == spent


@pytest.mark.parametrize("command", [("export", "harbour", "--format", "coco"), ("plan",)])
async def test_an_earlier_file_of_the_same_command_is_replaced_and_that_of_another_is_not(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    async with home(tmp_path, images=2) as here:
        await here.json("sync")
        file = here.folder / "out.json"
        file.touch()
        await here.json(*command, "-o", "out.json")
        await here.json(*command, "-o", "out.json")
        assert json.loads(file.read_bytes())
        other = ("plan",) if command[0] == "export" else ("export", "harbour", "--format", "coco")
        before = file.read_bytes()
        assert "is not an earlier" in (await here.json(*other, "-o", "out.json", exit_code=2))["error"]["message"]
        assert file.read_bytes() == before


async def mirrored(folder: Path, standin: Standin, dataset: str) -> None:
    """Mirror a dataset of a server that people log in to, as `harbour`."""
    assert standin.login is not None
    lines = [
        "version = 1",
        'state = "state"',
        'ledger = "ledger.db"',
        "[servers.acme]",
        f'kind = "{standin.kind}"',
        f'url = "{standin.url}"',
        f'user = "{standin.login.user}"',
        'password = { env = "PASSWORD" }',
        "[datasets.harbour]",
        'server = "acme"',
        f'name = "{dataset}"',
        'path = "harbour"',
    ]
    (folder / "labelmirror.toml").write_text("\n".join(lines) + "\n")
    env = {"PASSWORD": standin.login.password}
    ended = await to_thread.run_sync(lambda: labelmirror("sync", "--json", cwd=folder, env=env))
    assert ended.exit_code == 0, ended


async def test_the_dataset_of_a_coco_annotator_comes_back_as_the_server_would_export_it(tmp_path: Path) -> None:
    async with serve(StandinOptions(kind="coco-annotator", images=16)) as standin:
        await mirrored(tmp_path, standin, "harbour")
        world = standin.world_as(CocoWorld)
    # The server is gone.
    command = ("export", "harbour", "--format", "coco", "--json")
    ended = await to_thread.run_sync(lambda: labelmirror(*command, cwd=tmp_path))
    assert ended.exit_code == 0, ended
    coco = COCO(ended.answer["path"])
    images = world.images_of(world.dataset("harbour"))
    entries = {entry.id: entry for image in images for entry in world.annotations_of(image)}
    assert {int(row["source_id"]): (row["width"], row["height"]) for row in coco.imgs.values()} == {
        image.id: (image.width, image.height) for image in images
    }
    assert {row["source_id"] for row in coco.anns.values()} == set(entries)
    names = [world.categories[number].name for number in world.dataset("harbour").categories]
    assert [coco.cats[number]["name"] for number in sorted(coco.cats)] == names
    for row in coco.anns.values():
        entry = entries[row["source_id"]]
        assert coco.cats[row["category_id"]]["name"] == world.categories[entry.category_id or 0].name
        assert row["segmentation"] == entry.segmentation
        assert row.get("keypoints", []) == entry.keypoints
        if entry.isbbox:
            assert rounded(row["bbox"]) == rounded(entry.bbox)
            assert row["area"] == entry.area
    assert [row["supercategory"] for row in coco.cats.values() if row["name"] == "boat"] == ["vessel"]
    person = next(row for row in coco.cats.values() if row["name"] == "person")
    assert (person["keypoints"], person["skeleton"]) == (["head", "hand", "foot"], [[1, 2], [2, 3]])


async def test_all_annotation_sets_of_a_remo_are_in_one_file(tmp_path: Path) -> None:
    async with serve(StandinOptions(kind="remo", images=12)) as standin:
        await mirrored(tmp_path, standin, next(iter(standin.world_as(RemoWorld).datasets.values())).name)
    command = ("export", "harbour", "--format", "coco", "--json")
    ended = await to_thread.run_sync(lambda: labelmirror(*command, cwd=tmp_path))
    assert ended.exit_code == 0, ended
    coco = COCO(ended.answer["path"])
    documents = [json.loads(path.read_bytes()) for path in (tmp_path / "harbour" / "annotations").rglob("*.json")]
    objects = [
        (str(document["image_id"]), str(document["annotation_set"]["id"]), entry["name"])
        for document in documents
        for entry in document["annotations"]
        if "coordinates" in entry
    ]
    found = [(coco.imgs[row["image_id"]]["source_id"], row["set"], row["source_id"]) for row in coco.anns.values()]
    assert len(coco.imgs) == len({document["image_id"] for document in documents})
    assert sorted(found) == sorted(objects)
    assert len({row["set"] for row in coco.anns.values()}) > 1
    classes = sum(len(document["annotations"]) for document in documents) - len(objects)
    assert ended.answer["not_carried"]["annotations"] == {"image_class": classes}
