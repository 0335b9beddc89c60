"""Backing up and restoring, one behaviour at a time, on a server, a directory and a state in memory."""

from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from labelmirror.engine.backup import backup
from labelmirror.engine.resolve import undo
from labelmirror.engine.restore_folder import plan_restore_to_folder, restore_to_folder
from labelmirror.engine.restore_server import RestoreOptions, plan_restore_to_server, restore_to_server
from labelmirror.engine.snapshots import find, verify_snapshot
from labelmirror.engine.verify import Depth, Subset
from labelmirror.errors import Stopped, UnknownSnapshot, UsageError
from labelmirror.model.document import Digest, JsonObject
from labelmirror.model.keyed import Keyed
from labelmirror.model.policy import Consent, MirrorPolicy
from labelmirror.model.report import MirrorOutcome, MirrorReport, PlanReport
from labelmirror.model.snapshot import Access, Snapshot
from labelmirror.model.trouble import Failed
from labelmirror.planning.push import restored
from labelmirror.snapshots.directory import DirectoryStore, open_store
from support.memory_mirror import Bench, PatientClock
from support.memory_provider import MemoryImage
from support.memory_tree import MemoryTree

THEIRS: JsonObject = {"id": "theirs", "name": "bus", "x": 6}


@dataclass(slots=True)
class Place:
    """A mirror in step, and a store."""

    bench: Bench
    store: DirectoryStore
    root: Path

    async def save(self) -> Snapshot:
        report = await backup(
            self.bench.mirror, self.store, images_from=None, clock=self.bench.clock, reporter=self.bench.reporter
        )
        assert report.snapshot is not None
        return report.snapshot

    async def restore(
        self, snapshot: Snapshot, *, exact: bool = False, elsewhere: bool = False, consent: Consent | None = None
    ) -> MirrorReport:
        self.bench.clock.at_s += 60.0
        options = RestoreOptions(exact, elsewhere=elsewhere, consent=consent or Consent())
        return await restore_to_server(self.bench.mirror, self.store, snapshot, options)

    async def plan(self, snapshot: Snapshot) -> PlanReport:
        self.bench.clock.at_s += 60.0
        return await plan_restore_to_server(self.bench.mirror, self.store, snapshot, RestoreOptions())

    def image(self, number: int) -> MemoryImage:
        return self.bench.provider.images_by_id[f"{number:03}"]

    def on_server(self, number: int) -> list[str]:
        return [str(item["id"]) for item in self.image(number).annotations]

    def vandalise(self) -> dict[str, list[JsonObject]]:
        """Change all documents in some way; what they were."""
        images = self.bench.provider.images_by_id
        before = {each: list(image.annotations) for each, image in images.items()}
        for number, image in enumerate(images.values()):
            match number % 3:
                case 0:
                    image.annotations = []
                case 1:
                    image.annotations = [{**item, "x": 999} for item in image.annotations]
                case _:
                    image.annotations = image.annotations[1:]
        return before

    def held(self) -> dict[str, list[JsonObject]]:
        return {each: list(image.annotations) for each, image in self.bench.provider.images_by_id.items()}

    def flip(self, kind: str) -> None:
        """Damage one content."""
        file = next((self.root / kind).rglob("*.gz"))
        file.chmod(0o644)
        file.write_bytes(b"flipped")


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    bench = Bench(policy=MirrorPolicy())
    for number in range(6):
        bench.add(number)
    assert (await bench.sync()).outcome is MirrorOutcome.SYNCED
    root = tmp_path / "backups"
    root.mkdir()
    return Place(bench, await open_store(root, Access.CREATE), root)


def failed(report: MirrorReport | PlanReport) -> list[str]:
    return [trouble.code for trouble in report.troubles if isinstance(trouble, Failed)]


# --- to the server -----------------------------------------------------------------------------------------------


async def test_vandalised_documents_are_brought_back_in_a_mirror_that_never_pushes(place: Place) -> None:
    snapshot = await place.save()
    before = place.vandalise()
    planned = await place.plan(snapshot)
    assert (planned.push, len(planned.items), planned.refused) == (6, 6, None)
    assert place.held() != before
    report = await place.restore(snapshot)
    assert (report.outcome, report.documents.pushed) == (MirrorOutcome.SYNCED, 6)
    assert place.held() == before
    assert (await place.plan(snapshot)).push == 0
    # Both sides are in step.
    following = await place.bench.sync(full=True)
    assert (following.outcome, following.documents.pulled, following.documents.held) == (MirrorOutcome.SYNCED, 0, 0)


