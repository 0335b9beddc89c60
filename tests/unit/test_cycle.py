"""A run over a mirror, one behaviour at a time, on a server, a directory and a state in memory."""

from collections import Counter

import anyio
import pytest

from labelmirror.engine.cycle import CycleOptions, sync
from labelmirror.engine.fetch import BODY_TRIES
from labelmirror.engine.repair import repair
from labelmirror.engine.status import Standing, status
from labelmirror.errors import ExitCode, Limited, RoleRefused, Unavailable
from labelmirror.model.document import JsonObject
from labelmirror.model.policy import Content, MirrorPolicy, OnRemoteDelete
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.trouble import Failed, Held, HoldReason
from labelmirror.ports.tree import Marker
from support.memory_mirror import Bench, PatientClock, nudge
from support.memory_provider import SINGLE, MemoryImage

CAR: JsonObject = {"id": "mine", "name": "car", "x": 5}


async def mirrored(images: int = 5, policy: MirrorPolicy | None = None) -> Bench:
    bench = Bench(policy=policy or MirrorPolicy())
    for number in range(images):
        bench.add(number)
    report = await bench.sync()
    assert report.outcome is MirrorOutcome.SYNCED
    return bench


def failed(report: MirrorReport) -> list[str]:
    return [trouble.code for trouble in report.troubles if isinstance(trouble, Failed)]


def held(report: MirrorReport) -> list[HoldReason]:
    return [trouble.reason for trouble in report.troubles if isinstance(trouble, Held)]


async def test_a_first_run_brings_every_image_and_document() -> None:
    bench = await mirrored(5)
    assert sorted(bench.tree.files()) == sorted(
        [f"images/{n:03}.jpg" for n in range(5)] + [bench.document(n) for n in range(5)]
    )


async def test_a_run_without_changes_costs_the_dataset_and_its_listing_and_writes_no_file() -> None:
    bench = await mirrored(5)
    files = bench.tree.snapshot()
    report = await bench.sync()
    assert (report.traffic.api, report.traffic.storage) == (2, 0)
    assert report.images.pulled == report.documents.pulled == 0
    assert bench.tree.snapshot() == files


async def test_a_changed_count_is_seen_at_once_and_costs_one_read() -> None:
    bench = await mirrored(5)
    bench.provider.images_by_id["002"].annotations.append(CAR)
    report = await bench.sync()
    assert report.documents.pulled == 1
    assert report.traffic.api == 3
    assert b'"mine"' in bench.tree.files()[bench.document(2)]


async def test_a_listing_that_calls_a_document_empty_is_no_reason_to_empty_it_here() -> None:
    bench = await mirrored(5)
    before = bench.tree.files()
    bench.provider.called_empty = {"001", "002"}
    report = await bench.sync()
    assert report.documents.pulled == 0
    assert bench.tree.files() == before
    assert (await bench.sync()).traffic.api == 2, "what was read once stands for the same number in the listing"


async def test_a_document_that_was_emptied_on_the_server_is_emptied_here() -> None:
    bench = await mirrored(5)
    bench.provider.images_by_id["001"].annotations.clear()
    assert (await bench.sync()).documents.pulled == 1


async def test_an_archive_corrects_a_listing_that_calls_documents_empty() -> None:
    bench = Bench()
    for number in range(30):
        bench.add(number)
    bench.provider.called_empty = {"001", "002"}
    await bench.sync()
    for name in ("001", "002"):
        held = bench.provider.images_by_id[name].annotations
        assert (
            bench.provider.format.annotations(
                bench.provider.format.parse(bench.tree.files()[bench.document(int(name))])
            )
            == held
        )


async def test_an_archive_that_the_listing_contradicts_too_often_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelmirror.engine.reading.REREADS_MIN", 2)
    bench = Bench()
    for number in range(10):
        bench.add(number)

    async def edited_meanwhile(point: str) -> None:
        if point == "archive":
            for image in bench.provider.images_by_id.values():
                image.annotations = [*image.annotations[:3], {**CAR, "id": f"{image.id}-new"}]

    bench.provider.door = edited_meanwhile
    report = await bench.sync()
    assert report.outcome is MirrorOutcome.PARTIAL
    assert failed(report) == ["doubtful"] * 8
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED


