"""What is due, and when to look again. Pure: facts, settings and the time come in, a decision goes out.

All times are wall-clock seconds since 1970: a mirror's turn outlives the process, and a machine that slept makes up for what
it missed, once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from enum import Enum
from typing import Final

from labelmirror.daemon.calendar import Calendar, next_after
from labelmirror.model.report import MirrorOutcome
from labelmirror.transport.retry import Backoff

#: Cycles on one server at a time. Mirrors of other servers never wait for them.
PER_SERVER: Final = 4
#: The loop looks again at least this often: clocks are set, and machines sleep.
NAP_MAX_S: Final = 60.0
#: A cycle that is due waits this long for a file that is being edited to come to rest, or for edits to be pushed before it.
PATIENCE_S: Final = 60.0
#: A mirror on which another process works is tried again after this time, growing.
LOCKED: Final = Backoff(first_s=5.0, factor=1.5, longest_s=60.0)
#: A server that cannot be reached is asked by one mirror at a time, this seldom.
DOWN: Final = Backoff(first_s=15.0, factor=2.0, longest_s=900.0)
#: A mirror whose cycle failed for another reason waits at least this long, however often it is due.
FAILED: Final = Backoff(first_s=15.0, factor=2.0, longest_s=900.0)
#: A cycle that has worked for so long since it listed its server makes way for an edit, but not again before the second
#: time has passed: what it listed has to be listed anew.
WAY_AFTER_S: Final = 30.0
WAY_EVERY_S: Final = 600.0
_SPREAD_SHARE: Final = 0.1
_SPREAD_MAX_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a mirror is due: every so often, or at the moments of a calendar.

    `draw` in [0, 1) spreads the turns of mirrors and machines with equal settings. It stays the same from run to run, so
    that a turn can be told beforehand.
    """

    every_s: float
    calendar: Calendar | None = None
    draw: float = 0.0
    zone: tzinfo | None = None


def draw_of(name: str) -> float:
    """A number in [0, 1) that belongs to this name."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:6]) / 2**48


def next_turn(rhythm: Rhythm, begun_s: float | None, now_s: float) -> float | None:
    """When a mirror is due whose last turn began at `begun_s` (None: never had one); None: never again.

    Turns that were missed count as one: the answer may lie in the past. A turn that began in the future, because a clock was
    wrong, counts as begun now.
    """
    if begun_s is None:
        return now_s
    begun_s = min(begun_s, now_s)
    if rhythm.calendar is None:
        return begun_s + rhythm.every_s + rhythm.draw * min(_SPREAD_MAX_S, rhythm.every_s * _SPREAD_SHARE)
    # The turn of a moment begins up to a spread after it, and must not be found again.
    moment_s = next_after(rhythm.calendar, begun_s, rhythm.zone)
    if moment_s is None:
        return None
    later_s = next_after(rhythm.calendar, moment_s, rhythm.zone)
    room_s = _SPREAD_MAX_S if later_s is None else min(_SPREAD_MAX_S, (later_s - moment_s) * _SPREAD_SHARE)
    return moment_s + rhythm.draw * room_s


class Work(Enum):
    """What a mirror's turn consists of."""

    CYCLE = "cycle"
    EDITS = "edits"


