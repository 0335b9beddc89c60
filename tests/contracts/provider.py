"""The laws that every provider keeps. A binding says how to open one and how to change its server."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

import pytest

from labelmirror.errors import InvalidDocument, UnknownDataset
from labelmirror.model.document import JsonObject, render
from labelmirror.model.keys import DatasetRef
from labelmirror.model.remote import Dataset, ListedImage
from labelmirror.model.saving import SaveAnswer
from labelmirror.ports.provider import Provider
from support.pictograph import fetched, listed, read_all
from support.saves import annotations_of, read_one, save_of, wanted_of


class Stage(Protocol):
    """A server with at least ten images in one dataset, a document each; at least one with annotations and one without."""

    @property
    def provider(self) -> Provider:
        """Opened on that server."""
        ...

    @property
    def ref(self) -> DatasetRef:
        """The dataset."""
        ...

    def ids(self) -> frozenset[str]:
        """The images that the server has now."""
        ...

    def names(self) -> frozenset[str]:
        """Their file names."""
        ...

    def content(self, image: str) -> bytes:
        """An image's bytes."""
        ...

    def annotation_ids(self, image: str) -> frozenset[str]:
        """What tells an image's annotations apart."""
        ...

    def annotate(self, image: str) -> None:
        """Add an annotation to an image."""
        ...

    def nudge(self, image: str) -> None:
        """Change an annotated image's annotations, but not their number."""
        ...

    def remove(self, image: str) -> None:
        """Delete an image."""
        ...

    def lose_save_answers(self) -> None:
        """Let the answers to saves be lost from now on; what they ask for is done."""
        ...

    def saves_asked_for(self) -> int:
        """How many requests to save the server has seen."""
        ...

    def addition(self, annotation: JsonObject) -> JsonObject:
        """The same annotation once more, as a person adds one."""
        ...

    def refusable(self, annotation: JsonObject) -> JsonObject:
        """The annotation with a category that the dataset has not."""
        ...


