"""What `doctor` looks at, check by check. A check that fails never keeps the others from being made."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anyio import to_thread

from labelmirror.app import Connection, Workshop, connect, open_local_mirror, try_lock, try_state
from labelmirror.cli.shapes import time_text
from labelmirror.cli.telling import size
from labelmirror.config import Config, DatasetSettings
from labelmirror.daemon.control import NoDaemon, Unanswered, ask
from labelmirror.engine.marker import check_marker
from labelmirror.errors import DiskError, KeyRefused, LabelmirrorError, Locked, RoleRefused, Unavailable
from labelmirror.model.keys import DatasetRef
from labelmirror.model.remote import Capabilities, Quota
from labelmirror.model.report import MirrorOutcome

#: With less room than this on its disk, a mirror is as good as full.
ROOM_MIN_BYTES: Final = 64 * 2**20
#: Signed links and rate windows are understood by the server's clock; a host this far off is worth a word.
CLOCK_OFF_MAX_S: Final = 120.0

#: Endings of a cycle that are nobody's fault.
_GAVE_WAY: Final = frozenset({MirrorOutcome.LOCKED, MirrorOutcome.STOPPED})

_SAFETY: Final = {
    2: "a push writes single annotations",
    1: "a push re-reads and reads back; another save within one request can still be lost",
    0: "a push can overwrite another save unseen",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `fix` says what to do about it; "" where there is nothing to do."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


async def every(shop: Workshop) -> AsyncIterator[Check]:
    """All checks, in the order in which to mend what they find."""
    for check in _of_config(shop.config):
        yield check
    yield await _state(shop)
    yield await to_thread.run_sync(_ledger, shop.config.settings.ledger)
    async for check in _of_daemon(shop.config.settings.daemon.socket):
        yield check
    for name, settings in sorted(shop.config.settings.datasets.items()):
        yield await to_thread.run_sync(_directory, f"mirror.{name}.directory", settings.path)
        yield await _marker(shop, name)
        yield await _lock(shop, name)
    for server in sorted(shop.config.settings.servers):
        async for check in _of_server(shop, server):
            yield check


def broken_config(error: LabelmirrorError) -> Check:
    """The only check there is when the configuration cannot be used."""
    return Check("config", ok=False, detail=error.message, fix=error.hint or "labelmirror config check")


def _of_config(config: Config) -> Iterator[Check]:
    settings = config.settings
    yield Check("config", True, f"{config.file}: servers: {len(settings.servers)}, mirrors: {len(settings.datasets)}")
    for warning in config.warnings:
        yield Check("config.warning", True, warning)


# --- this machine -------------------------------------------------------------------------------------------------


async def _state(shop: Workshop) -> Check:
    try:
        await try_state(shop)
    except LabelmirrorError as error:
        return _failed("state", error)
    return await to_thread.run_sync(_directory, "state", shop.config.settings.state)


def _ledger(file: Path) -> Check:
    detail = f"{file}: every program of this user that names it shares one account of each key's quota"
    if os.access(_nearest(file), os.W_OK):
        return Check("ledger", True, detail)
    return Check("ledger", False, f"{file} cannot be written", "make it writable, or name another file as `ledger`")


def _directory(name: str, path: Path) -> Check:
    place = _nearest(path)
    free_bytes = shutil.disk_usage(place).free
    detail = f"{path}: {size(free_bytes)} free"
    if not place.is_dir():
        return Check(name, False, f"{place} is no directory", "name another path, or move the file away")
    if not os.access(place, os.W_OK | os.X_OK):
        return Check(name, False, f"{place} cannot be written", "let this user write there, or name another path")
    if free_bytes < ROOM_MIN_BYTES:
        return Check(name, False, detail, "make room on its disk")
    return Check(name, True, detail)


def _nearest(path: Path) -> Path:
    """The path, or what is there of the way to it and may be seen."""
    return next(place for place in (path, *path.parents) if os.path.exists(place))  # noqa: PTH110 - never raises


async def _marker(shop: Workshop, name: str) -> Check:
    check = f"mirror.{name}.marker"
    try:
        async with open_local_mirror(shop, name) as mirror:
            await check_marker(mirror, claim=False)
            marker = await mirror.tree.marker()
    except LabelmirrorError as error:
        return _failed(check, error)
    return Check(check, True, "the directory is this state's" if marker else "not mirrored yet")


async def _lock(shop: Workshop, name: str) -> Check:
    check = f"mirror.{name}.lock"
    try:
        await try_lock(shop, name)
    except Locked as error:
        return Check(check, True, error.message)
    except DiskError as error:
        return _failed(check, error)
    return Check(check, True, "free")


async def _of_daemon(socket: Path) -> AsyncIterator[Check]:
    """Whether one runs, which nobody has to have, and what its last cycles failed on."""
    try:
        answer = await ask(socket, "status")
    except Unanswered as error:
        yield _failed("daemon", error)
        return
    except NoDaemon as error:
        yield Check("daemon", True, error.message)
        return
    yield Check("daemon", True, f"process {answer.pid}, since {time_text(answer.since_s)}")
    for mirror in answer.mirrors:
        last = mirror.last
        if last is not None and last.error is not None and last.outcome not in _GAVE_WAY:
            detail = f"it ended at {time_text(last.at_s)} with: {last.error.message}"
            yield Check(f"mirror.{mirror.name}.cycle", False, detail, last.error.hint)


# --- servers ------------------------------------------------------------------------------------------------------


async def _of_server(shop: Workshop, server: str) -> AsyncIterator[Check]:
    settings = shop.config.settings
    name, url = f"server.{server}", settings.servers[server].url
    try:
        async with connect(shop, server) as connection:
            try:
                capabilities = await connection.provider.capabilities()
                held = len(await connection.provider.datasets())
            except LabelmirrorError as error:
                for check in _refusal(name, url, error):
                    yield check
                return
            yield Check(f"{name}.reachable", True, url)
            yield Check(f"{name}.key", True, f"accepted; it sees {held} datasets")
            yield _generation(name, capabilities)
            yield _quota(name, connection)
            yield _clock(name, connection.pacer.clock_offset_s)
            for mirror, wanted in sorted(settings.datasets.items()):
                if wanted.server == server:
                    yield await _dataset(f"mirror.{mirror}.dataset", connection, wanted)
    except LabelmirrorError as error:
        yield _failed(f"{name}.key", error)


def _refusal(name: str, url: str, error: LabelmirrorError) -> Iterator[Check]:
    """What the first request's error says: whether somebody was there, and whether the key was at fault."""
    if isinstance(error, Unavailable):
        yield Check(
            f"{name}.reachable", False, error.message, error.hint or "is the address right, and the network up?"
        )
        return
    yield Check(f"{name}.reachable", True, url)
    key = isinstance(error, KeyRefused | RoleRefused)
    yield _failed(f"{name}.key" if key else f"{name}.answers", error)


