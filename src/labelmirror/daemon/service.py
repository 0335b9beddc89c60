"""The daemon's loop: it asks the schedule what is due, begins it, and hears how it ended. All deciding is elsewhere."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio import to_thread

from labelmirror.app import Workshop, hold_service, open_local_mirror
from labelmirror.config import Config, DatasetSettings
from labelmirror.daemon import control, work
from labelmirror.daemon.calendar import read_calendar
from labelmirror.daemon.control import Answer, Refused, Request, Standing
from labelmirror.daemon.pulse import Pulse
from labelmirror.daemon.schedule import (
    Cause,
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
    scan_every_s,
)
from labelmirror.daemon.settling import Settling
from labelmirror.daemon.telling import Teller
from labelmirror.daemon.watch import Watcher
from labelmirror.errors import ConfigError, LabelmirrorError
from labelmirror.model.document import JsonObject
from labelmirror.model.events import Event, Phase, PhaseBegan
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.trouble import Held
from labelmirror.telemetry.hooks import Hooks
from labelmirror.telemetry.metrics import Metrics
from labelmirror.telemetry.page import serve_page
from labelmirror.telemetry.reporter import Reporters
from labelmirror.telemetry.systemd import Notifier

#: Turns that are asked to end have this long, then they are cut off: what they finished is on record.
DRAIN_S: Final = 8.0
#: Calls of hooks that still wait when the daemon ends have this long.
HOOKS_S: Final = 1.0
#: A turn that gives no sign of life for so long hangs, unless the service manager is more patient.
SILENCE_S: Final = 300.0
_BEAT_S: Final = 10.0


@dataclass(slots=True)
class Mirrored:
    """One mirror as the loop knows it. `last` is the report of its last cycle."""

    settings: DatasetSettings
    turn: Turn
    settling: Settling = field(default_factory=Settling)
    last_sync_s: float | None = None
    cycles: int = 0
    last: MirrorReport | None = None

    @property
    def has_edits(self) -> bool:
        """Whether local edits are carried to the server as they are made."""
        return self.settings.push and self.settings.content != "images"


@dataclass(frozen=True, slots=True, eq=False)
class UnderWay:
    """A turn under way: its signs of life, the event that asks for its end, and whether that is for an edit's sake."""

    start: Start
    pulse: Pulse
    stop: anyio.Event = field(default_factory=anyio.Event)
    way: anyio.Event = field(default_factory=anyio.Event)


