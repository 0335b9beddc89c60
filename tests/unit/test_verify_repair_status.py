"""Checking, repairing and describing a mirror, on a server, a directory and a state in memory."""

import dataclasses

import pytest

from labelmirror.engine.repair import repair
from labelmirror.engine.status import Standing, status
from labelmirror.engine.verify import Depth, Subset, VerifyReport, verify
from labelmirror.model.document import JsonObject
from labelmirror.model.policy import MirrorPolicy
from labelmirror.model.report import MirrorOutcome
from support.memory_mirror import Bench
from support.memory_state import MemoryState

CAR: JsonObject = {"id": "mine", "name": "car", "x": 5}


async def mirrored(images: int = 5) -> Bench:
    bench = Bench()
    for number in range(images):
        bench.add(number)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    return bench


def rot(bench: Bench, path: str, data: bytes) -> None:
    """Change bytes under an unchanged stat, as a failing disk does."""
    held = bench.tree.held.files[path]
    bench.tree.held.files[path] = dataclasses.replace(held, data=data)


def found(report: VerifyReport) -> list[tuple[str, str, bool]]:
    return [(damage.path, damage.problem, damage.repaired) for damage in report.damaged]


async def check(bench: Bench, depth: Depth = Depth.FULL, subset: Subset | None = None) -> VerifyReport:
    return await verify(bench.mirror, depth, subset or Subset())


# --- verify --------------------------------------------------------------------------------------------------------


async def test_a_whole_mirror_is_checked_without_a_request() -> None:
    bench = await mirrored(5)
    sent = bench.provider.sent
    report = await check(bench)
    assert (report.checked, report.damaged) == (10, [])
    assert bench.provider.sent == sent


async def test_a_flipped_byte_in_an_image_is_found_and_the_image_fetched_again() -> None:
    bench = await mirrored(3)
    rot(bench, "images/001.jpg", b"\xff\xd8\xff\xe0002")
    report = await check(bench)
    assert found(report) == [("images/001.jpg", "digest", True)]
    assert bench.tree.files()["images/001.jpg"] == bench.provider.images_by_id["001"].data
    assert (await check(bench)).damaged == []


async def test_a_flipped_byte_in_a_document_is_found_and_base_put_back() -> None:
    bench = await mirrored(3)
    whole = bench.tree.files()[bench.document(1)]
    rot(bench, bench.document(1), whole.replace(b'"car"', b'"cat"', 1))
    assert found(await check(bench)) == [(bench.document(1), "digest", True)]
    assert bench.tree.files()[bench.document(1)] == whole


async def test_missing_files_are_found_and_brought_back() -> None:
    bench = await mirrored(3)
    bench.tree.remove("images/001.jpg")
    bench.tree.remove(bench.document(2))
    report = await check(bench, Depth.QUICK)
    assert found(report) == [(bench.document(2), "missing", True), ("images/001.jpg", "missing", True)]
    assert len(bench.tree.files()) == 6


async def test_an_edited_document_is_no_damage() -> None:
    bench = await mirrored(3)
    data = bench.edit(1, [CAR])
    assert (await check(bench)).damaged == []
    assert bench.tree.files()[bench.document(1)] == data


async def test_a_document_that_a_person_broke_is_told_and_left_to_them() -> None:
    bench = await mirrored(3)
    bench.tree.edit(bench.document(1), b"{")
    assert found(await check(bench)) == [(bench.document(1), "invalid_document", False)]
    assert bench.tree.files()[bench.document(1)] == b"{"


async def test_damage_that_the_server_cannot_mend_is_told() -> None:
    bench = await mirrored(3)
    bench.tree.remove("images/001.jpg")
    del bench.provider.images_by_id["001"]
    assert found(await check(bench)) == [("images/001.jpg", "missing", False)]


async def test_a_quick_check_looks_at_size_and_time_only() -> None:
    bench = await mirrored(3)
    rot(bench, "images/001.jpg", b"\xff\xd8\xff\xe0002")
    bench.tree.edit("images/002.jpg", b"longer than before")
    assert found(await check(bench, Depth.QUICK)) == [("images/002.jpg", "size", True)]


@pytest.mark.parametrize("parts", [1, 2, 7])
async def test_the_parts_of_a_mirror_together_are_the_whole(parts: int) -> None:
    bench = await mirrored(20)
    checked = [(await check(bench, Depth.FULL, Subset(part, parts))).checked for part in range(1, parts + 1)]
    assert sum(checked) == 40
    assert parts == 1 or max(checked) < 40


