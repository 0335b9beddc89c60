"""The two servers that people run themselves, each with a small world before and after people worked on it, edits that
are made here meanwhile, and all that must be the same in the end however often a run was disturbed.
"""

import asyncio
import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from labelmirror.ports.provider import DocumentFormat, Provider, ProviderMemory
from labelmirror.providers.coco_annotator.format import CocoAnnotatorFormat
from labelmirror.providers.remo.format import RemoFormat
from labelmirror.standin import Standin
from labelmirror.standin.coco_annotator import CocoWorld
from labelmirror.standin.coco_annotator.desk import broken
from labelmirror.standin.remo import Mark, RemoWorld, Status
from labelmirror.standin.remo.world import HalfSaved
from labelmirror.transport.http import Timeouts
from support.coco_annotator import coco_provider_on
from support.quick_clock import QuickClock
from support.remo import remo_on

NAME = "harbour"
World = dict[str, Any]
#: What somebody makes of a document, by its image and the name of its set.
Edits = Mapping[tuple[str, str], Callable[[dict[str, Any]], None]]


class Bench(ABC):
    """One kind of server on a stand-in, whose world can be put back."""

    kind: str
    images: int
    format: DocumentFormat

    def __init__(self, standin: Standin) -> None:
        self.standin = standin
        #: The images that are there at first. The third is deleted on the server, the documents of the last are lost here.
        self.ids = self._ids()
        self.furnish()
        self.before = self.held()
        self.work()
        self.after = self.held()

    @property
    @abstractmethod
    def _world(self) -> object:
        """What the stand-in holds."""

    @abstractmethod
    def _ids(self) -> Sequence[str]:
        """The images in the order of their coming."""

    @abstractmethod
    def furnish(self) -> None:
        """Give all images something to be worked on."""

    @abstractmethod
    def work(self) -> None:
        """What people do on the server."""

    @abstractmethod
    def edits(self) -> Edits:
        """What people do here."""

    @abstractmethod
    def server(self) -> Mapping[str, Any]:
        """All that people would miss on the server, by the thing it belongs to; nothing that it counts up."""

    @abstractmethod
    def provider(
        self, memory: ProviderMemory, clock: QuickClock, timeouts: Timeouts
    ) -> AbstractAsyncContextManager[Provider]:
        """The provider, as the program opens it."""

    @abstractmethod
    def tear(self, step: int, times: int) -> "Writes":
        """Let saves break in the middle of their writes, after this one, so many times."""

    @abstractmethod
    def _mend(self) -> None:
        """Let saves be whole again."""

    def rest(self) -> None:
        """Let nothing go wrong any more, and forget what was asked."""
        self._mend()
        self.standin.faults.clear()
        self.standin.requests.clear()

    def held(self) -> World:
        """The world as it is."""
        return copy.deepcopy({name: value for name, value in vars(self._world).items() if name not in _FIXED})

    def put(self, world: World) -> None:
        """Let the server hold this, and forget what it was asked."""
        vars(self._world).update(copy.deepcopy(world))
        self.rest()
        self.standin.pages.clear()


#: What of a world is no content.
_FIXED = frozenset({"clock", "between_writes"})


@dataclass(slots=True)
class Writes:
    """The writes of saves, of which some break."""

    step: int
    times: int
    count: int = 0

    def breaks(self) -> bool:
        """Whether the server breaks after this one."""
        self.count += 1
        return self.step < self.count <= self.step + self.times


