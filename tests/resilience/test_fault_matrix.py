"""Every fault on every request of one scenario: a first mirror, then one of what people changed.

A cell holds when, after a run that met the fault and when the fault has ended, one more run brings the mirror in step
with the server without fetching an image again that was on record. Each fault strikes once, and in a second cell for
as long as the run lasts. In `make test` one request is drawn by seed for every other pair of a route and a fault; with EXHAUSTIVE=1 in
the environment (`make test-kill`) each request meets each fault.
"""

import os
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from labelmirror.engine.cycle import CycleOptions, sync
from labelmirror.engine.mirror import Mirror
from labelmirror.model.keys import DatasetRef
from labelmirror.model.policy import MirrorPolicy
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.providers.pictograph.provider import build
from labelmirror.providers.pictograph.settings import PictographSettings
from labelmirror.providers.secrets import Secret
from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve
from labelmirror.state.sqlite import open_state
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.http import Timeouts
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.retry import Backoff
from labelmirror.tree.directory import DirectoryTree
from support.fault_cells import Cell, all_cells, drawn, printed
from support.ledger import MemoryAccount
from support.quick_clock import QuickClock
from support.yard import NAME, NOTHING, Held, Mute, Scene, Yard, check_interrupted, check_whole

#: More than the documents that are read one by one rather than as an export.
IMAGES = 12
#: For runs that are to meet silence; other runs have the patience of an ordinary test.
IMPATIENT = Timeouts(connect_s=1, idle_s=0.1, total_s=0.4)
PATIENT = Timeouts(connect_s=10, idle_s=10, total_s=30)
EXHAUSTIVE = os.environ.get("EXHAUSTIVE") == "1"
#: What servers answer that people run themselves: not drawn here.
_SELF_HOSTED = {
    FaultKind.PAGE_400,
    FaultKind.PAGE_404,
    FaultKind.STRANGER,
    FaultKind.ERROR_500_AFTER,
    FaultKind.MISSING_LIST,
    FaultKind.EMPTY_LIST,
}
KINDS = tuple(kind for kind in FaultKind if EXHAUSTIVE or kind not in _SELF_HOSTED)
#: Where the answers are that a kind can spoil; other kinds spoil any answer.
ONLY = {
    FaultKind.EXPIRED_LINK: ("storage.",),
    FaultKind.NOT_AN_IMAGE: ("storage.image", "images.bytes"),
    FaultKind.WRONG_SIZE: ("datasets.",),
    FaultKind.DUPLICATE_PAGE: ("datasets.",),
    FaultKind.MISSING_PAGE: ("datasets.",),
    FaultKind.SHORT_PAGE: ("datasets.",),
    FaultKind.WRONG_ENVELOPE: ("datasets.", "exports.", "images.metadata"),
    FaultKind.PRIVATE_LINK: ("datasets.download", "exports.link"),
}


@dataclass(frozen=True, slots=True)
class Range:
    """A scenario on a stand-in: what comes of it undisturbed, and the requests that it takes by phase."""

    scene: Scene
    folder: Path
    first: Held
    changed: Held
    template: Yard
    requests: dict[str, Counter[str]]
    #: One for all runs: waiting moves it, and time never goes back.
    clock: QuickClock

    async def fire(self, cell: Cell) -> None:
        """Go through one cell. Raises AssertionError if it does not hold."""
        before, after = (NOTHING, self.first) if cell.phase == "first" else (self.first, self.changed)
        yard = self._begun(cell.phase)
        self.scene.standin.faults.add(Fault(route=cell.route, kind=cell.kind, nth=cell.nth, times=cell.times))
        account = MemoryAccount()
        await run(self.scene.standin, yard, account, IMPATIENT, self.clock)
        self.scene.standin.faults.clear()
        self.scene.standin.requests.clear()
        recorded = check_interrupted(yard, self.scene.changed, before, after, str(cell))
        report = await run(self.scene.standin, yard, account, PATIENT, self.clock)
        assert report.outcome is MirrorOutcome.SYNCED, f"{cell}: {report.outcome} {report.error} {report.troubles}"
        # An export whose end was not heard of stays remembered until the next one.
        check_whole(yard, before, after, str(cell), but="memory")
        assert not self.scene.fetched() & recorded, f"{cell}: fetched again"

    def _begun(self, phase: str) -> Yard:
        shutil.rmtree(self.folder / "yard", ignore_errors=True)
        if phase == "first":
            self.scene.put(self.scene.before)
            return Yard.make(self.folder / "yard", self.scene.standin, exact=False)
        shutil.copytree(self.template.folder, self.folder / "yard")
        yard = Yard(self.folder / "yard", exact=False)
        yard.lose(self.scene.changed.lost)
        self.scene.put(self.scene.after)
        return yard

    def cells(self) -> Iterator[Cell]:
        """All of them."""
        return all_cells(self.requests, KINDS, ONLY)


