"""How documents differ on their three sides, annotation by annotation, and the files in which a person can look at a hold.

Uses what the last look at the server saw; asks no server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, LocalMirror
from labelmirror.engine.rows import document_pages
from labelmirror.engine.scan import with_present_files
from labelmirror.errors import InvalidDocument
from labelmirror.model.document import ContentId, Document
from labelmirror.model.keyed import Keyed
from labelmirror.model.keys import DocumentKey
from labelmirror.model.rows import DocumentRow
from labelmirror.model.trouble import Held
from labelmirror.planning.merge import Difference, difference

#: Below the mirror's own folder: what base and remote were, for each held document.
HELD = ".labelmirror/held"


@dataclass(frozen=True, slots=True)
class DocumentDiff:
    """How a document differs from base on each side; None where that side is not known or no document."""

    key: DocumentKey
    path: str
    local: Difference | None
    remote: Difference | None


@dataclass(frozen=True, slots=True)
class HeldDocument:
    """A held document and where its three versions can be read, relative to the mirror; None where there is none."""

    held: Held
    path: str
    base: str | None
    local: str | None
    remote: str | None


async def diff(mirror: LocalMirror, image: str | None = None) -> Sequence[DocumentDiff]:
    """The documents that differ from base on a side; of one image only if it is given."""
    found: list[DocumentDiff] = []
    async for page in document_pages(mirror.state):
        rows = [row for row in await with_present_files(mirror, page) if image is None or row.key.image == image]
        contents = await mirror.state.contents([*_contents(rows)])
        for row in rows:
            found += [entry] if (entry := await _diff(mirror, row, contents)) is not None else []
    return found


def _contents(rows: Sequence[DocumentRow]) -> set[ContentId]:
    base = {row.base.content for row in rows if row.base is not None and _differs(row)}
    read = {row.remote.read_content for row in rows if row.remote is not None and row.remote.read_content is not None}
    return base | read


def _differs(row: DocumentRow) -> bool:
    base = row.base.digest if row.base is not None else None
    here = row.local is not None and row.local.digest != base
    there = row.remote is not None and row.remote.read_digest not in {None, base}
    return here or there


async def _diff(mirror: LocalMirror, row: DocumentRow, contents: Mapping[ContentId, bytes]) -> DocumentDiff | None:
    if not _differs(row):
        return None
    agreed = mirror.format.parse(contents[row.base.content]) if row.base is not None else None
    base = mirror.format.keyed(agreed) if agreed is not None else ()
    local: Sequence[Keyed] | None = None
    if row.local is not None and row.local.digest is not None:
        read = await mirror.tree.read(row.path, limit_bytes=DOCUMENT_LIMIT_BYTES)
        local = _keyed(mirror, read[0], agreed) if read is not None else None
    remote: Sequence[Keyed] | None = None
    if row.remote is not None and row.remote.read_content is not None:
        remote = _keyed(mirror, contents[row.remote.read_content], agreed)
    elif row.listed and row.base is not None:
        remote = base  # no look saw anything else there since both sides agreed
    return DocumentDiff(
        row.key,
        row.path,
        difference(base, local) if local is not None else None,
        difference(base, remote) if remote is not None else None,
    )


def _keyed(mirror: LocalMirror, data: bytes, agreed: Document | None) -> Sequence[Keyed]:
    """The parts of a descendant of what was agreed on; an invalid document shows none.

    Where annotations have ids that stay, people are shown those, of additions too.
    """
    try:
        return mirror.format.keyed(mirror.format.parse(data), None if mirror.format.stable_ids else agreed)
    except InvalidDocument:
        return ()


async def held_documents(mirror: LocalMirror) -> Sequence[HeldDocument]:
    """What the last run held, with the files in which base and remote can be read."""
    held = [trouble for trouble in await mirror.state.troubles() if isinstance(trouble, Held)]
    rows = {row.key: row for row in await mirror.state.rows_of_images(sorted({trouble.id for trouble in held}))}
    found: list[HeldDocument] = []
    for trouble in held:
        row = rows.get(DocumentKey(trouble.id, trouble.set))
        if row is None:
            continue
        base, remote = held_paths(row)
        stats = await mirror.tree.stat_many([base, row.path, remote])
        paths = [path if stat is not None else None for path, stat in zip((base, row.path, remote), stats, strict=True)]
        found.append(HeldDocument(trouble, row.path, *paths))
    return found


def held_paths(row: DocumentRow) -> tuple[str, str]:
    """Where base and remote of a held document are laid out."""
    stem = row.path.removesuffix(".json")
    return f"{HELD}/{stem}.base.json", f"{HELD}/{stem}.remote.json"


async def lay_out_held(mirror: LocalMirror, held: Sequence[Held]) -> None:
    """Write base and remote of these documents where a person can read them; what was laid out before goes."""
    rows = await mirror.state.rows_of_images(sorted({trouble.id for trouble in held}))
    wanted = {DocumentKey(trouble.id, trouble.set) for trouble in held}
    files: dict[str, ContentId] = {}
    for row in rows:
        if row.key not in wanted:
            continue
        base, remote = held_paths(row)
        if row.base is not None:
            files[base] = row.base.content
        if row.remote is not None and row.remote.read_content is not None:
            files[remote] = row.remote.read_content
    contents = await mirror.state.contents(list(files.values()))
    await mirror.tree.lay_out(HELD, {path: contents[content] for path, content in files.items()})
