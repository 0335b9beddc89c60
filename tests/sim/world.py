"""A world for the engine: a server, a directory and a memory that outlive it, people who edit meanwhile, and faults.

The engine is the shipped one; time is virtual; everything follows from one seed. A crash is modelled as the death of
all ports of one life of the program: the call at which it happens raises, and so does every later call of that life, so
that nothing of its unwinding can have an effect. The next life starts on what the stores made durable.
"""

import dataclasses
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from unittest.mock import patch

import anyio
from anyio.abc import TaskGroup

from labelmirror.engine.cycle import CycleOptions, plan, sync
from labelmirror.engine.edits import find_edits, push_edits
from labelmirror.engine.mirror import Mirror
from labelmirror.errors import DiskError, LabelmirrorError, Limited, ProtocolError, Rejected, Unavailable
from labelmirror.model.actions import Agreed
from labelmirror.model.document import Digest, JsonObject, render
from labelmirror.model.events import Event
from labelmirror.model.keys import DatasetRef
from labelmirror.model.policy import Consent, MirrorPolicy, OnConflict
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.rows import ImageRecord
from labelmirror.model.saving import Save, SaveOutcome
from labelmirror.model.trouble import Failed, Stage
from labelmirror.planning import plan as planning
from labelmirror.planning.classify import Side, Verdict, Void, classify
from support.memory_provider import ARCHIVE, JPEG, SINGLE, WHOLE, MemoryImage, MemoryProvider, PlainFormat
from support.memory_state import MemoryState
from support.memory_tree import MemoryTree
from support.virtual_loop import VirtualClock, run_virtual

FORMAT = PlainFormat()

T = TypeVar("T")
CATEGORIES = ("car", "bus", "sign")


#: Steps at which it matters most that nothing is lost; worlds die at these by choice, at all others by chance.
CRASH_POINTS = (
    "request.list",
    "request.read",
    "request.archive",
    "request.bytes",
    "request.links",
    "request.confirm",
    "request.reread",
    "request.save",
    "request.saved",
    "journal.open_saves:after",
    "journal.close_save:before",
    "state.add_listed:after",
    "state.add_readings:after",
    "state.begin_moves:after",
    "state.end_moves:before",
    "state.end_moves:after",
    "state.record_images:before",
    "state.record_images:after",
    "state.record_documents:before",
    "state.record_documents:after",
    "state.forget_images:before",
    "state.set_facts:after",
    "tree.place:before",
    "tree.place:after",
    "tree.retire:before",
    "tree.retire:after",
    "tree.move:after",
)


#: What goes wrong with requests, and with saves.
FAULTS = ("unavailable", "limited", "protocol", "refused", "drop_row", "repeat_row", "hide_row", "cut", "html", "disk")
SAVE_FAULTS = ("save_lost", "answer_lost", "half_saved", "torn")


class Crash(BaseException):
    """The program dies here."""


class Silent:
    """A reporter that keeps nothing."""

    def emit(self, event: Event) -> None:
        pass


@dataclasses.dataclass(slots=True)
class Life:
    """One life of the program: it dies at the `dies_after`-th step at `dies_at`, if it comes that far.

    A step is a call of a port (before or after its effect), a request, or a durable change of a file; `dies_at` names
    one kind of them, None means any.
    """

    world: "World"
    dies_after: int | None = None
    dies_at: str | None = None
    steps: int = 0
    dead: bool = False

    async def pass_through(self, point: str) -> None:
        """One step of the outside world: others may act meanwhile, and the program may die here."""
        self.check(point)
        if self.world.busy:
            await anyio.sleep(self.world.rng.expovariate(1.0))
        self.step(point)

    def step(self, point: str) -> None:
        self.check(point)
        self.steps += self.dies_at in {None, point}
        if self.steps == self.dies_after:
            self.dead = True
            self.world.crashes[point] += 1
        self.check(point)

    def check(self, point: str) -> None:
        if self.dead:
            raise Crash(point)


