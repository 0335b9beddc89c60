"""The Remo provider against the stand-in: logging in, torn reads, the change probe, images, saves in steps."""

import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest
from aiohttp import web

from labelmirror.errors import (
    BodyMismatch,
    KeyRefused,
    NotFound,
    ProtocolError,
    RemoteError,
    Unavailable,
    UnknownDataset,
)
from labelmirror.model.document import Document, JsonObject
from labelmirror.model.keys import DatasetRef, DocumentKey
from labelmirror.model.remote import Dataset, ListedImage, Reading, WantedDocument
from labelmirror.model.saving import Save, SaveAnswer, SaveResult
from labelmirror.providers.remo.provider import RemoProvider
from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve
from labelmirror.standin.remo import AnnotationSet, Image, Mark, Object, RemoWorld, Sketch, Status
from support.memory_facts import MemoryFacts
from support.pictograph import fetched, listed, read_all, stream_of
from support.quick_clock import QuickClock
from support.remo import remo_at, remo_on
from support.web import site

HARBOUR = DatasetRef(name="harbour")


@dataclass(slots=True)
class Harbour:
    """The sample dataset on a stand-in, and the provider on it."""

    standin: Standin
    provider: RemoProvider
    dataset: Dataset
    rows: Sequence[ListedImage]

    @property
    def world(self) -> RemoWorld:
        return self.standin.world_as(RemoWorld)

    def chosen(self, name: str) -> AnnotationSet:
        return self.world.dataset("harbour").set(name)

    def wanted(self, name: str, number: int = 0) -> WantedDocument:
        """The document of the so-manieth image that has annotations in this set."""
        key = str(self.chosen(name).id)
        filled = [row for row in self.rows if any(doc.set == key and not doc.empty for doc in row.documents)]
        return WantedDocument(DocumentKey(filled[number].id, key), filled[number])

    def image(self, wanted: WantedDocument) -> Image:
        return self.world.image(wanted.key.image)

    async def read(self, wanted: WantedDocument) -> Reading:
        async with aclosing(self.provider.reread(self.dataset, [wanted])) as readings:
            return await anext(readings)

    def parsed(self, reading: Reading) -> Document:
        assert reading.data is not None, reading.problem
        return self.provider.format.parse(reading.data)

    async def save(self, wanted: WantedDocument, **changes: Any) -> SaveResult:
        """Read a document, change these fields and save it."""
        before = await self.read(wanted)
        save = Save(wanted.key, wanted.image, {**self.parsed(before), **changes}, before, "key")
        (result,) = await self.provider.save_many(self.dataset, [save])
        return result

    def requests(self, route: str) -> int:
        return self.standin.requests.by_route[route]


@asynccontextmanager
async def harbour(images: int = 12, **more: Any) -> AsyncIterator[Harbour]:
    options = StandinOptions(kind="remo", images=images, hang_s=0.2)
    async with serve(options) as standin, remo_on(standin, **more) as provider:
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        yield Harbour(standin, provider, dataset, rows)


def box(number: int, name: str = "") -> dict[str, Any]:
    points = [{"x": 5 * number, "y": 300}, {"x": 5 * number + 4, "y": 310}]
    return {"name": name or f"OBJ {number}", "coordinates": points, "classes": [{"name": "Boat"}]}


def items(document: Document) -> list[JsonObject]:
    annotations = document["annotations"]
    assert isinstance(annotations, list)
    return annotations


# --- logging in --------------------------------------------------------------------------------------------------


async def test_every_request_has_the_token_and_the_cookie_that_means_nothing() -> None:
    seen: list[tuple[str, str | None, str | None]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, request.headers.get("Authorization"), request.headers.get("Cookie")))
        told: dict[str, Any] = {
            "/api/version": {"app": "remo", "version": "0.6.1"},
            "/api/rest-auth/login/": {"key": "0123456789abcdef"},
        }.get(request.path, {"count": 0, "next": None, "results": []})
        response = web.json_response(told)
        response.set_cookie("sessionid", "", max_age=0)
        return response

    async with site(answer) as server, remo_at(server.url, "a@b.c", "canary password") as provider:
        assert await provider.datasets() == []
        assert await provider.datasets() == []
        assert "canary password" not in repr(provider)
    assert {cookie for _, _, cookie in seen} == {"sessionid=none"}
    assert [token for path, token, _ in seen if "datasets" in path] == ["Token 0123456789abcdef"] * 2
    assert [path for path, _, _ in seen].count("/api/rest-auth/login/") == 1