async def test_another_dataset_of_the_same_name_is_refused_until_a_repair() -> None:
    bench = await mirrored(5)
    before = bench.tree.files()
    bench.provider.dataset_id = "another"
    bench.provider.images_by_id.clear()
    bench.add(7)
    report = await bench.sync(deletes=100)
    assert report.outcome is MirrorOutcome.REFUSED
    assert report.error is not None
    assert report.error.code == "guard"
    assert bench.tree.files() == before
    repaired = await repair(bench.mirror)
    assert repaired.error is None
    assert before.items() <= bench.tree.files().items()
    assert bench.document(7) in bench.tree.files()


async def test_which_dataset_it_is_is_known_from_the_first_look_on() -> None:
    bench = Bench()
    bench.add(1)
    await bench.plan()
    bench.provider.dataset_id = "another"
    assert (await bench.sync()).outcome is MirrorOutcome.REFUSED


async def test_a_dataset_that_was_renamed_on_the_server_is_told_by_its_new_name() -> None:
    bench = await mirrored(3)
    mirror = bench.mirror
    bench.provider.name = "Avenue"
    report = await sync(mirror, CycleOptions())
    assert report.error is not None
    assert (report.error.code, report.error.exit_code) == ("unknown_dataset", 2)
    assert 'name = "Avenue"' in report.error.hint


async def test_a_moved_box_is_seen_by_the_next_full_check_and_not_before() -> None:
    bench = await mirrored(5)
    nudge(bench.provider.images_by_id["002"])
    assert (await bench.sync()).documents.pulled == 0
    bench.clock.at_s += bench.policy.full_check_every_s
    assert (await bench.sync()).documents.pulled == 1
    nudge(bench.provider.images_by_id["003"])
    assert (await bench.sync(full=True)).documents.pulled == 1


async def test_a_clock_that_steps_back_puts_no_full_check_off_and_makes_no_old_reading_new() -> None:
    bench = await mirrored(5)
    bench.clock.at_s -= 30 * 86_400.0
    nudge(bench.provider.images_by_id["002"])
    assert (await bench.sync()).documents.pulled == 1
    nudge(bench.provider.images_by_id["003"])
    assert (await bench.sync(full=True)).documents.pulled == 1


async def test_the_replaced_version_of_a_document_goes_to_history() -> None:
    bench = await mirrored(2)
    before = bench.tree.files()[bench.document(1)]
    bench.provider.images_by_id["001"].annotations.append(CAR)
    report = await bench.sync()
    assert bench.tree.history() == {(report.run, bench.document(1)): [before]}


async def test_what_a_plan_read_is_not_read_again_by_the_run_that_follows() -> None:
    bench = await mirrored(5)
    for number in range(3):
        bench.provider.images_by_id[f"00{number}"].annotations.append(CAR)
    planned = await bench.plan()
    assert (planned.pull_documents, planned.requests_spent) == (3, 5)
    report = await bench.sync()
    assert (report.documents.pulled, report.traffic.api) == (3, 2)


async def test_a_plan_writes_no_file_and_says_what_the_run_does() -> None:
    bench = Bench()
    for number in range(4):
        bench.add(number)
    planned = await bench.plan()
    assert bench.tree.files() == {}
    assert await bench.tree.marker() is None
    assert (planned.pull_images, planned.pull_documents) == (4, 4)
    assert [(item.key.image, item.action) for item in planned.items][:1] == [("000", "pull")]
    report = await bench.sync()
    assert (report.images.pulled, report.documents.pulled) == (4, 4)


async def test_an_edit_here_is_kept_and_no_trouble() -> None:
    bench = await mirrored(3)
    data = bench.edit(1, [CAR])
    report = await bench.sync(full=True)
    assert report.outcome is MirrorOutcome.SYNCED
    assert bench.tree.files()[bench.document(1)] == data


