"""How people name an image or its document on a command line."""

from collections.abc import Sequence

from labelmirror.engine.mirror import LocalMirror, image_path
from labelmirror.engine.rows import document_pages
from labelmirror.errors import UsageError, command_line
from labelmirror.model.keys import DocumentKey
from labelmirror.model.rows import DocumentRow


async def documents_of(mirror: LocalMirror, image: str) -> Sequence[DocumentRow]:
    """The documents that IMAGE means: an image's by its id or path, or one by its own path, relative to the mirror.

    Raises UsageError when there is none.
    """
    wanted = image.removeprefix("./")
    if rows := await mirror.state.rows_of_images([wanted]):
        return rows
    async for page in document_pages(mirror.state):
        for row in page:
            if wanted == row.path:
                return [row]
            if wanted == image_path(row.place):
                return await mirror.state.rows_of_images([row.key.image])
    raise UsageError(
        f"{mirror.name} has no document of an image {image!r}",
        hint="name it by id, or by path relative to the mirror; see: "
        + command_line("status", mirror.name, "--images"),
    )


async def document_of(mirror: LocalMirror, image: str, annotation_set: str | None) -> DocumentKey:
    """The one document that IMAGE means, in this annotation set if one is given. Raises UsageError for none or several."""
    rows = await documents_of(mirror, image)
    keys = [row.key for row in rows if annotation_set in {None, row.key.set}]
    if len(keys) == 1:
        return keys[0]
    sets = ", ".join(row.key.set or "none" for row in rows)
    raise UsageError(
        f"{mirror.name}: {len(keys)} documents of {image!r} are meant, it must be one",
        hint=f"annotation sets of this image, for --set: {sets}",
    )