async def test_a_wrong_password_is_refused_in_words_that_do_not_repeat_it() -> None:
    options = StandinOptions(kind="remo", images=1)
    async with serve(options) as standin, remo_at(standin.url, "remo@remo.ai", "canary password") as provider:
        with pytest.raises(KeyRefused) as refused:
            await provider.datasets()
    assert "canary" not in refused.value.message + refused.value.hint


async def test_the_password_is_not_sent_to_what_is_no_remo() -> None:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="text/html")

    async def other(_: web.Request) -> web.StreamResponse:
        return web.json_response({"app": "other", "version": "1"})

    for handler in (page, other):
        async with site(handler) as server, remo_at(server.url, "a@b.c", "x") as provider:
            with pytest.raises(ProtocolError):
                await provider.datasets()
            assert {request.path for request in server.requests} == {"/api/version"}


async def test_a_404_for_want_of_a_login_is_no_absence() -> None:
    async with harbour() as at:
        wanted = at.wanted("boxes")
        save = Save(
            wanted.key, wanted.image, {**at.parsed(before := await at.read(wanted)), "tags": ["x"]}, before, "key"
        )
        at.standin.faults.add(Fault(route="*", kind=FaultKind.STRANGER, times=1000))
        for asks in (
            at.provider.confirm_absent(at.dataset, [at.rows[0].id]),
            at.read(wanted),
            at.provider.save_many(at.dataset, [save]),
        ):
            with pytest.raises(KeyRefused):
                await asks
        at.standin.faults.clear()
        at.standin.revoke_key()
        with pytest.raises(KeyRefused):
            await at.read(wanted)


async def test_a_page_with_400_says_nothing_of_what_was_asked_for() -> None:
    async with harbour() as at:
        at.standin.faults.add(Fault(route="annotations.read", kind=FaultKind.PAGE_400))
        assert at.parsed(await at.read(at.wanted("boxes")))


@pytest.mark.parametrize("kind", [FaultKind.HTML, FaultKind.PAGE_400, FaultKind.PAGE_404])
async def test_a_page_instead_of_tags_is_no_stamp(kind: FaultKind) -> None:
    async with harbour() as at:
        at.standin.faults.add(Fault(route="tags.export", kind=kind, times=1000))
        with pytest.raises(RemoteError):
            await at.provider.stamp(at.dataset)


async def test_sixty_requests_at_once_are_answered_without_a_page() -> None:
    async with harbour(images=60, connections=16) as at:
        way, *_ = await at.provider.read_ways(at.dataset)
        readings = await read_all(at.provider, at.dataset, way, at.rows)
        assert len(readings) == 60
        assert {record.status for record in at.standin.requests} == {200}


@pytest.mark.parametrize("kind", [FaultKind.MISSING_PAGE, FaultKind.SHORT_PAGE, FaultKind.DUPLICATE_PAGE])
@pytest.mark.parametrize("route", ["datasets.list", "sets.list"])
async def test_a_list_that_is_not_as_long_as_it_says_is_refused(route: str, kind: FaultKind) -> None:
    async with harbour() as at:
        at.standin.pages.clear()
        at.standin.faults.add(Fault(route=route, kind=kind))
        with pytest.raises(ProtocolError, match="announced"):
            await at.provider.dataset(HARBOUR)
        assert (await at.provider.dataset(HARBOUR)).sets == at.dataset.sets


async def test_a_name_that_several_datasets_have_is_asked_for_by_id() -> None:
    async with harbour() as at:
        twin = at.world.add_dataset("harbour")
        with pytest.raises(UnknownDataset) as raised:
            await at.provider.dataset(HARBOUR)
        assert f"{at.dataset.id}, {twin.id}" in raised.value.hint
        assert (await at.provider.dataset(DatasetRef(id=str(twin.id)))).id == str(twin.id)