class Gated:
    """A port of one life: every call of it is a step, before and after its effect."""

    def __init__(self, life: Life, name: str, port: Any) -> None:
        self._life, self._name, self._port = life, name, port

    def __getattr__(self, attribute: str) -> Any:
        target = getattr(self._port, attribute)
        if attribute in {"memory", "journal"}:
            return Gated(self._life, attribute, target)
        if attribute == "walk":
            return target
        point = f"{self._name}.{attribute}"

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._life.pass_through(f"{point}:before")
            result = await target(*args, **kwargs)
            # Nobody acts here: until the next call of a port nothing could tell it from acting before that.
            self._life.step(f"{point}:after")
            return result

        return call


class World:
    """One server, one directory, one memory, and everything that happens to them."""

    def __init__(self, seed: int, *, pushes: bool = False, images: range = range(20, 28)) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = VirtualClock()
        self.provider = MemoryProvider(
            page=self.rng.choice([3, 7, 50]),
            save_batch=self.rng.choice([1, 3, 200]),
            atomic_saves=self.rng.choice([True, True, False]),
            ways=self.rng.choice([(SINGLE, ARCHIVE), (SINGLE, ARCHIVE), (SINGLE, WHOLE)]),
        )
        self.tree = MemoryTree(self._tree_step)
        self.state = MemoryState()
        self.policy = MirrorPolicy(
            full_check_every_s=self.rng.choice([50.0, 1e9]),
            push=pushes,
            on_conflict=self.rng.choice([OnConflict.MERGE, OnConflict.MERGE, OnConflict.HOLD]),
            push_window_s=self.rng.choice([1.0, 20.0, 1000.0]),
        )
        self.provider.on_save = self.witness_save
        self.provider.on_torn_save = self.witness_torn_save
        self.busy = False
        self.life: Life | None = None
        self.names = 0
        self.crashes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.log: list[str] = []
        #: For each document path, what a person last wrote there, until the server is known to hold the same.
        self.edits: dict[str, bytes] = {}
        #: Every digest that the server ever held of an image.
        self.ever: dict[str, set[Digest]] = {}
        #: Versions of annotations: made by people, left behind by people who saw them, overwritten in the window of a save.
        self.made: set[str] = set()
        #: What images had before the last edit on the server.
        self.former: dict[str, list[JsonObject]] = {}
        self.seen_on_server: set[str] = set()
        self.taken: set[str] = set()
        self.lost_in_window: set[str] = set()
        #: Saves by which a foreign save was overwritten and the count tells it: each must be reported.
        self.alarms_due: set[str] = set()
        self.saves: Counter[str] = Counter()
        self.applied: set[str] = set()
        self.in_the_way: bytes | None = None
        self.disk_fails: Callable[[], bool] = lambda: False
        #: Who works while the program runs: what each does, now and then.
        self.writers: list[Callable[[], None]] = [self.edit_remotely, self.edit_remotely]
        self.writers += [self.edit_locally, self.edit_locally]
        #: How long each rests between two edits, on average.
        self.rest_s = 40.0
        #: What a run was told to do and nothing else; None: whatever is to be done.
        self.agreed: Agreed | None = None
        #: Moves on record when that run began.
        self.begun_moves: list[ImageRecord] = []
        for _ in range(self.rng.choice(images)):
            self.add_image()
        for image in self.provider.images_by_id.values():
            if image.name == f"{image.id.removeprefix('i').lstrip('0')}.jpg" and self.rng.random() < 0.2:
                # A person brought a copy of the document along: it was there before the first run.
                folder = f"{image.directory}/" if image.directory else ""
                self.write(f"annotations/{folder}{image.name}.json", render(image.document()))

    # --- what people do ------------------------------------------------------------------------------------------

    def add_image(self) -> None:
        """A new image on the server, sometimes under a name that another has."""
        self.names += 1
        rng = self.rng
        name = rng.choice(
            ["a.jpg", "A.jpg", f"{self.names}.jpg", f"{self.names}.jpg", "..", "x/y.jpg", "é.jpg", "e\u0301.jpg"]
        )
        directory = rng.choice(["", "", "day", "day/one", "Day"])
        image = MemoryImage(f"i{self.names:03}", name, directory, data=JPEG + rng.randbytes(rng.randrange(40)))
        image.annotations = [self.annotation() for _ in range(rng.randrange(0, 14))]
        self.provider.add(image)
        self.note(image)

    def annotation(self) -> JsonObject:
        self.names += 1
        return {"id": f"n{self.names}", "name": self.rng.choice(CATEGORIES), "x": self.names}

    def note(self, image: MemoryImage) -> None:
        """Remember what the server holds now of an image."""
        self.ever.setdefault(image.id, set()).add(FORMAT.digest(image.document()))
        self.made |= versions(image.annotations)
        self.seen_on_server |= versions(image.annotations)

    def witness_save(self, image: MemoryImage, save: Save) -> None:
        """Called when a save takes effect: it has a durable record, is not done twice, and what it overwrites is counted."""
        where = f"seed {self.seed}: save of {image.id}"
        # Where a save can be cut off halfway, one is sent again when what was read just before looks like half of it.
        repeated = not self.provider.atomic_saves and self.looks_half(save)
        assert repeated or save.idempotency_key not in self.applied, f"{where} done twice"
        self.applied.add(save.idempotency_key)
        self.saves["saves"] += 1
        if self.witness_overwriting(image, save, where):
            self.alarms_due.add(save.idempotency_key)

    def looks_half(self, save: Save) -> bool:
        """Whether what was read before a save is half of what it sends."""
        (record,) = (each for each in self.state.held.saves.values() if each.idempotency_key == save.idempotency_key)
        assert save.expected.data is not None
        before = FORMAT.parse(self.state.held.contents[record.before])
        return self.provider.format.half_saved(before, save.wanted, FORMAT.parse(save.expected.data))

    def witness_torn_save(self, image: MemoryImage, save: Save) -> None:
        """Called when a save is about to be cut off halfway."""
        self.saves["torn saves"] += 1
        self.witness_overwriting(image, save, f"seed {self.seed}: torn save of {image.id}")

    def witness_overwriting(self, image: MemoryImage, save: Save, where: str) -> bool:
        """Check a save against its record, and note what it overwrites unseen; whether the count tells that."""
        wanted = FORMAT.annotations(save.wanted)
        digest, held = FORMAT.digest(save.wanted), FORMAT.digest(image.document())
        records = [record for record in self.state.held.saves.values() if record.key == save.key]
        assert any(record.outcome is SaveOutcome.OPEN and record.body_digest == digest for record in records), (
            f"{where} without an undo record"
        )
        assert len({item["id"] for item in wanted}) == len(wanted), f"{where} doubles an annotation"
        assert self.agreed is None or save.key in self.agreed.documents, f"{where} that no plan names"
        self.ever.setdefault(image.id, set()).add(digest)
        self.seen_on_server |= versions(wanted)
        if held != save.expected.digest:
            assert save.expected.data is not None
            read = FORMAT.annotations(FORMAT.parse(save.expected.data))
            self.lost_in_window |= versions(image.annotations) - versions(read) - versions(wanted)
            self.saves["foreign saves overwritten"] += 1
            return len(image.annotations) != len(read)
        return False

    def edited(self, annotations: Sequence[JsonObject]) -> list[JsonObject]:
        """One edit of a list: a box moved, an annotation added or deleted, rarely all of them."""
        rng, result = self.rng, list(annotations)
        kind = rng.choice(["move", "move", "add", "delete", "clear"]) if result else "add"
        if kind == "add":
            return [*result, self.annotation()]
        at = rng.randrange(len(result))
        if kind == "move":
            self.names += 1
            result[at] = {**result[at], "x": self.names}
        elif kind == "delete":
            del result[at]
        elif rng.random() < 0.3:
            result = []
        return result

    def edit_remotely(self) -> None:
        """Somebody works on the server: annotations, images, names."""
        images = list(self.provider.images_by_id.values())
        kind = self.rng.choices(["edit", "revert", "add", "delete", "rename"], [12, 5, 2, 2, 1])[0]
        if kind == "add" or not images:
            self.add_image()
            return
        image = self.rng.choice(images)
        if kind == "edit":
            self.former[image.id] = image.annotations
            self.replace(image, self.edited(image.annotations))
        elif kind == "revert":
            # Somebody presses undo: the server's own former content comes back.
            self.replace(image, self.former.pop(image.id, image.annotations))
        elif kind == "delete":
            self.taken |= versions(image.annotations)
            del self.provider.images_by_id[image.id]
        else:
            image.directory = self.rng.choice(["", "day", "moved"])

    def replace(self, image: MemoryImage, annotations: list[JsonObject]) -> None:
        """Somebody saves on the server."""
        self.taken |= versions(image.annotations) - versions(annotations)
        image.annotations = annotations
        self.note(image)

    def edit_locally(self) -> None:
        """Somebody works in the directory: edits a document, breaks one, mends it, loses a file, leaves a stray one."""
        documents = [path for path in self.tree.files() if path.startswith("annotations/")]
        kind = self.rng.choices(["edit", "break", "lose", "lose image", "damage image", "stray"], [10, 1, 2, 1, 1, 1])[
            0
        ]
        if kind == "stray":
            self.write(f"annotations/stray{self.names}.jpg.json", b"mine")
        elif kind in {"lose image", "damage image"}:
            self.touch_image(kind)
        elif documents:
            path = self.rng.choice(documents)
            before = versions_in(self.tree.files()[path])
            if kind == "lose":
                # What was not on the server yet is lost by the person's own hand.
                self.taken |= before - self.on_server()
                self.tree.remove(path)
                self.edits.pop(path, None)
            elif kind == "break":
                # Whoever mends it later writes it anew, and so deletes what was in it.
                self.taken |= before
                self.write(path, b'{"annotations": [')
            else:
                after = self.changed(self.tree.files()[path])
                self.taken |= before - versions_in(after)
                self.made |= versions_in(after)
                self.write(path, after)

    def changed(self, data: bytes) -> bytes:
        try:
            document = FORMAT.parse(data)
        except LabelmirrorError:
            return render({"image": "mended", "annotations": [self.annotation()]})
        return render({**document, "annotations": self.edited(FORMAT.annotations(document))})

    def in_records_of_alarms(self) -> set[str]:
        """Ids of annotations that a person, who was told, can bring back by `undo`: somebody saved over half a save."""
        held = self.state.held
        told = [save for save in held.saves.values() if save.key in held.alarms and save.outcome.had_effect]
        return {
            id_ for save in told for content in (save.before, save.body) for id_ in versions_in(held.contents[content])
        }

    def on_server(self) -> set[str]:
        """The versions of all annotations that the server holds now."""
        return {id_ for image in self.provider.images_by_id.values() for id_ in versions(image.annotations)}

    def write(self, path: str, data: bytes) -> None:
        self.tree.edit(path, data)
        self.edits[path] = data

    def touch_image(self, kind: str) -> None:
        images = [path for path in self.tree.files() if path.startswith("images/")]
        if images:
            path = self.rng.choice(images)
            self.tree.remove(path)
            if kind == "damage image":
                self.tree.edit(path, b"rot")

    async def people(self) -> None:
        """Those who annotate on the server and those who edit files, for as long as the run lasts."""
        async with anyio.create_task_group() as tasks:
            for act in self.writers:
                tasks.start_soon(self.keep_acting, act)

    async def keep_acting(self, act: Callable[[], None]) -> None:
        while True:
            await anyio.sleep(self.rng.expovariate(1 / self.rest_s))
            act()

    # --- the law that is checked at every step -------------------------------------------------------------------

    def _tree_step(self, point: str, detail: object) -> None:
        """Called around each durable step of the tree. No step may take away what a person wrote and nobody else has."""
        if self.life is not None:
            self.life.check(point)
        if point == "tree.retire:before":
            for record in self.state.held.records.values():
                here = str(detail) in {record.path, f"annotations/{record.place}.json"}
                if here and record.id in self.provider.images_by_id:
                    msg = f"seed {self.seed}: {detail} is retired, and image {record.id} is on the server"
                    raise AssertionError(msg)
        if self.agreed is not None and point in {"tree.place:before", "tree.retire:before", "tree.move:before"}:
            named = {item.path for item in (*self.agreed.documents.values(), *self.agreed.images.values())}
            assert str(detail) in named or self.ends_a_move(point, detail), (
                f"seed {self.seed}: {point} of {detail}: no plan names it"
            )
        if point in {"tree.place:before", "tree.retire:before"}:
            self.in_the_way = self.tree.files().get(str(detail))
        if point in {"tree.place:after", "tree.retire:after"}:
            path, data = str(detail), self.in_the_way
            if self.policy.push and data is not None:
                lost = versions_in(data) - versions_in(self.tree.files().get(path, b"")) - self.taken
                lost -= {id_ for id_ in lost if self.ever_on_server(id_)}
                assert not lost, f"seed {self.seed}: {point} took {lost} away from {path}"
            elif data is not None and self.edits.get(path) == data and not self.server_had(data):
                msg = f"seed {self.seed}: {point} took away an edit of {path}: {data!r}"
                raise AssertionError(msg)
        if point == "tree.move:after":
            assert isinstance(detail, tuple)
            source, target = detail
            if source in self.edits:
                self.edits[target] = self.edits.pop(source)
        if self.life is not None:
            self.life.step(point)

    def ends_a_move(self, point: str, detail: object) -> bool:
        """Whether this is a step of a move that a dead run had begun."""
        if point != "tree.move:before" or not isinstance(detail, tuple):
            return False
        return any(str(detail[1]) in {move.path, f"annotations/{move.place}.json"} for move in self.begun_moves)

    def ever_on_server(self, annotation: str) -> bool:
        """Whether the server ever held an annotation: then its going is the server's own affair."""
        return annotation in self.seen_on_server

    def server_had(self, data: bytes) -> bool:
        try:
            digest = FORMAT.digest(FORMAT.parse(data))
        except LabelmirrorError:
            return False
        return any(digest in digests for digests in self.ever.values())

    # --- faults --------------------------------------------------------------------------------------------------

    def choose_faults(self) -> dict[str, int]:
        """Which request of this run goes wrong, by kind; numbers are the request that it hits."""
        chosen = {kind: self.rng.randrange(1, 12) for kind in FAULTS if self.rng.random() < 0.12}
        return chosen | {kind: self.rng.randrange(1, 3) for kind in SAVE_FAULTS if self.rng.random() < 0.12}

    def arm(self, faults: dict[str, int]) -> None:
        """Put faults in the way of requests."""
        provider, left = self.provider, dict(faults)

        def strikes(kind: str) -> bool:
            if kind not in left:
                return False
            left[kind] -= 1
            if left[kind] > 0:
                return False
            del left[kind]
            self.faults[kind] += 1
            return True

        async def door(point: str) -> None:
            assert self.life is not None
            await self.life.pass_through(f"request.{point}")
            if strikes("unavailable"):
                raise Unavailable("the server does not answer")
            if strikes("limited"):
                raise Limited("too many requests", retry_after_s=3600.0)
            if strikes("protocol"):
                raise ProtocolError("HTML came instead of JSON")
            if point == "archive" and strikes("refused"):
                raise Rejected("no exports for this key")

        def garble_page(rows: list[MemoryImage]) -> list[MemoryImage]:
            if rows and strikes("drop_row"):
                return rows[1:]
            if rows and strikes("repeat_row"):
                return [*rows[1:], rows[-1]]
            return rows

        def garble_bytes(data: bytes) -> bytes:
            if strikes("cut"):
                return data[:-1]
            if strikes("html"):
                return b"<html>" + b" " * (len(data) - 6)
            return data

        provider.door, provider.garble_page, provider.garble_bytes = door, garble_page, garble_bytes
        provider.loses_save = lambda: strikes("save_lost")
        provider.loses_save_answer = lambda: strikes("answer_lost")
        provider.applies_only = lambda: self.rng.randrange(0, 3) if strikes("half_saved") else None
        provider.tears = lambda count: self.rng.randrange(count) if count and strikes("torn") else None
        provider.hides = (lambda: strikes("hide_row")) if "hide_row" in faults else (lambda: False)
        self.disk_fails = (lambda: strikes("disk")) if "disk" in faults else (lambda: False)

    # --- runs ----------------------------------------------------------------------------------------------------

    async def run(
        self, life: Life | None = None, *, consent: Consent | None = None, full: bool = False
    ) -> MirrorReport | None:
        """One run of the program; None when it died."""
        options = CycleOptions(full_check=full, consent=consent or Consent(), agreed=self.agreed)

        async def work(mirror: Mirror) -> MirrorReport:
            pushes = self.busy and self.policy.push and self.agreed is None
            return await sync(
                mirror, dataclasses.replace(options, guests=partial(self.room, mirror) if pushes else None)
            )

        report = await self.live(life or Life(self), work)
        if report is not None:
            self.outcomes[report.outcome.value] += 1
            self.log.append(f"{report.outcome.value} {report.error.message if report.error else ''} {report.documents}")
        return report

    @contextmanager
    def room(self, mirror: Mirror, guests: TaskGroup) -> Iterator[None]:
        """A run asks its server: now and then edits are pushed beside it."""
        if self.rng.random() < 0.2:
            guests.start_soon(self.push_edits, "pushed beside a run", mirror)
        yield

    async def push_edits(self, when: str, mirror: Mirror) -> None:
        """Edits are pushed as they are made."""
        await anyio.sleep(self.rng.expovariate(1 / 4))
        found = await find_edits(mirror, None, now_s=self.clock.now_s(), settle_s=0.0)
        if found.edited:
            report, _ = await push_edits(mirror, found.edited, None)
            self.saves[when] += report.documents.pushed

    async def agree(self) -> None:
        """Somebody looks at a plan and agrees to it: the next run does that and nothing else."""
        report = await self.live(Life(self), lambda mirror: plan(mirror, CycleOptions()))
        if report is not None and report.error is None:
            self.agreed = Agreed.on(item for item in report.items if not item.waits)

    async def live(self, life: Life, work: Callable[[Mirror], Awaitable[T]]) -> T | None:
        """One life of the program; None when it died."""
        self.life = life
        mirror = Mirror(
            name="street",
            server="acme",
            ref=DatasetRef(name="street"),
            policy=self.policy,
            format=self.provider.format,
            provider=self.provider,
            tree=FailingTree(self, Gated(life, "tree", self.tree)),
            state=Gated(life, "state", self.state),
            clock=self.clock,
            reporter=Silent(),
            workers=self.rng.choice([1, 3, 8]),
        )
        try:
            return await work(mirror)
        except BaseException as error:
            if not only_crashes(error):
                raise
            self.log.append("died")
            return None
        finally:
            life.dead = True
            self.life = None

    async def eventful_run(self) -> MirrorReport | None:
        """A run while people work, requests fail, and the program may be killed."""
        self.busy = True
        self.arm(self.choose_faults())
        life = Life(self)
        if self.rng.random() < 0.2:
            life = Life(self, self.rng.randrange(1, 250))
        elif self.rng.random() < 0.25:
            life = Life(self, self.rng.randrange(1, 4), self.rng.choice(CRASH_POINTS))
        consent = Consent(deletes=1000, changes=1000) if self.rng.random() < 0.2 else None
        report: MirrorReport | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.people)
            asks = self.rng.random()
            if asks < 0.15:
                await self.agree()
                await anyio.sleep(self.rng.expovariate(1 / 20))
            elif asks < 0.3:
                await self.live(Life(self), lambda mirror: plan(mirror, CycleOptions()))
            elif asks < 0.4 and self.policy.push:
                await self.live(Life(self), partial(self.push_edits, "pushed between runs"))
            self.begun_moves = list(self.state.held.moves.values())
            report = await self.run(life, consent=consent, full=self.rng.random() < 0.3)
            tasks.cancel_scope.cancel()
        self.busy, self.agreed = False, None
        return report

    async def peace(self) -> MirrorReport:
        """Faults stop and people rest: within a few runs everything is equal, or waits for a person."""
        self.arm({})
        report: MirrorReport | None = None
        for _ in range(4):
            await anyio.sleep(100.0)
            report = await self.run(consent=Consent(deletes=1000, changes=1000), full=True)
        assert report is not None
        return report


