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
from labelmirror.planning.merge import Difference, Field, Sides, difference, differing

#: Below the mirror's own folder: what base and remote were, for each held document.
HELD = ".labelmirror/held"


@dataclass(frozen=True, slots=True)
class AnnotationDiff:
    """An annotation, or another part of a document, that is not the same on all sides, and its category by side."""

    sides: Sides
    categories: Mapping[str, str]

    @property
    def fields(self) -> Sequence[Field]:
        """The innermost fields in which the sides that have it differ, its category first, and only once."""
        fields = [field for field in self.sides.fields if field.values != self.categories]
        return [Field("category", self.categories), *fields] if len(set(self.categories.values())) > 1 else fields


@dataclass(frozen=True, slots=True)
class DocumentDiff:
    """How a document differs from base on each side; None where that side is not known or no document.

    `annotations` has what differs between any two of the sides; `has_base` tells whether base is one of them.
    """

    key: DocumentKey
    path: str
    local: Difference | None
    remote: Difference | None
    annotations: Sequence[AnnotationDiff]
    has_base: bool


@dataclass(frozen=True, slots=True)
class _Side:
    """A document with its parts."""

    document: Document
    parts: Sequence[Keyed]


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
    base = local = remote = None
    if row.base is not None:
        agreed = mirror.format.parse(contents[row.base.content])
        base = _Side(agreed, mirror.format.keyed(agreed))
    if row.local is not None and row.local.digest is not None:
        read = await mirror.tree.read(row.path, limit_bytes=DOCUMENT_LIMIT_BYTES)
        local = _side(mirror, read[0], base) if read is not None else None
    if row.remote is not None and row.remote.read_content is not None:
        remote = _side(mirror, contents[row.remote.read_content], base or local)
    elif row.listed:
        remote = base  # no look saw anything else there since both sides agreed
    before = base.parts if base is not None else ()
    return DocumentDiff(
        row.key,
        row.path,
        difference(before, local.parts) if local is not None else None,
        difference(before, remote.parts) if remote is not None else None,
        _annotations(mirror, base, local, remote),
        has_base=base is not None,
    )


def _side(mirror: LocalMirror, data: bytes, origin: _Side | None) -> _Side | None:
    """A descendant of `origin`; None if it is no valid document.

    Where annotations have ids that stay, people are shown those, of additions too.
    """
    related = None if mirror.format.stable_ids or origin is None else origin.document
    try:
        document = mirror.format.parse(data)
        return _Side(document, mirror.format.keyed(document, related))
    except InvalidDocument:
        return None


def _annotations(
    mirror: LocalMirror, base: _Side | None, local: _Side | None, remote: _Side | None
) -> Sequence[AnnotationDiff]:
    """What differs between the sides that are known, in the order of the remote document."""
    known = {name: side for name, side in (("base", base), ("local", local), ("remote", remote)) if side is not None}
    categories: dict[str, dict[str, str]] = {}
    found = differing(*(side.parts if side is not None else None for side in (base, local, remote)))
    wanted = {sides.key for sides in found}
    for name, side in known.items():
        for part in side.parts:
            if part.key in wanted:
                # A document of this part alone counts in its category only; what is no annotation counts in none.
                for category in mirror.format.counts(mirror.format.rebuilt(side.document, [part])):
                    categories.setdefault(part.key, {})[name] = category
    return [AnnotationDiff(sides, categories.get(sides.key, {})) for sides in found]


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