async def test_an_archived_dataset_is_not_there() -> None:
    async with harbour() as at:
        at.world.dataset("harbour").archived = True
        assert [dataset.name for dataset in await at.provider.datasets()] == ["meadow & shore"]


# --- listing and the change probe --------------------------------------------------------------------------------


async def test_an_image_has_a_document_in_each_set_with_folders_statuses_and_tags() -> None:
    async with harbour() as at:
        assert [(entry.name, entry.task) for entry in at.dataset.sets] == [
            ("boxes", "Object detection"),
            ("outlines", "Instance segmentation"),
            ("scene", "Image classification"),
        ]
        assert {row.directory for row in at.rows} != {""}
        assert all(len(row.documents) == 3 for row in at.rows)
        assert all(row.md5 is not None and row.size_bytes for row in at.rows)
        read: dict[DocumentKey, Reading] = {}
        for row in at.rows:
            for document in row.documents:
                wanted = WantedDocument(DocumentKey(row.id, document.set), row)
                read[wanted.key] = await at.read(wanted)
                if document.empty:
                    assert at.provider.empty(at.dataset, row, document) == read[wanted.key]
        parsed = [at.parsed(reading) for reading in read.values()]
        assert {document["status"] for document in parsed} == {"not_annotated", "skipped", "done"}
        assert {tag for document in parsed for tag in _texts(document["tags"])} == {"night", "blurry"}


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value]


async def test_each_set_has_categories_of_its_own() -> None:
    async with harbour() as at:
        boxes, _, scene = at.dataset.sets
        assert at.dataset.category_names()[boxes.id] == {"Boat", "Ship", "Buoy"}
        assert at.dataset.category_names()[scene.id] == {"Busy", "Calm"}


async def test_while_nothing_changes_the_stamp_stands_and_costs_a_request_per_set() -> None:
    memory = MemoryFacts()
    async with harbour(memory=memory) as at:
        before = await at.provider.stamp(at.dataset)
        assert before is not None
        async with remo_on(at.standin, memory=memory) as provider:
            at.standin.requests.clear()
            again = await provider.dataset(HARBOUR)
            await provider.capabilities()
            assert await provider.stamp(again) == before
            # The login, the datasets and the sets, and the tags of each set.
            assert len(at.standin.requests) == 3 + len(again.sets)


@pytest.mark.parametrize("change", ["save", "status", "tag", "known tag", "image", "set", "class"])
async def test_the_stamp_moves_with_every_change_and_is_not_relied_on_while_it_may_go_on(change: str) -> None:
    clock = QuickClock()
    async with harbour(clock=clock) as at:
        before = await at.provider.stamp(at.dataset)
        world, boxes = at.world, at.chosen("boxes")
        image = at.image(at.wanted("boxes", 1))
        match change:
            case "save":
                world.move_geometry(boxes, image)
            case "status":
                world.set_status(boxes, image, Status.SKIPPED)
            case "tag":
                world.tag(boxes, image, "fog")
            case "known tag":
                world.tag(boxes, image, "night")
            case "image":
                world.remove_image(image)
            case "set":
                world.rename_set(boxes, "frames")
            case _:
                world.rename_class(boxes, next(iter(boxes.classes)), "Other")
        after = await at.provider.stamp(await at.provider.dataset(HARBOUR))
        if "tag" in change:  # adding a tag moves no time
            assert after not in {None, before}
        else:
            assert after is None
            at.standin.clock.advance(60)
            assert await at.provider.stamp(await at.provider.dataset(HARBOUR)) not in {None, before}


async def test_what_changes_in_one_set_moves_the_token_of_that_document_alone() -> None:
    async with harbour() as at:
        wanted = at.wanted("boxes")
        for change in (
            lambda: at.world.move_geometry(at.chosen("boxes"), at.image(wanted)),
            lambda: at.world.set_status(at.chosen("boxes"), at.image(wanted), Status.SKIPPED),
            lambda: at.world.tag(at.chosen("boxes"), at.image(wanted), "fog"),
        ):
            dataset = await at.provider.dataset(HARBOUR)
            rows, _ = await listed(at.provider, dataset)
            before = {(row.id, doc.set): doc.token for row in rows for doc in row.documents}
            change()
            rows, _ = await listed(at.provider, await at.provider.dataset(HARBOUR))
            after = {(row.id, doc.set): doc.token for row in rows for doc in row.documents}
            moved = {key for key in after if after[key] != before[key]}
            assert moved == {(wanted.key.image, wanted.key.set)}