class FailingTree:
    """The tree of one life, with a disk that can be full."""

    def __init__(self, world: World, tree: Any) -> None:
        self._world, self._tree = world, tree

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tree, name)

    async def place(self, placements: Any) -> Any:
        if self._world.disk_fails():
            raise DiskError("no space left on the device")
        return await self._tree.place(placements)


def versions(annotations: Sequence[JsonObject]) -> set[str]:
    """What tells each state of each annotation: its id, and where it was put. No two edits put one in the same place."""
    return {f"{item['id']}@{item['x']}" for item in annotations}


def versions_in(data: bytes) -> set[str]:
    """The versions of the annotations in a file; none if it is no document."""
    try:
        return versions(FORMAT.annotations(FORMAT.parse(data)))
    except LabelmirrorError:
        return set()


def only_crashes(error: BaseException) -> bool:
    """Whether this is a death of the program, however it is wrapped."""
    if isinstance(error, BaseExceptionGroup):
        return any(only_crashes(inner) for inner in error.exceptions)
    return isinstance(error, Crash)


def check_peace(world: World, report: MirrorReport) -> None:
    """Everything equal on both sides, or held, ahead or invalid for a reason that a person made."""
    where = f"seed {world.seed}: {world.log[-6:]}"
    files = world.tree.files()
    assert report.outcome in {MirrorOutcome.SYNCED, MirrorOutcome.HELD, MirrorOutcome.PARTIAL}, where
    assert report.documents.pulled == report.images.pulled == report.images.retired == 0, f"{where}: not at rest"
    if world.policy.push:
        everywhere = world.on_server().union(*map(versions_in, files.values()), world.in_records_of_alarms())
        lost = world.made - world.taken - world.lost_in_window - everywhere
        assert not lost, f"{where}: annotations {lost} vanished, and nobody took them away"
        for save in world.state.held.saves.values():
            told = save.outcome is SaveOutcome.FOREIGN_OVERWRITTEN or save.previous_count is None
            assert told or save.idempotency_key not in world.alarms_due, f"{where}: an overwritten save was not told"
    places = {record.id: record for record in world.state.held.records.values()}
    troubled = {trouble.id for trouble in report.troubles}
    known: set[str] = set()
    for image in world.provider.images_by_id.values():
        record = places[image.id]
        known |= {record.path, path := f"annotations/{record.place}.json"}
        assert files.get(record.path) == image.data, f"{where}: {record.path} is not the server's"
        if image.id in troubled:
            continue
        local = FORMAT.digest(FORMAT.parse(files[path]))
        if local != FORMAT.digest(image.document()):
            assert not world.policy.push, f"{where}: {path} is not in step, and nothing is said about it"
            assert world.edits.get(path) == files[path], f"{where}: {path} is behind, and nobody edited it"
    # An image that is gone keeps its files while a person has still to look at one of its documents.
    waiting = {
        path for id_ in troubled & places.keys() for path in (places[id_].path, f"annotations/{places[id_].place}.json")
    }
    unfinished = any(isinstance(trouble, Failed) and trouble.stage is Stage.PULL for trouble in report.troubles)
    for path in files.keys() - known if not unfinished else ():
        mine = path in world.edits or path in waiting or path.startswith("images/")
        assert mine, f"{where}: {path} is left of an image that is gone"
    for path, data in world.edits.items() if not world.policy.push else ():
        if not world.server_had(data):
            assert files.get(path) == data, f"{where}: an edit of {path} vanished"


