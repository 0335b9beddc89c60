"""The in-memory server keeps the laws of the port too, so that what is proven on it means something."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.provider import ProviderContract
from labelmirror.model.document import JsonObject
from labelmirror.model.keys import DatasetRef
from support.memory_provider import JPEG, MemoryImage, MemoryProvider


@dataclass(slots=True)
class MemoryStage:
    provider: MemoryProvider
    ref: DatasetRef
    saves: int = 0

    def ids(self) -> frozenset[str]:
        return frozenset(self.provider.images_by_id)

    def names(self) -> frozenset[str]:
        return frozenset(image.name for image in self.provider.images_by_id.values())

    def content(self, image: str) -> bytes:
        return self.provider.images_by_id[image].data

    def annotation_ids(self, image: str) -> frozenset[str]:
        return frozenset(str(item["id"]) for item in self.provider.images_by_id[image].annotations)

    def annotate(self, image: str) -> None:
        held = self.provider.images_by_id[image]
        held.annotations = [*held.annotations, {"id": f"new{len(held.annotations)}", "name": "car", "x": 1}]

    def nudge(self, image: str) -> None:
        held = self.provider.images_by_id[image]
        held.annotations = [{**item, "x": -1} for item in held.annotations]

    def remove(self, image: str) -> None:
        del self.provider.images_by_id[image]

    def lose_save_answers(self) -> None:
        self.provider.loses_save_answer = lambda: True

    def saves_asked_for(self) -> int:
        return self.saves

    def addition(self, annotation: JsonObject) -> JsonObject:
        return {**annotation, "id": "added"}

    def refusable(self, annotation: JsonObject) -> JsonObject:
        return {**annotation, "name": "no such class"}

    async def count(self, point: str) -> None:
        self.saves += point == "save"


class TestMemoryProvider(ProviderContract):
    @asynccontextmanager
    async def stage(self) -> AsyncIterator[MemoryStage]:
        provider = MemoryProvider()
        for number in range(20):
            annotations: list[JsonObject] = [{"id": f"a{number}-{n}", "name": "car", "x": n} for n in range(number % 4)]
            provider.add(
                MemoryImage(f"i{number:02}", f"{number}.jpg", data=JPEG + bytes(number), annotations=annotations)
            )
        stage = MemoryStage(provider, DatasetRef(name="street"))
        provider.door = stage.count
        yield stage