async def test_what_others_added_since_survives_unless_exactly_the_snapshot_is_wanted(place: Place) -> None:
    snapshot = await place.save()
    before = place.on_server(1)
    place.image(1).annotations = [*place.image(1).annotations[1:], THEIRS]
    assert (await place.restore(snapshot)).documents.pushed == 1
    assert place.on_server(1) == [*before, "theirs"]
    # Only an addition differs now.
    assert (await place.restore(snapshot)).documents.pushed == 0
    assert (await place.restore(snapshot, exact=True)).documents.pushed == 1
    assert place.on_server(1) == before


def test_what_the_server_gave_another_id_is_known_by_its_content_and_never_doubled() -> None:
    def part(key: str, digest: str) -> Keyed:
        return Keyed(key, Digest(digest), {})

    saved = [part("1", "a"), part("2", "b"), part("3", "a")]
    remote = [part("9", "a"), part("2", "changed"), part("8", "c"), part("7", "b")]
    assert [each.key for each in restored(saved, remote, exact=False)] == ["9", "2", "3", "8", "7"]
    assert [each.key for each in restored(saved, remote, exact=True)] == ["9", "2", "3"]


async def test_a_restore_is_undone_like_a_push(place: Place) -> None:
    snapshot = await place.save()
    place.vandalise()
    vandalised = place.held()
    report = await place.restore(snapshot)
    place.bench.clock.at_s += 60.0
    saves = await place.bench.state.journal.saves(run=report.run)
    assert (await undo(place.bench.mirror, saves)).documents.pushed == 6
    assert place.held() == vandalised


async def test_an_edit_that_was_not_pushed_is_left_alone(place: Place) -> None:
    snapshot = await place.save()
    place.vandalise()
    edit = place.bench.edit(1, [THEIRS])
    report = await place.restore(snapshot)
    assert (report.documents.pushed, failed(report)) == (5, ["edited_here"])
    assert place.bench.tree.files()[place.bench.document(1)] == edit


async def test_a_local_edit_is_in_the_snapshot_and_restored_from_it(place: Place) -> None:
    place.bench.edit(1, [THEIRS])
    snapshot = await place.save()
    assert (await place.restore(snapshot)).documents.pushed == 1
    assert "theirs" in place.on_server(1)


async def test_a_document_without_its_image_is_reported_and_one_of_an_image_uploaded_anew_is_restored(
    place: Place,
) -> None:
    snapshot = await place.save()
    images = place.bench.provider.images_by_id
    gone, same, other = (images.pop(name) for name in ("001", "002", "003"))
    images["new"] = MemoryImage("new", same.name, data=same.data)
    images["swapped"] = MemoryImage("swapped", other.name, data=other.data + b"another picture")
    report = await place.restore(snapshot)
    assert sorted((each.id, each.code) for each in report.troubles if isinstance(each, Failed)) == [
        ("001", "image_gone"),
        ("003", "image_gone"),
    ]
    assert (report.outcome, report.documents.pushed) == (MirrorOutcome.PARTIAL, 1)
    assert images["new"].annotations == same.annotations
    assert gone.id not in images


async def test_an_image_that_took_anothers_name_or_shares_one_is_not_mistaken_for_it(place: Place) -> None:
    snapshot = await place.save()
    images = place.bench.provider.images_by_id
    gone, twice = images.pop("001"), images.pop("002")
    images["003"].name = gone.name
    for each in ("one", "two"):
        images[each] = MemoryImage(each, twice.name, data=images["003"].data)
    before = place.held()
    report = await place.restore(snapshot)
    assert (sorted(failed(report)), report.documents.pushed) == (["image_gone"] * 2, 0)
    assert place.held() == before