async def run(
    standin: Standin, yard: Yard, account: MemoryAccount, timeouts: Timeouts, clock: QuickClock
) -> MirrorReport:
    """One sync that reads everything, with the state and the tree as they are shipped."""
    settings = PictographSettings.model_validate(
        {"kind": "pictograph", "url": standin.url, "key": "unused", "connections": 4}
    )
    spool = yard.folder / "spool"
    spool.mkdir(exist_ok=True)
    async with open_state(yard.folder / "state") as database:
        state = await database.mirror("yard")
        async with build(
            settings,
            key=Secret(standin.key),
            memory=state.memory,
            pacer=Pacer(account, clock, host="standin", spike_per_s=10_000),
            gate=Gate(clock, host="storage", connections=4, chance=random.Random(0)),
            clock=clock,
            draw=random.random,
            folder=spool,
            timeouts=timeouts,
            backoff=Backoff(tries=3),
        ) as provider:
            mirror = Mirror(
                name="yard",
                server="standin",
                policy=MirrorPolicy(),
                format=provider.format,
                tree=DirectoryTree(yard.mirror),
                state=state,
                ref=DatasetRef(name=NAME),
                provider=provider,
                clock=clock,
                reporter=Mute(),
                workers=4,
            )
            return await sync(mirror, CycleOptions(full_check=True))


@asynccontextmanager
async def firing_range(folder: Path) -> AsyncIterator[Range]:
    options = StandinOptions(
        images=IMAGES, limit=None, page_cap=5, unannotated_every=IMAGES, hang_s=0.2, oversized_bytes=2**20
    )
    async with serve(options) as standin:
        scene = Scene(standin)
        requests = {}
        scene.put(scene.before)
        yard = Yard.make(folder / "undisturbed", standin, exact=False)
        account, clock = MemoryAccount(), QuickClock()
        assert (await run(standin, yard, account, PATIENT, clock)).outcome is MirrorOutcome.SYNCED
        requests["first"] = Counter(standin.requests.by_route)
        first = Held.by(yard)
        shutil.copytree(yard.folder, folder / "template")
        yard.lose(scene.changed.lost)
        scene.put(scene.after)
        assert (await run(standin, yard, account, PATIENT, clock)).outcome is MirrorOutcome.SYNCED
        requests["changed"] = Counter(standin.requests.by_route)
        yield Range(scene, folder, first, Held.by(yard), Yard(folder / "template"), requests, clock)


async def test_every_fault_on_every_request_ends_in_step(tmp_path: Path, seed: int) -> None:
    async with firing_range(tmp_path) as here:
        cells = list(here.cells())
        if not EXHAUSTIVE:
            cells = drawn(cells, seed)
        broken: dict[str, str] = {}
        for cell in cells:
            try:
                await here.fire(cell)
            except AssertionError as error:
                broken[str(cell)] = str(error)
        print(printed(cells, broken))
        assert not broken, "\n".join(broken.values())