async def test_edits_that_a_mirror_keeps_to_itself_are_counted_by_a_plan_and_by_a_run() -> None:
    bench = await mirrored(5)
    bench.edit(1, [CAR])
    bench.edit(2, [CAR])
    planned = await bench.plan()
    assert (planned.ahead, planned.push, planned.items) == (2, 0, [])
    assert [(await bench.sync()).documents.ahead for _ in range(2)] == [2, 2]
    bench.policy = MirrorPolicy(push=True)
    report = await bench.sync()
    assert (report.documents.ahead, report.documents.pushed) == (0, 2)


async def test_an_edit_on_both_sides_is_held_with_both_versions_untouched() -> None:
    bench = await mirrored(3)
    data = bench.edit(1, [CAR])
    bench.provider.images_by_id["001"].annotations.append({"id": "theirs", "name": "bus"})
    report = await bench.sync()
    assert held(report) == [HoldReason.BOTH_EDITED]
    assert report.outcome is MirrorOutcome.HELD
    assert bench.tree.files()[bench.document(1)] == data


async def test_the_same_edit_on_both_sides_is_adopted() -> None:
    bench = await mirrored(3)
    annotations = [*bench.provider.images_by_id["001"].annotations, CAR]
    bench.edit(1, annotations)
    bench.provider.images_by_id["001"].annotations = annotations
    report = await bench.sync()
    assert report.documents.adopted == 1
    assert (await bench.sync()).documents.adopted == 0


async def test_a_broken_document_is_reported_kept_and_stops_nothing_else() -> None:
    bench = await mirrored(3)
    bench.tree.edit(bench.document(1), b'{"annotations": [')
    bench.provider.images_by_id["002"].annotations.append(CAR)
    del bench.provider.images_by_id["000"]
    report = await bench.sync()
    assert failed(report) == ["invalid_document"]
    assert (report.documents.pulled, report.images.retired) == (1, 1)
    assert bench.tree.files()[bench.document(1)] == b'{"annotations": ['


async def test_lost_files_come_back_and_a_lost_document_costs_no_request() -> None:
    bench = await mirrored(3)
    bench.tree.remove(bench.document(1))
    bench.tree.remove("images/002.jpg")
    report = await bench.sync()
    assert (report.documents.pulled, report.images.pulled, report.traffic.api) == (1, 1, 3)
    assert len(bench.tree.files()) == 6


async def test_a_damaged_image_is_fetched_again_and_the_damaged_one_is_kept() -> None:
    bench = await mirrored(2)
    bench.tree.edit("images/001.jpg", b"rot")
    report = await bench.sync()
    assert report.images.pulled == 1
    assert bench.tree.history() == {(report.run, "images/001.jpg"): [b"rot"]}


async def test_an_image_that_is_gone_goes_to_the_trash_with_its_document() -> None:
    bench = await mirrored(3)
    del bench.provider.images_by_id["001"]
    report = await bench.sync()
    assert (report.images.retired, report.documents.retired) == (1, 1)
    assert sorted(bench.tree.trash()) == [(report.run, bench.document(1)), (report.run, "images/001.jpg")]


async def test_an_image_that_one_listing_leaves_out_is_not_gone() -> None:
    bench = await mirrored(30)
    passes = iter([True])
    bench.provider.hides = lambda: next(passes, False)
    report = await bench.sync()
    assert report.images.retired == 0
    assert len(bench.tree.files()) == 60


async def test_an_edited_document_keeps_its_image_when_the_server_deletes_it() -> None:
    bench = await mirrored(3)
    data = bench.edit(1, [CAR])
    del bench.provider.images_by_id["001"]
    report = await bench.sync()
    assert held(report) == [HoldReason.EDITED_AND_DELETED]
    assert bench.tree.files()[bench.document(1)] == data
    assert "images/001.jpg" in bench.tree.files()


