"""The drill of `labelmirror restore --drill`: bring a snapshot back on a built-in server, and compare what it holds then."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from pathlib import Path

from anyio import to_thread

from labelmirror.app import Workshop, open_mirror, open_snapshots
from labelmirror.cli.frame import Call
from labelmirror.cli.shop import furnish, open_shop
from labelmirror.config import load
from labelmirror.engine import cycle
from labelmirror.engine.cycle import CycleOptions
from labelmirror.engine.restore_server import RestoreOptions, plan_restore_to_server, restore_to_server
from labelmirror.engine.runs import outcome_of
from labelmirror.engine.snapshots import find, images_of
from labelmirror.errors import DiskError, InvalidDocument, SnapshotDamaged, UsageError
from labelmirror.model.document import JsonObject, JsonValue
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Consent
from labelmirror.model.report import MirrorReport
from labelmirror.model.snapshot import Access, SnapshotHead
from labelmirror.model.trouble import Failed, Stage
from labelmirror.providers.registry import KINDS, Kind
from labelmirror.standin import Blank, BlankSet, Standin, StandinOptions, serve


async def drill(call: Call, wanted: str, *, wait_s: float) -> MirrorReport:
    """Restore a snapshot on loopback, to its dataset as it would be if every annotation were lost, and read it all again.

    Every document that says anything goes through the save protocol of its kind of server. What differs then from what was
    saved is reported as failed, and so is what is damaged in the store. Its mirror and its server are not touched, and nothing is left of it, however it ends.
    """
    async with AsyncExitStack() as stack:
        shop = stack.enter_context(open_shop(call))
        store = await stack.enter_async_context(open_snapshots(shop, Access.READ, wait_s=wait_s))
        snapshot = await find(store, wanted)
        head = snapshot.head
        kind = _kind_of(shop, head.server)
        standin = await stack.enter_async_context(
            serve(StandinOptions(kind=kind, sample=False, limit=None, export_polls=0))
        )
        filling = standin.begin(_blank(head))
        damaged: list[Failed] = []
        async for image, documents in images_of(store, snapshot):
            damaged += [
                _fail(one.key, SnapshotDamaged.code, image.path, "what is stored of its document is missing or damaged")
                for one in image.documents
                if one.key not in documents
            ]
            sizes = (_size(KINDS[kind], document) for document in documents.values())
            with suppress(ValueError):  # the restore says that the server does not have it
                filling.add_image(image.id, image.directory, image.name, next(filter(None, sizes), None))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labelmirror-drill-")))
        config = load(await to_thread.run_sync(_configure, folder, standin, head), {})
        there = stack.enter_context(furnish(config, call.masker, os.environ))
        mirror = await stack.enter_async_context(open_mirror(there, head.mirror))
        first = await cycle.sync(mirror, CycleOptions())
        if first.error is not None:
            return first
        everything = RestoreOptions(exact=True, consent=Consent(deletes=0, changes=head.documents))
        report = await restore_to_server(mirror, store, snapshot, everything)
        if report.error is not None:
            return report
        left = await plan_restore_to_server(mirror, store, snapshot, everything)
    report.error = left.error
    message = "what is read back is not what was saved"
    differing = [_fail(item.key, "not_restored", item.path, message) for item in left.items]
    # What the restore says of a document comes first: what else is seen of it follows from that.
    told = {(each.id, each.set) for each in report.troubles}
    more = [each for each in (*left.troubles, *damaged, *differing) if (each.id, each.set) not in told]
    report.troubles = [*report.troubles, *dict.fromkeys(more)]
    report.outcome = outcome_of(report)
    return report


def _fail(key: DocumentKey, code: str, path: str, message: str) -> Failed:
    return Failed(key.image, key.set, path, Stage.VERIFY, code, message)


def _kind_of(shop: Workshop, server: str) -> str:
    """The kind of the server that a snapshot is of. Raises UsageError where nobody can tell."""
    settings = shop.config.settings.servers.get(server)
    if settings is None:
        raise UsageError(
            f"the snapshot is of the server {server!r}, which the configuration does not have",
            hint=f"a drill needs to know its kind: add [servers.{server}] with kind and url",
        )
    return settings.kind


def _blank(head: SnapshotHead) -> Blank:
    """The dataset of a snapshot, as its dataset.json has it. A set whose task is not known had gone before."""
    sets = [
        BlankSet(str(each["id"]), str(each["name"]), each["task"])
        for each in _objects(head.summary.get("sets"))
        if isinstance(each["task"], str)
    ]
    return Blank(head.dataset_id, head.dataset_name, _objects(head.summary.get("categories")), sets)


def _objects(value: JsonValue) -> Sequence[JsonObject]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _size(kind: Kind, document: bytes) -> tuple[int, int] | None:
    """What a document knows of the size of its image, whose file is not asked for."""
    try:
        return kind.coco_form()(kind.format().parse(document)).size
    except InvalidDocument:
        return None


def _configure(folder: Path, standin: Standin, head: SnapshotHead) -> Path:
    """Write a configuration for the drill alone, for its owner's eyes only: the key, or the password, is in it."""
    access = asdict(standin.login) if standin.login else {"key": standin.key}
    lines = [
        "version = 1",
        'state = "state"',
        'ledger = "state/ledger.db"',
        f"[servers.{json.dumps(head.server)}]",
        f"kind = {json.dumps(standin.kind)}",
        f"url = {json.dumps(standin.url)}",
        *(f"{name} = {json.dumps(value)}" for name, value in access.items()),
        "reserve = 0",
        f"[datasets.{json.dumps(head.mirror)}]",
        f"server = {json.dumps(head.server)}",
        f"id = {json.dumps(head.dataset_id)}",
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
