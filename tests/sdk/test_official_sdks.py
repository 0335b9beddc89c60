"""The official SDKs, unmodified, against the stand-in of their generation: what works there is worth testing with."""

import json
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from labelmirror.standin import Dataset, Fault, FaultKind, RequestRecord, Standin, StandinOptions, serve
from labelmirror.standin.exchange import Origin

pytestmark = pytest.mark.sdk

RunFlow = Callable[[str, Standin], Awaitable[dict[str, Any]]]

#: The SDK's second look at annotations meets a 429 that asks it to wait.
LIMITED = Fault(route="annotations.read", kind=FaultKind.LIMITED, nth=2)


def options(generation: str) -> StandinOptions:
    return StandinOptions(generation=generation, images=12, limit=1_000, faults=(LIMITED,))


def harbour(standin: Standin) -> Dataset:
    return standin.world.dataset("harbour")


def newest_first(standin: Standin) -> list[str]:
    return [image.id for image in harbour(standin).active]


def was_limited_then_served(standin: Standin) -> bool:
    reads = [record for record in standin.requests if record.route == "annotations.read"]
    refused = next(at for at, record in enumerate(reads) if record.status == 429)
    return reads[refused + 1].path == reads[refused].path and reads[refused + 1].status == 200


def stored_with_a_key(standin: Standin) -> list[RequestRecord]:
    return [record for record in standin.requests if record.origin is Origin.STORAGE and record.key_sent]


def members(archive: Path) -> dict[str, Any]:
    with zipfile.ZipFile(archive) as opened:
        documents = [json.loads(opened.read(name)) for name in opened.namelist() if name.endswith(".json")]
    return {document["image_uuid"]: document["annotations"] for document in documents}


async def test_sdk_0_1_11_works_on_g0(run_flow: RunFlow, tmp_path: Path) -> None:
    async with serve(options("g0")) as standin:
        images = newest_first(standin)
        counts = {image.id: image.annotation_count for image in harbour(standin)}
        second = counts[images[1]]
        meadow = list(standin.world.dataset("meadow & shore"))
        first_content = standin.world.image(images[0]).content

        answer = await run_flow("0.1.11", standin)

        assert answer["datasets"] == ["harbour", "meadow & shore"]
        assert answer["images"] == images
        assert answer["download"]["success"]
        assert answer["download"]["images_downloaded"] == 4
        assert answer["download"]["annotations_downloaded"] == 3  # no link where there are no annotations
        assert {path.name for path in (tmp_path / "all").iterdir() if path.suffix != ".json"} == {
            image.filename for image in meadow
        }
        assert (tmp_path / "one").read_bytes() == first_content
        assert answer["metadata"]["id"] == images[0]
        assert len(answer["before"]) == len(answer["with_annotations"]) == counts[images[0]]
        assert (answer["saved"]["previous_count"], answer["saved"]["new_count"]) == (counts[images[0]], 4)
        assert [entry["id"] for entry in answer["after"]] == ["b", "p", "l", "k"]
        kept = standin.world.image(images[0]).annotations
        assert kept[0]["bounding_box"] == {"x": 1, "y": 2, "w": 3, "h": 4}
        assert kept[3]["keypoint"] == {"x": 5, "y": 6}
        assert answer["deleted"]["deleted_count"] == second
        assert standin.world.image(images[1]).annotations == ()
        uploaded = standin.world.image(answer["uploaded"])
        assert uploaded.place == ("/fresh", "new.png")
        assert uploaded.content == first_content
        assert standin.world.image(images[2]).archived
        assert answer["export"]["status"] == "completed"
        assert answer["exports"] == ["nightly"]
        exported = members(tmp_path / "nightly.zip")
        assert set(exported) == set(newest_first(standin))
        assert was_limited_then_served(standin)
        assert stored_with_a_key(standin) == []