async def test_what_the_server_deletes_is_kept_where_that_is_wished() -> None:
    bench = await mirrored(3, MirrorPolicy(on_remote_delete=OnRemoteDelete.KEEP))
    del bench.provider.images_by_id["001"]
    report = await bench.sync()
    assert report.images.retired == 0
    assert "images/001.jpg" in bench.tree.files()
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    standing = await status(bench.mirror, with_images=True)
    only_here = [image for image in standing.images if image.standing is Standing.LOCAL_ONLY]
    assert sorted(image.document_path or image.image_path for image in only_here) == [
        bench.document(1),
        "images/001.jpg",
    ]
    assert standing.counts["local_only"] == 2
    assert standing.standing is Standing.IN_STEP


async def test_a_guard_stops_deletes_and_lets_additions_through() -> None:
    bench = await mirrored(40)
    for number in range(25):
        del bench.provider.images_by_id[f"{number:03}"]
    bench.add(90)
    report = await bench.sync()
    assert report.outcome is MirrorOutcome.REFUSED
    assert report.refused is not None
    assert report.refused.override == "--allow-deletes 25"
    assert (report.images.pulled, report.images.retired) == (1, 0)
    assert (await bench.sync(deletes=24)).outcome is MirrorOutcome.REFUSED
    assert (await bench.sync(deletes=25)).images.retired == 25


async def test_a_refused_run_is_on_record_and_counts_as_no_sync_until_one_is_not_refused() -> None:
    bench = await mirrored(40)
    synced_s = (await bench.state.facts()).last_sync_s
    for number in range(25):
        del bench.provider.images_by_id[f"{number:03}"]
    report = await bench.sync()
    facts = await bench.state.facts()
    assert (facts.refused, facts.refused_s, facts.last_sync_s) == (report.refused, bench.clock.at_s, synced_s)
    await bench.sync(deletes=25)
    facts = await bench.state.facts()
    assert (facts.refused, facts.refused_s, facts.last_sync_s) == (None, None, bench.clock.at_s)


async def test_a_full_check_relies_on_nothing_that_a_refused_run_read() -> None:
    bench = await mirrored(40)
    for number in range(25):
        del bench.provider.images_by_id[f"{number:03}"]
    assert (await bench.sync(full=True)).outcome is MirrorOutcome.REFUSED
    nudge(bench.provider.images_by_id["030"])
    assert (await bench.sync(full=True, deletes=25)).documents.pulled == 1


async def test_an_emptied_server_is_not_mirrored_without_consent() -> None:
    bench = await mirrored(3)
    bench.provider.images_by_id.clear()
    report = await bench.sync()
    assert report.outcome is MirrorOutcome.REFUSED
    assert len(bench.tree.files()) == 6


async def test_a_class_that_vanishes_is_not_mirrored_without_consent() -> None:
    bench = await mirrored(30)
    before = bench.tree.files()
    for image in bench.provider.images_by_id.values():
        image.annotations = [{**item, "name": "vehicle"} for item in image.annotations]
    report = await bench.sync(full=True)
    assert report.outcome is MirrorOutcome.REFUSED
    assert bench.tree.files() == before
    assert (await bench.sync(full=True, changes=30)).documents.pulled == 30


async def test_one_document_that_shrinks_is_held_and_the_others_go_on() -> None:
    bench = Bench()
    big = bench.add(0, annotations=40)
    bench.add(1)
    await bench.sync()
    big.annotations = big.annotations[:5]
    bench.provider.images_by_id["001"].annotations.append(CAR)
    report = await bench.sync()
    assert held(report) == [HoldReason.SHRUNK]
    assert report.documents.pulled == 1


async def test_a_listing_that_stays_short_of_its_total_deletes_nothing_and_says_so() -> None:
    bench = await mirrored(5)
    del bench.provider.images_by_id["004"]
    bench.provider.garble_page = lambda rows: rows[1:]
    report = await bench.sync()
    assert failed(report) == ["incomplete_listing"]
    assert report.images.retired == 0