class Service:
    """The daemon over one configuration.

    `load` reads the configuration again when somebody asks for that; `shape` is the published form of a report; `draw` gives
    uniform numbers in [0, 1).
    """

    def __init__(
        self,
        shop: Workshop,
        *,
        load: Callable[[], Config],
        shape: Callable[[MirrorReport], JsonObject],
        notifier: Notifier,
        draw: Callable[[], float],
    ) -> None:
        metrics = Metrics()
        self._shop = replace(shop, reporter=Reporters((shop.reporter, metrics, self)))
        self._clock = shop.clock
        self._load = load
        self._draw = draw
        self._notifier = notifier
        self._metrics = metrics
        self._hooks = Hooks(_without_secrets(shop))
        self._teller = Teller(metrics, self._hooks, shape)
        self._watcher = Watcher(self._folders, self._note, self._scan_soon)
        self._mirrors: dict[str, Mirrored] = {}
        self._health: dict[str, Health] = {}
        #: Turns under way, also of mirrors that the configuration has no longer.
        self._under_way: set[UnderWay] = set()
        self._news = anyio.Event()
        self._stop = anyio.Event()
        self._leaving = False
        self._since_s = shop.clock.now_s()

    # --- what it is told ---------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End as soon as what is in hand is finished and recorded."""
        self._stop.set()
        for each in self._under_way:
            each.stop.set()
        self.leave()

    def leave(self) -> None:
        """End once the turns that are under way have come to their end."""
        self._leaving = True
        self._news.set()

    async def reload(self) -> None:
        """Read the configuration again. One that cannot be used is refused, which the log says, and the old one stays."""
        self._notifier.announce("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic_s() * 1e6)}")
        try:
            config = await to_thread.run_sync(self._load)
            _refuse_fixed(self._shop.config, config)
            await self._take(config)
        except LabelmirrorError as error:
            _log().error("config.refused", message=error.message, hint=error.hint or None)
        else:
            _log().info("config.loaded", file=str(config.file), mirrors=sorted(self._mirrors))
        self._notifier.announce("READY=1")
        self._watcher.look_again()
        self._news.set()

    def emit(self, event: Event) -> None:
        """Take one fact of the engine: a cycle that looks at the files has listed its server; folders come while it works."""
        if not isinstance(event, PhaseBegan) or event.mirror not in self._mirrors:
            return
        self._watcher.look_again()
        if event.phase is Phase.SCANNING:
            mirror = self._mirrors[event.mirror]
            mirror.turn = replace(mirror.turn, listed_s=self._clock.now_s())
            self._news.set()

    def _handle(self, request: Request) -> Answer:
        """Answer one request of the control socket. Raises Refused."""
        chosen = self._chosen(request)
        match request.command:
            case "pause" | "resume":
                for each in chosen.values():
                    each.turn = replace(each.turn, paused=request.command == "pause")
                _log().info(f"daemon.{request.command}", mirrors=sorted(chosen))
            case "sync-now":
                if not request.mirrors:
                    chosen = {name: each for name, each in chosen.items() if not each.turn.paused}
                for each in chosen.values():
                    each.turn = replace(each.turn, asked=True)
            case "status":
                pass
        self._news.set()
        standings = tuple(self._standing(name, each) for name, each in sorted(chosen.items()))
        return Answer(pid=os.getpid(), since_s=self._since_s, mirrors=standings)

    def _chosen(self, request: Request) -> Mapping[str, Mirrored]:
        for name in request.mirrors:
            if name not in self._mirrors:
                raise Refused(f"the daemon has no mirror {name!r}", hint=f"it has: {', '.join(sorted(self._mirrors))}")
        return {name: self._mirrors[name] for name in request.mirrors or self._mirrors}

    def _standing(self, name: str, mirror: Mirrored) -> Standing:
        turn = mirror.turn
        return Standing(name=name, working=turn.working, paused=turn.paused, next_due_s=self._due_s(mirror))

    def _due_s(self, mirror: Mirrored) -> float | None:
        """When the next cycle of a mirror is due, now if it should have been before."""
        health, now_s = self._health.get(mirror.turn.server, Health()), self._clock.now_s()
        due = due_s(self._present(mirror), health, now_s)
        return None if due is None else max(due, now_s)

    # --- from beginning to end ---------------------------------------------------------------------------------------

    async def run(self) -> Sequence[JsonObject]:
        """Work until told to end; for each mirror how many cycles it had, and the last one's report.

        Raises Locked when another daemon works on this state; UsageError, DiskError or StateDamaged when it cannot begin.
        """
        daemon = self._shop.config.settings.daemon
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(hold_service(self._shop))
            await self._take(self._shop.config)
            if daemon.metrics is not None:
                await stack.enter_async_context(serve_page(daemon.metrics, self._page, self._well))
            listener = await stack.enter_async_context(control.listen(daemon.socket))
            _log().info("daemon.ready", mirrors=sorted(self._mirrors), socket=str(daemon.socket))
            self._notifier.announce("READY=1")
            async with anyio.create_task_group() as around:
                around.start_soon(control.serve, listener, self._handle)
                around.start_soon(self._watcher.run)
                around.start_soon(self._hooks.work)
                around.start_soon(self._beat)
                await self._work()
                with anyio.move_on_after(HOOKS_S):
                    await self._hooks.finish()
                around.cancel_scope.cancel()
        _log().info("daemon.ended")
        return [
            {"name": name, "cycles": each.cycles, "last": None if each.last is None else self._teller.shape(each.last)}
            for name, each in sorted(self._mirrors.items())
        ]

    async def _work(self) -> None:
        """Begin what is due until told to end, then wait for what is under way."""
        async with anyio.create_task_group() as turns:
            turns.start_soon(self._cut_off, turns.cancel_scope)
            while not self._leaving:
                self._news = anyio.Event()
                now_s = self._clock.now_s()
                decision = decide([self._present(each) for each in self._mirrors.values()], self._health, now_s)
                for start in decision.starts:
                    mirror, under_way = self._mirrors[start.name], UnderWay(start, Pulse(self._clock))
                    mirror.turn = begun(mirror.turn, start)
                    self._under_way.add(under_way)
                    turns.start_soon(self._turn, mirror, under_way)
                self._make_way(decision.ways)
                if not decision.starts:
                    await self._wait(self._news, decision.wake_s - now_s)
            _log().info("daemon.ending", at_work=self._at_work())
            self._notifier.announce("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int((DRAIN_S + HOOKS_S + 6) * 1e6)}")
            while self._under_way:
                self._news = anyio.Event()
                await self._news.wait()
            turns.cancel_scope.cancel()

    async def _cut_off(self, turns: anyio.CancelScope) -> None:
        await self._stop.wait()
        await self._clock.sleep(DRAIN_S)
        turns.cancel()

    async def _wait(self, news: anyio.Event, at_most_s: float) -> None:
        async def nap() -> None:
            await self._clock.sleep(max(0.0, at_most_s))
            news.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(nap)
            await news.wait()
            tasks.cancel_scope.cancel()

    def _make_way(self, names: Collection[str]) -> None:
        """Ask the cycles of these mirrors to end, so that an edit need not wait for them; they go on afterwards."""
        for each in self._under_way:
            if each.start.name in names and not each.stop.is_set():
                _log().info("cycle.makes_way", mirror=each.start.name)
                each.way.set()
                each.stop.set()

    async def _turn(self, mirror: Mirrored, under_way: UnderWay) -> None:
        """One turn of one mirror. Its trouble decides when it comes again, and never reaches another mirror."""
        start, stop = under_way.start, under_way.stop
        shop = replace(self._shop, clock=under_way.pulse)
        ended = Ended(start=start, began_s=self._clock.now_s(), outcome=MirrorOutcome.FAILED)
        report: MirrorReport | None = None
        try:
            if not await self._is_up(shop, mirror):
                ended = replace(ended, outcome=MirrorOutcome.UNREACHABLE)
            elif start.work is Work.CYCLE:
                self._teller.begins(shop.config.settings.daemon)
                report = await work.cycle(shop, start.name, stop)
                made_way = report.outcome is MirrorOutcome.STOPPED and under_way.way.is_set()
                ended = replace(ended, outcome=report.outcome, made_way=made_way)
            else:
                report, more = await self._edits(shop, start, mirror, stop)
                ended = replace(ended, outcome=None if report is None else report.outcome, more=more)
        except LabelmirrorError as error:
            _log().warning("turn.failed", mirror=start.name, code=error.code, message=error.message)
        except Exception as error:  # noqa: BLE001 - a defect that one mirror meets must not end the others
            _log().error("turn.failed", mirror=start.name, code="internal", exc_info=error)
        finally:
            self._end(mirror, ended, report)
            self._under_way.discard(under_way)
        if report is not None:
            if start.work is Work.CYCLE:
                mirror.cycles, mirror.last = mirror.cycles + 1, report
                if report.error is None and report.refused is None:
                    mirror.last_sync_s = self._clock.now_s()
            self._measure(start.name, mirror)
            daemon = self._shop.config.settings.daemon
            await self._teller.ended(daemon, mirror.turn.server, start, report, self._due_s(mirror))

    async def _is_up(self, shop: Workshop, mirror: Mirrored) -> bool:
        """Whether the mirror's server can be asked: one that was not reached last time gets a single request first."""
        server = mirror.turn.server
        if not self._health.get(server, Health()).failures or await work.probe(shop, mirror.turn.name):
            return True
        _log().warning("server.down", server=server, tries=self._health[server].failures + 1)
        return False

    def _end(self, mirror: Mirrored, ended: Ended, report: MirrorReport | None) -> None:
        server = mirror.turn.server
        reached = report is not None and report.outcome is not MirrorOutcome.UNREACHABLE and report.traffic.api > 0
        mirror.turn, self._health[server] = after(
            mirror.turn,
            self._health.get(server, Health()),
            replace(ended, reached=reached),
            now_s=self._clock.now_s(),
            draw=self._draw(),
        )
        self._watcher.look_again()
        self._news.set()

    async def _edits(
        self, shop: Workshop, start: Start, mirror: Mirrored, stop: anyio.Event
    ) -> tuple[MirrorReport | None, bool]:
        """Find edits among the files that came to rest, or among all, and push them; None: there are none."""
        settle_s = shop.config.settings.daemon.settle.total_seconds()
        now_s, began_s = self._clock.now_s(), self._clock.monotonic_s()
        paths: Collection[str] | None = None
        if start.cause is Cause.SCAN:
            mirror.settling = replace(mirror.settling, flooded=False)
        else:
            paths, mirror.settling = mirror.settling.taken(settle_s, now_s)
        try:
            found = await work.find(shop, start.name, paths, settle_s)
        finally:
            if start.cause is Cause.SCAN:
                every_s = scan_every_s(watched=self._watcher.watching, took_s=self._clock.monotonic_s() - began_s)
                mirror.turn = replace(mirror.turn, scan_s=now_s + every_s)
        mirror.settling = mirror.settling.noted(found.restless, self._clock.now_s())
        if not found.edited:
            return None, False
        return await work.push(shop, start.name, found.edited, stop)

    # --- facts for the schedule --------------------------------------------------------------------------------------

    async def _take(self, config: Config) -> None:
        """Let this configuration be in force. Turns under way end with the one that they began with.

        Raises StateDamaged or DiskError, and changes nothing then.
        """
        shop = replace(self._shop, config=config)
        mirrors: dict[str, Mirrored] = {}
        for name, settings in sorted(config.settings.datasets.items()):
            known = self._mirrors.get(name) or await self._recalled(shop, name, settings)
            mirrors[name] = known
        for name, settings in config.settings.datasets.items():
            each = mirrors[name]
            each.settings = settings
            rhythm = _rhythm(config, name, settings)
            each.turn = replace(each.turn, server=settings.server, rhythm=rhythm)
            if not each.has_edits:
                each.settling, each.turn = Settling(), replace(each.turn, scan_s=None)
            if next_turn(rhythm, self._clock.now_s(), self._clock.now_s()) is None:
                _log().warning("calendar.never", mirror=name, calendar=settings.calendar)
            self._measure(name, each)
        self._metrics.forget(self._mirrors.keys() - mirrors.keys())
        self._shop, self._mirrors = shop, mirrors
        # A server that is no longer named may still be at work for a turn under way.
        self._health |= {name: Health() for name in config.settings.servers if name not in self._health}

    async def _recalled(self, shop: Workshop, name: str, settings: DatasetSettings) -> Mirrored:
        """A mirror as the state knows it."""
        async with open_local_mirror(shop, name) as mirror:
            facts = await mirror.state.facts()
            troubles = await mirror.state.troubles()
        self._teller.knows_held(name, [(each.id, each.set) for each in troubles if isinstance(each, Held)])
        rhythm = _rhythm(shop.config, name, settings)
        turn = Turn(name=name, server=settings.server, rhythm=rhythm, begun_s=facts.last_end_s)
        return Mirrored(settings, turn, last_sync_s=facts.last_sync_s)

    def _present(self, mirror: Mirrored) -> Turn:
        """A mirror's turn, with what its files are doing."""
        settle_s = self._shop.config.settings.daemon.settle.total_seconds()
        return replace(
            mirror.turn,
            settled_s=mirror.settling.settled_s(settle_s),
            restless_s=mirror.settling.since_s,
            scan_s=0.0 if mirror.settling.flooded else mirror.turn.scan_s,
        )

    def _folders(self) -> Mapping[str, Path]:
        """The folders of documents that are edited here, as far as they are there."""
        folders = {name: each.settings.path / "annotations" for name, each in self._mirrors.items() if each.has_edits}
        return {name: folder for name, folder in folders.items() if folder.is_dir()}

    def _note(self, found: Mapping[str, frozenset[str]]) -> None:
        now_s = self._clock.now_s()
        for name, paths in found.items():
            if name in self._mirrors:
                mirror = self._mirrors[name]
                mirror.settling = mirror.settling.noted(paths, now_s)
        self._news.set()

    def _scan_soon(self, names: Iterable[str]) -> None:
        now_s = self._clock.now_s()
        for name in names:
            self._mirrors[name].turn = replace(self._mirrors[name].turn, scan_s=now_s)
        self._news.set()

    # --- signs of life -----------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Tell the service manager how it goes; that all is alive, only if it is."""
        watchdog_s = self._notifier.watchdog_s
        every_s = _BEAT_S if watchdog_s is None else min(_BEAT_S, watchdog_s / 4)
        while True:
            alive = ("WATCHDOG=1",) if self._well() else ()
            self._notifier.announce(f"STATUS={self._status_line(every_s)}", *alive)
            await self._clock.sleep(every_s)

    def _well(self) -> bool:
        """Whether every turn under way does something, or waits where waiting is declared."""
        watchdog_s = self._notifier.watchdog_s
        bound_s = SILENCE_S if watchdog_s is None else watchdog_s / 2
        return all(each.pulse.silent_s() < bound_s for each in self._under_way)

    def _status_line(self, every_s: float) -> str:
        working, now_s = self._at_work(), self._clock.now_s()
        rate = f"{self._metrics.take_requests() / every_s * 60:.0f} requests a minute"
        due = {name: self._due_s(each) for name, each in self._mirrors.items() if not each.turn.working}
        waiting = {name: at_s for name, at_s in due.items() if at_s is not None}
        if not waiting:
            return f"at work: {', '.join(working) or 'none'}; {rate}"
        name = min(waiting, key=lambda each: (waiting[each], each))
        return f"at work: {', '.join(working) or 'none'}; {rate}; next: {name} in {waiting[name] - now_s:.0f} s"

    def _at_work(self) -> Sequence[str]:
        return sorted(each.start.name for each in self._under_way)

    def _page(self) -> bytes:
        for name, each in self._mirrors.items():
            self._measure(name, each)
        return self._metrics.page()

    def _measure(self, name: str, mirror: Mirrored) -> None:
        now_s = self._clock.now_s()
        self._metrics.mirror(name, last_sync_s=mirror.last_sync_s, paused=mirror.turn.paused, now_s=now_s)


