"""Rebuild what the state lost: the map of places from dataset.json, base from what both sides hold now.

Documents that differ on the two sides are held, since nobody knows any more which side changed; nothing is deleted and
nothing is saved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio

from labelmirror.engine.cycle import CycleOptions, sync
from labelmirror.engine.mirror import Mirror
from labelmirror.model.document import JsonValue
from labelmirror.model.report import MirrorReport
from labelmirror.model.rows import ImageRecord, SetRecord
from labelmirror.ports.tree import Marker


async def repair(mirror: Mirror, stop: anyio.Event | None = None) -> MirrorReport:
    """Forget what the state says of this mirror and learn it anew. Raises LabelmirrorError before anything is forgotten.

    `stop`, once set, ends it as it ends a sync; the next sync goes on.
    """
    marker = await mirror.tree.marker()
    summary = await mirror.tree.read_summary()
    facts = await mirror.state.facts()
    store_id = marker.store_id if marker is not None else facts.store_id
    await mirror.state.reset(store_id)
    if marker is None:
        await mirror.tree.write_marker(Marker(store_id, mirror.name))
    await mirror.state.record_sets(_sets(summary or {}))
    await mirror.state.record_images(_records(summary or {}))
    await mirror.state.set_facts(replace(await mirror.state.facts(), claimed=True))
    return await sync(mirror, CycleOptions(full_check=True, retire=False, stop=stop))


def _sets(summary: Mapping[str, JsonValue]) -> Sequence[SetRecord]:
    """The annotation sets' folders that dataset.json keeps."""
    records: list[SetRecord] = []
    for entry in _tables(summary, "sets"):
        match entry.get("id"), entry.get("name"), entry.get("path"):
            case str(id_), str(name), str(path) if path.startswith("annotations/"):
                records.append(SetRecord(id_, name, path.removeprefix("annotations/")))
    return records


def _records(summary: Mapping[str, JsonValue]) -> Sequence[ImageRecord]:
    """The map of places that dataset.json keeps; an entry that is not whole is left out, and gets its place anew."""
    records: list[ImageRecord] = []
    for image in _tables(summary, "images"):
        match image.get("id"), image.get("directory"), image.get("name"), image.get("path"):
            case str(id_), str(directory), str(name), str(path) if path.startswith("images/"):
                records.append(ImageRecord(id_, directory, name, path.removeprefix("images/")))
    return records


def _tables(summary: Mapping[str, JsonValue], name: str) -> Sequence[Mapping[str, JsonValue]]:
    """The objects of one of its lists."""
    found = summary.get(name)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return [entry for entry in found if isinstance(entry, Mapping)]