async def test_a_refused_archive_gives_way_to_single_reads() -> None:
    bench = Bench()
    for number in range(10):
        bench.add(number)

    async def no_archives(point: str) -> None:
        if point == "archive":
            raise RoleRefused("members may not export", status=403)

    bench.provider.door = no_archives
    report = await bench.sync()
    assert report.outcome is MirrorOutcome.SYNCED
    assert report.documents.pulled == 10


async def test_a_role_that_may_read_in_no_way_is_named_for_each_document() -> None:
    bench = Bench()
    for number in range(10):
        bench.add(number)

    async def no_reading(point: str) -> None:
        if point in {"archive", "read"}:
            raise RoleRefused("viewers may not read", status=403)

    bench.provider.door = no_reading
    assert failed(await bench.sync()) == ["role_refused"] * 10


async def test_one_image_whose_bytes_are_wrong_stops_no_other() -> None:
    bench = Bench()
    for number in range(4):
        bench.add(number)
    broken = bench.provider.images_by_id["002"].data
    bench.provider.garble_bytes = lambda data: data[:-1] if data == broken else data
    report = await bench.sync()
    assert failed(report) == ["size_mismatch"]
    assert report.outcome is MirrorOutcome.PARTIAL
    assert (report.images.pulled, report.traffic.storage) == (3, 3 + BODY_TRIES)
    bench.provider.garble_bytes = bytes
    report = await bench.sync()
    assert (report.images.pulled, report.traffic.storage) == (1, 1)


async def test_missing_images_come_while_documents_are_waited_for() -> None:
    bench = Bench()
    for number in range(30):
        bench.add(number)
    arrived, asked = 0, Counter[str]()

    async def door(point: str) -> None:
        nonlocal arrived
        asked[point] += 1
        arrived += point == "bytes"
        while point == "archive" and arrived < 30:
            await anyio.sleep(0)

    bench.provider.door = door
    with anyio.fail_after(10):
        report = await bench.sync()
    assert report.outcome is MirrorOutcome.SYNCED
    assert (report.images.pulled, asked["bytes"], asked["links"]) == (30, 30, 1)


async def test_nothing_is_fetched_ahead_into_a_directory_that_was_emptied() -> None:
    bench = await mirrored(5)
    for path in bench.tree.files():
        bench.tree.remove(path)
    for image in bench.provider.images_by_id.values():
        image.annotations.append(CAR)

    async def door(point: str) -> None:
        for _ in range(100 * (point in {"read", "archive"})):
            await anyio.sleep(0)

    bench.provider.door = door
    report = await bench.sync()
    assert report.refused is not None
    assert report.refused.rule == "files missing here"


async def test_an_error_page_is_never_stored_as_an_image() -> None:
    bench = Bench()
    image = bench.add(0)
    bench.provider.garble_bytes = lambda data: b"<html>".ljust(len(data))
    report = await bench.sync()
    assert failed(report) == ["not_an_image"]
    assert image.data not in bench.tree.files().values()


async def test_an_archive_that_disagrees_with_the_listing_is_checked_by_single_reads() -> None:
    bench = Bench()
    for number in range(10):
        bench.add(number)
    stale = bench.provider.images_by_id["003"]
    fresh = list(stale.annotations)

    async def archive_is_old(point: str) -> None:
        stale.annotations = fresh[:1] if point == "archive" else fresh

    bench.provider.door = archive_is_old
    report = await bench.sync()
    assert report.outcome is MirrorOutcome.SYNCED
    assert bench.tree.files()[bench.document(3)].count(b'"id"') == 3


async def test_files_follow_an_image_that_is_renamed_on_the_server_with_their_edits() -> None:
    bench = await mirrored(3)
    data = bench.edit(1, [CAR])
    bench.provider.images_by_id["001"].name = "renamed.jpg"
    report = await bench.sync()
    assert (report.images.pulled, report.documents.pulled) == (0, 0)
    assert bench.tree.files()["annotations/renamed.jpg.json"] == data
    assert "images/renamed.jpg" in bench.tree.files()
    assert bench.document(1) not in bench.tree.files()


