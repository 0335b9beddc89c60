"""A mirror that is in memory but for its server, and a snapshot of it that goes to another one."""

from dataclasses import dataclass, field
from pathlib import Path

from labelmirror.engine.backup import backup
from labelmirror.engine.cycle import CycleOptions, sync
from labelmirror.engine.mirror import Mirror
from labelmirror.engine.restore_server import RestoreOptions, plan_restore_to_server, restore_to_server
from labelmirror.model.keys import DatasetRef
from labelmirror.model.policy import Content, MirrorPolicy
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.snapshot import Access, Snapshot
from labelmirror.ports.provider import Provider
from labelmirror.snapshots.directory import open_store
from support.memory_mirror import Recorder
from support.memory_state import MemoryState
from support.memory_tree import MemoryTree
from support.quick_clock import QuickClock


@dataclass(slots=True)
class Half:
    """A mirror of a dataset of a real or a stand-in server."""

    server: str
    ref: DatasetRef
    provider: Provider
    state: MemoryState = field(default_factory=MemoryState)
    tree: MemoryTree = field(default_factory=MemoryTree)
    clock: QuickClock = field(default_factory=QuickClock)
    reporter: Recorder = field(default_factory=Recorder)

    @property
    def mirror(self) -> Mirror:
        return Mirror(
            name=self.server,
            server=self.server,
            policy=MirrorPolicy(content=Content.ANNOTATIONS),
            format=self.provider.format,
            tree=self.tree,
            state=self.state,
            ref=self.ref,
            provider=self.provider,
            clock=self.clock,
            reporter=self.reporter,
        )

    async def sync(self) -> None:
        report = await sync(self.mirror, CycleOptions(full_check=True))
        assert (report.error, report.outcome) == (None, MirrorOutcome.SYNCED)

    async def save(self, root: Path) -> Snapshot:
        """A snapshot, in the store at `root`."""
        store = await open_store(root, Access.CREATE)
        report = await backup(self.mirror, store, images_from=None, clock=self.clock, reporter=self.reporter)
        assert report.snapshot is not None
        return report.snapshot

    async def restore(self, root: Path, snapshot: Snapshot, *, exact: bool = False) -> MirrorReport:
        """A snapshot of another mirror."""
        store = await open_store(root, Access.READ)
        return await restore_to_server(self.mirror, store, snapshot, RestoreOptions(exact, elsewhere=True))

    async def left(self, root: Path, snapshot: Snapshot) -> int:
        """How many documents a restore would bring back now."""
        store = await open_store(root, Access.READ)
        return (await plan_restore_to_server(self.mirror, store, snapshot, RestoreOptions(elsewhere=True))).push
