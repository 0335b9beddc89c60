from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.provider import ProviderContract
from labelmirror.model.document import JsonObject
from labelmirror.model.keys import DatasetRef
from labelmirror.ports.provider import Provider
from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve
from labelmirror.standin.coco_annotator import CocoWorld
from support.coco_annotator import coco_provider_on
from support.pictograph import HARBOUR

#: The stand-in's name of what stores the annotations of an image; creations and deletions are steps beside it.
SAVE = "annotator.save"


@dataclass(slots=True)
class CocoAnnotatorStage:
    provider: Provider
    standin: Standin
    ref: DatasetRef = HARBOUR

    @property
    def world(self) -> CocoWorld:
        return self.standin.world_as(CocoWorld)

    def ids(self) -> frozenset[str]:
        return frozenset(str(image.id) for image in self.world.images_of(self.world.dataset("harbour")))

    def names(self) -> frozenset[str]:
        return frozenset(image.path.rpartition("/")[2] for image in self.world.images_of(self.world.dataset("harbour")))

    def content(self, image: str) -> bytes:
        return self.world.images[int(image)].content

    def annotation_ids(self, image: str) -> frozenset[str]:
        return frozenset(str(item.id) for item in self.world.annotations_of(self.world.images[int(image)]))

    def annotate(self, image: str) -> None:
        self.world.annotate(self.world.images[int(image)])

    def nudge(self, image: str) -> None:
        self.world.move_geometry(self.world.images[int(image)])

    def remove(self, image: str) -> None:
        self.world.delete(self.world.images[int(image)])

    def lose_save_answers(self) -> None:
        self.standin.faults.add(Fault(route=SAVE, kind=FaultKind.RESET_AFTER, times=99))

    def saves_asked_for(self) -> int:
        return self.standin.requests.by_route[SAVE]

    def addition(self, annotation: JsonObject) -> JsonObject:
        return {key: value for key, value in annotation.items() if key != "id"}

    def refusable(self, annotation: JsonObject) -> JsonObject:
        return {**annotation, "category_id": 999}


class CocoAnnotatorContract(ProviderContract):
    options = StandinOptions(kind="coco-annotator")

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[CocoAnnotatorStage]:
        async with serve(self.options) as standin, coco_provider_on(standin) as provider:
            yield CocoAnnotatorStage(provider, standin)


class TestCocoAnnotator(CocoAnnotatorContract):
    pass


class TestCocoAnnotatorWithHostileNames(CocoAnnotatorContract):
    options = StandinOptions(kind="coco-annotator", hostile_names=True, images=40)