async def _live(world: World, cycles: int) -> None:
    for _ in range(cycles):
        await world.eventful_run()
        await anyio.sleep(world.rng.expovariate(1 / 60))
    check_peace(world, await world.peace())


def row_of(base: Digest | None, local: Side, remote: Side) -> str:
    """The name of a row of the decision table: what each side is, next to base."""

    def word(side: Side) -> str:
        if isinstance(side, Void):
            return side.value
        return "there" if base is None else "as base" if side == base else "changed"

    equal = " and equal" if isinstance(local, str) and local == remote and local != base else ""
    return f"{'base' if base else 'no base'}: local {word(local)}, remote {word(remote)}{equal}"


def simulate(seed: int, cycles: int = 8) -> World:
    """Live through a seed's world and check it; raises AssertionError naming the seed. Every other world pushes."""
    world = World(seed, pushes=seed % 2 == 1)

    def counted(base: Digest | None, local: Side, remote: Side) -> Verdict:
        world.rows[row_of(base, local, remote)] += 1
        return classify(base, local, remote)

    with patch.object(planning, "classify", counted):
        try:
            run_virtual(_live(world, cycles))
        except ExceptionGroup as group:
            raise failure_in(group) from group
    return world


def failure_in(error: BaseException) -> BaseException:
    """The first failure in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