class Cause(Enum):
    """Why it is done."""

    SCHEDULE = "schedule"
    ASKED = "asked"
    RETRY = "retry"
    EDITED = "edited"
    SCAN = "scan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is known of one mirror.

    `begun_s` is when its last cycle began that came to its end, for better or worse. `owed`: a cycle was due and could not be
    done. `not_before_s` holds it back after trouble. `settled_s` is when the files that were edited will have come to rest,
    `restless_s` since when there are such (both None: there are none); `scan_s` when all files are to be looked at.
    `room`: the cycle under way only asks its server just now, so that edits can be pushed beside it; `beside`: that is being
    done. `listed_s` is when that cycle had listed its server (None: it has not), `way_s` when one last made way for an edit.
    """

    name: str
    server: str
    rhythm: Rhythm
    begun_s: float | None = None
    working: bool = False
    room: bool = False
    beside: bool = False
    paused: bool = False
    asked: bool = False
    owed: bool = False
    failures: int = 0
    not_before_s: float = 0.0
    settled_s: float | None = None
    restless_s: float | None = None
    scan_s: float | None = None
    listed_s: float | None = None
    way_s: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How a server does: unreachable so many times in a row, and not to be asked before this time."""

    failures: int = 0
    not_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Start:
    """A turn that begins now; one `beside` a cycle under way shares its place on the server, and its lock."""

    name: str
    work: Work
    cause: Cause
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What begins now, when to decide again if nothing happens before, and whose cycle is to make way for an edit."""

    starts: tuple[Start, ...]
    wake_s: float
    ways: tuple[str, ...] = ()


def due_s(turn: Turn, health: Health, now_s: float) -> float | None:
    """When the next cycle of a mirror is due; None while it is paused, or if it is never due again."""
    if turn.asked:
        return now_s
    if turn.paused:
        return None
    slot_s = _slot_s(turn, now_s)
    if slot_s is None:
        return None
    due = max(slot_s, turn.not_before_s, health.not_before_s if health.failures else 0.0)
    if turn.settled_s is not None and turn.restless_s is not None:
        # What is being edited now would be pushed half done.
        due = max(due, min(turn.settled_s, max(due, turn.restless_s) + PATIENCE_S))
    return due


def _slot_s(turn: Turn, now_s: float) -> float | None:
    """When a cycle is due by the mirror's rhythm alone, or since when it is owed one; None: never again."""
    return turn.not_before_s if turn.owed else next_turn(turn.rhythm, turn.begun_s, now_s)


def decide(turns: Sequence[Turn], servers: Mapping[str, Health], now_s: float) -> Decision:
    """Say which turns begin now. The longest due goes first; of a server that is down only one mirror has a turn."""
    wake_s = now_s + NAP_MAX_S
    working = {server: sum(turn.working and turn.server == server for turn in turns) for server in servers}
    waiting: list[tuple[float, str, str, Start]] = []
    starts: list[Start] = []
    ways: list[str] = []
    for turn in turns:
        if turn.working:
            at_s = _way_s(turn)
            if at_s is not None and at_s <= now_s:
                ways.append(turn.name)
            elif at_s is not None:
                wake_s = min(wake_s, at_s)
        for at_s, start in _wishes(turn, servers[turn.server], now_s):
            if at_s > now_s:
                wake_s = min(wake_s, at_s)
                continue
            if start.beside:
                starts.append(start)
            else:
                waiting.append((at_s, turn.name, turn.server, start))
            break
    for _, _, server, start in sorted(waiting, key=lambda each: each[:2]):
        room = 1 if servers[server].failures else PER_SERVER
        if working[server] < room:
            working[server] += 1
            starts.append(start)
    return Decision(tuple(starts), wake_s, tuple(ways))


def _way_s(turn: Turn) -> float | None:
    """When the cycle under way is to make way for an edit; None: not as things stand."""
    if turn.listed_s is None or turn.settled_s is None or turn.paused:
        return None
    earliest_s = max(turn.settled_s, turn.listed_s + WAY_AFTER_S)
    return earliest_s if turn.way_s is None else max(earliest_s, turn.way_s + WAY_EVERY_S)