class CocoBench(Bench):
    """COCO Annotator."""

    kind = "coco-annotator"
    images = 8
    format = CocoAnnotatorFormat()

    @property
    def _world(self) -> CocoWorld:
        return self.standin.world_as(CocoWorld)

    def _ids(self) -> Sequence[str]:
        return [str(number) for number in sorted(self._world.images)[: self.images]]

    def furnish(self) -> None:
        world = self._world
        for image in world.images_of(world.dataset(NAME)):
            while len(world.annotations_of(image)) < 2:
                world.annotate(image)

    def work(self) -> None:
        world = self._world
        counted, moved, deleted, _, _, merged, conflict, _ = (world.images[int(id_)] for id_ in self.ids)
        world.annotate(counted)
        world.move_geometry(moved)
        world.delete(deleted)
        world.annotate(merged)
        for each in world.annotations_of(conflict):
            world.move_geometry(conflict, each, by=3)
        world.annotate(world.add_image(world.dataset(NAME), "day/new.png"))
        world.users["admin"].preferences = {"theme": "dark"}
        world.dataset(NAME).annotate_url = "https://example.org/guide"

    def edits(self) -> Edits:
        ids = self.ids
        return {
            (ids[3], ""): _much,
            (ids[4], ""): lambda document: document["annotations"].pop(),
            (ids[5], ""): lambda document: _shift(document["annotations"][0], 1),
            (ids[6], ""): _shift_all,
        }

    def server(self) -> Mapping[str, Any]:
        world = self._world
        found: dict[str, Any] = {
            f"image {image.id}": {
                "deleted": image.deleted,
                "metadata": image.metadata,
                "annotations": sorted(
                    json.dumps(
                        {
                            name: getattr(each, name)
                            for name in (
                                *("category_id", "segmentation", "keypoints", "isbbox", "iscrowd", "color", "metadata"),
                                *("area", "bbox", "creator", "milliseconds"),
                            )
                        },
                        sort_keys=True,
                    )
                    for each in world.annotations_of(image)
                ),
            }
            for image in world.images.values()
        }
        found |= {f"category {each.id}": copy.deepcopy(vars_of(each)) for each in world.categories.values()}
        found |= {f"dataset {each.id}": copy.deepcopy(vars_of(each)) for each in world.datasets.values()}
        return found | {f"user {name}": user.preferences for name, user in world.users.items()}

    def tear(self, step: int, times: int) -> Writes:
        writes = Writes(step, times)

        async def between() -> None:
            if writes.breaks():
                raise broken()

        self._world.between_writes = between
        return writes

    def _mend(self) -> None:
        self._world.between_writes = partial(asyncio.sleep, 0)

    def provider(
        self, memory: ProviderMemory, clock: QuickClock, timeouts: Timeouts
    ) -> AbstractAsyncContextManager[Provider]:
        return coco_provider_on(self.standin, memory=memory, clock=clock, timeouts=timeouts, connections=4)


def _much(document: dict[str, Any]) -> None:
    """Another category, other polygons, other metadata, and two additions."""
    first, *_ = annotations = document["annotations"]
    first["category_id"] = next(row["id"] for row in document["categories"] if row["name"] == "buoy")
    first["keypoints"] = []
    first["segmentation"] = [[1.5, 2, 9, 2, 9, 12.25]]
    first["isbbox"] = False
    document["image"]["metadata"] = {"seen": "twice"}
    for left in (3, 5):
        ring = [left, 4, left + 7, 4, left + 7, 9, left, 9]
        annotations.append({"category_id": first["category_id"], "segmentation": [ring], "isbbox": True})


def _shift_all(document: dict[str, Any]) -> None:
    for annotation in document["annotations"]:
        _shift(annotation, 1)


def _shift(annotation: dict[str, Any], by: float) -> None:
    annotation["segmentation"] = [
        [number + by if at % 2 else number for at, number in enumerate(ring)] for ring in annotation["segmentation"]
    ]
    annotation["metadata"] = {**annotation["metadata"], "moved": by}


