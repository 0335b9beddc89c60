"""The one room in which everything is put together: settings become providers, trees, states and mirrors.

Nothing else knows which database or server is behind a port.
"""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio
import structlog
from anyio import to_thread

from labelmirror.config import Config, DatasetSettings
from labelmirror.config.secrets import resolve
from labelmirror.engine.marker import check_marker
from labelmirror.engine.mirror import LocalMirror, Mirror
from labelmirror.errors import MarkerMismatch, StateDamaged, StateForeign, UsageError
from labelmirror.ledger.sqlite import SqliteLedger
from labelmirror.model.document import JsonValue
from labelmirror.model.keys import DatasetRef
from labelmirror.model.pacing import QuotaRules
from labelmirror.model.policy import Content, MirrorPolicy, OnConflict, OnRemoteDelete
from labelmirror.model.snapshot import Access, SnapshotList
from labelmirror.ports.clock import Clock
from labelmirror.ports.export import CocoForm, RowsFile
from labelmirror.ports.provider import DocumentFormat, Provider, ProviderMemory
from labelmirror.ports.reporter import Reporter
from labelmirror.ports.snapshots import SnapshotStore
from labelmirror.ports.tree import WorkingTree
from labelmirror.providers.registry import KINDS
from labelmirror.providers.settings import ServerSettings
from labelmirror.snapshots.directory import LOCK, STORE, open_store
from labelmirror.state.database import set_aside
from labelmirror.state.lock import hold_file, hold_lock, share_file
from labelmirror.state.sqlite import open_state
from labelmirror.telemetry.logs import Masker
from labelmirror.transport.allowance import RunBudget
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.pacer import Pacer
from labelmirror.tree.directory import DirectoryTree
from labelmirror.tree.disk import disk_errors
from labelmirror.tree.export import rows_file


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every part is built from. The masker learns each secret before anything can print it."""

    config: Config
    masker: Masker
    clock: Clock
    reporter: Reporter
    environ: Mapping[str, str]


def chosen(config: Config, names: list[str]) -> dict[str, DatasetSettings]:
    """The mirrors that a command line names, all of them if it names none. Raises UsageError with the names there are."""
    datasets = config.settings.datasets
    if not datasets:
        raise UsageError(f"{config.file} has no mirror", hint="add a [datasets.NAME] table with server, name and path")
    for name in names or sorted(datasets):
        if name not in datasets:
            known = ", ".join(sorted(datasets)) or "none"
            raise UsageError(f"there is no mirror {name!r} in {config.file}", hint=f"there is: {known}")
    return {name: datasets[name] for name in (names or sorted(datasets))}


@asynccontextmanager
async def open_mirror(
    shop: Workshop, name: str, *, wait_s: float = 0.0, budget: RunBudget | None = None
) -> AsyncIterator[Mirror]:
    """A mirror to work on, under its lock. Raises Locked when another run has it for longer than `wait_s`."""
    lock = hold_lock(shop.config.settings.state, name, clock=shop.clock, wait_s=wait_s)
    async with lock, open_mirror_beside(shop, name, budget=budget) as mirror:
        yield mirror


@asynccontextmanager
async def open_mirror_beside(shop: Workshop, name: str, *, budget: RunBudget | None = None) -> AsyncIterator[Mirror]:
    """A mirror to work on beside a run of this process that has its lock, and has room for others (`Run.room`)."""
    settings = shop.config.settings.datasets[name]
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(open_local_mirror(shop, name))
        provider = await stack.enter_async_context(
            open_provider(shop, settings.server, memory=local.state.memory, budget=budget)
        )
        yield Mirror(
            name=name,
            server=settings.server,
            policy=local.policy,
            format=provider.format,
            tree=local.tree,
            state=local.state,
            ref=DatasetRef(name=settings.name, id=settings.id),
            provider=provider,
            clock=shop.clock,
            reporter=shop.reporter,
            workers=shop.config.settings.servers[settings.server].connections,
        )


@asynccontextmanager
async def open_local_mirror(shop: Workshop, name: str) -> AsyncIterator[LocalMirror]:
    """What of a mirror is on this machine; needs neither lock nor key."""
    settings = shop.config.settings.datasets[name]
    async with open_state(shop.config.settings.state) as database:
        yield LocalMirror(
            name=name,
            server=settings.server,
            policy=policy_of(shop.config, settings),
            format=document_format(shop.config.settings.servers[settings.server]),
            tree=DirectoryTree(settings.path),
            state=await database.mirror(name),
        )


@asynccontextmanager
async def open_resting_mirror(shop: Workshop, name: str, *, wait_s: float = 0.0) -> AsyncIterator[LocalMirror]:
    """A mirror that no run works on meanwhile; needs no key. Raises Locked as `open_mirror`."""
    state = shop.config.settings.state
    async with hold_lock(state, name, clock=shop.clock, wait_s=wait_s), open_local_mirror(shop, name) as mirror:
        yield mirror


@asynccontextmanager
async def open_snapshots(shop: Workshop, access: Access, *, wait_s: float = 0.0) -> AsyncIterator[SnapshotStore]:
    """The store of snapshots. Raises UsageError when there is none to read, Locked when another run is in the way."""
    root = shop.config.settings.backup.path
    if access is not Access.CREATE:
        await open_store(root, access)
    lock = share_file if access is Access.READ else hold_file
    async with lock(root / LOCK, busy=f"{root}: another run works on these snapshots", clock=shop.clock, wait_s=wait_s):
        yield await open_store(root, access)


async def list_snapshots(shop: Workshop) -> SnapshotList:
    """All snapshots; none where there is no store yet. Needs no lock: a manifest is there whole or not at all."""
    root = shop.config.settings.backup.path
    if not await anyio.Path(root / STORE).exists():
        return SnapshotList((), ())
    return await (await open_store(root, Access.READ)).snapshots()


async def open_folder(path: Path, *, make: bool) -> WorkingTree:
    """A folder to restore into. Raises UsageError when something else is in its place, DiskError when it cannot be made."""
    folder = anyio.Path(path)
    if await folder.exists() and not await folder.is_dir():
        raise UsageError(f"{path} is no folder", hint="name a new or an empty one")
    if make:
        with disk_errors(str(path)):
            await folder.mkdir(parents=True, exist_ok=True)
    return DirectoryTree(path)


def coco_form(config: Config, name: str) -> CocoForm:
    """What puts a mirror's documents into COCO's words."""
    return KINDS[config.settings.servers[config.settings.datasets[name].server].kind].coco_form()


def open_export(path: Path, sections: Sequence[str]) -> AbstractAsyncContextManager[RowsFile]:
    """A file of lists with these names for other programs, which is there once the block has ended well."""
    return rows_file(path, sections)


@dataclass(frozen=True, slots=True)
class Connection:
    """A server that can be asked, and who paces the asking."""

    provider: Provider
    pacer: Pacer


@asynccontextmanager
async def open_provider(
    shop: Workshop, server: str, *, memory: ProviderMemory | None = None, budget: RunBudget | None = None
) -> AsyncIterator[Provider]:
    """The provider of a connection alone; see `connect`."""
    async with connect(shop, server, memory=memory, budget=budget) as connection:
        yield connection.provider


@asynccontextmanager
async def connect(
    shop: Workshop, server: str, *, memory: ProviderMemory | None = None, budget: RunBudget | None = None
) -> AsyncIterator[Connection]:
    """A server with its key, paced together with every process that shares the key. `memory` None: it forgets.

    Raises ConfigError when the key cannot be had. Nothing is sent before the provider is asked something.
    """
    settings = shop.config.settings.servers[server]
    secrets = {}
    for field, source in settings.secrets():
        secret = await to_thread.run_sync(resolve, source, f"servers.{server}.{field}", shop.environ)
        shop.masker.learn(secret.reveal())
        secrets[field] = secret
    ledger = SqliteLedger(shop.config.settings.ledger, lambda text: _log().warning("ledger", about=text))
    chance = random.Random()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ledger.aclose)
        account = await ledger.account(settings.url, "\n".join(secret.reveal() for secret in secrets.values()))
        pacer = Pacer(account, shop.clock, host=server, rules=_rules(settings), reporter=shop.reporter)
        stack.push_async_callback(pacer.aclose)
        if budget is not None:
            pacer.start_run(budget)
        spool = shop.config.settings.state / "spool"
        with disk_errors(str(spool)):
            await anyio.Path(spool).mkdir(mode=0o700, parents=True, exist_ok=True)
        gate = Gate(shop.clock, host=server, connections=settings.connections, chance=chance)
        provider = await stack.enter_async_context(
            KINDS[settings.kind].builder()(
                settings,
                **secrets,
                memory=memory if memory is not None else Forgetful(),
                pacer=pacer,
                gate=gate,
                clock=shop.clock,
                draw=chance.random,
                folder=spool,
            )
        )
        yield Connection(provider, pacer)


class Forgetful:
    """The memory of a provider that is opened to be asked once."""

    def __init__(self) -> None:
        self._held: dict[str, JsonValue] = {}

    async def get(self, name: str) -> JsonValue:
        """What was put under this name, None if nothing was."""
        return self._held.get(name)

    async def put(self, name: str, value: JsonValue) -> None:
        """Remember, until the program ends."""
        self._held[name] = value


@asynccontextmanager
async def hold_service(shop: Workshop) -> AsyncIterator[None]:
    """Be the only daemon that works on this state, which can be opened. Raises Locked, StateDamaged or DiskError."""
    folder = shop.config.settings.state
    # No mirror can have this name.
    path = folder / "locks" / ".daemon.lock"
    busy, hint = f"{folder}: another daemon works on this state", "End that one, or give this one a `state` of its own."
    async with hold_file(path, busy=busy, clock=shop.clock, hint=hint):
        await try_state(shop)
        yield


def budget_of(requests: int | None, time_s: float | None) -> RunBudget | None:
    """What a run may spend on one server; None: no bound."""
    return None if requests is None and time_s is None else RunBudget(requests, time_s)


async def try_state(shop: Workshop) -> None:
    """Open the state and close it again. Raises StateDamaged or DiskError if it cannot be used."""
    async with open_state(shop.config.settings.state):
        return


async def try_lock(shop: Workshop, name: str) -> None:
    """Take a mirror's lock and leave it again. Raises Locked, naming the holder, if another run has it."""
    async with hold_lock(shop.config.settings.state, name, clock=shop.clock, wait_s=0.0):
        return


