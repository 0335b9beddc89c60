from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.provider import ProviderContract
from labelmirror.model.document import JsonObject
from labelmirror.model.keys import DatasetRef
from labelmirror.ports.provider import Provider
from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve
from support.pictograph import HARBOUR, provider_on

#: The stand-in's names of what saves.
SAVES = ("annotations.save", "annotations.bulk-save")


@dataclass(slots=True)
class PictographStage:
    provider: Provider
    standin: Standin
    ref: DatasetRef = HARBOUR

    def ids(self) -> frozenset[str]:
        return frozenset(image.id for image in self.standin.world.dataset("harbour").active)

    def names(self) -> frozenset[str]:
        return frozenset(image.filename for image in self.standin.world.dataset("harbour").active)

    def content(self, image: str) -> bytes:
        return self.standin.world.image(image).content

    def annotation_ids(self, image: str) -> frozenset[str]:
        return frozenset(str(item["id"]) for item in self.standin.world.image(image).annotations)

    def annotate(self, image: str) -> None:
        self.standin.world.annotate(image)

    def nudge(self, image: str) -> None:
        self.standin.world.move_geometry(image)

    def remove(self, image: str) -> None:
        self.standin.world.remove_image(image)

    def lose_save_answers(self) -> None:
        for route in SAVES:
            self.standin.faults.add(Fault(route=route, kind=FaultKind.RESET_AFTER, times=99))

    def saves_asked_for(self) -> int:
        return sum(self.standin.requests.by_route[route] for route in SAVES)

    def addition(self, annotation: JsonObject) -> JsonObject:
        return {**annotation, "id": "added"}

    def refusable(self, annotation: JsonObject) -> JsonObject:
        return {**annotation, "name": "no such class"}


class PictographContract(ProviderContract):
    options = StandinOptions()

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[PictographStage]:
        async with serve(self.options) as standin, provider_on(standin) as provider:
            yield PictographStage(provider, standin)


class TestG2(PictographContract):
    options = StandinOptions(generation="g2")


class TestG2WithHostileNames(PictographContract):
    options = StandinOptions(generation="g2", hostile_names=True, images=40)


class TestG1B(PictographContract):
    options = StandinOptions(generation="g1b")


class TestG1(PictographContract):
    options = StandinOptions(generation="g1")


class TestG0(PictographContract):
    options = StandinOptions(generation="g0")
