"""How the daemon does, as the service manager and whoever reads the metrics are told."""

from typing import Final

from labelmirror.daemon.roster import Roster
from labelmirror.ports.clock import Clock
from labelmirror.telemetry.metrics import Metrics
from labelmirror.telemetry.systemd import Notifier

#: A turn that gives no sign of life for so long hangs, unless the service manager is more patient.
SILENCE_S: Final = 300.0
_BEAT_S: Final = 10.0


class Vitals:
    """Signs of life, and the age of each mirror."""

    def __init__(self, roster: Roster, metrics: Metrics, notifier: Notifier, clock: Clock) -> None:
        self._roster = roster
        self._metrics = metrics
        self._notifier = notifier
        self._clock = clock

    async def beat(self) -> None:
        """Tell the service manager how it goes; that all is alive, only if it is. Until cancelled."""
        watchdog_s = self._notifier.watchdog_s
        every_s = _BEAT_S if watchdog_s is None else min(_BEAT_S, watchdog_s / 4)
        while True:
            alive = ("WATCHDOG=1",) if self.well() else ()
            self._notifier.announce(f"STATUS={self._status_line(every_s)}", *alive)
            await self._clock.sleep(every_s)

    def well(self) -> bool:
        """Whether every turn under way does something, or waits where waiting is declared."""
        watchdog_s = self._notifier.watchdog_s
        bound_s = SILENCE_S if watchdog_s is None else watchdog_s / 2
        return all(each.pulse.silent_s() < bound_s for each in self._roster.under_way)

    def page(self) -> bytes:
        """The metrics as they are now."""
        self.measure()
        return self._metrics.page()

    def measure(self) -> None:
        """Note in the metrics how old each mirror is now."""
        now_s = self._clock.now_s()
        for name, mirror in self._roster.mirrors.items():
            self._metrics.mirror(name, last_sync_s=mirror.last_sync_s, paused=mirror.turn.paused, now_s=now_s)

    def _status_line(self, every_s: float) -> str:
        working, now_s = self._roster.at_work(), self._clock.now_s()
        rate = f"{self._metrics.take_requests() / every_s * 60:.0f} requests a minute"
        due = {name: self._roster.due_s(each) for name, each in self._roster.mirrors.items() if not each.turn.working}
        waiting = {name: at_s for name, at_s in due.items() if at_s is not None}
        if not waiting:
            return f"at work: {', '.join(working) or 'none'}; {rate}"
        name = min(waiting, key=lambda each: (waiting[each], each))
        return f"at work: {', '.join(working) or 'none'}; {rate}; next: {name} in {waiting[name] - now_s:.0f} s"
