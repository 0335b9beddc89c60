"""Edits pushed between runs, and beside one that lists its server: as careful as a run, without one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from labelmirror.engine.cycle import CycleOptions, sync
from labelmirror.engine.edits import Found, find_edits, push_edits
from labelmirror.engine.verify import Damage, Depth, Subset, verify
from labelmirror.errors import Unavailable
from labelmirror.model.document import JsonObject
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import MirrorPolicy
from labelmirror.model.remote import ReadWay
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.saving import SaveOutcome
from labelmirror.model.trouble import Failed, Held, HoldReason
from support.memory_mirror import Bench
from support.memory_provider import ARCHIVE, SINGLE, WHOLE, MemoryImage, MemoryProvider

MINE: JsonObject = {"id": "mine", "name": "car", "x": 5}
THEIRS: JsonObject = {"id": "theirs", "name": "car", "x": 6}
KEY = DocumentKey("001")


async def mirrored(images: int = 4, annotations: int = 3, bench: Bench | None = None) -> Bench:
    bench = bench or Bench(policy=MirrorPolicy(push=True))
    for number in range(images):
        bench.add(number, annotations)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    return bench


def server(bench: Bench, number: int = 1) -> MemoryImage:
    return bench.provider.images_by_id[f"{number:03}"]


def add_here(bench: Bench, *more: JsonObject, number: int = 1) -> None:
    bench.edit(number, [*server(bench, number).annotations, *more])


def on_server(bench: Bench, number: int = 1) -> list[str]:
    return [str(item["id"]) for item in server(bench, number).annotations]


async def found(bench: Bench, *paths: str, settle_s: float = 0.0) -> Found:
    return await find_edits(bench.mirror, paths or None, now_s=bench.clock.now_s(), settle_s=settle_s)


async def push(bench: Bench, *keys: DocumentKey) -> tuple[MirrorReport, frozenset[DocumentKey]]:
    bench.clock.at_s += 60.0
    return await push_edits(bench.mirror, keys, None)


async def test_an_edit_is_found_by_its_path_or_by_looking_at_all_and_nothing_else_is() -> None:
    bench = await mirrored()
    assert await found(bench) == Found((), ())
    add_here(bench, MINE)
    assert await found(bench) == await found(bench, bench.document(1)) == Found((KEY,), ())
    assert await found(bench, bench.document(2)) == Found((), ())
    assert await found(bench, "annotations/stray.json") == Found((), ())


async def test_a_file_that_only_looks_touched_is_no_edit() -> None:
    bench = await mirrored()
    bench.tree.edit(bench.document(1), bench.tree.files()[bench.document(1)])
    bench.tree.remove(bench.document(2))
    assert await found(bench) == Found((), ())


async def test_a_file_that_is_no_document_is_left_until_it_is_one() -> None:
    bench = await mirrored()
    bench.tree.edit(bench.document(1), b'{"annotations": [')
    assert await found(bench) == Found((), ())


async def test_a_file_that_may_not_be_read_is_named_and_stops_no_other() -> None:
    bench = await mirrored()
    for number in (1, 2):
        add_here(bench, MINE, number=number)
    bench.tree.held.forbidden.add(bench.document(1))
    assert await found(bench) == Found((DocumentKey("002"),), ())
    report = await bench.sync()
    (failed,) = report.troubles
    assert isinstance(failed, Failed)
    assert (failed.code, failed.message) == ("invalid_document", f"{bench.document(1)}: Permission denied")
    assert (report.documents.pushed, on_server(bench, 2)[-1]) == (1, "mine")
    checked = await verify(bench.mirror, Depth.FULL, Subset())
    assert checked.damaged == [Damage(bench.document(1), "unreadable", repaired=False)]


async def test_an_edit_goes_to_the_server_for_a_handful_of_requests_and_without_a_listing() -> None:
    bench = await mirrored(images=200)
    for number in (1, 7):
        add_here(bench, MINE, number=number)
    report, left = await push(bench, KEY, DocumentKey("007"))
    assert (report.outcome, report.documents.pushed, left) == (MirrorOutcome.SYNCED, 2, frozenset())
    assert on_server(bench)[-1] == on_server(bench, 7)[-1] == "mine"
    assert report.traffic.api <= 7
    assert await found(bench) == Found((), ())
    again = await bench.sync()
    assert (again.outcome, again.documents.pushed) == (MirrorOutcome.SYNCED, 0)


async def test_a_second_edit_of_the_same_document_needs_no_run_in_between() -> None:
    bench = await mirrored()
    for step in range(3):
        add_here(bench, {**MINE, "id": f"mine-{step}"})
        report, left = await push(bench, KEY)
        assert (report.documents.pushed, left) == (1, frozenset())
    assert on_server(bench)[-3:] == ["mine-0", "mine-1", "mine-2"]


async def test_what_somebody_saved_meanwhile_is_merged_and_never_overwritten() -> None:
    bench = await mirrored()
    add_here(bench, MINE)
    server(bench).annotations = [*server(bench).annotations, THEIRS]
    report, _ = await push(bench, KEY)
    assert (report.documents.merged, report.documents.pushed) == (1, 1)
    assert {"mine", "theirs"} <= set(on_server(bench))


async def test_a_conflict_is_held_and_is_no_edit_until_the_file_is_touched_again() -> None:
    bench = await mirrored()
    first = server(bench).annotations[0]
    bench.edit(1, [{**first, "x": 77}, *server(bench).annotations[1:]])
    server(bench).annotations = [{**first, "x": 88}, *server(bench).annotations[1:]]
    report, left = await push(bench, KEY)
    (trouble,) = report.troubles
    assert isinstance(trouble, Held)
    assert (trouble.reason, left) == (HoldReason.BOTH_EDITED, frozenset())
    assert list(await bench.state.troubles()) == [trouble]
    assert await found(bench) == Found((), ())
    bench.edit(1, server(bench).annotations)
    bench.edit(1, [*server(bench).annotations, MINE])
    assert (await found(bench)).edited == (KEY,)


async def test_an_edit_that_a_guard_would_stop_or_that_shrinks_a_document_is_left_to_a_whole_run() -> None:
    bench = await mirrored(images=8, annotations=20)
    bench.edit(1, [])
    report, left = await push(bench, KEY)
    assert (report.outcome, left) == (MirrorOutcome.SYNCED, frozenset({KEY}))
    for number in range(8):
        bench.edit(number, server(bench, number).annotations[:11])
    keys = [DocumentKey(f"{number:03}") for number in range(8)]
    report, left = await push(bench, *keys)
    assert (report.documents.pushed, left) == (0, frozenset(keys))
    assert all(len(on_server(bench, number)) == 20 for number in range(8))
    assert (await bench.sync()).refused is not None
    # What a run has seen and refused is not tried again at every look.
    assert await found(bench) == Found((), ())


async def test_an_edit_of_an_image_that_is_gone_creates_nothing() -> None:
    bench = await mirrored()
    add_here(bench, MINE)
    del bench.provider.images_by_id["001"]
    report, _ = await push(bench, KEY)
    assert report.documents.pushed == 0
    assert "001" not in bench.provider.images_by_id


async def test_another_dataset_of_the_same_name_gets_no_edit() -> None:
    bench = await mirrored()
    add_here(bench, MINE)
    facts = await bench.state.facts()
    await bench.state.set_facts(replace(facts, dataset_id="another"))
    report, left = await push(bench, KEY)
    assert report.error is not None
    assert (report.error.code, left) == ("guard", frozenset({KEY}))
    assert "mine" not in on_server(bench)


@pytest.mark.parametrize(("age_s", "restless"), [(1.0, True), (3.0, False), (-500.0, False)])
async def test_a_file_that_was_written_just_now_may_be_half_done(age_s: float, restless: bool) -> None:
    bench = await mirrored()
    add_here(bench, MINE)
    (stat,) = await bench.tree.stat_many([bench.document(1)])
    assert stat is not None
    now_s = stat.mtime_ns / 1e9 + age_s
    seen = await find_edits(bench.mirror, None, now_s=now_s, settle_s=2.0)
    assert seen == (Found((), (bench.document(1),)) if restless else Found((KEY,), ()))


# --- beside a listing ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Meanwhile:
    """Somebody edits, and it is pushed beside a run, from the moment when that asks for the second page of its listing.

    `answered`: the page comes once that is done; else the server fails at once.
    """

    bench: Bench
    edit: Callable[[], None]
    answered: bool = True
    asked: list[str] = field(default_factory=list)
    guests: TaskGroup | None = None
    done: anyio.Event = field(default_factory=anyio.Event)
    pushed: MirrorReport | None = None

    async def run(self, *, full: bool = False) -> MirrorReport:
        self.bench.clock.at_s += 60.0
        self.bench.provider.door = self.door
        report = await sync(self.bench.mirror, CycleOptions(full_check=full, guests=self.room))
        self.bench.provider.door = MemoryProvider().door
        return report

    @contextmanager
    def room(self, guests: TaskGroup) -> Iterator[None]:
        self.guests = guests
        yield
        self.guests = None

    async def door(self, point: str) -> None:
        await checkpoint()
        self.asked.append(point)
        if point == "list" and self.asked.count(point) == 2:
            assert self.guests is not None
            self.guests.start_soon(self.push)
            if not self.answered:
                raise Unavailable("the server does not answer")
            await self.done.wait()

    async def push(self) -> None:
        self.edit()
        edited = (await found(self.bench)).edited
        self.pushed, left = await push(self.bench, *edited)
        assert not left
        self.done.set()


async def in_pages(*ways: ReadWay) -> Bench:
    """A mirror of eight images that are listed three by three, the newest first."""
    provider = MemoryProvider(page=3, ways=ways or MemoryProvider().ways)
    return await mirrored(8, bench=Bench(provider=provider, policy=MirrorPolicy(push=True)))


def move_here(bench: Bench, number: int) -> None:
    """Somebody moves a box in a file: no count shows it."""
    bench.edit(number, [{**item, "x": 77} for item in server(bench, number).annotations])


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("way", [ARCHIVE, SINGLE, WHOLE], ids=lambda way: way.name)
async def test_an_edit_is_pushed_beside_a_listing_which_is_neither_begun_anew_nor_believed_in_it(
    way: ReadWay, full: bool
) -> None:
    bench = await in_pages(way)
    before = {number: server(bench, number).annotations for number in (1, 6)}

    def edit() -> None:  # one image is on the first page, the other two are on the third
        for number in (6, 1):
            move_here(bench, number)
        add_here(bench, MINE, number=0)

    meanwhile = Meanwhile(bench, edit)
    report = await meanwhile.run(full=full)
    assert meanwhile.pushed is not None
    assert (meanwhile.pushed.outcome, meanwhile.pushed.documents.pushed) == (MirrorOutcome.SYNCED, 3)
    edited = {bench.document(number): bench.tree.files()[bench.document(number)] for number in (0, 1, 6)}
    assert (report.outcome, report.documents.pushed, report.documents.pulled) == (MirrorOutcome.SYNCED, 0, 0)
    assert (report.images.pulled, report.images.retired) == (0, 0)
    assert (meanwhile.asked.count("list"), meanwhile.asked.count("save")) == (3, 1)
    assert on_server(bench, 0)[-1] == "mine"
    again = await bench.sync()
    assert (again.outcome, again.documents.pushed, again.documents.pulled) == (MirrorOutcome.SYNCED, 0, 0)
    assert edited.items() <= bench.tree.files().items()
    for number, annotations in before.items():
        server(bench, number).annotations = annotations
    assert (await bench.sync(full=True)).documents.pulled == 2


async def test_a_document_that_was_pushed_beside_a_listing_is_read_by_the_next_run_whatever_that_showed() -> None:
    bench = await in_pages()
    before = server(bench, 6).annotations
    await Meanwhile(bench, lambda: move_here(bench, 6)).run()
    server(bench, 6).annotations = before  # as many as ever: a count that the listing showed before the push
    assert (await bench.sync()).documents.pulled == 1


async def test_a_listing_that_fails_cuts_off_no_push_beside_it_and_unlists_nothing() -> None:
    bench = await in_pages()
    meanwhile = Meanwhile(bench, lambda: move_here(bench, 1), answered=False)
    assert (await meanwhile.run()).outcome is MirrorOutcome.UNREACHABLE
    assert meanwhile.pushed is not None
    assert meanwhile.pushed.documents.pushed == 1
    assert not await bench.state.unlisted()
    add_here(bench, MINE)
    report, left = await push(bench, KEY)
    assert (report.documents.pushed, left) == (1, frozenset())
    done = await bench.sync()
    assert (done.outcome, done.documents.pushed, done.images.retired) == (MirrorOutcome.SYNCED, 0, 0)


async def leave_a_save_open(bench: Bench, number: int) -> None:
    """A save that was done, of which nobody knows it."""
    add_here(bench, MINE, number=number)
    asked: list[str] = []

    async def door(point: str) -> None:
        asked.append(point)
        if point == "reread" and "saved" in asked:
            raise Unavailable("the server does not answer")

    bench.provider.door, bench.provider.loses_save_answer = door, lambda: True
    report, _ = await push(bench, DocumentKey(f"{number:03}"))
    assert report.outcome is MirrorOutcome.UNREACHABLE
    bench.provider.door, bench.provider.loses_save_answer = MemoryProvider().door, bool


async def test_a_save_left_open_is_not_given_up_because_its_image_was_not_listed_yet() -> None:
    bench = await in_pages()
    await leave_a_save_open(bench, 0)
    meanwhile = Meanwhile(bench, lambda: move_here(bench, 1), answered=False)
    await meanwhile.run()
    assert [save.outcome for save in await bench.state.journal.saves()] == [SaveOutcome.SAVED, SaveOutcome.SAVED]


async def test_a_save_left_open_is_not_given_up_because_one_listing_lacks_its_image() -> None:
    bench = await in_pages()
    await leave_a_save_open(bench, 0)
    bench.provider.hides = lambda: True
    report = await bench.sync()
    (failed,) = report.troubles
    assert isinstance(failed, Failed)
    assert (failed.id, failed.code, len(await bench.state.journal.open_records())) == ("000", "outcome_unknown", 1)
    bench.provider.hides = bool
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    assert [save.outcome for save in await bench.state.journal.saves()] == [SaveOutcome.SAVED]
