"""The laws that every provider keeps, as far as reading goes. A binding says how to open one and how to change its server."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from labelmirror.errors import UnknownDataset
from labelmirror.model.keys import DatasetRef
from labelmirror.ports.provider import Provider
from support.pictograph import fetched, listed, read_all


class Stage(Protocol):
    """A server with at least ten images in one dataset, at least one with annotations and one without."""

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
        """The ids of an image's annotations."""
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


class ProviderContract:
    def stage(self) -> AbstractAsyncContextManager[Stage]:
        raise NotImplementedError

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
                (document,) = row.documents
                assert document.empty == (not stage.annotation_ids(row.id))
                assert row.annotations == len(stage.annotation_ids(row.id))

    async def test_an_unknown_dataset_is_told_with_the_nearest_name(self) -> None:
        async with self.stage() as stage:
            assert stage.ref.name is not None
            with pytest.raises(UnknownDataset) as unknown:
                await stage.provider.dataset(DatasetRef(name=stage.ref.name + "x"))
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
                    found = {str(item["id"]) for item in stage.provider.format.annotations(parsed)}
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