def _wishes(turn: Turn, health: Health, now_s: float) -> Sequence[tuple[float, Start]]:
    """What a mirror could do next and when, what goes first in front."""
    wishes: list[tuple[float, Start]] = []
    if turn.working and (turn.beside or not turn.room):
        return wishes
    held_s = max(turn.not_before_s, health.not_before_s if health.failures else 0.0)
    if not turn.paused:
        if turn.settled_s is not None:
            wishes.append((max(turn.settled_s, held_s), Start(turn.name, Work.EDITS, Cause.EDITED, turn.working)))
        if turn.scan_s is not None:
            wishes.append((max(turn.scan_s, held_s), Start(turn.name, Work.EDITS, Cause.SCAN, turn.working)))
    cycle_s = due_s(turn, health, now_s)
    if cycle_s is not None and not turn.working:
        cause = Cause.ASKED if turn.asked else Cause.RETRY if turn.owed else Cause.SCHEDULE
        wish = (cycle_s, Start(turn.name, Work.CYCLE, cause))
        wishes.insert(0 if _is_pressing(turn, now_s) else len(wishes), wish)
    return wishes


def _is_pressing(turn: Turn, now_s: float) -> bool:
    """Whether a cycle goes before edits: somebody asked for it, or it would wait for ever, because edits never end."""
    slot_s = _slot_s(turn, now_s)
    if turn.asked or slot_s is None or turn.restless_s is None:
        return turn.asked
    return now_s >= max(slot_s, turn.restless_s) + PATIENCE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a turn ended. `outcome` None: there was nothing to do, and no server was asked.

    `made_way`: it was a cycle that ended for an edit's sake. `reached`: the server answered something. `more`: what was
    found needs a cycle.
    """

    start: Start
    began_s: float
    outcome: MirrorOutcome | None = None
    reached: bool = False
    more: bool = False
    made_way: bool = False


def begun(turn: Turn, start: Start) -> Turn:
    """A mirror whose turn begins. What is asked for from now on is another turn."""
    if start.beside:
        return replace(turn, beside=True)
    return replace(turn, working=True, asked=turn.asked and start.work is not Work.CYCLE)


def after(turn: Turn, health: Health, ended: Ended, *, now_s: float, draw: float) -> tuple[Turn, Health]:
    """A mirror and its server after a turn. `draw` in [0, 1) jitters the time until the next try.

    A mirror that was locked, or whose server was not reached, is still owed its cycle. One that failed has had it, and waits
    for its next, or longer if that comes too soon. Edits that could not be pushed are a cycle's work: of what was left beside
    one under way, that one's own end says what becomes of it.
    """
    turn = replace(turn, beside=False) if ended.start.beside else replace(turn, working=False, listed_s=None)
    if ended.reached:
        health = Health()
    if ended.made_way:
        return replace(turn, owed=True, way_s=now_s), health
    cycle = ended.start.work is Work.CYCLE
    match ended.outcome:
        case None:
            return replace(turn, owed=turn.owed or ended.more), health
        case MirrorOutcome.LOCKED:
            failures = turn.failures + 1
            wait_s = LOCKED.delay_s(failures, draw)
            return replace(turn, owed=True, failures=failures, not_before_s=now_s + wait_s), health
        case MirrorOutcome.UNREACHABLE:
            failures = health.failures + 1
            return replace(turn, owed=True), Health(failures, now_s + DOWN.delay_s(failures, draw))
        case MirrorOutcome.FAILED | MirrorOutcome.STOPPED:
            failures = turn.failures + 1
            return replace(
                turn,
                begun_s=ended.began_s if cycle else turn.begun_s,
                owed=not cycle,
                failures=failures,
                not_before_s=now_s + FAILED.delay_s(failures, draw),
            ), health
        case _:
            owed = ended.more if cycle else turn.owed or ended.more
            return replace(
                turn,
                begun_s=ended.began_s if cycle else turn.begun_s,
                owed=owed,
                failures=0,
                not_before_s=0.0,
            ), health


def scan_every_s(*, watched: bool, took_s: float) -> float:
    """How often all files are looked at: events are hints that can get lost, and without any the scan is all there is.

    A scan that took long is made seldom enough that it never takes more than a twentieth of the time.
    """
    return max(300.0 if watched else 5.0, 20.0 * took_s)