async def test_another_dataset_takes_a_snapshot_only_if_it_is_named(place: Place) -> None:
    snapshot = await place.save()
    other = Bench()
    other.provider.dataset_id = "another"
    for image in list(place.bench.provider.images_by_id.values()):
        other.provider.add(MemoryImage(f"{image.id}-b", image.name, data=image.data))
    await other.sync()
    place.bench = other
    refused = await place.restore(snapshot)
    assert refused.error is not None
    assert (refused.error.code, "--to-server street" in refused.error.hint) == ("usage", True)
    assert (await place.restore(snapshot, elsewhere=True)).documents.pushed == 6
    assert [len(image.annotations) for image in other.provider.images_by_id.values()] == [3] * 6


async def test_a_large_restore_needs_the_number_of_documents_it_changes(tmp_path: Path, place: Place) -> None:
    for number in range(6, 60):
        place.bench.add(number)
    await place.bench.sync()
    snapshot = await place.save()
    before = place.vandalise()
    for consent in (Consent(), Consent(changes=59)):
        report = await place.restore(snapshot, consent=consent)
        assert report.refused is not None
        assert (report.refused.count, report.refused.override) == (60, "--allow-changes 60")
        assert report.outcome is MirrorOutcome.REFUSED
        assert place.held() != before
    assert await place.bench.state.journal.saves() == []
    await place.restore(snapshot, consent=Consent(changes=60))
    assert place.held() == before


async def test_taking_back_many_additions_needs_their_number(place: Place) -> None:
    snapshot = await place.save()
    added: list[JsonObject] = [{**THEIRS, "id": f"theirs-{n}"} for n in range(51)]
    place.image(1).annotations = [*place.image(1).annotations, *added]
    report = await place.restore(snapshot, exact=True)
    assert report.refused is not None
    assert (report.refused.count, report.refused.override) == (51, "--allow-deletes 51")
    assert len(place.on_server(1)) == 54
    await place.restore(snapshot, exact=True, consent=Consent(deletes=51))
    assert len(place.on_server(1)) == 3


async def test_what_is_damaged_in_the_store_is_reported_and_the_rest_restored(place: Place) -> None:
    snapshot = await place.save()
    place.vandalise()
    place.flip("documents")
    report = await place.restore(snapshot)
    assert (report.documents.pushed, failed(report)) == (5, ["snapshot_damaged"])
    place.flip("pages")
    assert failed(await place.restore(snapshot))[:1] == ["snapshot_damaged"]


async def test_a_document_that_the_server_would_refuse_is_not_sent(place: Place) -> None:
    place.bench.edit(1, [{"id": "a", "name": "no such class"}])
    place.bench.edit(2, [{"id": "a", "name": "car"}, {"id": "a", "name": "car"}])
    place.bench.tree.edit(place.bench.document(3), b"no document")
    snapshot = await place.save()
    before = place.held()
    report = await place.restore(snapshot)
    assert (sorted(failed(report)), report.documents.pushed) == (["invalid_document"] * 3, 0)
    assert place.held() == before


async def test_a_backup_that_is_stopped_makes_no_snapshot_and_keeps_nobody_from_the_next(place: Place) -> None:
    bench, stop = place.bench, anyio.Event()
    stop.set()
    with pytest.raises(Stopped):
        await backup(bench.mirror, place.store, images_from=None, clock=bench.clock, reporter=bench.reporter, stop=stop)
    assert (await place.store.snapshots()).snapshots == []
    assert (await place.save()).head.images == 6


async def test_a_restore_that_is_stopped_has_whole_documents_on_record_and_goes_on(place: Place) -> None:
    place.bench.provider.save_batch = 1
    snapshot = await place.save()
    before = place.vandalise()
    stop = anyio.Event()

    async def door(point: str) -> None:
        if len(await place.bench.state.journal.saves()) == 2:
            stop.set()
            await anyio.lowlevel.checkpoint()

    place.bench.provider.door = door
    place.bench.clock = PatientClock(place.bench.clock.at_s + 60.0)
    report = await restore_to_server(place.bench.mirror, place.store, snapshot, RestoreOptions(stop=stop))
    assert report.outcome is MirrorOutcome.STOPPED
    assert 0 < report.documents.pushed < 6
    assert (await place.restore(snapshot)).documents.pushed == 6 - report.documents.pushed
    assert place.held() == before


# --- to a folder -------------------------------------------------------------------------------------------------


async def laid_out(place: Place, snapshot: Snapshot, tree: MemoryTree) -> MirrorReport:
    return await restore_to_folder(place.store, snapshot, tree, clock=place.bench.clock, reporter=place.bench.reporter)


