"""A WorkingTree in memory, exact and without threads. What it holds is what a crash leaves.

A simulator stops a run by raising from `fault`, which is called before and after each durable step: in a batch of
placements around each file, so that a crash leaves a part of the batch. People edit through `edit` and `remove`.
"""

import hashlib
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from PIL import Image

from labelmirror.errors import TooLarge, Unreadable
from labelmirror.model.document import JsonObject, JsonValue
from labelmirror.model.rows import FileStat
from labelmirror.ports.tree import HashedFile, Marker, PartialFile, Placed, Placement, PlaceOutcome

Fault = Callable[[str, object], None]

#: A partial file of at most this size is not worth resuming.
RESUME_MIN_BYTES = 2**20
PAGE = 1000


def no_fault(_point: str, _detail: object) -> None:
    """Let everything happen."""


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    stat: FileStat


@dataclass(slots=True)
class _Begun:
    data: bytearray
    validator: str | None


@dataclass(slots=True)
class _Held:
    """Everything that a crash leaves. `kept` and `trash` are by (run, path); `forbidden` are paths that may not be read."""

    files: dict[str, _File] = field(default_factory=dict)
    kept: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    trash: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    begun: dict[str, _Begun] = field(default_factory=dict)
    marker: Marker | None = None
    summary: bytes | None = None
    ticks: int = 0
    forbidden: set[str] = field(default_factory=set)


class MemoryTree:
    """The working directory of one mirror."""

    def __init__(self, fault: Fault = no_fault) -> None:
        self.held = _Held()
        self.fault = fault

    def snapshot(self) -> object:
        """All that is held, to be given to `restore` or compared."""
        return deepcopy(self.held)

    def restore(self, snapshot: object) -> None:
        """Go back to a snapshot."""
        assert isinstance(snapshot, _Held)
        self.held = deepcopy(snapshot)

    # --- what people do ------------------------------------------------------------------------------------------------

    def edit(self, path: str, data: bytes) -> None:
        """Write a file as an editor would: a new inode at its path."""
        held = self.held
        held.ticks += 1
        held.files[path] = _File(data, FileStat(len(data), held.ticks, held.ticks, held.ticks))

    def remove(self, path: str) -> None:
        """Delete a file."""
        del self.held.files[path]

    def files(self) -> dict[str, bytes]:
        """All working files by path."""
        return {path: file.data for path, file in sorted(self.held.files.items()) if not path.startswith(".")}

    def history(self) -> dict[tuple[str, str], list[bytes]]:
        """Replaced versions by (run, path), oldest first."""
        return self.held.kept

    def trash(self) -> dict[tuple[str, str], list[bytes]]:
        """Retired files by (run, path)."""
        return self.held.trash

    # --- the port ------------------------------------------------------------------------------------------------------

    @property
    def root(self) -> str:
        return "memory"

    async def marker(self) -> Marker | None:
        return self.held.marker

    async def write_marker(self, marker: Marker) -> None:
        self.fault("tree.write_marker:before", marker)
        self.held.marker = marker
        self.fault("tree.write_marker:after", marker)

    async def stat_many(self, paths: Sequence[str]) -> Sequence[FileStat | None]:
        return [self._stat(path) for path in paths]

    async def walk(self) -> AsyncIterator[Sequence[str]]:
        paths = sorted(path for path in self.held.files if path.startswith(("images/", "annotations/")))
        for start in range(0, len(paths), PAGE):
            yield paths[start : start + PAGE]

    async def read(self, path: str, *, limit_bytes: int) -> tuple[bytes, FileStat] | None:
        file = self.held.files.get(path)
        if file is None:
            return None
        if path in self.held.forbidden:
            raise Unreadable(f"{path}: Permission denied")
        if file.stat.size_bytes > limit_bytes:
            raise TooLarge(f"{path}: {file.stat.size_bytes} bytes are more than the {limit_bytes} that are looked into")
        return file.data, file.stat

    async def hash_many(self, paths: Sequence[str]) -> Sequence[HashedFile | None]:
        files = [self.held.files.get(path) for path in paths]
        return [HashedFile(file.stat, _sha256(file.data)) if file is not None else None for file in files]

    async def place(self, placements: Sequence[Placement]) -> Sequence[Placed]:
        return [self._place(placement) for placement in placements]

    async def retire(self, files: Sequence[tuple[str, FileStat]], *, run: str) -> Sequence[bool]:
        return [self._retire(path, stat, run) for path, stat in files]

    async def move(self, pairs: Sequence[tuple[str, str]]) -> Sequence[bool]:
        return [self._move(source, target) for source, target in pairs]

    async def partial(self, path: str) -> PartialFile:
        return MemoryPartial(self, path)

    async def lay_out(self, folder: str, files: Mapping[str, bytes]) -> None:
        held = self.held
        held.files = {path: file for path, file in held.files.items() if not path.startswith(f"{folder}/")}
        for path, data in files.items():
            self.edit(path, data)

    async def write_summary(self, head: JsonObject, images: AsyncIterator[Sequence[JsonObject]]) -> None:
        entries: list[JsonValue] = [image async for page in images for image in page]
        self.fault("tree.write_summary:before", head)
        self.held.summary = json.dumps({**head, "images": entries}).encode()
        self.fault("tree.write_summary:after", head)

    async def read_summary(self) -> JsonObject | None:
        if self.held.summary is None:
            return None
        try:
            summary = json.loads(self.held.summary)
        except ValueError:
            return None
        return summary if isinstance(summary, dict) else None

    async def read_summary_head(self) -> JsonObject | None:
        summary = await self.read_summary()
        return None if summary is None else {key: value for key, value in summary.items() if key != "images"}

    async def picture_sizes(self, paths: Sequence[str]) -> Sequence[tuple[int, int] | None]:
        return [_picture_size(self.held.files.get(path)) for path in paths]

    async def drop_old(self, now_s: float, *, history_s: float, trash_s: float) -> None:
        for versions, age_s in ((self.held.kept, history_s), (self.held.trash, trash_s)):
            for key in [key for key in versions if _began_s(key[0]) < now_s - age_s]:
                self.fault("tree.drop_old:before", key)
                del versions[key]
                self.fault("tree.drop_old:after", key)

    async def drop_leftovers(self) -> None:
        begun = self.held.begun
        self.held.begun = {path: file for path, file in begun.items() if _can_be_resumed(file)}

    # --- inside --------------------------------------------------------------------------------------------------------

    def _stat(self, path: str) -> FileStat | None:
        return self.held.files[path].stat if path in self.held.files else None

    def _present(self, paths: Sequence[str]) -> Sequence[str]:
        return [path for path in dict.fromkeys(paths) if path in self.held.files]

    def _keep(self, path: str, run: str) -> None:
        self.held.kept.setdefault((run, path), []).append(self.held.files[path].data)

    def _in_the_way(self, path: str) -> bool:
        """Whether a file stands where a folder of the path would be, or a folder where the path itself would be."""
        parts = path.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        below = (other.startswith(path + "/") for other in self.held.files)
        return any(folder in self.held.files for folder in above) or any(below)

    def _place(self, placement: Placement) -> Placed:
        self.fault("tree.place:before", placement.path)
        path = placement.path
        if self._stat(path) != placement.expected or self._in_the_way(path):
            return Placed(PlaceOutcome.CHANGED, None, None)
        if isinstance(placement.source, MemoryPartial):
            data = placement.source.take()
        else:
            assert isinstance(placement.source, bytes)
            data = placement.source
        if placement.expected is not None:
            self._keep(path, placement.run)
        self.edit(path, data)
        self.fault("tree.place:after", path)
        return Placed(PlaceOutcome.PLACED, self._stat(path), _sha256(data))

    def _retire(self, path: str, expected: FileStat, run: str) -> bool:
        if path not in self.held.files:
            return True
        self.fault("tree.retire:before", path)
        if self._stat(path) != expected:
            return False
        self.held.trash.setdefault((run, path), []).append(self.held.files.pop(path).data)
        self.fault("tree.retire:after", path)
        return True

    def _move(self, source: str, target: str) -> bool:
        if source not in self.held.files:
            return target in self.held.files
        if target in self.held.files or self._in_the_way(target):
            return False
        self.fault("tree.move:before", (source, target))
        file = self.held.files.pop(source)
        self.held.ticks += 1
        self.held.files[target] = _File(file.data, replace(file.stat, ctime_ns=self.held.ticks))
        self.fault("tree.move:after", (source, target))
        return True


