"""What the state remembers of one image and one document, and the rows that planning reads.

A row joins three sides: local (the file and when it was last looked at), base (what both sides last agreed on) and
remote (what the last listing showed and what was read since).
"""

from dataclasses import dataclass
from enum import Enum

from labelmirror.model.actions import Refusal
from labelmirror.model.document import ContentId, Counts, Digest
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import ListedImage, Token


@dataclass(frozen=True, slots=True)
class FileStat:
    """What tells cheaply that a file was not touched. Times in nanoseconds since 1970."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class ImageCondition(Enum):
    """What the last scan or check found at an image's path."""

    INTACT = "intact"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image that has a place in the mirror.

    `place` is its path below images/ without that prefix, and its document's below annotations/, or below the folder of an
    annotation set there, without ".json".
    `sha256`, `size_bytes` and `stat` are of the file as it was last placed or verified; all None before that, and then
    `condition` is MISSING.
    """

    id: str
    directory: str
    name: str
    place: str
    size_bytes: int | None = None
    sha256: str | None = None
    stat: FileStat | None = None
    condition: ImageCondition = ImageCondition.MISSING

    @property
    def path(self) -> str:
        """The file's path, relative to the mirror."""
        return f"images/{self.place}"


@dataclass(frozen=True, slots=True)
class SetRecord:
    """An annotation set whose documents lie below annotations/`folder`. `name` is the server's when it was given."""

    id: str
    name: str
    folder: str


@dataclass(frozen=True, slots=True)
class Move:
    """An image whose files go to another place, because its name or directory changed on the server."""

    old: ImageRecord
    new: ImageRecord


@dataclass(frozen=True, slots=True)
class Base:
    """What both sides last agreed on.

    `token` is what the listing showed then; None makes the next look read again. `checked_at_s` is the wall-clock time
    of the last reading that showed it on the server.
    """

    digest: Digest
    content: ContentId
    counts: Counts
    token: Token | None
    checked_at_s: float


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A working file when it was last looked into. `digest` is None when it was invalid, for the reason in `problem`."""

    stat: FileStat
    digest: Digest | None
    counts: Counts
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteSeen:
    """A document on the server: what the last listing showed, and the last reading of it.

    `read_token` is the listing's token when it was read and `read_at_s` the wall-clock time of it; `read_content` names
    the stored content. All three are None when it was not read since base was recorded.
    """

    token: Token | None
    empty: bool
    read_digest: Digest | None = None
    read_content: ContentId | None = None
    read_counts: Counts | None = None
    read_token: Token | None = None
    read_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """Three sides of one document. `remote` is None when it is neither listed nor was read.

    `place` is its image's (see ImageRecord), `path` its own file, relative to the mirror. `listed` says whether the
    last listing that ended, or one since, showed the document, `status` its image's status there.
    """

    key: DocumentKey
    place: str
    path: str
    base: Base | None
    local: LocalFile | None
    remote: RemoteSeen | None
    listed: bool
    status: str | None


@dataclass(frozen=True, slots=True)
class ListedFile:
    """As much of a listing's row as deciding about an image's bytes takes; fetching them takes the whole of it."""

    status: str | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class ImageRow:
    """Two sides of one image's bytes: the record of the file, and what a listing shows of it (None: it is not listed)."""

    id: str
    record: ImageRecord | None
    listed: ListedFile | None


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A listed image without a place, or whose name or directory changed since it got one.

    `group` is the number of such images whose folded path is the same, this one included; `taken` says that the recorded
    place of another image is equal to it when folded.
    """

    image: ListedImage
    record: ImageRecord | None
    group: int
    taken: bool


@dataclass(frozen=True, slots=True)
class MirrorFacts:
    """What is known of a whole mirror. Times are wall-clock seconds, None for never.

    `listing_stamp` is the server's stamp from before the present listing, None unless that is proven to be whole.
    `untidy` says that a run may have left in the state what nothing refers to any more.
    `claimed` says that the directory got this store's marker. `last_look_s` is when the server was last looked at, by a run
    or a plan, and `last_sync_s` the end of the last run that came to it and was not refused. Where the newest one was,
    `refused` says by which guard and `refused_s` when; both are None otherwise.
    `summary` is the digest of the head of dataset.json when it was last written, None when its images have changed since.
    `window_last_s` and `window_max_s` are the windows of saves: the last run's that pushed, and the longest ever.
    """

    store_id: str
    claimed: bool = False
    dataset_id: str | None = None
    dataset_name: str | None = None
    last_sync_s: float | None = None
    last_full_check_s: float | None = None
    summary: Digest | None = None
    window_last_s: float | None = None
    window_max_s: float | None = None
    last_look_s: float | None = None
    safety_level: int | None = None
    listing_stamp: str | None = None
    untidy: bool = False
    refused: Refusal | None = None
    refused_s: float | None = None

    @property
    def last_end_s(self) -> float | None:
        """When a run last came to its end, be it that a guard refused it."""
        return self.refused_s if self.refused_s is not None else self.last_sync_s