# --- torn reads --------------------------------------------------------------------------------------------------


def sketches(count: int) -> tuple[Sketch, ...]:
    return tuple(
        Sketch(name=f"N {n}", points=((n, n), (n + 5, n + 6)), marks=(Mark("Ship"),)) for n in range(1, count + 1)
    )


@pytest.mark.parametrize("seed", range(6))
async def test_a_reading_is_the_old_document_or_the_new_one_and_never_between(seed: int) -> None:
    rng = random.Random(seed)
    async with harbour(clock=QuickClock(pace=0.02)) as at:
        wanted, boxes = at.wanted("boxes"), at.chosen("boxes")
        old = at.parsed(await at.read(wanted))
        steps = at.world.saving(boxes, at.image(wanted), sketches(6), (), status=Status.NOT_ANNOTATED)

        async def somebody_saves() -> None:
            for _ in steps:
                await anyio.sleep(rng.uniform(0.001, 0.02))

        names = {tuple(str(item["name"]) for item in items(old)), tuple(f"N {n}" for n in range(1, 7))}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(somebody_saves)
            for _ in range(8):
                (way,) = await at.provider.read_ways(at.dataset)
                readings = [await at.read(wanted)]
                readings += [found async for found in at.provider.read(at.dataset, way, stream_of([wanted.image]))]
                for reading in readings:
                    if reading.problem is not None:
                        assert reading.problem.code == Unavailable.code
                    elif reading.key == wanted.key:
                        assert tuple(str(item["name"]) for item in items(at.parsed(reading))) in names, f"seed {seed}"


async def test_half_a_save_that_nobody_finishes_is_what_the_server_holds_after_a_while() -> None:
    clock = QuickClock()
    async with harbour(clock=clock) as at:
        wanted = at.wanted("boxes")
        steps = at.world.saving(at.chosen("boxes"), at.image(wanted), sketches(3), (), status=Status.DONE)
        for _ in range(5):
            next(steps)
        reading = await at.read(wanted)
        assert [item["name"] for item in items(at.parsed(reading))] == ["N 1", "N 2"]
        assert clock.slept_s


async def test_objects_stand_in_their_own_order_and_not_in_that_of_their_names() -> None:
    async with harbour() as at:
        wanted = at.wanted("boxes")
        drawn = [replace(sketch, name=f"OBJ {number}") for number, sketch in enumerate(sketches(12), 1)]
        at.world.save(at.chosen("boxes"), at.image(wanted), drawn)
        held = at.parsed(await at.read(wanted))
        assert [item["position_number"] for item in items(held)] == list(range(1, 13))
        assert not (await at.provider.capabilities()).atomic_saves


async def test_an_object_that_hides_behind_another_leaves_its_classes_to_it() -> None:
    async with harbour() as at:
        wanted, boxes = at.wanted("boxes"), at.chosen("boxes")
        first, *_ = sketches(1)
        at.world.save(boxes, at.image(wanted), [first])
        row = boxes.row(at.image(wanted))
        assert row is not None
        hidden = row.objects[0].__class__(999, "hidden", first.points, (Mark("Buoy"),), False, 0)
        row.objects.append(hidden)
        row.settled = row.content
        (shown,) = items(at.parsed(await at.read(wanted)))
        classes = shown["classes"]
        assert isinstance(classes, list)
        assert {each["name"] for each in classes} == {"Ship", "Buoy"}


# --- images ------------------------------------------------------------------------------------------------------


async def test_originals_come_whole_whether_large_linked_or_of_odd_names() -> None:
    async with harbour(images=14) as at:
        for rows in (at.rows, at.rows[:1]):
            found = await fetched(at.provider, at.dataset, rows)
            assert found == {row.id: at.world.image(row.id).content for row in rows}
        large = [image for image in at.world.dataset("harbour") if image.reduced]
        linked = [image for image in at.world.dataset("harbour") if image.linked]
        assert large
        assert linked
        assert re.search(r"[%#]", linked[0].linked or "")
        for image in (*large, *linked):
            (row,) = [row for row in at.rows if row.id == str(image.id)]
            assert await fetched(at.provider, at.dataset, [row]) == {row.id: image.content}


