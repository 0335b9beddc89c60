"""Saves to COCO Annotator are composed of steps, and stand up to being cut off at any of them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest

from labelmirror.errors import KeyRefused, Unavailable
from labelmirror.model.document import render
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset, ListedImage, Reading
from labelmirror.model.saving import Save, SaveAnswer, SaveResult
from labelmirror.providers.coco_annotator.provider import CocoAnnotatorProvider
from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve
from labelmirror.standin.coco_annotator import Annotation, CocoWorld, Image
from support.coco_annotator import coco_provider_at, coco_provider_on
from support.pictograph import HARBOUR, listed
from support.saves import read_one

CREATE, MOVE, STORE, DELETE = "annotations.create", "annotations.update", "annotator.save", "annotations.delete"
READ = "annotator.read"
TRIANGLE = [1.0, 1.0, 20.0, 1.0, 20.0, 15.25]


@dataclass(slots=True)
class Scene:
    """A provider on a stand-in, and an image with at least three annotations."""

    standin: Standin
    world: CocoWorld
    provider: CocoAnnotatorProvider
    dataset: Dataset
    row: ListedImage
    image: Image

    async def read(self) -> Reading:
        return await read_one(self.provider, self.dataset, self.row)

    def document(self, reading: Reading) -> dict[str, Any]:
        assert reading.data is not None
        return deepcopy(dict(self.provider.format.parse(reading.data)))

    def save_of(self, before: Reading, wanted: Mapping[str, Any]) -> Save:
        return Save(before.key, self.row, wanted, before, "key")

    async def send(self, before: Reading, wanted: Mapping[str, Any]) -> SaveResult:
        (result,) = await self.provider.save_many(self.dataset, [self.save_of(before, wanted)])
        return result

    def others(self) -> Sequence[object]:
        """All that a save of this image has no business with."""
        return deepcopy(
            [
                *self.world.categories.values(),
                *self.world.datasets.values(),
                *self.world.users.values(),
                *(image for image in self.world.images.values() if image is not self.image),
                *(item for item in self.world.annotations.values() if item.image_id != self.image.id),
            ]
        )

    @property
    def asked(self) -> dict[str, int]:
        return {name: count for name, count in self.standin.requests.by_route.items() if count}


@asynccontextmanager
async def scene(*, shared: bool = False) -> AsyncIterator[Scene]:
    async with serve(StandinOptions(kind="coco-annotator")) as standin:
        world = standin.world_as(CocoWorld)
        harbour = world.dataset("harbour")
        harbour.annotate_url = "http://pages/"
        harbour.default_annotation_metadata = {"checked": ""}
        world.users["admin"].preferences = {"shortcuts": [1]}
        world.add_user("carol", "pw").preferences = {"hers": 1}
        harbour.users.append("carol")
        image = next(image for image in world.images_of(harbour) if len(world.annotations_of(image)) == 3)
        async with coco_provider_on(standin, login=("carol", "pw") if shared else None) as provider:
            dataset = await provider.dataset(HARBOUR)
            rows, _ = await listed(provider, dataset)
            row = next(row for row in rows if row.id == str(image.id))
            standin.requests.clear()
            yield Scene(standin, world, provider, dataset, row, image)


def edit(document: dict[str, Any]) -> dict[str, Any]:
    """Everything at once: one annotation goes, one is drawn anew in another category, two are added, metadata change."""
    first, second, _ = document["annotations"]
    moved = next(row["id"] for row in document["categories"] if row["id"] != second["category_id"])
    second |= {"category_id": moved, "segmentation": [TRIANGLE], "keypoints": [], "isbbox": False, "metadata": {"n": 1}}
    addition = {"category_id": first["category_id"], "segmentation": [TRIANGLE], "metadata": {"new": 1}}
    bare = {"category_id": moved, "segmentation": [[number + 0.5 for number in TRIANGLE]]}
    document["annotations"] = [addition, second, first, bare]
    document["image"]["metadata"] = {"weather": "sun"}
    return document


@pytest.mark.parametrize("shared", [False, True])
async def test_a_save_of_everything_is_stored_and_touches_nothing_else(shared: bool) -> None:
    async with scene(shared=shared) as made:
        before, others = await made.read(), made.others()
        wanted = edit(made.document(before))
        made.standin.requests.clear()
        assert (await made.send(before, wanted)).answer is SaveAnswer.CLAIMED
        assert made.asked == {CREATE: 2, READ: 1, MOVE: 1, STORE: 1, DELETE: 1}
        assert (await made.read()).digest == made.provider.format.digest(wanted)
        assert made.others() == others
        assert (made.image.num_annotations, made.image.annotated) == (4, True)
        assert made.image.category_ids == sorted({item["category_id"] for item in wanted["annotations"]})


async def test_a_save_again_changes_nothing() -> None:
    async with scene() as made:
        before = await made.read()
        wanted = edit(made.document(before))
        await made.send(before, wanted)
        after = await made.read()
        held = made.document(after)
        made.standin.requests.clear()
        await made.send(after, held)
        assert made.asked == {STORE: 1}
        assert await made.read() == after


async def test_a_document_is_cleared_and_its_counters_with_it() -> None:
    async with scene() as made:
        before = await made.read()
        await made.send(before, {**made.document(before), "annotations": []})
        assert made.world.annotations_of(made.image) == []
        assert (made.image.num_annotations, made.image.annotated, made.image.category_ids) == (0, False, [])


async def test_what_was_read_just_before_is_not_read_again_for_the_save() -> None:
    async with scene() as made:
        before = await made.read()
        other = await made.read()
        made.standin.requests.clear()
        await made.send(before, made.document(before))
        assert made.asked == {STORE: 1}
        assert other == before
        await made.send(before, made.document(before))
        assert made.asked == {STORE: 2, READ: 1}


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.RESET_AFTER, FaultKind.ERROR_500, FaultKind.HTML])
@pytest.mark.parametrize(
    ("route", "nth"), [(CREATE, 1), (CREATE, 2), (MOVE, 1), (STORE, 1), (DELETE, 1), (None, 1), (None, 2)]
)
async def test_a_save_that_is_cut_off_anywhere_is_finished_from_what_is_there(
    route: str | None, nth: int, kind: FaultKind
) -> None:
    async with scene() as made:
        before, others = await made.read(), made.others()
        wanted = edit(made.document(before))
        documents, body = made.provider.format, made.provider.format.digest(wanted)
        if route is None:
            # Cut off in the middle of the one request that stores all: the server breaks at the nth annotation.
            writes = 0

            async def break_off() -> None:
                nonlocal writes
                writes += 1
                if writes == 2 * nth:
                    raise ValueError("broken")

            made.world.between_writes = break_off
        else:
            made.standin.faults.add(Fault(route=route, kind=kind, nth=nth))
        result = await made.send(before, wanted)
        found = await made.read()
        if kind is FaultKind.HTML and route is MOVE:
            assert result.answer in {SaveAnswer.CLAIMED, SaveAnswer.UNKNOWN}
        else:
            assert result.answer is SaveAnswer.UNKNOWN
        if found.digest not in {before.digest, body}:
            assert documents.half_saved(made.document(before), wanted, made.document(found))
        result = await made.send(found, wanted)
        assert result.answer is SaveAnswer.CLAIMED
        after = await made.read()
        assert after.digest == body
        assert made.others() == others
        assert len(made.world.annotations_of(made.image)) == 4


async def test_a_creation_is_never_sent_twice_in_one_save() -> None:
    async with scene() as made:
        before = await made.read()
        made.standin.faults.add(Fault(route=CREATE, kind=FaultKind.RESET_AFTER, times=99))
        result = await made.send(before, edit(made.document(before)))
        assert (result.answer, made.asked[CREATE]) == (SaveAnswer.UNKNOWN, 1)


async def test_nothing_is_sent_where_somebody_saved_or_opened_the_image_meanwhile() -> None:
    async with scene() as made:
        before = await made.read()
        await read_one(made.provider, made.dataset, made.row)
        made.provider._opened = None
        made.world.move_geometry(made.image)
        made.standin.requests.clear()
        assert (await made.send(before, edit(made.document(before)))).answer is SaveAnswer.OVERTAKEN
        assert made.asked == {READ: 1}
        before = await made.read()
        made.provider._opened = None
        made.image.annotating.append("bob")
        made.standin.requests.clear()
        assert (await made.send(before, edit(made.document(before)))).answer is SaveAnswer.OVERTAKEN
        assert made.asked == {READ: 1}


async def test_what_somebody_saves_while_additions_are_created_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scene() as made:
        before = await made.read()
        create = made.world.create

        def meanwhile(*arguments: Any, **content: Any) -> Annotation:
            made.world.move_geometry(made.image)
            return create(*arguments, **content)

        monkeypatch.setattr(made.world, "create", meanwhile)
        result = await made.send(before, edit(made.document(before)))
        assert result.answer is SaveAnswer.OVERTAKEN
        held = made.document(await made.read())["annotations"]
        assert [item["id"] for item in held] == [item["id"] for item in made.document(before)["annotations"]]
        assert held != made.document(before)["annotations"]
        assert STORE not in made.asked


async def test_an_image_that_somebody_opens_while_additions_are_created_is_left_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scene() as made:
        before = await made.read()
        create = made.world.create

        def meanwhile(*arguments: Any, **content: Any) -> Annotation:
            made.image.annotating = ["bob"]
            return create(*arguments, **content)

        monkeypatch.setattr(made.world, "create", meanwhile)
        assert (await made.send(before, edit(made.document(before)))).answer is SaveAnswer.OVERTAKEN
        assert (await made.read()).digest == before.digest
        assert STORE not in made.asked


async def test_an_image_that_is_gone_is_told_as_gone() -> None:
    async with scene() as made:
        before = await made.read()
        made.world.delete(made.image)
        assert (await made.send(before, edit(made.document(before)))).answer is SaveAnswer.GONE
        made.provider._opened = None
        made.world.restore(made.image)
        before = await made.read()
        made.provider._opened = None
        made.world.erase(made.image)
        assert (await made.send(before, edit(made.document(before)))).answer is SaveAnswer.GONE


async def test_a_change_that_no_request_makes_is_refused_before_anything_is_sent() -> None:
    async with scene() as made:
        before = await made.read()
        wanted = made.document(before)
        wanted["annotations"][0]["iscrowd"] = True
        assert list(await made.provider.problems(made.dataset, before.key, render(wanted))) == []
        made.standin.requests.clear()
        result = await made.send(before, wanted)
        assert result.answer is SaveAnswer.REFUSED
        assert "/annotations/0/iscrowd" in result.message
        assert made.asked == {}


async def test_a_stop_before_anything_was_sent_is_raised_and_after_it_leaves_the_rest_unknown() -> None:
    async with scene() as made:
        before = await made.read()
        save = made.save_of(before, edit(made.document(before)))
        password = made.world.users["admin"].password
        made.world.users["admin"].password = "changed"
        with pytest.raises(KeyRefused):
            await made.provider.save_many(made.dataset, [save])
        made.world.users["admin"].password = password
        await made.read()

        async def change_password() -> None:
            made.world.users["admin"].password = "changed"

        made.world.between_writes = change_password
        results = await made.provider.save_many(made.dataset, [save, replace(save, key=DocumentKey("another"))])
        assert [result.answer for result in results] == [SaveAnswer.UNKNOWN, SaveAnswer.UNKNOWN]
        assert "not sent" in results[1].message


async def test_a_server_that_is_not_there_stops_all_saves() -> None:
    async with scene() as made:
        before = await made.read()
        save = made.save_of(before, made.document(before))
        async with coco_provider_at("http://127.0.0.1:9") as nowhere:
            with pytest.raises(Unavailable):
                await nowhere.save_many(made.dataset, [save])


async def test_deletions_that_somebody_made_before_ours_leave_the_save_to_be_read_back() -> None:
    async with scene() as made:
        before = await made.read()
        wanted = made.document(before)
        (gone, *wanted["annotations"]) = wanted["annotations"]
        made.world.erase(made.world.annotations[gone["id"]])
        assert (await made.send(before, wanted)).answer is SaveAnswer.UNKNOWN
        assert (await made.read()).digest == made.provider.format.digest(wanted)


async def test_an_annotation_that_the_server_has_no_size_of_stays_in_the_way_of_nothing_but_its_own_polygons() -> None:
    async with scene() as made:
        old = made.world.annotations_of(made.image)[0]
        old.paper_object = []
        old.width = None  # type: ignore[assignment]  # as an early server stored it
        before = await made.read()
        wanted = edit(made.document(before))
        wanted["annotations"][2]["metadata"] = {"seen": 1}
        assert (await made.send(before, wanted)).answer is SaveAnswer.CLAIMED
        after = await made.read()
        assert after.digest == made.provider.format.digest(wanted)
        redrawn = made.document(after)
        (there,) = (item for item in redrawn["annotations"] if item["id"] == old.id)
        there["segmentation"] = [TRIANGLE]
        redrawn["annotations"].append({"category_id": old.category_id, "segmentation": [TRIANGLE]})
        made.standin.requests.clear()
        result = await made.send(after, redrawn)
        assert (result.answer, made.asked) == (SaveAnswer.REFUSED, {})
        assert "no width and height" in result.message
