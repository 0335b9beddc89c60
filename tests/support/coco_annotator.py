"""The COCO Annotator provider, opened on a stand-in server."""

import itertools
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from labelmirror.ports.provider import ProviderMemory
from labelmirror.providers.coco_annotator.provider import CocoAnnotatorProvider, build
from labelmirror.providers.coco_annotator.settings import CocoAnnotatorSettings
from labelmirror.providers.secrets import Secret
from labelmirror.standin import Standin
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.http import Timeouts
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.retry import Backoff
from support.ledger import MemoryAccount
from support.memory_facts import MemoryFacts
from support.quick_clock import QuickClock
from support.web import QUICK

#: Each provider that is opened has luck of its own.
_SEEDS = itertools.count()


@asynccontextmanager
async def coco_provider_on(
    standin: Standin,
    *,
    memory: ProviderMemory | None = None,
    clock: QuickClock | None = None,
    timeouts: Timeouts = QUICK,
    login: tuple[str, str] | None = None,
    **settings: object,
) -> AsyncIterator[CocoAnnotatorProvider]:
    """As the admin, or as somebody else."""
    assert standin.login is not None
    user, password = login or (standin.login.user, standin.login.password)
    async with coco_provider_at(
        standin.url, user, password, memory=memory, clock=clock, timeouts=timeouts, **settings
    ) as provider:
        yield provider


@asynccontextmanager
async def coco_provider_at(
    url: str,
    user: str = "admin",
    password: str = "secret",
    *,
    memory: ProviderMemory | None = None,
    clock: QuickClock | None = None,
    timeouts: Timeouts = QUICK,
    **settings: object,
) -> AsyncIterator[CocoAnnotatorProvider]:
    """Opened on any address; nothing may be left in its folder."""
    clock = clock or QuickClock()
    table = {"kind": "coco-annotator", "url": url, "user": user, "password": "x", **settings}
    with tempfile.TemporaryDirectory() as folder:
        async with build(
            CocoAnnotatorSettings.model_validate(table),
            password=Secret(password),
            memory=memory or MemoryFacts(),
            pacer=Pacer(MemoryAccount(), clock, host="standin", spike_per_s=10_000),
            gate=Gate(clock, host="standin", connections=8, chance=random.Random(0)),
            clock=clock,
            draw=random.Random(next(_SEEDS)).random,
            folder=Path(folder),
            timeouts=timeouts,
            backoff=Backoff(tries=3),
        ) as provider:
            yield provider
        assert list(Path(folder).iterdir()) == []