async def test_a_file_that_is_not_what_was_taken_in_is_told_by_its_md5() -> None:
    async with harbour() as at:
        row = at.rows[0]
        image = at.world.image(row.id)
        image.payload = bytes(reversed(image.content))
        with pytest.raises(BodyMismatch):
            await fetched(at.provider, at.dataset, [row])


async def test_one_file_that_the_server_lost_does_not_look_like_a_server_that_is_down() -> None:
    async with harbour() as at:
        lost = at.world.image(at.rows[0].id)
        path = f"/media/*/{lost.md5}"
        for rows in (at.rows[:1], at.rows):
            at.standin.faults.add(Fault(route=path, kind=FaultKind.ERROR_500, times=1000))
            with pytest.raises(RemoteError) as raised:
                await fetched(at.provider, at.dataset, rows)
            assert not isinstance(raised.value, Unavailable)


# --- saves -------------------------------------------------------------------------------------------------------


async def test_annotations_status_and_tags_are_saved_each_by_its_own_call_and_only_where_they_differ() -> None:
    async with harbour() as at:
        wanted = at.wanted("boxes")
        route = at.requests
        done = await at.save(wanted, annotations=[box(3), box(1, "first")], status="done", tags=["fog", "night"])
        assert done.answer is SaveAnswer.CLAIMED, done.message
        held = at.parsed(await at.read(wanted))
        assert (held["status"], held["tags"]) == ("done", ["fog", "night"])
        assert [(item["name"], item["position_number"]) for item in items(held)] == [("OBJ 3", 1), ("first", 2)]
        saves, statuses = route("annotations.save"), route("status.set")
        assert (await at.save(wanted, tags=["fog"], status="skipped")).answer is SaveAnswer.CLAIMED
        assert (route("annotations.save"), route("status.set")) == (saves, statuses + 1)
        held = at.parsed(await at.read(wanted))
        assert (held["status"], held["tags"], len(items(held))) == ("skipped", ["fog"], 2)
        assert (await at.save(wanted, annotations=[])).answer is SaveAnswer.CLAIMED
        held = at.parsed(await at.read(wanted))
        assert (held["status"], held["tags"], items(held)) == ("skipped", ["fog"], [])


async def test_a_classification_keeps_its_status_when_it_is_saved() -> None:
    async with harbour() as at:
        wanted = at.wanted("scene")
        assert at.parsed(await at.read(wanted))["status"] == "done"
        classes = [{"name": "Calm", "questionable": True}, {"name": "Busy", "score": 0.25}]
        assert (await at.save(wanted, annotations=classes)).answer is SaveAnswer.CLAIMED
        held = at.parsed(await at.read(wanted))
        assert held["status"] == "done"
        assert [(item["name"], item.get("score"), item["questionable"]) for item in items(held)] == [
            ("Busy", 0.25, False),
            ("Calm", None, True),
        ]
        assert (await at.save(wanted, annotations=classes[:1], status="skipped")).answer is SaveAnswer.CLAIMED
        assert at.requests("status.set") == 0
        assert (await at.save(wanted, status="not_annotated")).answer is SaveAnswer.CLAIMED
        assert at.parsed(await at.read(wanted))["status"] == "not_annotated"


async def test_a_box_of_no_size_is_named_and_not_sent() -> None:
    async with harbour() as at:
        wanted = at.wanted("boxes")
        saves = at.requests("annotations.save")
        flat = {**box(1), "coordinates": [{"x": 5, "y": 6}, {"x": 5, "y": 6}]}
        refused = await at.save(wanted, annotations=[box(2), flat])
        assert refused.answer is SaveAnswer.REFUSED
        assert refused.message.startswith('/annotations/1/coordinates: the object "OBJ 1" has no size.')
        assert at.requests("annotations.save") == saves


