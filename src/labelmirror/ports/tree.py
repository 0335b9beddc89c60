"""The mirror's directory. All paths are relative to it, with "/" between parts, and were made safe beforehand.

Nothing below the directory is followed through a symbolic link. Batches are durable (one round of fsync) when the call
returns. The laws are in tests/contracts/tree.py.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from labelmirror.model.document import JsonObject
from labelmirror.model.rows import FileStat


@dataclass(frozen=True, slots=True)
class Marker:
    """Says whose directory this is: without it a run does not start."""

    store_id: str
    mirror: str


class PartialFile(Protocol):
    """A file on its way in, kept over a crash so that it can be resumed.

    Not visible at its path until it is placed.
    """

    @property
    def size_bytes(self) -> int:
        """Bytes already there."""
        ...

    @property
    def validator(self) -> str | None:
        """The strong validator under which they came; None: they cannot be resumed."""
        ...

    async def restart(self, validator: str | None) -> None:
        """Drop what is there and begin under this validator."""
        ...

    async def write(self, data: bytes) -> None:
        """Append."""
        ...

    async def discard(self) -> None:
        """Remove it."""
        ...

    async def head(self, size_bytes: int) -> bytes:
        """The first bytes, for a look at what it is."""
        ...


@dataclass(frozen=True, slots=True)
class Placement:
    """One file to put in place: whole, or not at all.

    `expected` is the stat that the working file must still have (None: must not be there); else it is left alone and
    reported as CHANGED. A replaced file goes to history under `run`.
    """

    path: str
    source: bytes | PartialFile
    expected: FileStat | None
    run: str


class PlaceOutcome(Enum):
    """What became of a placement."""

    PLACED = "placed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Placed:
    """Result of one placement. `stat` and `sha256` are of the placed file; both None when the outcome is CHANGED."""

    outcome: PlaceOutcome
    stat: FileStat | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file that was read whole. `sha256` in hex."""

    stat: FileStat
    sha256: str


class WorkingTree(Protocol):
    """The working directory of one mirror. Raises DiskError when the disk is full, read-only or failing."""

    @property
    def root(self) -> str:
        """Where it lies, for messages to a person."""
        ...

    async def marker(self) -> Marker | None:
        """The marker, None if there is none. Raises MarkerMismatch when it cannot be read."""
        ...

    async def write_marker(self, marker: Marker) -> None:
        """Claim the directory (made if missing), durably."""
        ...

    async def stat_many(self, paths: Sequence[str]) -> Sequence[FileStat | None]:
        """Stat regular files; None for what is missing, is no regular file, or lies behind a symbolic link."""
        ...

    def walk(self) -> AsyncIterator[Sequence[str]]:
        """All regular files below images/ and annotations/, in pages. Files of this program on their way are left out."""
        ...

    async def read(self, path: str, *, limit_bytes: int) -> tuple[bytes, FileStat] | None:
        """A small file whole with the stat it had while it was read; None if missing.

        Raises TooLarge above the limit, Unreadable if this user may not read it.
        """
        ...

    async def hash_many(self, paths: Sequence[str]) -> Sequence[HashedFile | None]:
        """Read files and hash them; None for what is missing."""
        ...

    async def place(self, placements: Sequence[Placement]) -> Sequence[Placed]:
        """Put files in place: temporary file in the same folder, hash, fsync, history, rename; then fsync the folders."""
        ...

    async def retire(self, files: Sequence[tuple[str, FileStat]], *, run: str) -> Sequence[bool]:
        """Move files to the trash under `run`, unless they are no longer as they were; emptied folders are removed.

        True for each that is not there any more, False for one that somebody touched: it is left alone.
        """
        ...

    async def move(self, pairs: Sequence[tuple[str, str]]) -> Sequence[bool]:
        """Rename files (from, to); True where it is done, or was done before: source missing and target there.

        False, and nothing done, where both or neither are there.
        """
        ...

    async def partial(self, path: str) -> PartialFile:
        """The file on its way to `path`, empty if there is none yet."""
        ...

    async def lay_out(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Let a folder of the mirror's own hold exactly these files, by path relative to the mirror, for people to read."""
        ...

    async def write_summary(self, head: JsonObject, images: AsyncIterator[Sequence[JsonObject]]) -> None:
        """Write dataset.json whole: the keys of `head`, then "images", a line for each, page by page."""
        ...

    async def read_summary(self) -> JsonObject | None:
        """What dataset.json holds, None if there is none or it cannot be read."""
        ...

    async def read_summary_head(self) -> JsonObject | None:
        """The same without "images", however many there are."""
        ...

    async def picture_sizes(self, paths: Sequence[str]) -> Sequence[tuple[int, int] | None]:
        """Width and height of pictures as their headers say; None for what is missing or no picture that is known."""
        ...

    async def drop_old(self, now_s: float, *, history_s: float, trash_s: float) -> None:
        """Remove old versions and trash of runs that began longer ago than this; a run's name begins with its UTC time."""
        ...

    async def drop_leftovers(self) -> None:
        """Remove temporary files of a run that died; partial files that can be resumed stay."""
        ...