async def test_sdk_1_0_0_works_on_g1(run_flow: RunFlow, tmp_path: Path) -> None:
    async with serve(options("g1")) as standin:
        images = newest_first(standin)
        counts = {image.id: image.annotation_count for image in harbour(standin)}
        first_content = standin.world.image(images[0]).content

        answer = await run_flow("1.0.0", standin)

        assert answer["datasets"] == answer["paged"] == ["harbour", "meadow & shore"]
        assert answer["by_id"] == "harbour"
        assert answer["images"] == images
        assert answer["download"] == {"images": 4, "annotations": 3, "success": True}
        assert (tmp_path / "one").read_bytes() == first_content
        assert answer["metadata"]["file_size"] == len(first_content)
        assert answer["typed"] == counts
        assert answer["saved"] == [counts[images[0]], 4]
        assert [entry["id"] for entry in answer["after"]] == ["b", "p", "l", "k"]
        assert answer["after"][1]["bounding_box"] == {"x": 0, "y": 0, "w": 9, "h": 7}
        assert len(standin.world.image(images[0]).annotations[1]["polygon"]["paths"]) == 2
        assert answer["deleted"] == counts[images[1]]
        assert standin.world.image(images[1]).annotations == ()
        assert standin.world.image(answer["uploaded"]["id"]).content == first_content
        assert standin.world.image(images[2]).archived
        assert harbour(standin).image(images[3]) is None
        assert answer["export"]["status"] == "completed"
        assert answer["exports"] == [["nightly"], ["nightly"]]
        exported = members(tmp_path / "nightly.zip")
        assert set(exported) == set(newest_first(standin))
        assert was_limited_then_served(standin)
        assert stored_with_a_key(standin) == []


async def test_sdk_1_69_146_works_on_g2(run_flow: RunFlow, tmp_path: Path) -> None:
    async with serve(options("g2")) as standin:
        images = newest_first(standin)
        counts = {image.id: image.annotation_count for image in harbour(standin)}
        night = {image.id for image in harbour(standin) if image.directory == "/night"}
        first = standin.world.image(images[0])

        answer = await run_flow("1.69.146", standin)

        assert answer["datasets"] == answer["paged"] == ["harbour", "meadow & shore"]
        assert answer["by_id"] == "harbour"
        assert answer["images"] == answer["embedded"] == images
        assert set(answer["in_night"]) == night
        assert answer["download"] == {"images": 4, "annotations": 4, "success": True}
        assert answer["insights"]["total_annotations"] == sum(counts.values())
        assert answer["directories"] == ["/day", "/night", "/night/rain"]
        assert answer["tree"] == ["/day", "/night"]
        assert (tmp_path / "one").read_bytes() == first.content
        assert answer["metadata"]["file_size"] == len(first.content)
        assert answer["bundled"] == sorted([first.filename, "annotations.json", "manifest.json"])
        assert answer["typed"] == counts
        assert answer["saved"] == [counts[images[0]], 5]
        assert [entry["id"] for entry in answer["after"]] == ["b", "s", "p", "l", "k"]
        assert answer["after"][1]["oriented_box"]["angle"] == 30.0
        assert first.annotations[4]["attributes"] == {"occluded": "true"}
        assert answer["deleted"] == counts[images[1]]
        assert answer["bulk"]["saved"] == images[2:4]
        assert len(answer["bulk"]["failed"]) == 1
        assert [len(standin.world.image(image).annotations) for image in images[2:4]] == [5, 0]
        assert answer["renamed"] > 0
        assert {"fairway"} == {entry["name"] for entry in first.annotations if entry["type"] == "polyline"}
        assert standin.world.image(answer["uploaded"]["id"]).place == ("/fresh", "new.png")
        assert [standin.world.image(image).filename for image in answer["several"]] == ["second.png", "third.png"]
        assert standin.world.image(images[4]).archived
        assert harbour(standin).image(images[5]) is None
        assert answer["export"]["status"] == "completed"
        assert answer["exports"] == [["nightly"], ["nightly"]]
        exported = members(tmp_path / "nightly.zip")
        assert set(exported) == set(newest_first(standin))
        assert (tmp_path / "nightly-by-id.zip").read_bytes() == (tmp_path / "nightly.zip").read_bytes()
        assert was_limited_then_served(standin)
        assert stored_with_a_key(standin) == []