async def test_a_file_in_the_way_of_a_rename_is_reported_and_left() -> None:
    bench = await mirrored(2)
    bench.tree.edit("images/renamed.jpg", b"mine")
    bench.provider.images_by_id["001"].name = "renamed.jpg"
    report = await bench.sync()
    assert "move_blocked" in failed(report)
    assert bench.tree.files()["images/renamed.jpg"] == b"mine"
    bench.tree.remove("images/renamed.jpg")
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    assert "images/001.jpg" not in bench.tree.files()


async def test_images_outside_the_filter_are_left_alone_whatever_happens_to_them() -> None:
    bench = await mirrored(3)
    bench.policy = MirrorPolicy(statuses=frozenset({"complete"}))
    image = bench.provider.images_by_id["001"]
    image.status = "review"
    image.annotations.append(CAR)
    files = bench.tree.files()
    report = await bench.sync(full=True)
    assert (report.images.total, report.documents.pulled, report.images.retired) == (2, 0, 0)
    assert bench.tree.files() == files


@pytest.mark.parametrize(("content", "prefix"), [(Content.IMAGES, "images/"), (Content.ANNOTATIONS, "annotations/")])
async def test_a_mirror_of_one_content_holds_only_that(content: Content, prefix: str) -> None:
    bench = await mirrored(3, MirrorPolicy(content=content))
    assert {path.startswith(prefix) for path in bench.tree.files()} == {True}
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED


async def test_files_that_were_there_before_are_adopted_or_held_and_never_overwritten() -> None:
    bench = Bench()
    same, other = bench.add(0), bench.add(1)
    bench.edit(0, same.annotations)
    mine = bench.edit(1, [CAR])
    bench.tree.edit("images/000.jpg", same.data)
    report = await bench.sync()
    assert held(report) == [HoldReason.BOTH_ADDED]
    assert (report.documents.adopted, report.images.pulled) == (1, 1)
    assert bench.tree.files()[bench.document(1)] == mine
    assert other.data in bench.tree.files().values()


async def test_a_directory_without_its_marker_stops_the_run_before_anything_is_done() -> None:
    bench = await mirrored(2)
    bench.tree.held.marker = None
    report = await bench.sync()
    assert report.error is not None
    assert report.error.exit_code == ExitCode.REFUSED
    assert report.traffic.api == 0


async def test_a_directory_of_another_store_stops_the_run() -> None:
    bench = await mirrored(2)
    bench.tree.held.marker = Marker("f" * 32, "other")
    report = await bench.sync()
    assert report.error is not None
    assert report.error.exit_code == ExitCode.REFUSED


async def test_a_mirrored_directory_that_the_state_does_not_know_needs_repair() -> None:
    bench = Bench()
    await bench.tree.write_marker(Marker("f" * 32, "street"))
    report = await bench.sync()
    assert report.error is not None
    assert report.error.exit_code == ExitCode.NEEDS_REPAIR


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Unavailable("no answer"), MirrorOutcome.UNREACHABLE),
        (Limited("429", retry_after_s=9000.0), MirrorOutcome.STOPPED),
    ],
)
async def test_an_error_that_ends_a_run_is_its_outcome(error: Exception, outcome: MirrorOutcome) -> None:
    bench = await mirrored(2)

    async def door(_point: str) -> None:
        raise error

    bench.provider.door = door
    assert (await bench.sync()).outcome is outcome


@pytest.mark.parametrize("cut_at", ["read", "bytes"])
async def test_a_run_that_was_cut_off_fetches_nothing_twice(cut_at: str) -> None:
    bench = Bench()
    bench.provider.ways = [SINGLE]
    for number in range(30):
        bench.add(number)
    budget = 20
    fetched: Counter[str] = Counter()

    async def door(point: str) -> None:
        nonlocal budget
        if point == cut_at:
            budget -= 1
            if budget < 0:
                raise Limited("spent", retry_after_s=9000.0)
        fetched[point] += 1

    bench.provider.door = door
    first = await bench.sync()
    assert first.outcome is MirrorOutcome.STOPPED
    budget = 100
    second = await bench.sync()
    assert second.outcome is MirrorOutcome.SYNCED
    assert first.images.pulled + second.images.pulled == 30
    assert (fetched["read"], fetched["bytes"]) == (30, 30)


