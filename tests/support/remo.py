"""The Remo provider, opened on any server of that kind, and the small dataset on which its laws are tried."""

import itertools
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from labelmirror.model.document import JsonObject
from labelmirror.model.keys import DatasetRef
from labelmirror.ports.clock import Clock
from labelmirror.ports.provider import ProviderMemory
from labelmirror.providers.remo.provider import RemoProvider, build
from labelmirror.providers.remo.settings import RemoSettings
from labelmirror.providers.secrets import Secret
from labelmirror.standin import Standin, StandinOptions, serve
from labelmirror.standin.remo import AnnotationSet, Dataset, Mark, RemoWorld, Sketch, Task
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.http import Timeouts
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.retry import Backoff
from support.ledger import MemoryAccount
from support.memory_facts import MemoryFacts
from support.quick_clock import QuickClock
from support.web import QUICK

QUAY = DatasetRef(name="quay")
CLASSES = ("Boat", "Ship")

#: Each provider that is opened has luck of its own.
_SEEDS = itertools.count()


@asynccontextmanager
async def remo_at(
    url: str,
    user: str,
    password: str,
    *,
    memory: ProviderMemory | None = None,
    clock: Clock | None = None,
    timeouts: Timeouts = QUICK,
    connections: int = 8,
) -> AsyncIterator[RemoProvider]:
    clock = clock or QuickClock()
    table = {"kind": "remo", "url": url, "user": user, "password": "x", "connections": connections}
    async with build(
        RemoSettings.model_validate(table),
        password=Secret(password),
        memory=memory or MemoryFacts(),
        pacer=Pacer(MemoryAccount(), clock, host="remo", spike_per_s=10_000),
        gate=Gate(clock, host="remo", connections=connections, chance=random.Random(0)),
        clock=clock,
        draw=random.Random(next(_SEEDS)).random,
        folder=Path(tempfile.gettempdir()),
        timeouts=timeouts,
        backoff=Backoff(tries=3),
    ) as provider:
        yield provider


@asynccontextmanager
async def remo_on(standin: Standin, **more: object) -> AsyncIterator[RemoProvider]:
    assert standin.login is not None
    async with remo_at(standin.url, standin.login.user, standin.login.password, **more) as provider:  # type: ignore[arg-type]
        yield provider


@asynccontextmanager
async def quay(**options: object) -> AsyncIterator[tuple[Standin, Dataset, AnnotationSet]]:
    """A stand-in with a dataset of twelve images and one set; every fourth image has no annotations."""
    async with serve(StandinOptions(kind="remo", images=12, hang_s=0.2, **options)) as standin:  # type: ignore[arg-type]
        world = standin.world_as(RemoWorld)
        dataset = world.add_dataset("quay")
        boxes = world.add_set(dataset, "boxes", Task.DETECTION, CLASSES)
        for number in range(12):
            image = world.add_image(dataset, f"quay {number}.jpg")
            if number % 4:
                world.save(boxes, image, [_sketch(position) for position in range(1, 1 + number % 4)])
        yield standin, dataset, boxes


def _sketch(number: int) -> Sketch:
    points = ((number, 2 * number), (number + 20, 2 * number + 30))
    return Sketch(name=f"OBJ {number}", points=points, marks=(Mark(CLASSES[number % 2]),))


def moved(annotation: JsonObject, by: int) -> JsonObject:
    """The same object, so many pixels to the right."""
    points = annotation["coordinates"]
    assert isinstance(points, list)
    return {**annotation, "coordinates": [{"x": point["x"] + by, "y": point["y"]} for point in points]}


class RemoAnnotations:
    """How annotations of a Remo are changed by people."""

    def addition(self, annotation: JsonObject) -> JsonObject:
        return {**moved(annotation, 100), "name": "added"}

    def refusable(self, annotation: JsonObject) -> JsonObject:
        return {**annotation, "classes": [{"name": "no such class"}]}