class ProviderContract(ABC):
    #: The field that tells the annotations of a document apart.
    identity = "id"
    #: How many requests reading a document again may cost.
    reread_requests_max = 1

    @abstractmethod
    def stage(self) -> AbstractAsyncContextManager[Stage]:
        """A server with a dataset on it, and the provider that is to keep the laws."""
        ...

    async def test_a_listing_is_complete_and_proves_it(self) -> None:
        async with self.stage() as stage:
            rows, end = await listed(stage.provider, await stage.provider.dataset(stage.ref))
            assert {row.id for row in rows} == stage.ids()
            assert {row.name for row in rows} == stage.names()
            assert end.steady
            assert end.announced == len(stage.ids())
            assert end.pages <= -(-len(rows) // (await stage.provider.capabilities()).listing_page) + 1

    async def test_a_listing_says_truly_what_is_empty(self) -> None:
        async with self.stage() as stage:
            rows, _ = await listed(stage.provider, await stage.provider.dataset(stage.ref))
            for row in rows:
                assert row.annotations == len(stage.annotation_ids(row.id))
                if row.documents[0].empty:
                    assert not stage.annotation_ids(row.id)
            assert any(row.documents[0].empty for row in rows)

    async def test_an_unknown_dataset_is_told_with_the_nearest_name(self) -> None:
        async with self.stage() as stage:
            assert stage.ref.name is not None
            with pytest.raises(UnknownDataset) as unknown:
                await stage.provider.dataset(DatasetRef(name=stage.ref.name + "x"))
            assert stage.ref.name in unknown.value.message + unknown.value.hint

    async def test_a_name_that_is_like_no_other_is_told_with_the_names_there_are(self) -> None:
        async with self.stage() as stage:
            assert stage.ref.name is not None
            with pytest.raises(UnknownDataset) as unknown:
                await stage.provider.dataset(DatasetRef(name="0123456789"))
            assert stage.ref.name in unknown.value.message + unknown.value.hint

    async def test_a_dataset_is_found_by_its_id_too(self) -> None:
        async with self.stage() as stage:
            by_name = await stage.provider.dataset(stage.ref)
            assert await stage.provider.dataset(DatasetRef(id=by_name.id)) == by_name
            assert by_name in await stage.provider.datasets()

    async def test_every_way_of_reading_brings_the_same_annotations(self) -> None:
        async with self.stage() as stage:
            dataset = await stage.provider.dataset(stage.ref)
            rows, _ = await listed(stage.provider, dataset)
            wanted = [row for row in rows if not row.documents[0].empty]
            digests = []
            for way in await stage.provider.read_ways(dataset):
                readings = await read_all(stage.provider, dataset, way, wanted)
                assert {row.id for row in wanted} <= readings.keys()
                for row in wanted:
                    reading = readings[row.id]
                    assert reading.problem is None
                    assert reading.data is not None
                    parsed = stage.provider.format.parse(reading.data)
                    found = {str(item[self.identity]) for item in stage.provider.format.annotations(parsed)}
                    assert found == stage.annotation_ids(row.id)
                    assert stage.provider.format.digest(parsed) == reading.digest
                    assert sum(reading.counts.values()) == len(found)
                digests.append({row.id: readings[row.id].digest for row in wanted})
            assert all(found == digests[0] for found in digests)

    async def test_a_digest_moves_with_every_edit_and_a_token_with_the_count(self) -> None:
        async with self.stage() as stage:
            dataset = await stage.provider.dataset(stage.ref)
            rows, _ = await listed(stage.provider, dataset)
            row = next(row for row in rows if not row.documents[0].empty)
            for way in await stage.provider.read_ways(dataset):
                before = (await read_all(stage.provider, dataset, way, [row]))[row.id]
                stage.nudge(row.id)
                nudged = (await read_all(stage.provider, dataset, way, [row]))[row.id]
                assert nudged.digest != before.digest
                assert nudged.counts == before.counts
                stage.annotate(row.id)
                after, _ = await listed(stage.provider, dataset)
                moved = next(item for item in after if item.id == row.id)
                assert moved.documents[0].token != row.documents[0].token
                row = moved

    async def test_an_empty_document_equals_what_a_read_would_bring(self) -> None:
        async with self.stage() as stage:
            dataset = await stage.provider.dataset(stage.ref)
            rows, _ = await listed(stage.provider, dataset)
            row = next(row for row in rows if row.documents[0].empty)
            composed = stage.provider.empty(dataset, row, row.documents[0])
            single = next(way for way in await stage.provider.read_ways(dataset) if not way.covers_all)
            assert (await read_all(stage.provider, dataset, single, [row]))[row.id] == composed
            assert composed.counts == {}

    async def test_an_image_that_is_gone_is_a_problem_of_its_own(self) -> None:
        async with self.stage() as stage:
            dataset = await stage.provider.dataset(stage.ref)
            rows, _ = await listed(stage.provider, dataset)
            gone = next(row for row in rows if not row.documents[0].empty)
            stage.remove(gone.id)
            single = next(way for way in await stage.provider.read_ways(dataset) if not way.covers_all)
            readings = await read_all(stage.provider, dataset, single, rows)
            assert {key for key, reading in readings.items() if reading.problem} == {gone.id}
            problem = readings[gone.id].problem
            assert problem is not None
            assert problem.code == "not_found"

    async def test_only_what_is_gone_is_confirmed_absent(self) -> None:
        async with self.stage() as stage:
            dataset = await stage.provider.dataset(stage.ref)
            gone, *rest = sorted(stage.ids())
            stage.remove(gone)
            assert await stage.provider.confirm_absent(dataset, [gone, *rest[:3]]) == {gone}

    @pytest.mark.parametrize("wanted", [1, 2, 10])
    async def test_image_bytes_come_as_they_are(self, wanted: int) -> None:
        async with self.stage() as stage:
            dataset = await stage.provider.dataset(stage.ref)
            rows, _ = await listed(stage.provider, dataset)
            found = await fetched(stage.provider, dataset, rows[:wanted])
            assert found == {row.id: stage.content(row.id) for row in rows[:wanted]}

    async def test_requests_are_counted(self) -> None:
        async with self.stage() as stage:
            before = stage.provider.traffic()
            await stage.provider.dataset(stage.ref)
            assert stage.provider.traffic().since(before).api >= 1

    # --- saving --------------------------------------------------------------------------------------------------

    async def test_rereading_keeps_the_order_and_stops_when_told(self) -> None:
        async with self.stage() as stage:
            dataset, rows = await _annotated(stage)
            gone = rows[1]
            stage.remove(gone.id)
            before = stage.provider.traffic()
            async with aclosing(stage.provider.reread(dataset, wanted_of(rows))) as readings:
                found = [await anext(readings) for _ in range(3)]
            assert [reading.key.image for reading in found] == [row.id for row in rows[:3]]
            assert [reading.problem is None for reading in found] == [True, False, True]
            assert stage.provider.traffic().since(before).api <= 3 * self.reread_requests_max

    async def test_a_save_replaces_what_the_server_holds(self) -> None:
        async with self.stage() as stage:
            dataset, rows = await _annotated(stage)
            before = await read_one(stage.provider, dataset, rows[0])
            first, *_ = annotations_of(stage.provider, before)
            save = save_of(stage.provider, before, rows[0], [stage.addition(first), first])
            (result,) = await stage.provider.save_many(dataset, [save])
            assert result.key == save.key
            assert result.answer is SaveAnswer.CLAIMED
            assert result.previous_count in {None, len(annotations_of(stage.provider, before))}
            after = await read_one(stage.provider, dataset, rows[0])
            assert after.digest == stage.provider.format.digest(save.wanted) != before.digest
            assert len(stage.annotation_ids(rows[0].id)) == 2
            assert str(first[self.identity]) in stage.annotation_ids(rows[0].id)

    async def test_a_document_can_be_cleared_and_filled_again(self) -> None:
        async with self.stage() as stage:
            dataset, rows = await _annotated(stage)
            before = await read_one(stage.provider, dataset, rows[0])
            clearing = save_of(stage.provider, before, rows[0], [])
            await stage.provider.save_many(dataset, [clearing])
            empty = await read_one(stage.provider, dataset, rows[0])
            assert (empty.counts, stage.annotation_ids(rows[0].id)) == ({}, frozenset())
            filling = save_of(stage.provider, empty, rows[0], annotations_of(stage.provider, before))
            await stage.provider.save_many(dataset, [filling])
            assert (await read_one(stage.provider, dataset, rows[0])).digest == before.digest

    async def test_many_saves_are_answered_one_by_one_in_their_order(self) -> None:
        async with self.stage() as stage:
            dataset, rows = await _annotated(stage)
            gone = rows[1]
            saves = []
            for row in rows:
                before = await read_one(stage.provider, dataset, row)
                saves.append(save_of(stage.provider, before, row, annotations_of(stage.provider, before)[:-1]))
            stage.remove(gone.id)
            results = await stage.provider.save_many(dataset, saves)
            assert [result.key for result in results] == [save.key for save in saves]
            for row, save, result in zip(rows, saves, results, strict=True):
                if row is gone:
                    assert result.answer is SaveAnswer.GONE
                    assert result.message
                else:
                    assert result.answer is SaveAnswer.CLAIMED
                    after = await read_one(stage.provider, dataset, row)
                    assert after.digest == stage.provider.format.digest(save.wanted)

    async def test_a_bad_document_is_refused_and_the_others_are_saved(self) -> None:
        async with self.stage() as stage:
            dataset, rows = await _annotated(stage)
            saves = []
            for row in rows[:3]:
                before = await read_one(stage.provider, dataset, row)
                first, *_ = annotations_of(stage.provider, before)
                wanted = stage.refusable(first) if row is rows[1] else stage.addition(first)
                saves.append(save_of(stage.provider, before, row, [wanted]))
            held = stage.annotation_ids(rows[1].id)
            results = await stage.provider.save_many(dataset, saves)
            assert [result.answer for result in results] == [
                SaveAnswer.CLAIMED,
                SaveAnswer.REFUSED,
                SaveAnswer.CLAIMED,
            ]
            assert results[1].message
            assert stage.annotation_ids(rows[1].id) == held
            assert len(stage.annotation_ids(rows[0].id)) == len(stage.annotation_ids(rows[2].id)) == 1

    @pytest.mark.parametrize("wanted", [1, 3])
    async def test_a_save_whose_answer_is_lost_is_unknown_and_never_sent_again(self, wanted: int) -> None:
        async with self.stage() as stage:
            dataset, rows = await _annotated(stage)
            saves = []
            for row in rows[:wanted]:
                before = await read_one(stage.provider, dataset, row)
                saves.append(save_of(stage.provider, before, row, annotations_of(stage.provider, before)[1:]))
            stage.lose_save_answers()
            results = await stage.provider.save_many(dataset, saves)
            assert {result.answer for result in results} == {SaveAnswer.UNKNOWN}
            assert all(result.message for result in results)
            assert 1 <= stage.saves_asked_for() <= wanted

    async def test_a_document_as_it_was_read_has_no_problem_and_one_of_another_image_has_until_translated(self) -> None:
        async with self.stage() as stage:
            dataset, rows = await _annotated(stage)
            reading = await read_one(stage.provider, dataset, rows[0])
            assert reading.data is not None
            sent = stage.saves_asked_for()
            assert await stage.provider.problems(dataset, reading.key, reading.data) == []
            other = await read_one(stage.provider, dataset, rows[1])
            (problem,) = await stage.provider.problems(dataset, other.key, reading.data)
            assert problem.pointer
            assert problem.line > 0
            assert other.data is not None
            documents = stage.provider.format
            held, there = documents.parse(reading.data), documents.parse(other.data)
            wanted = documents.translated(held, there)
            moved = documents.rebuilt(there, documents.keyed(wanted, wanted))
            assert documents.digest(moved) == documents.digest(held)
            assert await stage.provider.problems(dataset, other.key, render(moved)) == []
            assert stage.saves_asked_for() == sent

    async def test_the_problem_of_a_document_has_its_place(self) -> None:
        async with self.stage() as stage:
            dataset, rows = await _annotated(stage)
            reading = await read_one(stage.provider, dataset, rows[0])
            first, *others = annotations_of(stage.provider, reading)
            assert reading.data is not None
            held = stage.provider.format.parse(reading.data)
            wanted = {**held, "annotations": [*others, {**first, self.identity: ""}]}
            (problem,) = await stage.provider.problems(dataset, reading.key, render(wanted))
            assert problem.pointer == f"/annotations/{len(others)}/{self.identity}"
            assert problem.line > 0
            (broken,) = await stage.provider.problems(dataset, reading.key, b"{")
            assert isinstance(broken, InvalidDocument)


async def _annotated(stage: Stage) -> tuple[Dataset, list[ListedImage]]:
    """Six images with annotations."""
    dataset = await stage.provider.dataset(stage.ref)
    rows, _ = await listed(stage.provider, dataset)
    return dataset, [row for row in rows if not row.documents[0].empty][:6]