@pytest.mark.parametrize("route", ["annotations.save", "status.set", "tags.add", "tags.remove"])
@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER, FaultKind.RESET, FaultKind.PAGE_400])
async def test_a_save_that_is_cut_off_is_finished_by_saving_again(route: str, kind: FaultKind) -> None:
    async with harbour() as at:
        wanted = at.wanted("boxes")
        assert (await at.save(wanted, tags=["old"])).answer is SaveAnswer.CLAIMED
        before = await at.read(wanted)
        body = {**at.parsed(before), "annotations": [box(1), box(2)], "status": "skipped", "tags": ["new"]}
        save = Save(wanted.key, wanted.image, body, before, "key")
        at.standin.faults.add(Fault(route=route, kind=kind))
        (cut,) = await at.provider.save_many(at.dataset, [save])
        assert cut.answer is SaveAnswer.UNKNOWN
        found = await at.read(wanted)
        format_ = at.provider.format
        assert format_.half_saved(at.parsed(before), body, at.parsed(found))
        again = Save(wanted.key, wanted.image, body, found, "key")
        (done,) = await at.provider.save_many(at.dataset, [again])
        assert done.answer is SaveAnswer.CLAIMED, done.message
        assert (await at.read(wanted)).digest == format_.digest(body)


async def test_a_refusal_after_the_first_step_leaves_a_save_to_be_read_back() -> None:
    async with harbour() as at:
        wanted = at.wanted("boxes")
        for changes, answer in (({"annotations": [box(1)]}, SaveAnswer.UNKNOWN), ({}, SaveAnswer.GONE)):
            at.standin.faults.add(Fault(route="status.set", kind=FaultKind.STRANGER))
            assert (await at.save(wanted, status="skipped", **changes)).answer is answer


async def test_an_answer_that_shows_a_union_with_somebody_elses_save_is_not_taken_for_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with harbour() as at:
        wanted, boxes = at.wanted("boxes"), at.chosen("boxes")
        row = boxes.row(at.image(wanted))
        assert row is not None
        theirs = Object(999, "theirs", ((700, 1), (720, 9)), (Mark("Ship"),), False, 1)
        alone = at.world.saving

        def meeting(*asked: Any, **more: Any) -> Iterator[None]:
            for number, _ in enumerate(alone(*asked, **more)):
                if number == 3:
                    row.objects.append(theirs)
                yield

        monkeypatch.setattr(at.world, "saving", meeting)
        result = await at.save(wanted, annotations=[box(n) for n in range(1, 5)])
        assert result.answer is SaveAnswer.UNKNOWN
        assert "others are stored" in result.message
        found = items(at.parsed(await at.read(wanted)))
        assert {item["name"] for item in found} == {"OBJ 1", "OBJ 2", "OBJ 3", "OBJ 4", "theirs"}


async def test_two_documents_of_one_image_are_saved_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with harbour() as at:
        at.world.step_s = 0.002
        saving, under_way, most = at.world.saving, 0, 0

        def watched(*what: Any, **more: Any) -> Iterator[None]:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            yield from saving(*what, **more)
            under_way -= 1

        monkeypatch.setattr(at.world, "saving", watched)
        boxes, outlines = at.wanted("boxes"), at.wanted("outlines")
        outlines = WantedDocument(DocumentKey(boxes.key.image, outlines.key.set), boxes.image)
        saves = []
        for wanted in (boxes, outlines):
            before = await at.read(wanted)
            points = [{"x": 1, "y": 2}, {"x": 50, "y": 60}, {"x": 9, "y": 80}]
            added = {**box(1), "coordinates": points} if wanted is outlines else box(1)
            saves.append(Save(wanted.key, wanted.image, {**at.parsed(before), "annotations": [added]}, before, "key"))
        results = await at.provider.save_many(at.dataset, saves)
        assert {result.answer for result in results} == {SaveAnswer.CLAIMED}
        assert most == 1
        for save in saves:
            read = await at.read(WantedDocument(save.key, save.image))
            assert read.digest == at.provider.format.digest(save.wanted)


async def test_a_set_that_is_gone_is_a_problem_of_its_documents() -> None:
    async with harbour() as at:
        wanted = at.wanted("boxes")
        at.world.remove_set(at.chosen("boxes"))
        reading = await at.read(wanted)
        assert reading.problem is not None
        assert reading.problem.code == NotFound.code