# --- repair --------------------------------------------------------------------------------------------------------


async def test_a_lost_state_is_rebuilt_without_fetching_or_overwriting_anything() -> None:
    bench = await mirrored(5)
    mine = bench.edit(1, [CAR])
    files, store_id = bench.tree.files(), bench.state.held.facts.store_id
    bench.state = MemoryState("f" * 32)
    report = await repair(bench.mirror)
    assert report.outcome is MirrorOutcome.HELD
    assert (report.documents.adopted, report.documents.held, report.images.pulled) == (4, 1, 0)
    assert bench.tree.files() == files
    assert files[bench.document(1)] == mine
    assert bench.state.held.facts.store_id == store_id


async def test_repair_finds_the_same_places_again() -> None:
    bench = Bench()
    for number in range(3):
        bench.add(number).name = "same.jpg"
    await bench.sync()
    places = {record.id: record.place for record in bench.state.held.records.values()}
    del bench.provider.images_by_id["000"]
    bench.state = MemoryState()
    await repair(bench.mirror)
    assert {record.id: record.place for record in bench.state.held.records.values()} == places


async def test_repair_deletes_nothing() -> None:
    bench = await mirrored(5)
    files = bench.tree.files()
    bench.provider.images_by_id.clear()
    bench.state = MemoryState()
    await repair(bench.mirror)
    assert bench.tree.files() == files
    assert bench.tree.trash() == {}


async def test_repair_claims_a_directory_that_lost_its_marker() -> None:
    bench = await mirrored(3)
    bench.tree.held.marker = None
    assert (await bench.sync()).outcome is MirrorOutcome.REFUSED
    assert (await repair(bench.mirror)).outcome is MirrorOutcome.SYNCED
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED


# --- status --------------------------------------------------------------------------------------------------------


async def standings(bench: Bench) -> dict[str, Standing]:
    result = await status(bench.mirror, with_images=True)
    return {image.id: image.standing for image in result.images}


async def test_a_mirror_that_was_never_synced_says_so() -> None:
    assert (await status(Bench().mirror, with_images=False)).standing is Standing.NEVER


async def test_status_asks_no_server_and_writes_nothing() -> None:
    bench = await mirrored(3)
    bench.edit(1, [CAR])
    sent, before = bench.provider.sent, bench.state.snapshot()
    assert (await status(bench.mirror, with_images=True)).standing is Standing.AHEAD
    assert bench.provider.sent == sent
    assert bench.state.snapshot() == before


async def test_each_image_stands_as_its_document_and_its_file_do() -> None:
    bench = await mirrored(8)
    bench.policy = MirrorPolicy(statuses=frozenset({"complete"}))
    bench.provider.images_by_id["000"].status = "new"
    bench.edit(1, [CAR])
    bench.edit(2, [CAR])
    bench.provider.images_by_id["002"].annotations.append({"id": "theirs", "name": "bus"})
    bench.tree.edit(bench.document(3), b"{")
    await bench.sync()
    bench.tree.remove(bench.document(4))
    stands = await standings(bench)
    assert stands == {
        "000": Standing.UNSELECTED,
        "001": Standing.AHEAD,
        "002": Standing.HELD,
        "003": Standing.FAILED,
        "004": Standing.BEHIND,
        "005": Standing.IN_STEP,
        "006": Standing.IN_STEP,
        "007": Standing.IN_STEP,
    }
    whole = await status(bench.mirror, with_images=False)
    assert whole.standing is Standing.FAILED
    assert (whole.counts["held"], whole.counts["ahead"], whole.counts["images"]) == (1, 1, 8)


async def test_what_a_plan_found_on_the_server_makes_a_mirror_behind() -> None:
    bench = await mirrored(3)
    bench.provider.images_by_id["001"].annotations.append(CAR)
    await bench.plan()
    assert await standings(bench) == {"000": Standing.IN_STEP, "001": Standing.BEHIND, "002": Standing.IN_STEP}


async def test_status_of_a_held_document_ends_when_the_reason_is_gone() -> None:
    bench = await mirrored(3)
    bench.edit(1, [CAR])
    bench.provider.images_by_id["001"].annotations.append({"id": "theirs", "name": "bus"})
    await bench.sync()
    bench.edit(1, bench.provider.images_by_id["001"].annotations)
    await bench.sync()
    assert set((await standings(bench)).values()) == {Standing.IN_STEP}
