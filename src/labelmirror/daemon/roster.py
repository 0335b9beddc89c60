"""The mirrors of the configuration in force: what the daemon knows of each and of their servers, and the turns under way."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskGroup

from labelmirror.app import Workshop, open_local_mirror
from labelmirror.config import Config, DatasetSettings
from labelmirror.daemon.calendar import read_calendar
from labelmirror.daemon.control import Ending, Standing
from labelmirror.daemon.pulse import Pulse
from labelmirror.daemon.schedule import (
    Decision,
    Ended,
    Health,
    Rhythm,
    Start,
    Turn,
    Work,
    after,
    begun,
    decide,
    draw_of,
    due_s,
    next_turn,
)
from labelmirror.daemon.settling import Settling
from labelmirror.model.report import MirrorReport, RunError
from labelmirror.model.trouble import Held


@dataclass(frozen=True, slots=True)
class Room:
    """Room beside a cycle under way, which waits for all that is begun in `tasks`. Who works there works with its `shop`, whose
    clock is `pulse`: as long as they give signs of life, so does the cycle.
    """

    shop: Workshop
    pulse: Pulse
    tasks: TaskGroup


@dataclass(slots=True)
class Mirrored:
    """One mirror as the loop knows it. `last` is the report of its last cycle, `room` what there is beside the one under way.

    `ended` counts the cycles that ended, for better or worse; `made_way` is whether the last of them did that for an edit, and
    `ending` how the last ended that did not.
    """

    settings: DatasetSettings
    turn: Turn
    settling: Settling = field(default_factory=Settling)
    room: Room | None = None
    last_sync_s: float | None = None
    cycles: int = 0
    last: MirrorReport | None = None
    ended: int = 0
    made_way: bool = False
    ending: Ending | None = None

    @property
    def has_edits(self) -> bool:
        """Whether local edits are carried to the server as they are made."""
        return self.settings.push and self.settings.content != "images"


@dataclass(frozen=True, slots=True, eq=False)
class UnderWay:
    """A turn under way: what it works with, its signs of life, the room it is in if it is beside another, the event that asks
    for its end, and whether that is for an edit's sake.
    """

    mirror: Mirrored
    start: Start
    shop: Workshop
    pulse: Pulse
    room: Room | None = None
    stop: anyio.Event = field(default_factory=anyio.Event)
    way: anyio.Event = field(default_factory=anyio.Event)


class Roster:
    """What is in force, and how far it is. `shop` has the configuration; `mirrors` go by their names."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.mirrors: dict[str, Mirrored] = {}
        #: Turns under way, also of mirrors that the configuration has no longer.
        self.under_way: set[UnderWay] = set()
        self._health: dict[str, Health] = {}
        self._clock = shop.clock

    async def take(self, config: Config) -> Mapping[str, Collection[tuple[str, str]]]:
        """Let this configuration be in force. Turns under way end with the one that they began with.

        Gives the documents that are held, by id and set, of each mirror that is new here. Raises StateDamaged or DiskError, and
        changes nothing then.
        """
        shop = replace(self.shop, config=config)
        mirrors: dict[str, Mirrored] = {}
        held: dict[str, Collection[tuple[str, str]]] = {}
        for name, settings in sorted(config.settings.datasets.items()):
            if name in self.mirrors:
                mirrors[name] = self.mirrors[name]
            else:
                mirrors[name], held[name] = await _recalled(shop, name, settings)
        for name, settings in config.settings.datasets.items():
            each = mirrors[name]
            each.settings = settings
            rhythm = _rhythm(config, name, settings)
            each.turn = replace(each.turn, server=settings.server, rhythm=rhythm)
            if not each.has_edits:
                each.settling, each.turn = Settling(), replace(each.turn, scan_s=None)
            if next_turn(rhythm, self._clock.now_s(), self._clock.now_s()) is None:
                structlog.get_logger("labelmirror").warning("calendar.never", mirror=name, calendar=settings.calendar)
        self.shop, self.mirrors = shop, mirrors
        # A server that is no longer named may still be at work for a turn under way.
        self._health |= {name: Health() for name in config.settings.servers if name not in self._health}
        return held

    # --- what is due, and what an ending changes ---------------------------------------------------------------------

    def decide(self, now_s: float) -> Decision:
        """Say which turns begin now."""
        return decide([self._present(each) for each in self.mirrors.values()], self._health, now_s)

    def begin(self, start: Start) -> UnderWay:
        """A turn begins."""
        mirror = self.mirrors[start.name]
        mirror.turn = begun(mirror.turn, start)
        if start.beside:
            assert mirror.room is not None, "beside a cycle that has room"
            under_way = UnderWay(mirror, start, mirror.room.shop, mirror.room.pulse, mirror.room)
        else:
            pulse = Pulse(self._clock)
            under_way = UnderWay(mirror, start, replace(self.shop, clock=pulse), pulse)
        self.under_way.add(under_way)
        return under_way

    @contextmanager
    def room(self, cycle: UnderWay, tasks: TaskGroup) -> Iterator[None]:
        """For as long as this lasts, there is room beside a cycle under way."""
        cycle.mirror.room = Room(cycle.shop, cycle.pulse, tasks)
        try:
            yield
        finally:
            cycle.mirror.room = None

    def end(self, under_way: UnderWay, ended: Ended, error: RunError | None, *, draw: float) -> None:
        """A turn ended, with this error if any. `draw` in [0, 1) jitters the time until the next try."""
        mirror = under_way.mirror
        health = self._health.get(mirror.turn.server, Health())
        mirror.turn, self._health[mirror.turn.server] = after(
            mirror.turn, health, ended, now_s=self._clock.now_s(), draw=draw
        )
        self.under_way.discard(under_way)
        if ended.start.work is Work.CYCLE:
            mirror.ended, mirror.made_way = mirror.ended + 1, ended.made_way
            if not ended.made_way and ended.outcome is not None:
                mirror.ending = Ending(at_s=self._clock.now_s(), outcome=ended.outcome, error=error)

    def standing(self, name: str) -> Standing:
        """How a mirror stands, for those who ask."""
        mirror = self.mirrors[name]
        is_in_cycle = any(each.mirror is mirror and each.start.work is Work.CYCLE for each in self.under_way)
        return Standing(
            name=name,
            working=mirror.turn.working,
            paused=mirror.turn.paused,
            next_due_s=self.due_s(mirror),
            cycles=mirror.ended,
            next_cycle=mirror.ended + (2 if is_in_cycle else 1),
            made_way=mirror.made_way,
            last=mirror.ending,
        )

    def failures(self, mirror: Mirrored) -> int:
        """How many times in a row the mirror's server was not reached."""
        return self._health.get(mirror.turn.server, Health()).failures

    def due_s(self, mirror: Mirrored) -> float | None:
        """When the next cycle of a mirror is due, now if it should have been before; None: not as things stand."""
        health, now_s = self._health.get(mirror.turn.server, Health()), self._clock.now_s()
        due = due_s(self._present(mirror), health, now_s)
        return None if due is None else max(due, now_s)

    def at_work(self) -> Sequence[str]:
        """The mirrors that have their turn."""
        return sorted({each.start.name for each in self.under_way})

    def _present(self, mirror: Mirrored) -> Turn:
        """A mirror's turn, with what its files are doing."""
        settle_s = self.shop.config.settings.daemon.settle.total_seconds()
        return replace(
            mirror.turn,
            room=mirror.room is not None,
            settled_s=mirror.settling.settled_s(settle_s),
            restless_s=mirror.settling.since_s,
            scan_s=0.0 if mirror.settling.flooded else mirror.turn.scan_s,
        )

    # --- what is heard -----------------------------------------------------------------------------------------------

    def listed(self, name: str) -> None:
        """The cycle under way of this mirror has listed its server."""
        mirror = self.mirrors[name]
        mirror.turn = replace(mirror.turn, listed_s=self._clock.now_s())

    def folders(self) -> Mapping[str, Path]:
        """The folders of documents that are edited here, as far as they are there."""
        folders = {name: each.settings.path / "annotations" for name, each in self.mirrors.items() if each.has_edits}
        return {name: folder for name, folder in folders.items() if folder.is_dir()}

    def touched(self, found: Mapping[str, frozenset[str]]) -> None:
        """These files were touched now, by mirror."""
        now_s = self._clock.now_s()
        for name, paths in found.items():
            if name in self.mirrors:
                mirror = self.mirrors[name]
                mirror.settling = mirror.settling.noted(paths, now_s)

    def missed(self, names: Iterable[str]) -> None:
        """In these mirrors something may have been touched that nobody heard of: all their files are to be looked at."""
        now_s = self._clock.now_s()
        for name in names:
            self.mirrors[name].turn = replace(self.mirrors[name].turn, scan_s=now_s)


async def _recalled(
    shop: Workshop, name: str, settings: DatasetSettings
) -> tuple[Mirrored, Collection[tuple[str, str]]]:
    """A mirror as the state knows it, and its documents that are held."""
    async with open_local_mirror(shop, name) as mirror:
        facts = await mirror.state.facts()
        troubles = await mirror.state.troubles()
    rhythm = _rhythm(shop.config, name, settings)
    turn = Turn(name=name, server=settings.server, rhythm=rhythm, begun_s=facts.last_end_s)
    held = [(each.id, each.set) for each in troubles if isinstance(each, Held)]
    return Mirrored(settings, turn, last_sync_s=facts.last_sync_s), held


def _rhythm(config: Config, name: str, settings: DatasetSettings) -> Rhythm:
    calendar = None if settings.calendar is None else read_calendar(settings.calendar)
    return Rhythm(settings.every.total_seconds(), calendar, draw_of(f"{config.settings.state}\0{name}"))
