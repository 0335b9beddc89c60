"""What a turn does with one mirror: open it, sync it or push its edits, and give the report. Trouble is in the report."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

import anyio

from labelmirror.app import Workshop, open_local_mirror, open_mirror, open_mirror_beside, open_provider
from labelmirror.engine import cycle as engine
from labelmirror.engine.cycle import CycleOptions
from labelmirror.engine.edits import Found, find_edits, push_edits
from labelmirror.engine.mirror import Guests
from labelmirror.engine.runs import outcome_of_error, run_error
from labelmirror.errors import BudgetSpent, LabelmirrorError, Unavailable
from labelmirror.model.events import Answered, Event
from labelmirror.model.keys import DatasetRef, DocumentKey
from labelmirror.model.report import MirrorReport
from labelmirror.telemetry.reporter import Reporters
from labelmirror.transport.allowance import RunBudget


async def cycle(shop: Workshop, name: str, stop: anyio.Event, guests: Guests) -> MirrorReport:
    """One whole run, under the mirror's lock; `guests` is told when edits can be pushed beside it, under the same lock."""

    async def work() -> MirrorReport:
        async with open_mirror(shop, name) as mirror:
            return await engine.sync(mirror, CycleOptions(stop=stop, guests=guests))

    return await _attempt(name, work)


async def probe(shop: Workshop, name: str) -> bool:
    """Whether a mirror's server answers, at the price of one request. Whatever it says, it is up if it says something."""
    settings = shop.config.settings.datasets[name]
    heard = _Heard()
    listening = replace(shop, reporter=Reporters((shop.reporter, heard)))
    try:
        async with open_provider(listening, settings.server, budget=RunBudget(requests=1)) as provider:
            await provider.dataset(DatasetRef(name=settings.name, id=settings.id))
    except (Unavailable, BudgetSpent):
        return heard.answer
    except LabelmirrorError:
        return True
    return True


class _Heard:
    """Hears whether a server gave an answer that is no failure."""

    def __init__(self) -> None:
        self.answer = False

    def emit(self, event: Event) -> None:
        """Take one fact."""
        self.answer |= isinstance(event, Answered) and event.outcome in {"answered", "limited"}


async def find(shop: Workshop, name: str, paths: Collection[str] | None, settle_s: float) -> Found:
    """Look for edits in these files of a mirror, None: in all. Raises StateDamaged or DiskError."""
    async with open_local_mirror(shop, name) as mirror:
        return await find_edits(mirror, paths, now_s=shop.clock.now_s(), settle_s=settle_s)


async def push(
    shop: Workshop, name: str, keys: Collection[DocumentKey], stop: anyio.Event, *, beside: bool
) -> tuple[MirrorReport, bool]:
    """Carry edits to the server, under the mirror's lock, or that of a cycle that has room `beside` it; whether anything is left
    for a whole run.
    """
    left: Collection[DocumentKey] = keys
    opened = open_mirror_beside if beside else open_mirror

    async def work() -> MirrorReport:
        nonlocal left
        async with opened(shop, name, budget=RunBudget(for_pushes=True)) as mirror:
            report, left = await push_edits(mirror, keys, stop)
        return report

    report = await _attempt(name, work)
    return report, bool(left)


async def _attempt(name: str, work: Callable[[], Awaitable[MirrorReport]]) -> MirrorReport:
    """Trouble with opening a mirror, as the report of a run that could not begin."""
    try:
        return await work()
    except (LabelmirrorError, ExceptionGroup) as error:
        trouble = run_error(error)
        return MirrorReport(name, outcome=outcome_of_error(trouble), error=trouble)