class RemoBench(Bench):
    """Remo."""

    kind = "remo"
    images = 8
    format = RemoFormat()

    @property
    def _world(self) -> RemoWorld:
        return self.standin.world_as(RemoWorld)

    def _ids(self) -> Sequence[str]:
        return [str(number) for number in sorted(self._world.dataset(NAME).images)[: self.images]]

    def furnish(self) -> None:
        world = self._world
        boxes = world.dataset(NAME).set("boxes")
        for image in world.dataset(NAME):
            while len(row.objects if (row := boxes.row(image)) else ()) < 2:
                world.annotate(boxes, image)
            world.tag(boxes, image, "night")

    def work(self) -> None:
        world = self._world
        dataset = world.dataset(NAME)
        boxes, outlines, scene = (dataset.set(name) for name in ("boxes", "outlines", "scene"))
        counted, moved, deleted, _, _, merged, conflict, _ = (dataset.images[int(id_)] for id_ in self.ids)
        world.annotate(boxes, counted)
        world.move_geometry(boxes, moved)
        world.annotate(outlines, moved)
        world.save(scene, counted, marks=[Mark("Calm")])
        world.set_status(boxes, counted, Status.SKIPPED)
        world.remove_image(deleted)
        world.annotate(boxes, merged)
        world.move_geometry(boxes, conflict, by=3)
        added = world.add_image(dataset, "new.png", mime="image/png")
        world.annotate(boxes, added)
        self.standin.clock.advance(60)

    def edits(self) -> Edits:
        ids = self.ids
        return {
            (ids[3], "boxes"): _much_remo,
            (ids[3], "scene"): _classify,
            (ids[4], "boxes"): lambda document: document["annotations"].pop(),
            (ids[6], "outlines"): lambda document: _drag(document["annotations"][0], 2),
            (ids[5], "boxes"): lambda document: _drag(document["annotations"][0], 1),
            (ids[6], "boxes"): lambda document: _drag(document["annotations"][0], 1),
        }

    def server(self) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for dataset in self._world.datasets.values():
            found[f"dataset {dataset.id}"] = sorted(dataset.images)
            for each in dataset.sets.values():
                found[f"classes of {each.id}"] = sorted(each.classes.values())
                for image in dataset:
                    row = each.row(image)
                    found[f"image {image.id} in {each.id}"] = [
                        each.status(image).word,
                        sorted(name for _, name in each.tagged(image)),
                        [(o.position, o.name, o.points, o.marks, o.auto_created) for o in row.objects] if row else [],
                        sorted(row.marks, key=repr) if row else [],
                    ]
        return found

    def tear(self, step: int, times: int) -> Writes:
        writes, saving = Writes(step, times), self._world.saving

        def torn(*what: Any, **more: Any) -> Iterator[None]:
            for _ in saving(*what, **more):
                if writes.breaks():
                    raise HalfSaved("torn")
                yield

        vars(self._world)["saving"] = torn
        return writes

    def _mend(self) -> None:
        vars(self._world).pop("saving", None)

    def provider(
        self, memory: ProviderMemory, clock: QuickClock, timeouts: Timeouts
    ) -> AbstractAsyncContextManager[Provider]:
        return remo_on(self.standin, memory=memory, clock=clock, timeouts=timeouts, connections=4)


def _much_remo(document: dict[str, Any]) -> None:
    """A box moved, one added, another status, a tag more and one less."""
    _drag(document["annotations"][0], 3)
    box = [{"x": 40, "y": 41}, {"x": 52, "y": 60}]
    document["annotations"].append({"name": "mine", "coordinates": box, "classes": [{"name": "Buoy"}]})
    document["status"] = "skipped" if document["status"] != "skipped" else "done"
    document["tags"] = ["dusk"]


def _classify(document: dict[str, Any]) -> None:
    document["annotations"] = [{"name": "Calm", "score": 0.25}]
    document["status"] = "done" if document["status"] != "done" else "skipped"


def _drag(annotation: dict[str, Any], by: int) -> None:
    for point in annotation["coordinates"]:
        point["x"] += by


def vars_of(row: Any) -> dict[str, Any]:
    """The members of a slotted row."""
    return {name: getattr(row, name) for name in row.__slots__}


BENCHES: dict[str, type[Bench]] = {"coco-annotator": CocoBench, "remo": RemoBench}
