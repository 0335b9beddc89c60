"""Values of the model as columns, and back."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any, Final

from labelmirror.errors import StateDamaged
from labelmirror.model.actions import Refusal
from labelmirror.model.document import ContentId, Counts, Digest, JsonValue, content_id
from labelmirror.model.folding import folded
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import ListedDocument, ListedImage, Token
from labelmirror.model.rows import (
    Base,
    DocumentRow,
    FileStat,
    ImageCondition,
    ImageRecord,
    ImageRow,
    ListedFile,
    LocalFile,
    MirrorFacts,
    Move,
    RemoteSeen,
)
from labelmirror.model.trouble import Failed, Held, HoldReason, Stage, Trouble

# What sqlite3 takes and gives.
Column = int | float | str | bytes | None
Row = Sequence[Any]

_INODES: Final = 2**64
#: Documents are small and written once: the fastest level is three times as fast as the default, for a fifth more bytes.
_ZLIB_LEVEL: Final = 1
REPAIR: Final = "Rebuild it from the mirror and the server: labelmirror repair"
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


def outside(text: str) -> bytes:
    """A string that came from a server or a disk, lone surrogates and all."""
    return text.encode("utf-8", "surrogatepass")


def inside(data: bytes) -> str:
    """The string again."""
    return data.decode("utf-8", "surrogatepass")


def to_json(value: JsonValue) -> str:
    """Compact JSON in ASCII."""
    return _ENCODER.encode(value)


# --- the mirror as a whole ----------------------------------------------------------------------------------------------


def facts_out(facts: MirrorFacts) -> str:
    """Facts as JSON."""
    return to_json(asdict(facts))


def facts_in(text: str) -> MirrorFacts:
    """Facts from JSON."""
    facts = json.loads(text)
    if (refused := facts.get("refused")) is not None:
        facts["refused"] = Refusal(**{**refused, "examples": tuple(refused["examples"])})
    return MirrorFacts(**facts)


def trouble_out(trouble: Trouble) -> str:
    """A trouble as JSON."""
    if isinstance(trouble, Held):
        return to_json({**asdict(trouble), "reason": trouble.reason.value})
    return to_json({**asdict(trouble), "stage": trouble.stage.value})


def trouble_in(text: str) -> Trouble:
    """A trouble from JSON."""
    item = json.loads(text)
    if "reason" in item:
        return Held(**{**item, "reason": HoldReason(item["reason"])})
    return Failed(**{**item, "stage": Stage(item["stage"])})


# --- listings -----------------------------------------------------------------------------------------------------------


def origin_out(directory: str, name: str) -> str:
    """An image's directory and name as one column, equal where both are."""
    return to_json([directory, name])


def token_out(token: Token | None) -> bytes | None:
    """A token with its strength."""
    return None if token is None else outside(f"{'strong' if token.strong else 'weak'} {token.text}")


@lru_cache(maxsize=256)
def counts_in(text: str) -> Counts:
    """Counts from their column. Equal texts give one object, for few differ: a pass over rows hardly ever parses."""
    counts: Counts = json.loads(text)
    return counts


@lru_cache(maxsize=256)
def token_in(data: bytes | None) -> Token | None:
    """A token from its column; kept as counts are. Some servers give every save a token of its own, so few are kept."""
    if data is None:
        return None
    strength, _, text = inside(data).partition(" ")
    return Token(text, strength == "strong")


def listed_out(image: ListedImage, fold: str) -> tuple[Column, ...]:
    """A row as (image, fold, origin, status, rest), the size first in the rest: `image_rows` asks for it."""
    documents: list[JsonValue] = [
        [document.set, None if document.token is None else [document.token.text, document.token.strong], document.empty]
        for document in image.documents
    ]
    numbers: list[JsonValue] = [image.size_bytes, image.width_px, image.height_px, image.md5, image.annotations]
    return (
        outside(image.id),
        fold,
        origin_out(image.directory, image.name),
        outside(image.status) if image.status is not None else None,
        to_json([*numbers, documents]),
    )


def listed_in(id_: bytes, row: Row) -> ListedImage:
    """A row from (origin, status, rest)."""
    origin, status, rest = row
    directory, name = json.loads(origin)
    size_bytes, width_px, height_px, md5, annotations, documents = json.loads(rest)
    return ListedImage(
        inside(id_),
        directory,
        name,
        inside(status) if status is not None else None,
        size_bytes,
        width_px,
        height_px,
        md5,
        annotations,
        tuple(
            ListedDocument(set_, Token(*token) if token is not None else None, empty)
            for set_, token, empty in documents
        ),
    )


def content_out(data: bytes) -> bytes:
    """A document's bytes, compressed."""
    return zlib.compress(data, _ZLIB_LEVEL)


