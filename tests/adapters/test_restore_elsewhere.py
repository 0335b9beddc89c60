"""A snapshot of one server brought to another, where everything has other ids and some ids mean something else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from labelmirror.model.keys import DatasetRef
from labelmirror.model.report import MirrorOutcome
from labelmirror.model.trouble import Failed
from labelmirror.standin import Standin, StandinOptions, serve
from labelmirror.standin.coco_annotator import CocoWorld
from labelmirror.standin.remo import AnnotationSet, Folder, Image, RemoWorld
from labelmirror.standin.remo.model import Content
from support.coco_annotator import coco_provider_on
from support.elsewhere import Half
from support.remo import remo_on

HARBOUR, COPY = DatasetRef(name="harbour"), DatasetRef(name="copy")


@asynccontextmanager
async def two(kind: str) -> AsyncIterator[tuple[Standin, Standin]]:
    """Two servers with sample datasets, so that each knows ids of the other's as something else."""
    first = StandinOptions(kind=kind, images=8, export_polls=0)
    second = StandinOptions(kind=kind, images=5, export_polls=0, seed=2)
    async with serve(first) as one, serve(second) as other:
        yield one, other


def outlines(world: CocoWorld, dataset: str) -> dict[str, list[Any]]:
    """What is drawn in each image."""
    folder = world.dataset(dataset).directory
    return {
        image.path.removeprefix(folder): sorted(
            [world.categories[each.category_id or 0].name, each.segmentation, each.keypoints, each.metadata]
            for each in world.annotations_of(image)
        )
        for image in world.images_of(world.dataset(dataset))
    }


async def test_on_a_coco_annotator_annotations_are_recognised_by_content_and_categories_by_name(tmp_path: Path) -> None:
    async with two("coco-annotator") as (one, other):
        here, there = one.world_as(CocoWorld), other.world_as(CocoWorld)
        kept = [there.category(name) for name in ("buoy", "person", "building", "boat")]
        assert [here.category(each.name).id for each in kept] == [each.id for each in kept]
        for each, name in zip(kept, ("boat", "building", "person", "buoy"), strict=True):
            each.name = name  # another meaning for each id
        there.category("person").keypoint_labels = ["head", "hand", "foot"]
        fresh = there.add_dataset("copy", "admin", kept)
        for image in reversed(here.images_of(here.dataset("harbour"))):
            there.add_image(fresh, image.path.removeprefix("/datasets/harbour/"))
        async with coco_provider_on(one) as source, coco_provider_on(other) as target:
            ours, theirs = Half("one", HARBOUR, source), Half("other", COPY, target)
            await ours.sync()
            snapshot = await ours.save(tmp_path)
            await theirs.sync()
            report = await theirs.restore(tmp_path, snapshot)
            assert (report.error, report.outcome, report.troubles) == (None, MirrorOutcome.SYNCED, [])
            assert outlines(there, "copy") == (wanted := outlines(here, "harbour"))
            assert await theirs.left(tmp_path, snapshot) == 0

            # What others do there afterwards is told from what was brought, though nothing has an id in common.
            annotated = [image for image in there.images_of(fresh) if there.annotations_of(image)]
            there.delete(there.annotations_of(annotated[0])[0])
            there.annotate(annotated[0])
            assert (await theirs.restore(tmp_path, snapshot)).documents.pushed == 1
            assert sum(map(len, outlines(there, "copy").values())) == sum(map(len, wanted.values())) + 1
            assert (await theirs.restore(tmp_path, snapshot)).documents.pushed == 0
            assert (await theirs.restore(tmp_path, snapshot, exact=True)).documents.pushed == 1
            assert outlines(there, "copy") == wanted

            there.delete(there.category("person"))
            await theirs.sync()
            report = await theirs.restore(tmp_path, snapshot)
            assert report.troubles
            assert {each.code for each in report.troubles if isinstance(each, Failed)} == {"invalid_document"}


def objects(chosen: AnnotationSet) -> dict[str, Any]:
    """What a set holds of each image, but for ids."""
    return {image.name: _objects(chosen, image) for image in chosen.dataset}


def _objects(chosen: AnnotationSet, image: Image) -> list[Any]:
    content = row.content if (row := chosen.row(image)) else Content()
    known = [(each.name, each.points, each.marks, each.auto_created) for each in content.objects]
    return [chosen.status(image), [name for _, name in chosen.tagged(image)], known, content.marks]


async def test_on_a_remo_annotation_sets_are_recognised_by_name_and_never_by_what_else_has_their_ids(
    tmp_path: Path,
) -> None:
    async with two("remo") as (one, other):
        here, there = one.world_as(RemoWorld), other.world_as(RemoWorld)
        harbour, fresh = here.dataset("harbour"), there.add_dataset("copy")
        for chosen in reversed(harbour.sets.values()):
            there.add_set(fresh, chosen.name, chosen.task, chosen.classes.values())
        folders: dict[int | None, Folder | None] = {None: None}
        for folder in harbour.folders.values():
            folders[folder.id] = there.add_folder(fresh, folder.name, folders[folder.parent])
        for image in reversed(harbour.images.values()):
            there.add_image(fresh, image.name, folders[image.folder], payload=image.content)
        async with remo_on(one) as source, remo_on(other) as target:
            ours, theirs = Half("one", HARBOUR, source), Half("other", COPY, target)
            await ours.sync()
            snapshot = await ours.save(tmp_path)
            await theirs.sync()
            report = await theirs.restore(tmp_path, snapshot)
            assert (report.error, report.outcome, report.troubles) == (None, MirrorOutcome.SYNCED, [])
            for chosen in harbour.sets.values():
                assert objects(fresh.set(chosen.name)) == objects(chosen)
            assert await theirs.left(tmp_path, snapshot) == 0

            boxes = fresh.set("boxes")
            image = next(each for each in fresh if (row := boxes.row(each)) and len(row.objects) > 1)
            there.move_geometry(boxes, image)
            there.annotate(boxes, image)
            assert (await theirs.restore(tmp_path, snapshot)).documents.pushed == 1
            row = boxes.row(image)
            assert row is not None
            there.erase(boxes, image, max(row.objects, key=lambda each: each.position).name)
            assert objects(boxes) == objects(harbour.set("boxes"))

            there.remove_set(fresh.set("outlines"))
            await theirs.sync()
            report = await theirs.restore(tmp_path, snapshot)
            gone = [each for each in report.troubles if isinstance(each, Failed)]
            assert {(each.set, each.code) for each in gone} == {(str(harbour.set("outlines").id), "set_gone")}
            assert len(gone) == len(harbour)