async def test_a_request_to_stop_ends_the_run_with_what_is_in_hand_recorded() -> None:
    bench = Bench(clock=PatientClock())
    for number in range(30):
        bench.add(number)
    stop = anyio.Event()

    async def door(point: str) -> None:
        if point == "bytes":
            stop.set()
            await anyio.lowlevel.checkpoint()

    bench.provider.door = door
    report = await sync(bench.mirror, CycleOptions(stop=stop))
    assert report.outcome is MirrorOutcome.STOPPED
    assert 0 < report.images.pulled < 30
    assert len([path for path in bench.tree.files() if path.startswith("images/")]) == report.images.pulled


async def test_the_summary_is_written_when_the_map_changes_and_only_then() -> None:
    bench = await mirrored(2)
    written: list[str] = []
    bench.tree.fault = lambda point, _detail: written.append(point) if "summary" in point else None
    await bench.sync()
    assert written == []
    bench.add(7)
    await bench.sync()
    assert len(written) == 2


async def test_names_that_clash_get_places_of_their_own() -> None:
    bench = Bench()
    for number, name in enumerate(["a.jpg", "A.jpg", "..", "x/y.jpg"]):
        bench.provider.add(MemoryImage(f"i{number}", name))
    report = await bench.sync()
    assert report.outcome is MirrorOutcome.SYNCED
    assert len({path.lower() for path in bench.tree.files()}) == 8
    assert not any(".." in path.split("/") for path in bench.tree.files())


# --- servers that say whether their listing may have changed --------------------------------------------------------


def count_listings(bench: Bench) -> list[str]:
    """The requests for listings from now on, as they come."""
    asked: list[str] = []

    async def door(point: str) -> None:
        asked.extend([point] if point == "list" else [])

    bench.provider.door = door
    return asked


async def test_nothing_is_listed_while_the_stamp_stands() -> None:
    bench = Bench()
    bench.add(1)
    bench.provider.stamped = lambda: "monday"
    await bench.sync()
    asked = count_listings(bench)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    assert asked == []
    bench.add(2)
    bench.provider.stamped = lambda: "tuesday"
    assert (await bench.sync()).documents.pulled == 1
    assert asked == ["list"]


@pytest.mark.parametrize("stamps", [("monday", None, "monday"), (None, None, None), (None, "monday", "tuesday")])
async def test_a_stamp_that_is_missing_or_another_one_spares_no_listing(stamps: tuple[str | None, ...]) -> None:
    bench = Bench()
    bench.add(1)
    asked = count_listings(bench)
    for count, stamp in enumerate(stamps, 1):
        bench.provider.stamped = lambda stamp=stamp: stamp  # type: ignore[misc]
        await bench.sync()
        assert len(asked) == count


async def test_a_full_check_lists_whatever_the_stamp_says() -> None:
    bench = Bench()
    bench.add(1)
    bench.provider.stamped = lambda: "monday"
    await bench.sync()
    asked = count_listings(bench)
    await bench.sync(full=True)
    assert asked == ["list"]


async def test_a_listing_that_was_broken_off_does_not_count_under_its_stamp() -> None:
    bench = Bench()
    bench.provider.page = 5
    for number in range(20):
        bench.add(number)
    stamp = "monday"
    bench.provider.stamped = lambda: stamp
    await bench.sync()
    stamp, pages = "tuesday", 0

    async def door(point: str) -> None:
        nonlocal pages
        pages += point == "list"
        if pages == 2:
            raise Unavailable("gone")

    bench.provider.door = door
    assert (await bench.sync()).outcome is MirrorOutcome.UNREACHABLE
    stamp = "monday"
    asked = count_listings(bench)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    assert asked