class MemoryPartial:
    """A file on its way in."""

    def __init__(self, tree: MemoryTree, path: str) -> None:
        self._tree = tree
        self._path = path

    @property
    def size_bytes(self) -> int:
        begun = self._begun
        return len(begun.data) if begun is not None else 0

    @property
    def validator(self) -> str | None:
        begun = self._begun
        return begun.validator if begun is not None else None

    async def restart(self, validator: str | None) -> None:
        self._tree.held.begun[self._path] = _Begun(bytearray(), validator)

    async def write(self, data: bytes) -> None:
        self._tree.held.begun.setdefault(self._path, _Begun(bytearray(), None)).data.extend(data)

    async def discard(self) -> None:
        self._tree.held.begun.pop(self._path, None)

    async def head(self, size_bytes: int) -> bytes:
        begun = self._begun
        return bytes(begun.data[:size_bytes]) if begun is not None else b""

    def take(self) -> bytes:
        """All of it; it is no longer on its way."""
        begun = self._tree.held.begun.pop(self._path, None)
        return bytes(begun.data) if begun is not None else b""

    @property
    def _begun(self) -> _Begun | None:
        return self._tree.held.begun.get(self._path)


def _can_be_resumed(file: _Begun) -> bool:
    return file.validator is not None and len(file.data) > RESUME_MIN_BYTES


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _picture_size(file: _File | None) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(file.data if file is not None else b"")) as picture:
            return picture.size
    except OSError:
        return None


def _began_s(run: str) -> float:
    return datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()
