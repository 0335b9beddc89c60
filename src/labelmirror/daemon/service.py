"""The daemon's loop: it asks the schedule what is due, begins it, and hears how it ended. All deciding is elsewhere."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import anyio
import structlog
from anyio import to_thread
from anyio.abc import TaskGroup

from labelmirror.app import Workshop, hold_service
from labelmirror.config import Config
from labelmirror.daemon import control, work
from labelmirror.daemon.control import Answer, Refused, Request
from labelmirror.daemon.memory import give_back
from labelmirror.daemon.roster import Mirrored, Roster, UnderWay
from labelmirror.daemon.schedule import Cause, Ended, Work, scan_every_s
from labelmirror.daemon.telling import Teller
from labelmirror.daemon.vitals import Vitals
from labelmirror.daemon.watch import Watcher
from labelmirror.engine.runs import run_error
from labelmirror.errors import ConfigError, LabelmirrorError, Unavailable
from labelmirror.model.document import JsonObject
from labelmirror.model.events import Event, Phase, PhaseBegan
from labelmirror.model.report import MirrorOutcome, MirrorReport, RunError
from labelmirror.telemetry.hooks import Hooks
from labelmirror.telemetry.metrics import Metrics
from labelmirror.telemetry.page import serve_page
from labelmirror.telemetry.reporter import Reporters
from labelmirror.telemetry.systemd import Notifier

#: Turns that are asked to end have this long, then they are cut off: what they finished is on record.
DRAIN_S: Final = 8.0
#: Calls of hooks that still wait when the daemon ends have this long.
HOOKS_S: Final = 1.0


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
        self._roster = Roster(replace(shop, reporter=Reporters((shop.reporter, metrics, self))))
        self._clock = shop.clock
        self._load = load
        self._draw = draw
        self._notifier = notifier
        self._metrics = metrics
        self._hooks = Hooks(_for_hooks(shop))
        self._teller = Teller(metrics, self._hooks, shape)
        self._vitals = Vitals(self._roster, metrics, notifier, shop.clock)
        self._watcher = Watcher(self._roster.folders, self._touched, self._missed)
        self._news = anyio.Event()
        self._stop = anyio.Event()
        self._leaving = False
        self._since_s = shop.clock.now_s()

    # --- what it is told ---------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End as soon as what is in hand is finished and recorded."""
        self._stop.set()
        for each in self._roster.under_way:
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
            _refuse_fixed(self._roster.shop.config, config)
            await self._take(config)
        except LabelmirrorError as error:
            _log().error("config.refused", message=error.message, hint=error.hint or None)
        else:
            _log().info("config.loaded", file=str(config.file), mirrors=sorted(self._roster.mirrors))
        self._notifier.announce("READY=1")
        self._watcher.look_again()
        self._news.set()

    async def _take(self, config: Config) -> None:
        """Let this configuration be in force. Raises StateDamaged or DiskError, and changes nothing then."""
        before = set(self._roster.mirrors)
        for name, held in (await self._roster.take(config)).items():
            self._teller.knows_held(name, held)
        self._metrics.forget(before - self._roster.mirrors.keys())
        self._vitals.measure()

    def emit(self, event: Event) -> None:
        """Take one fact of the engine: a cycle that looks at the files has listed its server; folders come while it works."""
        if not isinstance(event, PhaseBegan) or event.mirror not in self._roster.mirrors:
            return
        self._watcher.look_again()
        if event.phase is Phase.SCANNING:
            self._roster.listed(event.mirror)
            self._news.set()

    def _touched(self, found: Mapping[str, frozenset[str]]) -> None:
        self._roster.touched(found)
        self._news.set()

    def _missed(self, names: Iterable[str]) -> None:
        self._roster.missed(names)
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
        standings = tuple(self._roster.standing(name) for name in sorted(chosen))
        return Answer(pid=os.getpid(), since_s=self._since_s, mirrors=standings)

    def _chosen(self, request: Request) -> Mapping[str, Mirrored]:
        for name in request.mirrors:
            if name not in self._roster.mirrors:
                raise Refused(
                    f"the daemon has no mirror {name!r}", hint=f"it has: {', '.join(sorted(self._roster.mirrors))}"
                )
        return {name: self._roster.mirrors[name] for name in request.mirrors or self._roster.mirrors}

    # --- from beginning to end ---------------------------------------------------------------------------------------

    async def run(self) -> Sequence[JsonObject]:
        """Work until told to end; for each mirror how many cycles it had, and the last one's report.

        Raises Locked when another daemon works on this state; UsageError, DiskError or StateDamaged when it cannot begin.
        """
        shop = self._roster.shop
        daemon = shop.config.settings.daemon
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(hold_service(shop))
            await self._take(shop.config)
            if daemon.metrics is not None:
                await stack.enter_async_context(serve_page(daemon.metrics, self._vitals.page, self._vitals.well))
            listener = await stack.enter_async_context(control.listen(daemon.socket))
            _log().info("daemon.ready", mirrors=sorted(self._roster.mirrors), socket=str(daemon.socket))
            self._notifier.announce("READY=1")
            async with anyio.create_task_group() as around:
                around.start_soon(control.serve, listener, self._handle)
                around.start_soon(self._watcher.run)
                around.start_soon(self._hooks.work)
                around.start_soon(self._vitals.beat)
                await self._work()
                with anyio.move_on_after(HOOKS_S):
                    await self._hooks.finish()
                around.cancel_scope.cancel()
        _log().info("daemon.ended")
        return [
            {"name": name, "cycles": each.cycles, "last": None if each.last is None else self._teller.shape(each.last)}
            for name, each in sorted(self._roster.mirrors.items())
        ]

    async def _work(self) -> None:
        """Begin what is due until told to end, then wait for what is under way."""
        async with anyio.create_task_group() as turns:
            turns.start_soon(self._cut_off, turns.cancel_scope)
            while not self._leaving:
                self._news = anyio.Event()
                now_s = self._clock.now_s()
                decision = self._roster.decide(now_s)
                for start in decision.starts:
                    under_way = self._roster.begin(start)
                    tasks = turns if under_way.room is None else under_way.room.tasks
                    tasks.start_soon(self._turn, under_way)
                self._make_way(decision.ways)
                if not decision.starts:
                    await self._wait(self._news, decision.wake_s - now_s)
            _log().info("daemon.ending", at_work=self._roster.at_work())
            self._notifier.announce("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int((DRAIN_S + HOOKS_S + 6) * 1e6)}")
            while self._roster.under_way:
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
        for each in self._roster.under_way:
            if each.start.name in names and not each.stop.is_set():
                _log().info("cycle.makes_way", mirror=each.start.name)
                each.way.set()
                each.stop.set()

    @contextmanager
    def _room(self, cycle: UnderWay, tasks: TaskGroup) -> Iterator[None]:
        """A cycle asks its server, and edits may be pushed meanwhile."""
        with self._roster.room(cycle, tasks):
            self._news.set()
            yield

    async def _turn(self, under_way: UnderWay) -> None:
        """One turn of one mirror. Its trouble decides when it comes again, and never reaches another mirror."""
        mirror, start, shop = under_way.mirror, under_way.start, under_way.shop
        ended = Ended(start=start, began_s=self._clock.now_s(), outcome=MirrorOutcome.FAILED)
        report: MirrorReport | None = None
        trouble: RunError | None = None
        try:
            if not await self._is_up(shop, mirror):
                ended = replace(ended, outcome=MirrorOutcome.UNREACHABLE)
                trouble = run_error(Unavailable(f"the server {mirror.turn.server} cannot be reached"))
            elif start.work is Work.CYCLE:
                self._teller.begins(shop.config.settings.daemon)
                report = await work.cycle(shop, start.name, under_way.stop, partial(self._room, under_way))
                trouble = report.error
                made_way = report.outcome is MirrorOutcome.STOPPED and under_way.way.is_set()
                ended = replace(ended, outcome=report.outcome, made_way=made_way)
            else:
                report, more = await self._edits(shop, under_way)
                ended = replace(ended, outcome=None if report is None else report.outcome, more=more)
        except LabelmirrorError as error:
            trouble = run_error(error)
            _log().warning("turn.failed", mirror=start.name, code=error.code, message=error.message)
        except Exception as error:  # noqa: BLE001 - a defect that one mirror meets must not end the others
            _log().error("turn.failed", mirror=start.name, code="internal", exc_info=error)
        finally:
            reached = report is not None and report.outcome is not MirrorOutcome.UNREACHABLE and report.traffic.api > 0
            self._roster.end(under_way, replace(ended, reached=reached), trouble, draw=self._draw())
            self._watcher.look_again()
            self._news.set()
        if report is not None:
            if start.work is Work.CYCLE:
                mirror.cycles, mirror.last = mirror.cycles + 1, report
                if report.error is None and report.refused is None:
                    mirror.last_sync_s = self._clock.now_s()
            self._vitals.measure()
            daemon = self._roster.shop.config.settings.daemon
            await self._teller.ended(daemon, mirror.turn.server, start, report, self._roster.due_s(mirror))
        if start.work is Work.CYCLE:
            await to_thread.run_sync(give_back)

    async def _is_up(self, shop: Workshop, mirror: Mirrored) -> bool:
        """Whether the mirror's server can be asked: one that was not reached last time gets a single request first."""
        if not self._roster.failures(mirror) or await work.probe(shop, mirror.turn.name):
            return True
        _log().warning("server.down", server=mirror.turn.server, tries=self._roster.failures(mirror) + 1)
        return False

    async def _edits(self, shop: Workshop, under_way: UnderWay) -> tuple[MirrorReport | None, bool]:
        """Find edits among the files that came to rest, or among all, and push them; None: there are none."""
        mirror, start = under_way.mirror, under_way.start
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
        return await work.push(shop, start.name, found.edited, under_way.stop, beside=start.beside)


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


def _for_hooks(shop: Workshop) -> Mapping[str, str]:
    """The environment for hooks, without the variables that hold keys or may hold them, and those that are the daemon's own."""
    servers = shop.config.settings.servers.values()
    kept = {source.env for server in servers for _, source in server.secrets() if source.env is not None}
    kept |= {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
    return {
        name: value
        for name, value in shop.environ.items()
        if name not in kept and not name.upper().startswith("LABELMIRROR__SERVERS__")
    }


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("labelmirror")
    return logger
