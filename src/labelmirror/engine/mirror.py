"""One mirror with everything that working on it needs, handed in by whoever builds it."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup

from labelmirror.errors import InvalidDocument, LabelmirrorError
from labelmirror.model.document import Counts, Digest
from labelmirror.model.events import ItemFailed, Noticed, Phase, PhaseBegan, PhaseEnded, Progressed
from labelmirror.model.keys import DatasetRef, DocumentKey
from labelmirror.model.policy import MirrorPolicy
from labelmirror.model.report import DocumentCounts
from labelmirror.model.rows import DocumentRow, FileStat, LocalFile
from labelmirror.model.trouble import Failed, Held, HoldReason, Stage, Trouble
from labelmirror.ports.clock import Clock
from labelmirror.ports.provider import DocumentFormat, Provider
from labelmirror.ports.reporter import Reporter
from labelmirror.ports.state import MirrorState
from labelmirror.ports.tree import WorkingTree

#: Rows are read, decided and written in pages of this many.
PAGE = 1000
#: A working document larger than this is not looked into.
DOCUMENT_LIMIT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMirror:
    """What of a `[datasets.NAME]` entry is on this machine: enough to say how it stands, without its server."""

    name: str
    server: str
    policy: MirrorPolicy
    format: DocumentFormat
    tree: WorkingTree
    state: MirrorState


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror(LocalMirror):
    """A `[datasets.NAME]` entry with its server. `workers` transfers run at a time."""

    ref: DatasetRef
    provider: Provider
    clock: Clock
    reporter: Reporter
    workers: int = 16


#: Entered with a task group while a run does nothing but ask its server: edits may be pushed in that, and are waited for.
Guests = Callable[[TaskGroup], AbstractContextManager[None]]


@dataclass(slots=True)
class Run:
    """One run over one mirror: its name in history and trash, and what it left undone.

    `id` begins with the UTC time, so that old versions can be aged by it. `guests` is told when edits can be pushed beside
    the run, as `push_edits` does; None: nobody wants to.
    """

    id: str
    mirror: Mirror
    guests: Guests | None = None
    troubles: list[Trouble] = field(default_factory=list)
    #: Somebody asked the run to end: nothing new is begun, what is in hand is finished and recorded.
    stopping: bool = False

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        """For asking the server, and putting on record what it lists: edits may be pushed meanwhile.

        Nothing else of the mirror is touched inside, nor relied on. It ends when they have ended, and lets none be cut off
        because the asking failed.
        """
        if self.guests is None:
            yield
            return
        trouble: Exception | None = None
        async with anyio.create_task_group() as tasks:
            with self.guests(tasks):
                try:
                    yield
                except (LabelmirrorError, ExceptionGroup) as error:
                    trouble = error
        if trouble is not None:
            raise trouble

    async def map_changes(self) -> None:
        """Note durably that dataset.json is about to be out of date: images get, change or lose their places."""
        facts = await self.mirror.state.facts()
        if facts.summary is not None:
            await self.mirror.state.set_facts(replace(facts, summary=None))

    def fail(self, key: DocumentKey, image: str, stage: Stage, code: str, message: str) -> None:
        """Put an item on the list of failures and report it; the others go on."""
        self.troubles.append(Failed(key.image, key.set, image, stage, code, message))
        self.mirror.reporter.emit(ItemFailed(self.mirror.name, image or key.image, code, message))

    def fail_with(self, key: DocumentKey, image: str, stage: Stage, error: LabelmirrorError) -> None:
        """The same, from an error."""
        self.fail(key, image, stage, error.code, error.message)

    def hold(self, row: DocumentRow, reason: HoldReason, counts: DocumentCounts) -> None:
        """Leave both sides of a document alone, and tell a person."""
        counts.held += 1
        self.troubles.append(Held(row.key.image, row.key.set, image_path(row.place), reason))

    def notice(self, code: str, text: str) -> None:
        """Tell a person something worth knowing."""
        self.mirror.reporter.emit(Noticed(self.mirror.name, code, text))

    @property
    def failures(self) -> Sequence[Failed]:
        """The failed items so far."""
        return [trouble for trouble in self.troubles if isinstance(trouble, Failed)]

    def phase(self, phase: Phase, total: int | None = None) -> AbstractContextManager["Progress"]:
        """Report a phase's beginning, its progress, and its end however it comes."""
        return reported(self.mirror.reporter, self.mirror.name, phase, total)


@contextmanager
def reported(reporter: Reporter, mirror: str, phase: Phase, total: int | None = None) -> Iterator["Progress"]:
    """The same for work that is no run."""
    reporter.emit(PhaseBegan(mirror, phase, total))
    try:
        yield Progress(reporter, mirror, phase)
    finally:
        reporter.emit(PhaseEnded(mirror, phase))


@dataclass(slots=True)
class Progress:
    """Counts what a phase has done."""

    reporter: Reporter
    mirror: str
    phase: Phase
    items: int = 0
    size_bytes: int = 0

    def add(self, items: int, size_bytes: int = 0) -> None:
        """So many more are done."""
        self.items += items
        self.size_bytes += size_bytes
        self.reporter.emit(Progressed(self.mirror, self.phase, self.items, self.size_bytes))


def image_path(place: str) -> str:
    """The path of the image with this place, relative to the mirror."""
    return f"images/{place}"


def local_file(documents: DocumentFormat, data: bytes, stat: FileStat) -> LocalFile:
    """Look into a working document: its digest and counts, or why it is none."""
    counts: Counts = {}
    digest: Digest | None = None
    problem = None
    try:
        document = documents.parse(data)
        digest, counts = documents.digest(document), documents.counts(document)
    except InvalidDocument as error:
        problem = str(error)
    return LocalFile(stat, digest, counts, problem)
