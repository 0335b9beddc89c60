"""Carrying out a plan that was made before: what it names and nothing else, and nothing of which the world moved."""

from dataclasses import replace

import pytest

from labelmirror.engine.cycle import CycleOptions, plan, sync
from labelmirror.errors import PlanOutdated
from labelmirror.model.actions import Agreed, PlanItem
from labelmirror.model.document import JsonObject
from labelmirror.model.policy import Consent, Directions, MirrorPolicy
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.trouble import Failed, Held, HoldReason, Stage
from support.memory_mirror import Bench, nudge
from support.memory_tree import no_fault

MINE: JsonObject = {"id": "mine", "name": "car", "x": 5}
THEIRS: JsonObject = {"id": "theirs", "name": "bus", "x": 6}


async def mirrored(images: int = 8, annotations: int = 3) -> Bench:
    bench = Bench(policy=MirrorPolicy(push=True))
    for number in range(images):
        bench.add(number, annotations)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    return bench


async def planned(bench: Bench) -> list[PlanItem]:
    return [item for item in (await bench.plan()).items if not item.waits]


async def applied(bench: Bench, items: list[PlanItem], consent: Consent | None = None) -> MirrorReport:
    bench.clock.at_s += 60.0
    return await sync(bench.mirror, CycleOptions(consent=consent or Consent(), agreed=Agreed.on(items)))


def add_here(bench: Bench, number: int) -> None:
    bench.edit(number, [*annotations(bench, number), {**MINE, "id": f"mine{number}"}])


def annotations(bench: Bench, number: int) -> list[JsonObject]:
    return bench.provider.images_by_id[f"{number:03}"].annotations


def on_server(bench: Bench, number: int) -> set[str]:
    return {str(item["id"]) for item in annotations(bench, number)}


def failed(report: MirrorReport) -> list[tuple[str, str]]:
    return [(each.id, each.code) for each in report.troubles if isinstance(each, Failed)]


async def everything(bench: Bench) -> list[PlanItem]:
    """A plan of a push, a merge, two pulls, a new image and a gone one."""
    add_here(bench, 0)
    add_here(bench, 1)
    annotations(bench, 1).append(THEIRS)
    annotations(bench, 2).append(THEIRS)
    bench.tree.remove(bench.document(3))
    bench.add(9)
    del bench.provider.images_by_id["004"]
    return await planned(bench)


async def test_what_a_plan_names_is_done_and_the_next_run_finds_nothing_to_do() -> None:
    bench = await mirrored()
    items = await everything(bench)
    assert {(item.key.image, item.action) for item in items} == {
        ("000", "push"),
        ("001", "merge"),
        ("002", "pull"),
        ("003", "pull"),
        ("004", "retire"),
        ("009", "pull"),
    }
    report = await applied(bench, items)
    assert (report.outcome, failed(report)) == (MirrorOutcome.SYNCED, [])
    assert (report.documents.pushed, report.documents.merged, report.documents.pulled) == (2, 1, 3)
    assert (report.images.pulled, report.images.retired) == (1, 1)
    after = await bench.sync(full=True)
    assert (after.documents.pushed, after.documents.pulled, after.images.pulled) == (0, 0, 0)


async def test_what_a_plan_does_not_name_stays_as_it_is_on_both_sides() -> None:
    bench = await mirrored()
    items = await everything(bench)
    for number in (5, 6):
        add_here(bench, number)
    annotations(bench, 7).append(THEIRS)
    bench.add(10)
    del bench.provider.images_by_id["006"]
    before = bench.tree.files()
    report = await applied(bench, items)
    assert report.outcome is MirrorOutcome.SYNCED
    assert "mine5" not in on_server(bench, 5)
    untouched = [bench.document(5), bench.document(6), bench.document(7), "images/006.jpg"]
    assert {path: bench.tree.files()[path] for path in untouched} == {path: before[path] for path in untouched}
    assert "images/010.jpg" not in bench.tree.files()
    spent = bench.provider.sent.api
    again = await applied(bench, [])
    assert bench.provider.sent.api - spent == again.traffic.api <= 4


@pytest.mark.parametrize("side", ["here", "there"])
@pytest.mark.parametrize("number", [0, 1, 2])
async def test_an_item_of_which_a_side_moved_is_refused_and_the_others_are_done(number: int, side: str) -> None:
    bench = await mirrored()
    items = await everything(bench)
    if side == "here":
        bench.edit(number, [{**MINE, "id": "later"}, *annotations(bench, number)])
    else:
        annotations(bench, number).append({**THEIRS, "id": "later"})
    server, file = on_server(bench, number), bench.tree.files()[bench.document(number)]
    report = await applied(bench, items)
    assert failed(report) == [(f"{number:03}", PlanOutdated.code)]
    assert report.outcome is MirrorOutcome.PARTIAL
    assert (on_server(bench, number), bench.tree.files()[bench.document(number)]) == (server, file)
    assert report.images.retired == 1
    # What was left alone is no trouble of the mirror: the next run does it.
    assert list(await bench.state.troubles()) == []
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED


async def test_a_move_that_no_listing_shows_is_met_before_the_save() -> None:
    bench = await mirrored()
    add_here(bench, 0)
    items = await planned(bench)
    nudge(bench.provider.images_by_id["000"])
    report = await applied(bench, items)
    (failure,) = [each for each in report.troubles if isinstance(each, Failed)]
    assert (failure.code, failure.stage) == (PlanOutdated.code, Stage.PUSH)
    assert on_server(bench, 0) == {"000-0", "000-1", "000-2"}


async def test_a_plan_that_was_carried_out_is_not_carried_out_again() -> None:
    bench = await mirrored()
    items = await everything(bench)
    await applied(bench, items)
    files, saves = bench.tree.files(), len(await bench.state.journal.saves())
    report = await applied(bench, items)
    assert {code for _, code in failed(report)} == {PlanOutdated.code}
    assert len(failed(report)) == len(items)
    assert (bench.tree.files(), len(await bench.state.journal.saves())) == (files, saves)


async def test_guards_count_what_the_plan_names() -> None:
    bench = await mirrored(60)
    for number in range(30):
        del bench.provider.images_by_id[f"{number:03}"]
    items = await planned(bench)
    report = await applied(bench, items)
    assert (report.outcome, report.images.retired) == (MirrorOutcome.REFUSED, 0)
    few = [item for item in items if item.key.image < "010"]
    assert (await applied(bench, few)).images.retired == 10
    # The files of the other twenty are still here; consent is asked for them alone.
    report = await applied(bench, await planned(bench), Consent(deletes=20))
    assert (report.outcome, report.images.retired) == (MirrorOutcome.SYNCED, 20)


async def test_an_image_with_work_in_its_document_is_not_retired_and_that_is_told() -> None:
    bench = await mirrored()
    del bench.provider.images_by_id["004"]
    items = await planned(bench)
    add_here_later = bench.edit(4, [MINE])
    report = await applied(bench, items)
    assert [each.reason for each in report.troubles if isinstance(each, Held)] == [HoldReason.EDITED_AND_DELETED]
    assert bench.tree.files()[bench.document(4)] == add_here_later
    assert "images/004.jpg" in bench.tree.files()


async def test_a_mirror_that_does_not_push_any_more_refuses_the_pushes_of_a_plan() -> None:
    bench = await mirrored()
    add_here(bench, 0)
    items = await planned(bench)
    bench.policy = replace(bench.policy, push=False)
    assert failed(await applied(bench, items)) == [("000", PlanOutdated.code)]
    assert on_server(bench, 0) == {"000-0", "000-1", "000-2"}


async def test_other_troubles_of_a_mirror_stay_known() -> None:
    bench = await mirrored()
    bench.edit(5, [{**annotations(bench, 5)[0], "x": 77}, *annotations(bench, 5)[1:]])
    nudge(bench.provider.images_by_id["005"])
    assert (await bench.sync(full=True)).outcome is MirrorOutcome.HELD
    facts = await bench.state.facts()
    add_here(bench, 0)
    items = await planned(bench)
    assert [(item.key.image, item.action) for item in items] == [("000", "push")]
    report = await applied(bench, items)
    assert (report.outcome, report.documents.pushed) == (MirrorOutcome.SYNCED, 1)
    assert [each.id for each in await bench.state.troubles()] == ["005"]
    # It looked at one document alone: that counts neither as a sync nor as a check of all.
    after = await bench.state.facts()
    assert (after.last_sync_s, after.last_full_check_s) == (facts.last_sync_s, facts.last_full_check_s)


@pytest.mark.parametrize(
    ("directions", "actions"),
    [
        (Directions.PULL, {"pull", "retire"}),
        (Directions.PUSH, {"push", "merge"}),
        (Directions.BOTH, {"pull", "retire", "push", "merge"}),
    ],
)
async def test_a_plan_of_one_direction_says_only_what_is_done_in_it(directions: Directions, actions: set[str]) -> None:
    bench = await mirrored()
    await everything(bench)
    report = await plan(bench.mirror, CycleOptions(directions=directions))
    assert {item.action for item in report.items} == actions
    assert (report.push + report.merge > 0) == directions.pushes
    assert (report.pull_images + report.pull_documents + report.retire > 0) == directions.pulls


async def test_a_plan_names_no_push_where_the_mirror_does_not_push() -> None:
    bench = await mirrored()
    add_here(bench, 0)
    bench.policy = replace(bench.policy, push=False)
    report = await bench.plan()
    assert (report.push, report.items) == (0, [])


class Died(BaseException):
    """The program is killed."""


async def test_files_that_a_dead_run_was_moving_are_not_pulled_a_second_time() -> None:
    bench = await mirrored(1)
    bench.provider.images_by_id["000"].directory = "night"

    def die(point: str, _detail: object) -> None:
        if point == "tree.move:after":
            raise Died

    bench.tree.fault = die
    with pytest.raises(Died):
        await bench.sync()
    bench.tree.fault = no_fault
    report = await applied(bench, await planned(bench))
    assert (report.images.pulled, report.documents.pulled) == (0, 0)
    assert set(bench.tree.files()) == {"annotations/night/000.jpg.json", "images/night/000.jpg"}
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    assert set(bench.tree.files()) == {"annotations/night/000.jpg.json", "images/night/000.jpg"}
