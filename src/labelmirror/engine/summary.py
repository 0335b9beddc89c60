"""dataset.json: what the mirror is, and every image's id and path, so that a lost state can be rebuilt from it."""

from collections.abc import AsyncIterator, Sequence

from labelmirror.engine.mirror import Mirror
from labelmirror.engine.rows import image_pages
from labelmirror.model.document import Digest, JsonObject, JsonValue, digest_of
from labelmirror.model.remote import Dataset


async def write_summary(mirror: Mirror, dataset: Dataset, written: Digest | None) -> Digest:
    """Write dataset.json if it says something new: its images' ids and paths are what a lost state is rebuilt from."""
    head: dict[str, JsonValue] = {
        "name": dataset.name,
        "id": dataset.id,
        "server": mirror.server,
        "categories": list(dataset.categories),
        "counts": {"images": dataset.images, "annotations": dataset.annotations},
    }
    if sets := await mirror.state.sets():
        tasks = {entry.id: entry.task for entry in dataset.sets}
        head["sets"] = [
            {"id": entry.id, "name": entry.name, "task": tasks.get(entry.id), "path": f"annotations/{entry.folder}"}
            for entry in sets
        ]
    digest = digest_of(head)
    if digest != written:
        await mirror.tree.write_summary(head, _summary_images(mirror))
    return digest


async def _summary_images(mirror: Mirror) -> AsyncIterator[Sequence[JsonObject]]:
    async for page in image_pages(mirror.state):
        yield [
            {"id": row.record.id, "directory": row.record.directory, "name": row.record.name, "path": row.record.path}
            for row in page
            if row.record is not None
        ]
