"""The provider's laws, and the story of a mirror, on a real Remo. Run by `make test-remo`."""

import itertools
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contracts.provider import ProviderContract
from labelmirror.model.document import Digest
from labelmirror.model.keys import DatasetRef
from labelmirror.model.report import MirrorOutcome
from labelmirror.model.saving import Save, SaveAnswer
from labelmirror.model.snapshot import Access, Snapshot
from labelmirror.providers.remo.datasets import SETTLE_S
from labelmirror.providers.remo.provider import RemoProvider
from labelmirror.snapshots.directory import open_store
from labelmirror.standin import Standin
from labelmirror.transport.http import Timeouts
from servers.remo.seed import seed_odd, seed_shapes
from support.cli import Home
from support.elsewhere import Half
from support.memory_facts import MemoryFacts
from support.pictograph import fetched, listed, read_all
from support.remo import RemoAnnotations, remo_at
from support.remo_relay import Relay, relay
from support.remo_server import CLASSIFICATION, DETECTION, SEGMENTATION, RemoServer, box, picture
from support.saves import read_one, wanted_of
from support.sites import Document, Entry
from system.test_story import (
    Stage,
    test_a_dataset_is_mirrored_once_and_then_left_alone,  # noqa: F401 - told here too
    test_a_program_that_is_killed_while_it_pushes_loses_and_doubles_nothing,  # noqa: F401
    test_a_save_is_undone_and_later_work_of_others_survives,  # noqa: F401
    test_an_image_that_is_deleted_there_goes_to_the_trash_here,  # noqa: F401
    test_edits_go_both_ways_and_meet_in_one_document,  # noqa: F401
    test_what_both_moved_is_held_until_a_person_takes_a_side,  # noqa: F401
)

pytestmark = pytest.mark.remo

#: The server shares the machine with everything else.
PATIENT = Timeouts(connect_s=10, idle_s=60, total_s=120)

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Berth:
    """A dataset with one set of boxes that tests change and put right again: uploads are slow."""

    server: RemoServer
    name: str
    dataset: int
    boxes: int
    images: int

    def restore(self) -> None:
        """Every image is there, and every fourth of them has no annotations."""
        wanted = {f"image {number}.jpg": number for number in range(self.images)}
        missing = wanted.keys() - self.server.images(self.dataset)
        if missing:
            self.server.upload(self.dataset, {name: picture(wanted[name]) for name in sorted(missing)})
        for name, row in self.server.images(self.dataset).items():
            number = wanted[name]
            self.server.save(
                self.dataset, self.boxes, row["id"], [box(position) for position in range(1, 1 + number % 4)]
            )


@contextmanager
def berth(server: RemoServer, images: int) -> Iterator[Berth]:
    name = f"dataset {next(_numbers)}"
    dataset = server.add_dataset(name)
    made = Berth(server, name, dataset, server.add_set(dataset, DETECTION, "boxes"), images)
    made.restore()
    yield made
    server.remove_dataset(dataset)


@pytest.fixture(scope="module")
def quay(server: RemoServer) -> Iterator[Berth]:
    """Twelve images with a document each."""
    with berth(server, 12) as made:
        yield made


@pytest.fixture(scope="module")
def pier(server: RemoServer) -> Iterator[Berth]:
    """Ten images with two documents each."""
    with berth(server, 10) as made:
        scene = server.add_set(made.dataset, CLASSIFICATION, "scene")
        for row in list(server.images(made.dataset).values())[:4]:
            server.classify(made.dataset, scene, row["id"], [{"name": "Circle"}], "done")
        yield made


@asynccontextmanager
async def provider_at(url: str, server: RemoServer, **more: Any) -> AsyncIterator[RemoProvider]:
    async with remo_at(url, server.user, server.password, timeouts=PATIENT, **more) as provider:
        yield provider


# --- the laws of a provider --------------------------------------------------------------------------------------


