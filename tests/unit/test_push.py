"""Pushing edits, one behaviour at a time, on a server, a directory and a state in memory."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from labelmirror.engine.compare import diff, held_documents
from labelmirror.engine.cycle import CycleOptions, sync
from labelmirror.engine.repair import repair
from labelmirror.engine.resolve import take, undo
from labelmirror.engine.saving import VAIN_MAX
from labelmirror.engine.settle import ROUNDS
from labelmirror.errors import ExitCode, UsageError
from labelmirror.model.document import JsonObject
from labelmirror.model.events import Noticed
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Directions, MirrorPolicy, OnConflict
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.rows import FileStat
from labelmirror.model.saving import Save, SaveOutcome, WishKind
from labelmirror.model.trouble import Failed, Held, HoldReason
from labelmirror.planning.merge import Field
from labelmirror.ports.tree import Placed, Placement
from support.memory_mirror import Bench, PatientClock
from support.memory_provider import MemoryImage
from support.memory_state import MemoryState
from support.memory_tree import MemoryTree

MINE: JsonObject = {"id": "mine", "name": "car", "x": 5}
THEIRS: JsonObject = {"id": "theirs", "name": "bus", "x": 6}
KEY = DocumentKey("001")


async def mirrored(images: int = 4, annotations: int = 3, on_conflict: OnConflict = OnConflict.MERGE) -> Bench:
    bench = Bench(policy=MirrorPolicy(push=True, on_conflict=on_conflict))
    for number in range(images):
        bench.add(number, annotations)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    return bench


def server(bench: Bench, number: int = 1) -> MemoryImage:
    return bench.provider.images_by_id[f"{number:03}"]


def add_here(bench: Bench, number: int = 1, *more: JsonObject) -> None:
    bench.edit(number, [*server(bench, number).annotations, *(more or (MINE,))])


def on_server(bench: Bench, number: int = 1) -> list[str]:
    return [str(item["id"]) for item in server(bench, number).annotations]


def here(bench: Bench, number: int = 1) -> list[str]:
    document = bench.mirror.format.parse(bench.tree.files()[bench.document(number)])
    return [str(item["id"]) for item in bench.mirror.format.annotations(document)]


def held(report: MirrorReport) -> list[HoldReason]:
    return [trouble.reason for trouble in report.troubles if isinstance(trouble, Held)]


def failed(report: MirrorReport) -> list[str]:
    return [trouble.code for trouble in report.troubles if isinstance(trouble, Failed)]


async def outcomes(bench: Bench) -> list[SaveOutcome]:
    return [save.outcome for save in await bench.state.journal.saves()]


# --- the ordinary way ------------------------------------------------------------------------------------------------


async def test_an_edit_is_pushed_and_both_sides_are_in_step_afterwards() -> None:
    bench = await mirrored()
    add_here(bench)
    report = await bench.sync()
    assert (report.outcome, report.documents.pushed) == (MirrorOutcome.SYNCED, 1)
    assert on_server(bench)[-1] == "mine"
    assert await outcomes(bench) == [SaveOutcome.SAVED]
    again = await bench.sync(full=True)
    assert (again.documents.pushed, again.documents.pulled) == (0, 0)


async def test_many_edits_cost_their_reads_one_save_and_their_readings_back() -> None:
    bench = await mirrored(50)
    for number in range(20):
        add_here(bench, number, {**MINE, "id": f"mine{number}"})
    report = await bench.sync()
    assert report.documents.pushed == 20
    assert report.traffic.api == 2 + 20 + 2 + 20  # dataset and listing, re-reads, the save in two steps, read-backs


async def test_changes_of_both_sides_that_fit_together_go_to_both() -> None:
    bench = await mirrored()
    add_here(bench)
    server(bench).annotations.append(THEIRS)
    report = await bench.sync()
    assert (report.documents.merged, report.documents.pushed) == (1, 1)
    assert sorted(on_server(bench)) == sorted(here(bench)) == ["001-0", "001-1", "001-2", "mine", "theirs"]


async def test_an_edit_that_nobody_made_on_the_server_alone_is_only_pulled() -> None:
    bench = await mirrored()
    add_here(bench)
    server(bench).annotations = [*server(bench).annotations, MINE, THEIRS]
    report = await bench.sync()
    assert (report.documents.pulled, report.documents.pushed) == (1, 0)
    assert here(bench) == on_server(bench)


async def test_an_emptied_document_is_pushed_where_little_is_lost() -> None:
    bench = await mirrored()
    bench.edit(1, [])
    assert (await bench.sync()).documents.pushed == 1
    assert on_server(bench) == []


async def test_a_missing_file_never_clears_the_server() -> None:
    bench = await mirrored()
    bench.tree.remove(bench.document(1))
    report = await bench.sync()
    assert (report.documents.pushed, report.documents.pulled) == (0, 1)
    assert len(on_server(bench)) == 3


@pytest.mark.parametrize(("directions", "pushed", "pulled"), [(Directions.PULL, 0, 1), (Directions.PUSH, 1, 0)])
async def test_a_run_may_go_one_way_only(directions: Directions, pushed: int, pulled: int) -> None:
    bench = await mirrored()
    add_here(bench, 1)
    server(bench, 2).annotations.append(THEIRS)
    report = await sync(bench.mirror, CycleOptions(directions=directions))
    assert (report.documents.pushed, report.documents.pulled) == (pushed, pulled)


async def test_a_run_that_only_pushes_tells_what_is_held() -> None:
    bench = await mirrored(annotations=12)
    bench.edit(1, [])
    report = await sync(bench.mirror, CycleOptions(directions=Directions.PUSH))
    assert (report.outcome, report.documents.held) == (MirrorOutcome.HELD, 1)
    assert [trouble.id for trouble in await bench.state.troubles()] == ["001"]


# --- what must not be sent ---------------------------------------------------------------------------------------------


async def test_an_invalid_document_is_not_sent_and_stops_no_other() -> None:
    bench = await mirrored()
    bench.edit(1, [{"id": "a", "name": "car"}, {"id": "a", "name": "car"}])
    add_here(bench, 2)
    report = await bench.sync()
    assert failed(report) == ["invalid_document"]
    assert report.documents.pushed == 1
    assert len(on_server(bench, 1)) == 3


async def test_a_plan_names_what_the_push_will_not_take_in_the_same_words_and_promises_nothing_of_it() -> None:
    bench = await mirrored()
    bench.edit(1, [{"id": "a", "name": "car"}, {"id": "a", "name": "car"}])
    bench.tree.edit(bench.document(2), b"{")
    add_here(bench, 3)
    planned = await bench.plan()
    assert [(item.key.image, item.action, item.waits) for item in planned.items] == [
        ("001", "invalid", True),
        ("002", "invalid", True),
        ("003", "push", False),
    ]
    assert (planned.push, len(planned.troubles)) == (1, 2)
    said = (await bench.sync()).troubles
    assert sorted(map(str, said)) == sorted(map(str, planned.troubles))


async def test_a_document_that_shrinks_is_held_until_a_person_takes_it() -> None:
    bench = await mirrored(annotations=30)
    bench.edit(1, server(bench).annotations[:5])
    report = await bench.sync()
    assert held(report) == [HoldReason.SHRUNK]
    assert len(on_server(bench)) == 30
    assert (await take(bench.mirror, KEY, WishKind.LOCAL)).documents.pushed == 1
    assert len(on_server(bench)) == 5
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED


async def test_a_mass_change_here_is_not_pushed_without_consent() -> None:
    bench = await mirrored(60)
    for number in range(60):
        add_here(bench, number, {**MINE, "id": f"mine{number}"})
    assert (await bench.sync()).outcome is MirrorOutcome.REFUSED
    assert on_server(bench) == ["001-0", "001-1", "001-2"]
    assert (await bench.sync(changes=60)).documents.pushed == 60


async def test_an_edit_of_a_document_that_the_server_deleted_is_held_and_never_created_anew() -> None:
    bench = await mirrored()
    add_here(bench)
    del bench.provider.images_by_id["001"]
    assert held(await bench.sync()) == [HoldReason.EDITED_AND_DELETED]
    assert bench.provider.images_by_id.keys() == {"000", "002", "003"}


async def test_a_document_whose_annotations_cannot_be_told_apart_on_the_server_stops_no_other() -> None:
    bench = await mirrored()
    add_here(bench, 1)
    add_here(bench, 2)
    server(bench, 1).annotations = [THEIRS, THEIRS]
    report = await bench.sync()
    assert failed(report) == ["invalid_document"]
    assert report.documents.pushed == 1
    assert on_server(bench, 1) == ["theirs", "theirs"]


# --- conflicts -----------------------------------------------------------------------------------------------------------


async def conflicting(on_conflict: OnConflict = OnConflict.MERGE) -> Bench:
    bench = await mirrored(on_conflict=on_conflict)
    first, *rest = server(bench).annotations
    bench.edit(1, [{**first, "x": 111}, *rest])
    server(bench).annotations = [{**first, "x": 222}, *rest]
    bench.clock.at_s += bench.policy.full_check_every_s
    return bench


async def test_an_annotation_changed_differently_on_both_sides_is_held_and_the_others_go_on() -> None:
    bench = await conflicting()
    add_here(bench, 2)
    report = await bench.sync()
    assert held(report) == [HoldReason.BOTH_EDITED]
    assert report.documents.pushed == 1
    assert server(bench).annotations[0]["x"] == 222


async def test_a_document_that_stays_held_costs_no_request_and_is_planned_as_held() -> None:
    bench, idle = await conflicting(), await mirrored()
    await bench.sync()
    spent, idly_spent = bench.provider.traffic(), idle.provider.traffic()
    assert held(await bench.sync()) == [HoldReason.BOTH_EDITED]
    await idle.sync()
    assert bench.provider.traffic().since(spent) == idle.provider.traffic().since(idly_spent)
    planned = await bench.plan()
    assert ([item.action for item in planned.items], planned.hold, planned.merge) == (["hold"], 1, 0)


async def test_a_full_check_reads_a_held_document_again() -> None:
    bench = await conflicting()
    await bench.sync()
    first, *rest = server(bench).annotations
    server(bench).annotations = [{**first, "x": 111}, *rest]
    assert held(await bench.sync()) == [HoldReason.BOTH_EDITED]
    report = await bench.sync(full=True)
    assert (held(report), report.documents.adopted) == ([], 1)


async def test_a_held_document_lies_open_in_its_three_versions() -> None:
    bench = await conflicting()
    await bench.sync()
    (found,) = await held_documents(bench.mirror)
    assert found.local == bench.document(1)
    for path, x in ((found.base, 0), (found.local, 111), (found.remote, 222)):
        assert path is not None
        read = await bench.tree.read(path, limit_bytes=10_000)
        assert read is not None
        assert bench.mirror.format.annotations(bench.mirror.format.parse(read[0]))[0]["x"] == x


async def test_a_difference_names_annotations_on_each_side() -> None:
    bench = await conflicting()
    add_here(bench, 2)
    await bench.sync()
    (found,) = await diff(bench.mirror)
    assert found.local is not None
    assert found.remote is not None
    assert (found.path, found.local.changed, found.remote.changed) == (bench.document(1), ("001-0",), ("001-0",))
    (clash,) = found.annotations
    assert clash.fields == [Field("x", {"base": 0, "local": 111, "remote": 222})]
    assert set(clash.categories) == {"base", "local", "remote"}
    assert found.has_base


async def test_after_a_repair_the_two_sides_are_compared_with_each_other() -> None:
    bench = await conflicting()
    bench.state = MemoryState()
    await repair(bench.mirror)
    (found,) = await diff(bench.mirror)
    assert not found.has_base
    (clash,) = found.annotations
    assert clash.fields == [Field("x", {"local": 111, "remote": 222})]


async def test_a_file_in_which_annotations_cannot_be_told_apart_is_not_compared() -> None:
    bench = await mirrored()
    add_here(bench, 1, MINE, MINE)
    await bench.sync()
    (found,) = await diff(bench.mirror)
    assert (found.local, found.annotations) == (None, [])


@pytest.mark.parametrize(("kind", "x"), [(WishKind.LOCAL, 111), (WishKind.REMOTE, 222), (WishKind.BASE, 0)])
async def test_taking_a_side_makes_it_that_of_both(kind: WishKind, x: int) -> None:
    bench = await conflicting()
    await bench.sync()
    report = await take(bench.mirror, KEY, kind)
    assert report.outcome is MirrorOutcome.SYNCED
    assert server(bench).annotations[0]["x"] == x
    document = bench.mirror.format.parse(bench.tree.files()[bench.document(1)])
    assert bench.mirror.format.annotations(document)[0]["x"] == x
    assert (await bench.sync(full=True)).outcome is MirrorOutcome.SYNCED
    assert await held_documents(bench.mirror) == []


@pytest.mark.parametrize("kind", [WishKind.LOCAL, WishKind.REMOTE])
async def test_a_file_that_is_edited_while_a_side_is_taken_stays_and_is_told(
    kind: WishKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await conflicting()
    await bench.sync()
    edits: list[bytes] = []
    read, place = MemoryTree.read, MemoryTree.place

    def edit() -> None:
        if not edits:
            edits.append(bench.edit(1, [{**MINE, "x": 333}]))

    async def edited_then_read(tree: MemoryTree, path: str, *, limit_bytes: int) -> tuple[bytes, FileStat] | None:
        edit()
        return await read(tree, path, limit_bytes=limit_bytes)

    async def edited_then_placed(tree: MemoryTree, placements: Sequence[Placement]) -> Sequence[Placed]:
        edit()
        return await place(tree, placements)

    if kind is WishKind.LOCAL:
        monkeypatch.setattr(MemoryTree, "read", edited_then_read)
    else:
        monkeypatch.setattr(MemoryTree, "place", edited_then_placed)
    report = await take(bench.mirror, KEY, kind)
    assert (report.outcome, failed(report)) == (MirrorOutcome.PARTIAL, ["changed_meanwhile"])
    assert (server(bench).annotations[0]["x"], bench.tree.files()[bench.document(1)]) == (222, edits[0])
    assert [trouble.id for trouble in await bench.state.troubles()] == ["001"]


@pytest.mark.parametrize("kind", [WishKind.LOCAL, WishKind.REMOTE, WishKind.BASE])
async def test_an_edit_that_is_not_held_is_not_given_up_for_any_side(kind: WishKind) -> None:
    bench = await mirrored()
    data = bench.edit(1, [*server(bench).annotations, MINE])
    with pytest.raises(UsageError, match="is not held"):
        await take(bench.mirror, KEY, kind)
    assert (bench.tree.files()[bench.document(1)], "mine" in on_server(bench)) == (data, False)


async def test_no_other_version_is_taken_for_a_base_that_is_not_known() -> None:
    bench = await mirrored()
    data = bench.edit(1, [*server(bench).annotations, MINE])
    await repair(bench.mirror)
    assert held(await bench.sync()) == [HoldReason.BOTH_ADDED]
    with pytest.raises(UsageError, match="there is no base"):
        await take(bench.mirror, KEY, WishKind.BASE)
    assert bench.tree.files()[bench.document(1)] == data


async def test_no_other_version_is_taken_for_a_file_that_is_missing() -> None:
    bench = await conflicting()
    await bench.sync()
    bench.tree.remove(bench.document(1))
    assert failed(await take(bench.mirror, KEY, WishKind.LOCAL)) == ["not_found"]
    assert (server(bench).annotations[0]["x"], bench.document(1) in bench.tree.files()) == (222, False)


@pytest.mark.parametrize(("choice", "x"), [(OnConflict.LOCAL, 111), (OnConflict.REMOTE, 222)])
async def test_a_choice_in_the_configuration_decides_what_does_not_merge(choice: OnConflict, x: int) -> None:
    bench = await conflicting(choice)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    assert server(bench).annotations[0]["x"] == x


async def test_documents_may_be_held_without_any_merge() -> None:
    bench = await mirrored(on_conflict=OnConflict.HOLD)
    add_here(bench)
    server(bench).annotations.append(THEIRS)
    assert held(await bench.sync()) == [HoldReason.BOTH_EDITED]


# --- the protocol ----------------------------------------------------------------------------------------------------------


def overwriting(bench: Bench, *more: JsonObject) -> None:
    """Somebody saves on the server in the window, once: after the last read and before our save arrives."""
    done: list[str] = []

    async def door(point: str) -> None:
        if point == "save" and not done:
            done.append(point)
            server(bench).annotations = [*server(bench).annotations, *more]

    bench.provider.door = door


async def test_a_foreign_save_in_the_window_raises_an_alarm_until_a_person_has_seen_it() -> None:
    bench = await mirrored()
    add_here(bench)
    overwriting(bench, THEIRS)
    report = await bench.sync()
    assert held(report) == [HoldReason.FOREIGN_SAVE_OVERWRITTEN]
    assert await outcomes(bench) == [SaveOutcome.FOREIGN_OVERWRITTEN]
    assert held(await bench.sync()) == [HoldReason.FOREIGN_SAVE_OVERWRITTEN]
    assert (await take(bench.mirror, KEY, WishKind.LOCAL)).outcome is MirrorOutcome.SYNCED
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED


async def test_an_overwritten_save_is_told_after_a_run_that_died_reading_another_document_back() -> None:
    bench = await mirrored()
    add_here(bench, 1)
    add_here(bench, 2)

    async def door(point: str) -> None:
        if point == "save":
            server(bench).annotations = [*server(bench).annotations, THEIRS]
        if point == "reread" and "mine" in on_server(bench):
            raise Death

    bench.provider.door = door
    with pytest.raises(Death):
        await bench.sync()
    bench.provider.door = Bench().provider.door
    report = await bench.sync()
    assert (held(report), failed(report)) == ([HoldReason.FOREIGN_SAVE_OVERWRITTEN], [])
    assert sorted(outcome.value for outcome in await outcomes(bench)) == ["foreign_save_overwritten", "saved"]


async def test_an_overwritten_save_is_told_even_when_yet_another_one_follows_it() -> None:
    bench = await mirrored()
    add_here(bench)

    async def door(point: str) -> None:
        if point == "save":
            server(bench).annotations = [*server(bench).annotations, THEIRS]
        if point == "saved":
            server(bench).annotations = [*server(bench).annotations, {**THEIRS, "id": "another"}]

    bench.provider.door = door
    assert held(await bench.sync()) == [HoldReason.FOREIGN_SAVE_OVERWRITTEN]
    assert await outcomes(bench) == [SaveOutcome.FOREIGN_OVERWRITTEN]


async def test_an_edit_made_on_the_server_during_the_look_is_merged_and_not_overwritten() -> None:
    bench = await mirrored()
    add_here(bench)
    seen: list[str] = []

    async def door(point: str) -> None:
        if point == "reread" and not seen:
            seen.append(point)
            server(bench).annotations.append(THEIRS)

    bench.provider.door = door
    report = await bench.sync()
    assert (report.documents.merged, report.outcome) == (1, MirrorOutcome.SYNCED)
    assert {"mine", "theirs"} <= set(on_server(bench))


async def test_a_save_whose_answer_is_lost_is_read_back_and_not_sent_again() -> None:
    bench = await mirrored()
    add_here(bench)
    sent: list[Save] = []
    bench.provider.on_save = lambda _image, save: sent.append(save)
    bench.provider.loses_save_answer = lambda: True
    report = await bench.sync()
    assert (report.documents.pushed, len(sent)) == (1, 1)


async def test_a_save_that_never_arrived_is_sent_again_under_a_key_of_its_own() -> None:
    bench = await mirrored()
    add_here(bench)
    losses = iter([True])
    bench.provider.loses_save = lambda: next(losses, False)
    assert (await bench.sync()).documents.pushed == 1
    newest, oldest = await bench.state.journal.saves()
    assert (newest.outcome, oldest.outcome) == (SaveOutcome.SAVED, SaveOutcome.NOT_APPLIED)
    assert newest.idempotency_key != oldest.idempotency_key


class Death(BaseException):
    """The program dies."""


async def test_saves_that_never_arrive_are_told_by_what_came_of_them() -> None:
    bench = await mirrored()
    add_here(bench)
    bench.provider.loses_save = lambda: True
    report = await bench.sync()
    (trouble,) = report.troubles
    assert isinstance(trouble, Failed)
    assert (trouble.code, report.outcome) == ("unavailable", MirrorOutcome.PARTIAL)
    assert "the answer was lost" in trouble.message
    assert "mine" not in on_server(bench)


async def test_a_save_left_open_by_a_run_that_died_is_understood_by_the_next() -> None:
    bench = await mirrored()
    add_here(bench)

    async def dies(point: str) -> None:
        if point == "saved":
            raise Death

    bench.provider.door = dies
    with pytest.raises(Death):
        await bench.sync()
    assert await outcomes(bench) == [SaveOutcome.OPEN]
    bench.provider.door = Bench().provider.door
    report = await bench.sync()
    assert (report.documents.pushed, report.outcome) == (0, MirrorOutcome.SYNCED)
    assert await outcomes(bench) == [SaveOutcome.SAVED]
    assert on_server(bench).count("mine") == 1


async def test_what_a_file_becomes_after_a_run_died_in_its_save_is_an_edit_of_what_was_saved() -> None:
    bench = await mirrored()
    add_here(bench)

    async def dies(point: str) -> None:
        if point == "saved":
            raise Death

    bench.provider.door = dies
    with pytest.raises(Death):
        await bench.sync()
    bench.edit(1, [*server(bench).annotations[:-1], {**MINE, "x": 7}])
    bench.provider.door = Bench().provider.door
    report = await bench.sync()
    assert (report.documents.pushed, report.documents.merged, held(report)) == (1, 0, [])
    assert server(bench).annotations[-1] == {**MINE, "x": 7}


async def test_an_edit_made_here_while_its_document_is_pushed_goes_with_the_next_run() -> None:
    bench = await mirrored()
    add_here(bench)

    async def door(point: str) -> None:
        if point == "save":
            bench.edit(1, [*server(bench).annotations, MINE, {**MINE, "id": "later"}])

    bench.provider.door = door
    await bench.sync()
    bench.provider.door = Bench().provider.door
    assert (await bench.sync()).documents.pushed == 1
    assert on_server(bench)[-2:] == ["mine", "later"]


async def test_an_edit_made_here_while_a_merge_is_saved_takes_nothing_from_the_server() -> None:
    bench = await mirrored()
    add_here(bench)
    server(bench).annotations.append(THEIRS)

    async def door(point: str) -> None:
        if point == "save":
            kept = [item for item in server(bench).annotations if item["id"] != "theirs"]
            bench.edit(1, [*kept, MINE, {**MINE, "id": "later"}])

    bench.provider.door = door
    await bench.sync()
    bench.provider.door = Bench().provider.door
    await bench.sync()
    assert {"mine", "later", "theirs"} <= set(on_server(bench))
    assert set(here(bench)) == set(on_server(bench))


async def test_a_batch_is_closed_when_its_window_is_used_up() -> None:
    bench = await mirrored(50)
    for number in range(10):
        add_here(bench, number, {**MINE, "id": f"mine{number}"})
    saves: list[str] = []

    async def slow(point: str) -> None:
        if point == "reread":
            bench.clock.at_s += 3.0
        if point == "save":
            saves.append(point)

    bench.provider.door = slow
    report = await bench.sync()
    assert report.documents.pushed == 10
    assert len(saves) == 3
    assert report.window.max_s is not None
    assert report.window.max_s <= bench.policy.push_window_s + 3.0


# --- undo --------------------------------------------------------------------------------------------------------------


async def test_an_undone_save_brings_back_what_was_there_on_both_sides() -> None:
    bench = await mirrored()
    add_here(bench)
    await bench.sync()
    report = await undo(bench.mirror, await bench.state.journal.saves())
    assert report.outcome is MirrorOutcome.SYNCED
    assert on_server(bench) == here(bench) == ["001-0", "001-1", "001-2"]
    assert (await bench.sync(full=True)).documents.pushed == 0


async def test_what_others_added_since_survives_an_undo() -> None:
    bench = await mirrored()
    add_here(bench)
    await bench.sync()
    server(bench).annotations.append(THEIRS)
    await bench.sync()
    await undo(bench.mirror, await bench.state.journal.saves())
    assert on_server(bench) == here(bench) == ["001-0", "001-1", "001-2", "theirs"]


async def test_several_saves_of_one_document_are_undone_together() -> None:
    bench = await mirrored()
    for name in ("a", "b", "c"):
        add_here(bench, 1, {**MINE, "id": name})
        await bench.sync()
    await undo(bench.mirror, await bench.state.journal.saves())
    assert on_server(bench) == ["001-0", "001-1", "001-2"]


async def test_an_undo_that_meets_a_later_change_of_the_same_annotation_names_it_and_changes_nothing() -> None:
    bench = await mirrored()
    for number in (1, 2):
        add_here(bench, number)
    await bench.sync()
    server(bench).annotations[-1] = {**MINE, "x": 77}
    await bench.sync(full=True)
    before = bench.tree.files()[bench.document(1)]
    report = await undo(bench.mirror, await bench.state.journal.saves())
    (trouble,) = report.troubles
    assert isinstance(trouble, Failed)
    assert (trouble.id, trouble.code) == ("001", "undo_clash")
    assert "mine" in trouble.message
    assert report.error is not None
    assert (report.error.code, report.error.exit_code) == ("undo_clash", ExitCode.HELD)
    assert (report.documents.pushed, "mine" in on_server(bench, 2)) == (1, False)
    assert (server(bench).annotations[-1]["x"], bench.tree.files()[bench.document(1)]) == (77, before)
    assert not await bench.state.troubles()


async def test_an_undo_that_clashes_lets_what_was_held_before_be_decided() -> None:
    bench = await mirrored(on_conflict=OnConflict.HOLD)
    add_here(bench)
    await bench.sync()
    server(bench).annotations[-1] = {**MINE, "x": 77}
    bench.edit(1, server(bench).annotations[:1])
    assert held(await bench.sync(full=True)) == [HoldReason.BOTH_EDITED]
    bench.edit(1, server(bench).annotations)
    report = await undo(bench.mirror, await bench.state.journal.saves())
    assert failed(report) == ["undo_clash"]
    assert [trouble.id for trouble in await bench.state.troubles()] == ["001"]


async def test_an_edit_that_keeps_a_save_from_being_undone_stays_held_and_can_be_decided_about() -> None:
    bench = await mirrored(on_conflict=OnConflict.HOLD)
    add_here(bench)
    await bench.sync()
    server(bench).annotations.append(THEIRS)
    bench.edit(1, [])
    assert held(await bench.sync(full=True)) == [HoldReason.BOTH_EDITED]
    assert failed(await undo(bench.mirror, await bench.state.journal.saves())) == ["edited_here"]
    assert (await take(bench.mirror, KEY, WishKind.LOCAL)).outcome is MirrorOutcome.SYNCED


async def test_the_window_of_an_undo_counts_like_any_other() -> None:
    bench = await mirrored()
    add_here(bench)
    await bench.sync()
    await bench.state.set_facts(replace(await bench.state.facts(), window_last_s=None, window_max_s=None))
    report = await undo(bench.mirror, await bench.state.journal.saves())
    facts = await bench.state.facts()
    assert (facts.window_last_s, facts.window_max_s) == (report.window.last_s, report.window.max_s) != (None, None)


async def test_an_undo_can_be_undone() -> None:
    bench = await mirrored()
    add_here(bench)
    await bench.sync()
    await undo(bench.mirror, await bench.state.journal.saves())
    newest, _ = await bench.state.journal.saves()
    await undo(bench.mirror, [newest])
    assert on_server(bench) == here(bench) == ["001-0", "001-1", "001-2", "mine"]


async def test_an_edit_that_is_not_pushed_yet_is_not_undone_with_a_save() -> None:
    bench = await mirrored()
    add_here(bench)
    await bench.sync()
    data = bench.edit(1, [*server(bench).annotations, {**MINE, "id": "newer"}])
    report = await undo(bench.mirror, await bench.state.journal.saves())
    assert failed(report) == ["edited_here"]
    assert bench.tree.files()[bench.document(1)] == data


# --- runs that leave things as they are ----------------------------------------------------------------------------------


async def held_by_a_merge() -> Bench:
    """A mirror in which both sides moved one annotation, and the last run held it."""
    bench = await mirrored()
    bench.edit(1, [{**server(bench).annotations[0], "x": 77}, *server(bench).annotations[1:]])
    server(bench).annotations[0] = {**server(bench).annotations[0], "x": 88}
    assert held(await bench.sync(full=True)) == [HoldReason.BOTH_EDITED]
    return bench


async def test_what_could_not_be_merged_stays_held_in_a_run_that_only_pulls() -> None:
    bench = await held_by_a_merge()
    bench.clock.at_s += 60.0
    report = await sync(bench.mirror, CycleOptions(directions=Directions.PULL))
    assert (held(report), report.documents.held) == ([HoldReason.BOTH_EDITED], 1)
    (document,) = await held_documents(bench.mirror)
    assert None not in (document.base, document.local, document.remote)


async def test_what_could_not_be_merged_stays_held_in_a_run_that_a_guard_refuses() -> None:
    bench = await held_by_a_merge()
    bench.provider.images_by_id = {"001": server(bench)}
    for number in range(10, 60):
        bench.add(number)
    await sync(bench.mirror, CycleOptions(directions=Directions.PULL))
    bench.provider.images_by_id = {"001": server(bench)}
    report = await bench.sync()
    assert report.refused is not None
    assert held(report) == [HoldReason.BOTH_EDITED]


async def test_a_conflict_that_somebody_resolved_is_not_held_by_a_run_that_only_pulls() -> None:
    bench = await held_by_a_merge()
    server(bench).annotations[0] = {**server(bench).annotations[0], "x": 77}
    bench.clock.at_s += 60.0
    report = await sync(bench.mirror, CycleOptions(full_check=True, directions=Directions.PULL))
    assert (held(report), report.documents.adopted) == ([], 1)


async def test_an_undo_that_is_stopped_finishes_the_batch_in_hand_and_leaves_the_rest() -> None:
    bench = await mirrored(9)
    bench.provider.save_batch = 2
    for number in range(6):
        add_here(bench, number, {**MINE, "id": f"mine{number}"})
    await bench.sync()
    bench.clock = PatientClock(bench.clock.at_s)
    stop = anyio.Event()

    async def door(point: str) -> None:
        if point == "save":
            stop.set()
            await anyio.wait_all_tasks_blocked()

    bench.provider.door = door
    report = await undo(bench.mirror, await bench.state.journal.saves(), stop)
    assert (report.outcome, report.documents.pushed) == (MirrorOutcome.STOPPED, 2)
    assert await bench.state.journal.open_records() == []
    bench.provider.door = Bench().provider.door
    left = [save for save in await bench.state.journal.saves() if save.key.image in {"002", "003", "004", "005"}]
    assert (await undo(bench.mirror, left)).documents.pushed == 4


async def test_a_decision_that_is_stopped_before_its_turn_leaves_the_document_held() -> None:
    bench = await held_by_a_merge()
    bench.clock = PatientClock(bench.clock.at_s)
    stop = anyio.Event()

    async def door(point: str) -> None:
        if point == "list":
            stop.set()
            await anyio.wait_all_tasks_blocked()

    bench.provider.door = door
    report = await take(bench.mirror, KEY, WishKind.LOCAL, stop)
    assert (report.outcome, report.documents.pushed) == (MirrorOutcome.STOPPED, 0)
    assert [trouble.id for trouble in await bench.state.troubles()] == ["001"]


# --- servers that store a save in several steps ------------------------------------------------------------------------


async def in_steps() -> Bench:
    """A mirror of a server on which a save can be cut off halfway; the first one is."""
    bench = await mirrored()
    bench.provider.atomic_saves = False
    tears = iter([1])
    bench.provider.tears = lambda _count: next(tears, None)
    add_here(bench)
    return bench


async def test_a_save_that_was_cut_off_halfway_is_finished_at_once() -> None:
    bench = await in_steps()
    report = await bench.sync()
    assert (report.documents.pushed, report.outcome) == (1, MirrorOutcome.SYNCED)
    assert on_server(bench) == here(bench) == ["001-0", "001-1", "001-2", "mine"]
    assert await outcomes(bench) == [SaveOutcome.SAVED]


async def dying_at_the_save(bench: Bench) -> None:
    """A run that dies after its save was cut off."""

    async def dies(point: str) -> None:
        if point == "reread" and on_server(bench) == ["001-0"]:
            raise Death

    bench.provider.door = dies
    with pytest.raises(Death):
        await bench.sync()
    bench.provider.door = Bench().provider.door
    assert await outcomes(bench) == [SaveOutcome.OPEN]


async def test_half_a_save_of_a_run_that_died_is_finished_before_it_can_pass_for_deletions() -> None:
    bench = await in_steps()
    await dying_at_the_save(bench)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    assert on_server(bench) == here(bench) == ["001-0", "001-1", "001-2", "mine"]
    assert await outcomes(bench) == [SaveOutcome.SAVED]


async def test_half_a_save_stays_as_it_is_while_nothing_may_be_sent() -> None:
    bench = await in_steps()
    await dying_at_the_save(bench)
    await sync(bench.mirror, CycleOptions(full_check=True, directions=Directions.PULL))
    assert on_server(bench) == ["001-0"]
    assert here(bench) == ["001-0", "001-1", "001-2", "mine"]
    assert await outcomes(bench) == [SaveOutcome.OPEN]


async def test_half_a_save_that_the_server_does_not_let_finish_is_told_until_a_person_ends_it() -> None:
    bench = await in_steps()
    bench.provider.tears = lambda _count: 1
    for _ in range(2):
        report = await bench.sync()
        assert (failed(report), report.outcome) == (["outcome_unknown"], MirrorOutcome.PARTIAL)
        assert all("(the answer was lost)" in item.message for item in report.troubles if isinstance(item, Failed))
    bench.edit(1, [MINE])
    bench.provider.tears = lambda count: None if count == 1 else 1
    report = await take(bench.mirror, KEY, WishKind.LOCAL)
    assert (report.outcome, report.documents.pushed) == (MirrorOutcome.SYNCED, 1)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    assert on_server(bench) == here(bench) == ["mine"]


async def test_a_server_that_saves_nothing_is_left_in_peace_after_a_few_documents() -> None:
    bench = await mirrored(14)
    for number in range(12):
        add_here(bench, number)
    bench.provider.save_batch = 1
    bench.provider.loses_save = lambda: True
    report = await bench.sync()
    assert (failed(report), report.outcome) == (["unavailable"] * VAIN_MAX, MirrorOutcome.PARTIAL)
    assert all("the answer was lost" in item.message for item in report.troubles if isinstance(item, Failed))
    assert await outcomes(bench) == [SaveOutcome.NOT_APPLIED] * VAIN_MAX * ROUNDS
    assert [event.code for event in bench.reporter.events if isinstance(event, Noticed)] == ["pushes_put_off"]
    bench.provider.loses_save = bool
    report = await bench.sync()
    assert (report.documents.pushed, report.outcome) == (12, MirrorOutcome.SYNCED)


@pytest.mark.parametrize("dies", [True, False])
async def test_an_edit_on_top_of_half_a_save_is_held_for_a_person(dies: bool) -> None:
    bench = await in_steps()
    if dies:
        await dying_at_the_save(bench)
        server(bench).annotations.append(THEIRS)
    else:

        async def door(point: str) -> None:
            if point == "reread" and on_server(bench) == ["001-0"]:
                server(bench).annotations.append(THEIRS)

        bench.provider.door = door
    for _ in range(2):
        assert held(await bench.sync()) == [HoldReason.FOREIGN_SAVE_OVERWRITTEN]
    assert on_server(bench) == ["001-0", "theirs"]
    assert here(bench) == ["001-0", "001-1", "001-2", "mine"]


async def test_what_a_person_deletes_right_after_a_save_is_no_half_save() -> None:
    bench = await mirrored()
    bench.provider.atomic_saves = False
    add_here(bench)

    async def door(point: str) -> None:
        if point == "saved" and "mine" in on_server(bench):
            del server(bench).annotations[0]

    bench.provider.door = door
    await bench.sync()
    assert on_server(bench) == ["001-1", "001-2", "mine"]


async def test_an_image_that_somebody_has_open_is_not_saved_until_it_is_closed() -> None:
    bench = await mirrored()
    add_here(bench)
    bench.provider.open_in_editor = {"001"}
    assert held(await bench.sync()) == [HoldReason.BEING_ANNOTATED]
    assert "mine" not in on_server(bench)
    bench.provider.open_in_editor = set()
    assert (await bench.sync()).documents.pushed == 1