def content_in(id_: ContentId, data: bytes) -> bytes:
    """The bytes again. Raises StateDamaged if they are not those that the id names: they may go to the server one day."""
    try:
        content = zlib.decompress(data)
    except zlib.error:
        content = None
    if content is None or content_id(content) != id_:
        raise StateDamaged(f"the state holds other bytes than it says (content {id_[:8]})", hint=REPAIR)
    return content


# --- images -------------------------------------------------------------------------------------------------------------


def stat_out(stat: FileStat | None) -> tuple[Column, ...]:
    """A stat as (size, mtime, ctime, inode); inodes beyond SQLite's signed integers wrap around."""
    if stat is None:
        return (None, None, None, None)
    inode = stat.inode if stat.inode < _INODES // 2 else stat.inode - _INODES
    return (stat.size_bytes, stat.mtime_ns, stat.ctime_ns, inode)


def stat_in(row: Row) -> FileStat | None:
    """A stat from its four columns."""
    size_bytes, mtime_ns, ctime_ns, inode = row
    return FileStat(size_bytes, mtime_ns, ctime_ns, inode % _INODES) if size_bytes is not None else None


def record_out(record: ImageRecord) -> tuple[Column, ...]:
    """A record as the columns of `images`, in their order and without the mirror."""
    return (
        outside(record.id),
        origin_out(record.directory, record.name),
        record.place,
        folded(record.place),
        record.size_bytes,
        record.sha256,
        *stat_out(record.stat),
        record.condition.value,
    )


def record_in(id_: bytes, row: Row) -> ImageRecord | None:
    """A record from (origin, place, size, sha256, the stat's four, condition); None when the origin is."""
    origin, place, size_bytes, sha256, *stat, condition = row
    if origin is None:
        return None
    directory, name = json.loads(origin)
    return ImageRecord(
        inside(id_), directory, name, place, size_bytes, sha256, stat_in(stat), ImageCondition(condition)
    )


def move_in(row: Row) -> Move:
    """A row of `moving`."""
    *record, origin, place = row
    old = record_in(record[0], record[1:])
    assert old is not None, "an image on record has an origin"
    directory, name = json.loads(origin)
    return Move(old, replace(old, directory=directory, name=name, place=place))


def image_row_in(row: Row) -> ImageRow:
    """A row of `image_rows`."""
    id_ = row[0]
    is_listed, status, size_bytes = row[10:]
    listed = ListedFile(inside(status) if status is not None else None, size_bytes) if is_listed else None
    return ImageRow(inside(id_), record_in(id_, row[1:10]), listed)


# --- documents ----------------------------------------------------------------------------------------------------------


def key_out(key: DocumentKey) -> tuple[bytes, bytes]:
    """A key as (image, set)."""
    return outside(key.image), outside(key.set)


def base_out(base: Base) -> tuple[Column, ...]:
    """A base as the columns of `documents`."""
    return base.digest, base.content, to_json(base.counts), token_out(base.token), base.checked_at_s


def local_out(local: LocalFile) -> tuple[Column, ...]:
    """A local file as the columns of `documents`."""
    problem = outside(local.problem) if local.problem is not None else None
    return *stat_out(local.stat), local.digest, to_json(local.counts), problem


def document_row_in(row: Row, folders: Mapping[bytes, str]) -> DocumentRow:
    """A row of `document_rows`; `folders` are those of annotation sets."""
    image, set_id, place, *sides = row
    empty, token, *read, status = sides[12:]
    return DocumentRow(
        key=DocumentKey(inside(image), inside(set_id)),
        place=place,
        path=document_path(place, folders.get(set_id)),
        base=_base_in(sides[:5]),
        local=_local_in(sides[5:12]),
        remote=_remote_in(empty, token_in(token), read),
        listed=empty is not None,
        status=inside(status) if status is not None else None,
    )


def document_path(place: str, folder: str | None) -> str:
    """Where the document of the image at a place lies, relative to the mirror; `folder` is that of its annotation set."""
    return f"annotations/{place}.json" if folder is None else f"annotations/{folder}/{place}.json"


def _base_in(row: Row) -> Base | None:
    digest, content, counts, token, checked_at_s = row
    if digest is None:
        return None
    return Base(Digest(digest), ContentId(content), counts_in(counts), token_in(token), checked_at_s)


def _local_in(row: Row) -> LocalFile | None:
    stat = stat_in(row[:4])
    if stat is None:
        return None
    digest, counts, problem = row[4:]
    return LocalFile(stat, digest, counts_in(counts), inside(problem) if problem is not None else None)


def _remote_in(empty: int | None, token: Token | None, row: Row) -> RemoteSeen | None:
    digest, content, counts, read_token, at_s = row
    if digest is None:
        return RemoteSeen(token, bool(empty)) if empty is not None else None
    return RemoteSeen(
        token, bool(empty), Digest(digest), ContentId(content), counts_in(counts), token_in(read_token), at_s
    )