class ServerStage(RemoAnnotations):
    def __init__(self, provider: RemoProvider, seen: Relay, made: Berth) -> None:
        self.provider = provider
        self.server = made.server
        self.relay = seen
        self.dataset, self.boxes = made.dataset, made.boxes
        self.ref = DatasetRef(name=made.name)
        rows = self.server.images(self.dataset).values()
        self.contents = {str(row["id"]): picture(int(row["name"].split()[1].split(".")[0])) for row in rows}

    def ids(self) -> frozenset[str]:
        return frozenset(str(row["id"]) for row in self.server.images(self.dataset).values())

    def names(self) -> frozenset[str]:
        return frozenset(self.server.images(self.dataset))

    def content(self, image: str) -> bytes:
        return self.contents[image]

    def _objects(self, image: str) -> list[Any]:
        return self.server.objects(self.dataset, self.boxes, int(image))

    def annotation_ids(self, image: str) -> frozenset[str]:
        return frozenset(item["name"] for item in self._objects(image))

    def annotate(self, image: str) -> None:
        self.server.save(self.dataset, self.boxes, int(image), [*self._objects(image), box(40)])

    def nudge(self, image: str) -> None:
        first, *others = self._objects(image)
        first["coordinates"][0]["x"] += 1
        self.server.save(self.dataset, self.boxes, int(image), [first, *others])

    def remove(self, image: str) -> None:
        self.server.remove_image(self.dataset, int(image))

    def lose_save_answers(self) -> None:
        self.relay.loses_saves = True

    def saves_asked_for(self) -> int:
        return self.relay.saves


class TestRemoServer(ProviderContract):
    identity = "name"
    reread_requests_max = 3

    @pytest.fixture(autouse=True)
    def _at(self, quay: Berth) -> None:
        quay.restore()
        self.quay = quay

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[ServerStage]:
        server = self.quay.server
        async with relay(server.url) as seen, provider_at(seen.url, server) as provider:
            yield ServerStage(provider, seen, self.quay)


# --- the story of a mirror ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerSite:
    """People at a real server, and how documents are edited here."""

    server: RemoServer
    dataset: int

    def is_fit(self, document: Document) -> bool:
        return document["annotation_set"]["task"] == DETECTION and bool(document["annotations"])

    def marks(self, document: Document) -> set[str]:
        return {json.dumps(item["coordinates"], sort_keys=True) for item in document["annotations"]}

    def add(self, document: Document) -> None:
        document["annotations"].append(box(100 + next(_numbers), name=f"mine {next(_numbers)}"))

    def move(self, document: Document, by: int) -> None:
        for point in document["annotations"][0]["coordinates"]:
            point["x"] += by

    def _held(self, entry: Entry) -> list[Any]:
        return self.server.objects(self.dataset, int(entry["set"]), int(entry["id"]))

    def _save(self, entry: Entry, objects: list[Any]) -> None:
        self.server.save(self.dataset, int(entry["set"]), int(entry["id"]), objects)

    def marks_there(self, entry: Entry) -> set[str]:
        return self.marks({"annotations": self._held(entry)})

    def add_there(self, entry: Entry) -> None:
        self._save(entry, [*self._held(entry), box(60)])

    def move_there(self, entry: Entry, by: int) -> None:
        held = self._held(entry)
        self.move({"annotations": held}, by)
        self._save(entry, held)

    def delete_there(self, entry: Entry) -> None:
        self.server.remove_image(self.dataset, int(entry["id"]))


@pytest.fixture
async def stage(pier: Berth, tmp_path: Path) -> Stage:
    pier.restore()
    server = pier.server
    login = SimpleNamespace(user=server.user, password=server.password)
    here = Home(tmp_path, cast("Standin", SimpleNamespace(kind="remo", url=server.url, login=login)))
    here.configure("push = true", dataset=pier.name)
    made = Stage(here, ServerSite(server, pier.dataset))
    first = await made.sync()
    assert first["images"]["pulled"] == first["images"]["total"] == 10
    assert first["documents"]["pulled"] == 20
    return made


# --- what only a real server shows -------------------------------------------------------------------------------


async def test_sixty_operations_at_once_meet_no_page(server: RemoServer) -> None:
    with berth(server, 20) as made:
        async with relay(server.url) as seen, provider_at(seen.url, server, connections=16) as provider:
            dataset = await provider.dataset(DatasetRef(name=made.name))
            rows, _ = await listed(provider, dataset)
            (way,) = await provider.read_ways(dataset)
            saves = []
            for wanted in wanted_of(rows):
                before = await read_one(provider, dataset, wanted.image)
                assert before.data is not None
                body = {**provider.format.parse(before.data), "annotations": [box(5), box(6)], "tags": ["many"]}
                saves.append(Save(wanted.key, wanted.image, body, before, "key"))
            results = await provider.save_many(dataset, saves)
            assert {result.answer for result in results} == {SaveAnswer.CLAIMED}
            readings = await read_all(provider, dataset, way, rows)
            assert {reading.digest for reading in readings.values()} == {
                provider.format.digest(save.wanted) for save in saves
            }
            assert sum(seen.statuses.values()) > 60
            assert set(seen.statuses) <= {200, 201, 204}