def _generation(name: str, capabilities: Capabilities) -> Check:
    level = capabilities.safety_level
    notes = "".join(f"; {note}" for note in capabilities.notes)
    images = f"{capabilities.image_batch} links a request" if capabilities.image_batch else "each image by a request"
    detail = (
        f"{capabilities.generation}: {capabilities.signal.value} change signal, {capabilities.listing_page} rows a page, "
        f"{images}; safety level {level}: {_SAFETY[level]}{notes}"
    )
    return Check(f"{name}.generation", True, detail)


def _quota(name: str, connection: Connection) -> Check:
    return Check(f"{name}.quota", True, quota_text(connection.provider.quota(), connection.pacer.kind.value))


def quota_text(quota: Quota, kind: str) -> str:
    """What the server still allows, in words."""
    if quota.limit is None:
        return "announces no limit; set requests_per_hour if it has one"
    window = "" if quota.window_s is None else f" in {quota.window_s:.0f} s"
    return f"{quota.remaining} of {quota.limit} requests left{window} ({kind} window), {quota.usable} for this program"


def _clock(name: str, offset_s: float | None) -> Check:
    check = f"{name}.clock"
    if offset_s is None:
        return Check(check, True, "the server's answers carry no Date")
    detail = f"the server's clock is {abs(offset_s):.1f} s {'ahead' if offset_s > 0 else 'behind'}"
    if abs(offset_s) > CLOCK_OFF_MAX_S:
        return Check(check, False, detail, "set this machine's clock, by NTP for instance")
    return Check(check, True, detail)


async def _dataset(check: str, connection: Connection, wanted: DatasetSettings) -> Check:
    try:
        dataset = await connection.provider.dataset(DatasetRef(name=wanted.name, id=wanted.id))
    except LabelmirrorError as error:
        return _failed(check, error)
    images = "" if dataset.images is None else f", {dataset.images} images"
    return Check(check, True, f"{dataset.name} ({dataset.id}){images}")


def _failed(name: str, error: LabelmirrorError) -> Check:
    return Check(name, False, error.message, error.hint)
