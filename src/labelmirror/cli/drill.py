"""The drill of `labelmirror restore --drill`: bring a snapshot back on a built-in server, and compare what it holds then."""

import json
import os
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from anyio import to_thread

from labelmirror.app import Workshop, open_mirror, open_snapshots
from labelmirror.cli.frame import Call
from labelmirror.cli.shop import furnish, open_shop
from labelmirror.config import load
from labelmirror.engine import cycle
from labelmirror.engine.cycle import CycleOptions
from labelmirror.engine.restore_server import RestoreOptions, plan_restore_to_server, restore_to_server
from labelmirror.engine.runs import outcome_of
from labelmirror.engine.snapshots import find
from labelmirror.errors import DiskError, SnapshotDamaged, UsageError
from labelmirror.model.document import JsonObject
from labelmirror.model.policy import Consent
from labelmirror.model.report import MirrorReport
from labelmirror.model.snapshot import Access, SnapshotPage
from labelmirror.model.trouble import Failed, Stage
from labelmirror.standin import Dataset, Standin, StandinOptions, serve

#: The kind of server whose stand-in can be given the images of a snapshot.
KIND: Final = "pictograph"


async def drill(call: Call, wanted: str) -> MirrorReport:
    """Restore a snapshot to an empty dataset on loopback, by the same protocol as to the server, and read it all again.

    What differs then from what was saved is reported as failed. Its mirror and server are not touched. Raises UsageError
    for a kind of server whose stand-in cannot be given any images.
    """
    async with AsyncExitStack() as stack:
        shop = stack.enter_context(open_shop(call))
        store = await stack.enter_async_context(open_snapshots(shop, Access.READ))
        snapshot = await find(store, wanted)
        head = snapshot.head
        _check_kind(shop, head.server)
        standin = await stack.enter_async_context(
            serve(StandinOptions(kind=KIND, images=0, limit=None, export_polls=0))
        )
        dataset = standin.world.add_dataset(head.dataset_name, _classes(head.summary))
        for name in head.pages:
            with suppress(SnapshotDamaged):  # the restore reports it
                _fill(standin, dataset, await store.page(name))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labelmirror-drill-")))
        config = load(await to_thread.run_sync(_configure, folder, standin, head.mirror, dataset.id), {})
        there = stack.enter_context(furnish(config, call.masker, os.environ))
        mirror = await stack.enter_async_context(open_mirror(there, head.mirror))
        first = await cycle.sync(mirror, CycleOptions())
        if first.error is not None:
            return first
        everything = RestoreOptions(exact=True, elsewhere=True, consent=Consent(deletes=0, changes=head.documents))
        report = await restore_to_server(mirror, store, snapshot, everything)
        left = await plan_restore_to_server(mirror, store, snapshot, everything)
    report.error = report.error or left.error
    message = "what is read back is not what was saved"
    differing = [
        Failed(item.key.image, item.key.set, item.path, Stage.VERIFY, "not_restored", message) for item in left.items
    ]
    report.troubles = [*report.troubles, *differing]
    report.outcome = outcome_of(report)
    return report


def _check_kind(shop: Workshop, name: str) -> None:
    server = shop.config.settings.servers.get(name)
    if server is None or server.kind != KIND:
        kind = "is not in the configuration" if server is None else f"is of kind {server.kind}"
        raise UsageError(
            f"a drill needs a stand-in that can be given any images, as there is for {KIND}; {name!r}, the server of this "
            f"snapshot, {kind}",
            hint="restore to a folder (--to DIR), or to a dataset that is there for trying (--to-server NAME)",
        )


def _classes(summary: JsonObject) -> list[JsonObject]:
    categories = summary.get("categories")
    return [entry for entry in categories if isinstance(entry, dict)] if isinstance(categories, list) else []


def _fill(standin: Standin, dataset: Dataset, page: SnapshotPage) -> None:
    """Give the server images without annotations. Their bytes are not asked for; they are recognised by place and size."""
    for saved in page.images:
        if (
            dataset.at(f"/{saved.directory}", saved.name) is not None
        ):  # two of one name: the stand-in has one at a place
            continue
        image = standin.world.add_image(dataset, saved.name, f"/{saved.directory}")
        image.size_bytes = saved.size_bytes if saved.size_bytes is not None else image.size_bytes


def _configure(folder: Path, standin: Standin, mirror: str, dataset: str) -> Path:
    """Write a configuration for the drill alone, for its owner's eyes only: the key is in it."""
    lines = [
        "version = 1",
        'state = "state"',
        'ledger = "state/ledger.db"',
        "[servers.drill]",
        f'kind = "{KIND}"',
        f"url = {json.dumps(standin.url)}",
        f"key = {json.dumps(standin.key)}",
        "reserve = 0",
        f"[datasets.{json.dumps(mirror)}]",
        'server = "drill"',
        f"id = {json.dumps(dataset)}",
        'path = "mirror"',
        'content = "annotations"',
    ]
    file = folder / "labelmirror.toml"
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write("\n".join(lines) + "\n")
    except OSError as error:
        raise DiskError(f"{error.filename}: {error.strerror}") from error
    return file