async def test_a_dataset_with_everything_odd_comes_over_whole(server: RemoServer, tmp_path_factory: Any) -> None:
    # The server links files on its own disk, where it must be allowed to read them.
    disk = tmp_path_factory.mktemp("linked")
    made = seed_odd(server, disk)
    try:
        async with provider_at(server.url, server) as provider:
            dataset = await provider.dataset(DatasetRef(id=str(made["dataset"])))
            rows, end = await listed(provider, dataset)
            assert end.announced == len(rows) == 8
            assert {row.directory for row in rows} == {"", "linked", "linked/deeper"}
            found = await fetched(provider, dataset, rows)
            sizes = {row.id: row.size_bytes for row in rows}
            assert {image: len(data) for image, data in found.items()} == sizes
            assert all(row.md5 is not None for row in rows)
    finally:
        server.remove_dataset(made["dataset"])


async def test_a_snapshot_is_brought_to_another_dataset_in_which_everything_has_other_ids(
    server: RemoServer, tmp_path: Path
) -> None:
    made = seed_shapes(server, 8)
    fresh = server.add_dataset("shapes anew")
    try:
        server.upload(fresh, {f"shape {number:03}.jpg": picture(number) for number in reversed(range(8))})
        for task, name in ((CLASSIFICATION, "scene"), (SEGMENTATION, "outlines"), (DETECTION, "boxes")):
            server.add_set(fresh, task, name)
        async with provider_at(server.url, server) as provider:
            ours = Half("one", DatasetRef(id=str(made["dataset"])), provider)
            theirs = Half("other", DatasetRef(id=str(fresh)), provider)
            await ours.sync()
            snapshot = await ours.save(tmp_path)
            await theirs.sync()
            report = await theirs.restore(tmp_path, snapshot)
            assert (report.error, report.outcome, report.troubles) == (None, MirrorOutcome.SYNCED, [])
            assert report.documents.pushed >= 8
            assert await theirs.left(tmp_path, snapshot) == 0
            copied = await theirs.save(tmp_path)
            assert await saved(tmp_path, copied) == await saved(tmp_path, snapshot)
    finally:
        server.remove_dataset(made["dataset"])
        server.remove_dataset(fresh)


async def saved(root: Path, snapshot: Snapshot) -> dict[str, Digest | None]:
    """The canonical digests of a snapshot's documents, by path."""
    store = await open_store(root, Access.READ)
    pages = [await store.page(name) for name in snapshot.head.pages]
    return {one.path: one.digest for page in pages for image in page.images for one in image.documents}


async def test_nothing_changed_costs_a_request_per_set_and_three(server: RemoServer) -> None:
    made = seed_shapes(server, 12)
    memory = MemoryFacts()
    try:
        ref = DatasetRef(id=str(made["dataset"]))
        async with provider_at(server.url, server, memory=memory) as provider:
            stamp = None
            while stamp is None:  # what was just written may still be changing
                stamp = await provider.stamp(await provider.dataset(ref))
        async with relay(server.url) as seen, provider_at(seen.url, server, memory=memory) as provider:
            dataset = await provider.dataset(ref)
            await provider.capabilities()
            assert await provider.stamp(dataset) == stamp
            assert sum(seen.statuses.values()) == 3 + len(made["sets"])
            boxes, image = made["sets"][0], next(iter(server.images(made["dataset"]).values()))["id"]
            server.tag(boxes, image, "fog")
            assert await provider.stamp(await provider.dataset(ref)) not in {None, stamp}
            server.set_status(boxes, image, "skipped")
            assert await provider.stamp(await provider.dataset(ref)) is None, f"within {SETTLE_S} s"
    finally:
        server.remove_dataset(made["dataset"])


async def test_a_reading_is_never_half_of_a_save(server: RemoServer, quay: Berth) -> None:
    async with provider_at(server.url, server) as provider:
        dataset = await provider.dataset(DatasetRef(name=quay.name))
        rows, _ = await listed(provider, dataset)
        image = int(rows[0].id)
        many = [box(number) for number in range(1, 121)]
        server.save(quay.dataset, quay.boxes, image, many[:60])
        saving = threading.Thread(target=server.save, args=(quay.dataset, quay.boxes, image, many))
        saving.start()
        counts = set()
        while saving.is_alive():
            async for reading in provider.reread(dataset, wanted_of(rows[:1])):
                counts.add(sum(reading.counts.values()) if reading.problem is None else None)
        saving.join()
        assert counts <= {60, 120, None}
        assert sum((await read_one(provider, dataset, rows[0])).counts.values()) == 120
