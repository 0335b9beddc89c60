from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contracts.provider import ProviderContract
from labelmirror.model.keys import DatasetRef
from labelmirror.ports.provider import Provider
from labelmirror.standin import Fault, FaultKind, Standin
from labelmirror.standin.remo import AnnotationSet, Dataset, RemoWorld
from support.remo import QUAY, RemoAnnotations, quay, remo_on

#: The stand-in's name of what saves annotations.
SAVE = "annotations.save"


class RemoStage(RemoAnnotations):
    ref: DatasetRef = QUAY

    def __init__(self, provider: Provider, standin: Standin, dataset: Dataset, boxes: AnnotationSet) -> None:
        self.provider = provider
        self.standin = standin
        self.world = standin.world_as(RemoWorld)
        self.dataset = dataset
        self.boxes = boxes

    def ids(self) -> frozenset[str]:
        return frozenset(str(image.id) for image in self.dataset)

    def names(self) -> frozenset[str]:
        return frozenset(image.name for image in self.dataset)

    def content(self, image: str) -> bytes:
        return self.world.image(image).content

    def annotation_ids(self, image: str) -> frozenset[str]:
        row = self.boxes.row(self.world.image(image))
        return frozenset(each.name for each in row.objects) if row is not None else frozenset()

    def annotate(self, image: str) -> None:
        self.world.annotate(self.boxes, self.world.image(image))

    def nudge(self, image: str) -> None:
        self.world.move_geometry(self.boxes, self.world.image(image))

    def remove(self, image: str) -> None:
        self.world.remove_image(self.world.image(image))

    def lose_save_answers(self) -> None:
        self.standin.faults.add(Fault(route=SAVE, kind=FaultKind.RESET_AFTER, times=99))

    def saves_asked_for(self) -> int:
        return self.standin.requests.by_route[SAVE]


class TestRemo(ProviderContract):
    identity = "name"
    #: What is noted of an image, and the image; where it is gone, whether that is for want of a login.
    reread_requests_max = 3

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[RemoStage]:
        async with quay() as (standin, dataset, boxes), remo_on(standin) as provider:
            yield RemoStage(provider, standin, dataset, boxes)