async def test_a_folder_gets_every_document_byte_for_byte_and_what_is_there_stays(place: Place) -> None:
    place.bench.edit(1, [THEIRS])
    place.bench.tree.edit(place.bench.document(2), b"no document")
    place.bench.tree.edit("annotations/stray.json", b"{}")
    snapshot = await place.save()
    documents = {path: data for path, data in place.bench.tree.files().items() if path.startswith("annotations/")}
    tree = MemoryTree()
    planned = await plan_restore_to_folder(place.store, snapshot, tree)
    assert (planned.pull_documents, tree.files()) == (7, {})
    report = await laid_out(place, snapshot, tree)
    assert (report.outcome, report.documents.pulled, report.images.total) == (MirrorOutcome.SYNCED, 7, 6)
    assert {path: data for path, data in tree.files().items() if path in documents} == documents
    tree.edit(place.bench.document(3), b"mine")
    tree.remove(place.bench.document(4))
    report = await laid_out(place, snapshot, tree)
    assert (report.documents.pulled, report.documents.adopted, failed(report)) == (1, 5, ["in_the_way"])
    assert tree.files()[place.bench.document(3)] == b"mine"


async def test_a_lost_document_is_saved_as_both_sides_last_agreed_on_it(place: Place) -> None:
    agreed = place.bench.tree.files()[place.bench.document(1)]
    place.bench.tree.remove(place.bench.document(1))
    tree = MemoryTree()
    await laid_out(place, await place.save(), tree)
    assert tree.files()[place.bench.document(1)] == agreed


async def test_images_outside_the_filter_are_not_saved(place: Place) -> None:
    place.image(1).status = "new"
    await place.bench.sync()
    place.bench.policy = MirrorPolicy(statuses=frozenset({"complete"}))
    snapshot = await place.save()
    assert (snapshot.head.images, snapshot.head.documents) == (5, 5)


async def test_a_folder_that_is_a_mirror_is_refused(place: Place) -> None:
    snapshot = await place.save()
    before = place.bench.tree.files()
    report = await laid_out(place, snapshot, place.bench.tree)
    assert report.error is not None
    assert report.error.exit_code == 2
    assert (await plan_restore_to_folder(place.store, snapshot, place.bench.tree)).error is not None
    assert place.bench.tree.files() == before


# --- finding and checking ----------------------------------------------------------------------------------------


async def test_snapshots_are_found_by_what_people_call_them(place: Place) -> None:
    with pytest.raises(UnknownSnapshot, match="there is no snapshot"):
        await find(place.store, "latest")
    first = await place.save()
    place.bench.clock.at_s += 60.0
    second = await place.save()
    assert (await find(place.store, "latest")) == (await find(place.store, "latest:street")) == second
    assert await find(place.store, first.id[:20]) == first
    for number in range(40):  # until two ids begin alike
        place.bench.clock.at_s += 1.0 + number
        await place.save()
    listed = (await place.store.snapshots()).snapshots
    letters = [each.id[0] for each in listed]
    twice = next(letter for letter in letters if letters.count(letter) > 1)
    with pytest.raises(UnknownSnapshot, match=f"snapshots begin with '{twice}'"):
        await find(place.store, twice)


async def test_a_mirror_that_was_never_synced_has_nothing_to_save(place: Place) -> None:
    place.bench = Bench()
    with pytest.raises(UsageError, match="never synced"):
        await place.save()


async def test_a_check_names_what_is_damaged_by_its_path_in_the_mirror(place: Place) -> None:
    snapshot = await place.save()
    whole = await verify_snapshot(place.store, snapshot, Depth.FULL, Subset())
    assert (whole.name, whole.damaged) == ("street", [])
    place.flip("documents")
    found = await verify_snapshot(place.store, snapshot, Depth.FULL, Subset())
    assert [damage.path.startswith("annotations/") for damage in found.damaged] == [True]
    parts = [await verify_snapshot(place.store, snapshot, Depth.FULL, Subset(part, 3)) for part in (1, 2, 3)]
    assert [damage for part in parts for damage in part.damaged] == found.damaged
    place.flip("pages")
    found = await verify_snapshot(place.store, snapshot, Depth.FULL, Subset())
    assert found.damaged[0].path.startswith("pages/")
