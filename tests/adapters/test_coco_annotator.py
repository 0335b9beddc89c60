"""What is particular about mirroring COCO Annotator: whole reads, absence, rights, and files."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web

from labelmirror.errors import (
    BodyMismatch,
    ConfigError,
    DiskError,
    KeyRefused,
    NotFound,
    ProtocolError,
    RemoteError,
    TooLarge,
    Unavailable,
    UnknownDataset,
)
from labelmirror.model.remote import Dataset, ListedImage, ListingEnd, Reading
from labelmirror.providers.coco_annotator import provider as coco_provider
from labelmirror.providers.coco_annotator import whole
from labelmirror.providers.coco_annotator.provider import CocoAnnotatorProvider
from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve
from labelmirror.standin.coco_annotator import CocoWorld
from labelmirror.standin.coco_annotator.dialect import KEEP_ALIVE_S
from labelmirror.transport.http import HttpSettings, open_http
from support.coco_annotator import coco_provider_at, coco_provider_on
from support.full_disk import fill_disk
from support.memory_facts import MemoryFacts
from support.pictograph import HARBOUR, fetched, listed, read_all
from support.web import site


@dataclass(slots=True)
class Scene:
    """A provider on a stand-in, with one dataset of it listed."""

    standin: Standin
    world: CocoWorld
    provider: CocoAnnotatorProvider
    dataset: Dataset
    rows: Sequence[ListedImage]
    end: ListingEnd

    async def again(self) -> tuple[Sequence[ListedImage], ListingEnd]:
        return await listed(self.provider, await self.provider.dataset(HARBOUR))

    async def read(self, way: str) -> Mapping[str, Reading]:
        (chosen,) = [found for found in await self.provider.read_ways(self.dataset) if found.name == way]
        return await read_all(self.provider, self.dataset, chosen, self.rows)


@asynccontextmanager
async def scene(*, shared: bool = False, **options: Any) -> AsyncIterator[Scene]:
    async with serve(StandinOptions(kind="coco-annotator", **options)) as standin:
        world, login = standin.world_as(CocoWorld), None
        if shared:
            world.add_user("carol", "pw")
            world.dataset("harbour").users.append("carol")
            login = ("carol", "pw")
        async with coco_provider_on(standin, login=login) as provider:
            dataset = await provider.dataset(HARBOUR)
            rows, end = await listed(provider, dataset)
            yield Scene(standin, world, provider, dataset, rows, end)


# --- listing and reading -----------------------------------------------------------------------------------------


async def test_a_run_that_finds_nothing_changed_costs_the_pages_and_three() -> None:
    async with scene(images=60) as made:
        await made.provider.capabilities()
        with patch.object(whole, "PAGE", 25):
            made.standin.requests.clear()
            rows, end = await made.again()
            await made.provider.capabilities()
        readings = await made.read("whole")
        assert len(rows) == len(readings) == 60
        assert end.pages == 3
        assert sum(made.standin.requests.by_route.values()) == 3 + end.pages
        assert [row.documents[0].token for row in rows] == [row.documents[0].token for row in made.rows]


@pytest.mark.parametrize("shared", [False, True])
async def test_both_ways_of_reading_bring_the_same_bytes(shared: bool) -> None:
    async with scene(shared=shared, hostile_names=True, images=40) as made:
        world = made.world
        harbour = world.dataset("harbour")
        images = world.images_of(harbour)
        building, buoy = world.category("building"), world.category("buoy")
        wreck = world.category("wreck")
        world.create(images[0], wreck.id, "admin", segmentation="letters", keypoints=None)
        world.create(images[1], buoy.id, "admin", segmentation=[[1, 2]], keypoints="x", metadata={"a": [None, 1.0]})
        world.create(images[2], None, "admin")
        world.create(images[3], 999, "admin")
        harbour.categories.append(wreck.id)
        harbour.categories.remove(building.id)
        world.category("boat").color = None
        world.lose_image(images[4])
        made.dataset = await made.provider.dataset(HARBOUR)
        made.rows, _ = await listed(made.provider, made.dataset)
        together = await made.read("whole")
        one_by_one = await made.read("single")
        assert together == one_by_one
        assert len(together) == 39
        for row in made.rows:
            assert row.annotations == sum(together[row.id].counts.values())
            if row.documents[0].empty:
                assert made.provider.empty(made.dataset, row, row.documents[0]) == together[row.id]
        assert any(row.documents[0].empty for row in made.rows)
        routes = made.standin.requests.by_route
        assert not [name for name in routes if "coco" in name or "export" in name]


async def test_every_change_moves_the_token_of_its_image_alone() -> None:
    async with scene() as made:
        world = made.world
        image = next(image for image in world.images_of(world.dataset("harbour")) if world.annotations_of(image))
        (first, *_) = world.annotations_of(image)
        before = {row.id: row.documents[0].token for row in made.rows}

        def metadata() -> None:
            image.metadata = {"new": 1}

        def colour() -> None:
            first.color = "#000001"

        for change in (metadata, colour, lambda: world.move_geometry(image, first), lambda: world.delete(first)):
            change()
            rows, _ = await made.again()
            now = {row.id: row.documents[0].token for row in rows}
            assert {key for key in now if now[key] != before[key]} == {str(image.id)}
            before = now
        assert all(token is not None and token.strong for token in before.values())


async def test_pages_that_move_are_no_proof() -> None:
    async with scene(images=60) as made:
        with patch.object(whole, "PAGE", 25):
            made.standin.faults.add(Fault(route="images.list", kind=FaultKind.DUPLICATE_PAGE, nth=2))
            rows, end = await made.again()
            assert not (end.steady and end.announced == len({row.id for row in rows}))
            made.standin.faults.add(Fault(route="images.list", kind=FaultKind.MISSING_PAGE, nth=1))
            rows, end = await made.again()
            assert not (end.steady and end.announced == len({row.id for row in rows}))
            rows, end = await made.again()
            assert (end.steady, end.announced) == (True, 60)


async def test_images_of_other_datasets_count_for_the_proof_and_are_not_listed() -> None:
    async with scene(images=10) as made:
        assert made.end.announced == len(made.rows) == 10
        assert len(made.world.images) > 12


@pytest.mark.parametrize("kind", [FaultKind.SHORT_BODY, FaultKind.RESET, FaultKind.ERROR_500, FaultKind.ERROR_503])
async def test_an_answer_that_breaks_off_is_asked_for_again(kind: FaultKind) -> None:
    async with scene() as made:
        made.standin.faults.add(Fault(route="annotations.list", kind=kind))
        rows, _ = await made.again()
        assert [row.documents for row in rows] == [row.documents for row in made.rows]
        made.standin.faults.add(Fault(route="annotations.list", kind=kind, times=99))
        with pytest.raises(Unavailable):
            await made.again()


@pytest.mark.parametrize("kind", [FaultKind.HTML, FaultKind.WRONG_ENVELOPE])
@pytest.mark.parametrize("route", ["annotations.list", "images.list", "categories.list", "datasets.list"])
async def test_what_is_no_list_is_never_an_empty_one(route: str, kind: FaultKind) -> None:
    async with scene() as made:
        made.standin.faults.add(Fault(route=route, kind=kind, times=99))
        with pytest.raises(ProtocolError):
            await made.again()


async def test_a_disk_that_is_full_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch)
    with pytest.raises(DiskError, match="No space left"):
        async with scene(images=3):
            pass


async def test_an_answer_beyond_its_bound_is_refused() -> None:
    async with serve(StandinOptions(kind="coco-annotator")) as standin:
        async with coco_provider_on(standin, caps={"archive_size": 1000}) as provider:
            with pytest.raises(TooLarge):
                await listed(provider, await provider.dataset(HARBOUR))
        async with coco_provider_on(standin, caps={"pages": 1}) as provider:
            with patch.object(whole, "PAGE", 10), pytest.raises(TooLarge):
                await listed(provider, await provider.dataset(HARBOUR))


async def test_an_image_that_leaves_its_datasets_folder_is_listed_outside_of_it() -> None:
    async with scene() as made:
        made.world.add_image(made.world.dataset("harbour"), "../meadow & shore/esc.png")
        rows, _ = await made.again()
        assert rows[-1].directory == "../meadow & shore"
        assert rows[-1].name == "esc.png"


async def test_a_file_that_is_renamed_on_the_server_moves_and_keeps_its_id() -> None:
    async with scene() as made:
        image = made.world.images_of(made.world.dataset("harbour"))[0]
        made.world.move_file(image, "new place/renamed.png")
        rows, _ = await made.again()
        row = next(row for row in rows if row.id == str(image.id))
        assert (row.directory, row.name) == ("new place", "renamed.png")


async def test_a_number_that_is_none_is_a_problem_of_its_image_alone() -> None:
    async def handle(request: web.Request) -> web.Response:
        rows = {
            "/api/dataset/": '[{"id": 1, "name": "ds", "directory": "/d/", "categories": [1]}]',
            "/api/category/": '[{"id": 1, "name": "cat"}]',
            "/api/image/": '{"total": 2, "images": [{"id": 1, "dataset_id": 1, "file_name": "a", "path": "/d/a"},'
            '{"id": 2, "dataset_id": 1, "file_name": "b", "path": "/d/b"}]}',
            "/api/annotation/": '[{"id": 1, "image_id": 1, "category_id": 1, "area": 1e999},'
            '{"id": 2, "image_id": 2, "category_id": 1, "area": 1}]',
        }
        return web.Response(text=rows[request.path], content_type="application/json")

    async with site(handle) as server, coco_provider_at(server.url) as provider:
        (dataset,) = await provider.datasets()
        rows, _ = await listed(provider, dataset)
        readings = await read_all(provider, dataset, (await provider.read_ways(dataset))[1], rows)
        problem = readings["1"].problem
        assert problem is not None
        assert problem.code == "protocol"
        assert readings["2"].counts == {"cat": 1}


# --- who asks, and what is gone ----------------------------------------------------------------------------------


async def test_a_wrong_password_is_told_as_such_and_is_no_absence() -> None:
    async with serve(StandinOptions(kind="coco-annotator")) as standin:
        async with coco_provider_on(standin, login=("admin", "wrong")) as provider:
            with pytest.raises(KeyRefused) as refused:
                await provider.datasets()
            assert "wrong" not in refused.value.message
            assert "password" in refused.value.hint
        async with coco_provider_on(standin) as provider:
            dataset = await provider.dataset(HARBOUR)
            standin.world_as(CocoWorld).users["admin"].password = "new"
            with pytest.raises(KeyRefused):
                await provider.confirm_absent(dataset, ["1"])


async def test_a_user_name_with_a_colon_cannot_be_sent() -> None:
    with pytest.raises(ConfigError):
        async with coco_provider_at("http://127.0.0.1:1", user="a:b"):
            pass


async def test_who_may_not_see_a_dataset_does_not_find_it() -> None:
    async with scene(shared=True) as made:
        made.world.dataset("harbour").users.clear()
        with pytest.raises(UnknownDataset):
            await made.provider.dataset(HARBOUR)
        assert await made.provider.confirm_absent(made.dataset, [made.rows[0].id]) == frozenset()


async def test_images_are_absent_when_they_are_deleted_softly_or_for_good() -> None:
    async with scene() as made:
        soft, final, there, *_ = made.world.images_of(made.world.dataset("harbour"))
        foreign = made.world.images_of(made.world.dataset("meadow & shore"))[0]
        made.world.delete(soft)
        made.world.erase(final)
        asked = [str(image.id) for image in (soft, final, there, foreign)]
        absent = await made.provider.confirm_absent(made.dataset, [*asked, "99999"])
        assert absent == {str(soft.id), str(final.id), str(foreign.id), "99999"}


async def test_a_proxys_page_is_no_absence() -> None:
    async with scene() as made:
        for kind in (FaultKind.PAGE_400, FaultKind.PAGE_404):
            made.standin.faults.clear()
            made.standin.faults.add(Fault(route="annotator.read", kind=kind, times=10))
            with pytest.raises(RemoteError) as raised:
                await made.provider.confirm_absent(made.dataset, [made.rows[0].id])
            assert not isinstance(raised.value, NotFound)


async def test_a_category_or_a_dataset_without_a_name_stands_in_nobodys_way() -> None:
    async with scene() as made:
        nameless = made.world.add_category("", "admin")
        made.world.dataset("harbour").categories.append(nameless.id)
        image = made.world.images[int(made.rows[0].id)]
        made.world.draw(image, nameless, [[1, 1, 9, 1, 9, 9]])
        made.world.add_dataset("", "admin")
        rows, _ = await made.again()
        assert rows[0].annotations == (made.rows[0].annotations or 0) + 1
        assert "" in {held.name for held in await made.provider.datasets()}


async def test_connections_are_given_up_before_the_server_closes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[float] = []

    def noted(settings: HttpSettings, **more: Any) -> Any:
        opened.append(settings.keepalive_s)
        return open_http(settings, **more)

    monkeypatch.setattr(coco_provider, "open_http", noted)
    async with scene():
        assert opened[0] < KEEP_ALIVE_S


async def test_who_has_an_image_open_is_seen_in_its_reading() -> None:
    async with scene() as made:
        image = made.world.images_of(made.world.dataset("harbour"))[0]
        image.annotating.append("bob")
        readings = await made.read("single")
        assert [key for key, reading in readings.items() if reading.being_annotated] == [str(image.id)]


# --- files, and what doctor is told ------------------------------------------------------------------------------


async def test_a_server_that_makes_pictures_anew_is_refused() -> None:
    async with scene() as made:
        made.world.knows_original = False
        with pytest.raises(ProtocolError, match="not the file"):
            await fetched(made.provider, made.dataset, made.rows[:1])


async def test_a_file_that_comes_shorter_than_its_tag_says_is_not_taken() -> None:
    async with scene() as made:
        made.standin.faults.add(Fault(route="images.bytes", kind=FaultKind.WRONG_LENGTH))
        with pytest.raises(BodyMismatch, match="bytes of"):
            await fetched(made.provider, made.dataset, made.rows[:1])
        assert len(await fetched(made.provider, made.dataset, made.rows[:1])) == 1


async def test_one_file_that_the_server_lost_does_not_look_like_a_server_that_is_down() -> None:
    async with scene() as made:
        made.world.images[int(made.rows[0].id)].on_disk = False
        with pytest.raises(RemoteError) as lost:
            await fetched(made.provider, made.dataset, made.rows[:1])
        assert not isinstance(lost.value, Unavailable)
        made.world.delete(made.world.images[int(made.rows[1].id)])
        with pytest.raises(NotFound):
            await fetched(made.provider, made.dataset, made.rows[1:2])
        assert len(await fetched(made.provider, made.dataset, made.rows[2:])) == len(made.rows) - 2


async def test_the_version_is_asked_for_once_and_told() -> None:
    memory = MemoryFacts()
    async with serve(StandinOptions(kind="coco-annotator")) as standin:
        for _ in range(2):
            async with coco_provider_on(standin, memory=memory) as provider:
                told = await provider.capabilities()
                assert told.generation == "COCO Annotator v0.11.1"
                assert (told.safety_level, told.save_batch, told.atomic_saves) == (1, 1, False)
        assert standin.requests.by_route["info"] == 1


async def test_a_server_without_logins_is_noted() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps({"login_enabled": False}), content_type="application/json")

    async with site(handle) as server, coco_provider_at(server.url) as provider:
        assert any("logins are disabled" in note for note in (await provider.capabilities()).notes)
