"""The Pictograph provider, opened on a stand-in server, and short ways to use it."""

import itertools
import random
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from labelmirror.model.keys import DatasetRef
from labelmirror.model.remote import Dataset, ListedImage, ListingEnd, Reading, ReadWay, WantedDocument
from labelmirror.ports.provider import Provider
from labelmirror.providers.pictograph.exports import ExportRules
from labelmirror.providers.pictograph.provider import PictographProvider, build
from labelmirror.providers.pictograph.settings import PictographSettings
from labelmirror.providers.secrets import Secret
from labelmirror.standin import Standin
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.http import Timeouts
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.retry import Backoff
from support.ledger import MemoryAccount
from support.memory_facts import MemoryFacts
from support.quick_clock import QuickClock
from support.saves import wanted_of
from support.web import QUICK

HARBOUR = DatasetRef(name="harbour")

#: On a clock that does not wait, a stand-in that builds in real time is asked many times.
PATIENT = ExportRules(patience_s=1e9)

#: Each provider that is opened has luck of its own.
_SEEDS = itertools.count()


@asynccontextmanager
async def provider_on(
    standin: Standin,
    *,
    memory: MemoryFacts | None = None,
    clock: QuickClock | None = None,
    timeouts: Timeouts = QUICK,
    export_rules: ExportRules = PATIENT,
    **settings: object,
) -> AsyncIterator[PictographProvider]:
    clock = clock or QuickClock()
    table = {"kind": "pictograph", "url": standin.url, "key": "x", "connections": 8, **settings}
    with tempfile.TemporaryDirectory() as folder:
        async with build(
            PictographSettings.model_validate(table),
            key=Secret(standin.key),
            memory=memory or MemoryFacts(),
            pacer=Pacer(MemoryAccount(), clock, host="standin", spike_per_s=10_000),
            gate=Gate(clock, host="storage", connections=8, chance=random.Random(0)),
            clock=clock,
            draw=random.Random(next(_SEEDS)).random,
            folder=Path(folder),
            timeouts=timeouts,
            backoff=Backoff(tries=3),
            export_rules=export_rules,
        ) as provider:
            yield provider
        assert list(Path(folder).iterdir()) == []


async def listed(provider: Provider, dataset: Dataset) -> tuple[Sequence[ListedImage], ListingEnd]:
    rows: list[ListedImage] = []

    async def take(page: Sequence[ListedImage]) -> None:
        rows.extend(page)

    end = await provider.list_images(dataset, take)
    return rows, end


async def stream_of(images: Iterable[ListedImage]) -> AsyncIterator[WantedDocument]:
    for wanted in wanted_of(list(images)):
        yield wanted


async def read_all(
    provider: Provider, dataset: Dataset, way: ReadWay, images: Iterable[ListedImage]
) -> dict[str, Reading]:
    return {item.key.image: item async for item in provider.read(dataset, way, stream_of(images))}


async def fetched(provider: Provider, dataset: Dataset, images: Sequence[ListedImage]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    async with provider.images(dataset, len(images)) as source:
        for image in images:
            async with source.open(image) as stream:
                found[image.id] = b"".join([chunk async for chunk in stream.chunks])
    return found