async def needs_repair(shop: Workshop, name: str) -> bool:
    """Whether the mirror's directory is known to have been mirrored, and the state knows nothing of it."""
    async with open_local_mirror(shop, name) as mirror:
        try:
            await check_marker(mirror, claim=False)
        except StateDamaged:
            return True
        except MarkerMismatch:
            return False
    return False


async def renew_state(shop: Workshop) -> Sequence[Path]:
    """Put a database that cannot be read aside, so that a new one is begun; the new names of its files.

    It holds every mirror's memory, so no mirror may be at work: raises Locked if one is. Raises StateForeign for a file
    that is not this version's to put aside.
    """
    folder = shop.config.settings.state
    try:
        await try_state(shop)
    except StateForeign:
        raise
    except StateDamaged:
        async with AsyncExitStack() as locks:
            for name in sorted(shop.config.settings.datasets):
                await locks.enter_async_context(hold_lock(folder, name, clock=shop.clock, wait_s=0.0))
            return await set_aside(folder, datetime.fromtimestamp(shop.clock.now_s(), UTC).strftime("%Y%m%dT%H%M%SZ"))
    return ()


def document_format(settings: ServerSettings) -> DocumentFormat:
    """How documents of a kind of server look; needs no connection."""
    return KINDS[settings.kind].format()


def policy_of(config: Config, settings: DatasetSettings) -> MirrorPolicy:
    """The wishes of one `[datasets.NAME]` entry."""
    statuses = settings.select.status
    retention = config.settings.retention
    return MirrorPolicy(
        content=Content(settings.content),
        push=settings.push,
        on_conflict=OnConflict(settings.on_conflict),
        push_window_s=settings.push_window.total_seconds(),
        on_remote_delete=OnRemoteDelete(settings.on_remote_delete),
        statuses=frozenset(statuses) if statuses is not None else None,
        full_check_every_s=settings.full_check_every.total_seconds(),
        history_s=retention.history.total_seconds(),
        trash_s=retention.trash.total_seconds(),
    )


def _rules(settings: ServerSettings) -> QuotaRules:
    return QuotaRules(
        reserve=settings.reserve,
        share=settings.share,
        others_per_hour=settings.others_per_hour,
        requests_per_hour=settings.requests_per_hour,
    )


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("labelmirror")
    return logger