def _rhythm(config: Config, name: str, settings: DatasetSettings) -> Rhythm:
    calendar = None if settings.calendar is None else read_calendar(settings.calendar)
    return Rhythm(settings.every.total_seconds(), calendar, draw_of(f"{config.settings.state}\0{name}"))


def _refuse_fixed(old: Config, new: Config) -> None:
    """Raise ConfigError if something changed that holds for the life of the process."""
    before, now = old.settings, new.settings
    for key, was, is_ in (
        ("state", before.state, now.state),
        ("ledger", before.ledger, now.ledger),
        ("daemon.socket", before.daemon.socket, now.daemon.socket),
        ("daemon.metrics", before.daemon.metrics, now.daemon.metrics),
    ):
        if was != is_:
            raise ConfigError(
                f"{new.file}: {key}: changes only with a restart", hint="Restart the daemon, or put it back."
            )


def _without_secrets(shop: Workshop) -> Mapping[str, str]:
    """The environment for hooks, without the variables that hold keys or may hold them."""
    servers = shop.config.settings.servers.values()
    secret = {source.env for server in servers for _, source in server.secrets() if source.env is not None}
    return {
        name: value
        for name, value in shop.environ.items()
        if name not in secret and not name.upper().startswith("LABELMIRROR__SERVERS__")
    }


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("labelmirror")
    return logger
