"""A mirror all in memory, for tests of the engine: a server, a directory, a state, and a clock that stands still."""

from dataclasses import dataclass, field

import anyio

from labelmirror.engine.cycle import CycleOptions, plan, sync
from labelmirror.engine.mirror import Mirror
from labelmirror.model.document import JsonObject, render
from labelmirror.model.events import Event
from labelmirror.model.keys import DatasetRef
from labelmirror.model.policy import Consent, MirrorPolicy
from labelmirror.model.report import MirrorReport, PlanReport
from support.memory_provider import JPEG, MemoryImage, MemoryProvider
from support.memory_state import MemoryState
from support.memory_tree import MemoryTree


@dataclass(slots=True)
class StillClock:
    """A clock that moves only when it is told to, or when somebody sleeps."""

    at_s: float = 1_700_000_000.0

    def now_s(self) -> float:
        return self.at_s

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds


@dataclass(slots=True)
class PatientClock(StillClock):
    """A clock on which nothing that is waited for ever comes."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep_forever()


@dataclass(slots=True)
class Recorder:
    """A reporter that keeps what it is told."""

    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)


@dataclass(slots=True)
class Bench:
    """Everything that a test of the engine touches."""

    provider: MemoryProvider = field(default_factory=lambda: MemoryProvider(page=50))
    tree: MemoryTree = field(default_factory=MemoryTree)
    state: MemoryState = field(default_factory=MemoryState)
    clock: StillClock = field(default_factory=StillClock)
    reporter: Recorder = field(default_factory=Recorder)
    policy: MirrorPolicy = field(default_factory=MirrorPolicy)

    @property
    def mirror(self) -> Mirror:
        return Mirror(
            name="street",
            server="acme",
            policy=self.policy,
            format=self.provider.format,
            tree=self.tree,
            state=self.state,
            ref=DatasetRef(name=self.provider.name),
            provider=self.provider,
            clock=self.clock,
            reporter=self.reporter,
            workers=3,
        )

    def add(self, number: int, annotations: int = 3) -> MemoryImage:
        """An image `NNN.jpg` with so many cars."""
        name = f"{number:03}"
        cars: list[JsonObject] = [{"id": f"{name}-{n}", "name": "car", "x": n} for n in range(annotations)]
        return self.provider.add(MemoryImage(name, f"{name}.jpg", data=JPEG + name.encode(), annotations=cars))

    async def sync(self, *, full: bool = False, deletes: int | None = None, changes: int | None = None) -> MirrorReport:
        """A run, a minute after the last one."""
        self.clock.at_s += 60.0
        return await sync(self.mirror, CycleOptions(full_check=full, consent=Consent(deletes, changes)))

    async def plan(self) -> PlanReport:
        """A plan, a minute after whatever was before."""
        self.clock.at_s += 60.0
        return await plan(self.mirror, CycleOptions())

    def document(self, number: int) -> str:
        """The path of an image's document."""
        return f"annotations/{number:03}.jpg.json"

    def edit(self, number: int, annotations: list[JsonObject]) -> bytes:
        """A person writes a document."""
        data = render({"image": f"{number:03}", "annotations": annotations})
        self.tree.edit(self.document(number), data)
        return data


def nudge(image: MemoryImage) -> None:
    """Somebody moves a box on the server: no count shows it."""
    image.annotations = [{**item, "x": 999} for item in image.annotations]
