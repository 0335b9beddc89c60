"""A MirrorState in memory, exact and without threads. What it holds is what a crash leaves.

A simulator stops a run by raising from `fault`, which is called before and after each call that changes something; the
next engine goes on with the same object.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace

from labelmirror.model.document import ContentId, Counts, Digest, JsonValue, content_id
from labelmirror.model.folding import folded, folders_of
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import ListedDocument, ListedImage, Reading, Token
from labelmirror.model.rows import (
    Base,
    DocumentRow,
    ImageRecord,
    ImageRow,
    ListedFile,
    LocalFile,
    MirrorFacts,
    Move,
    RemoteSeen,
    SetRecord,
    Unplaced,
)
from labelmirror.model.saving import SaveOutcome, SaveRecord
from labelmirror.model.trouble import Trouble
from labelmirror.ports.journal import SaveJournal
from labelmirror.ports.provider import ProviderMemory
from labelmirror.ports.state import DocumentRecorded

Fault = Callable[[str, object], None]


def no_fault(_point: str, _detail: object) -> None:
    """Let everything happen."""


@dataclass(frozen=True, slots=True)
class _Read:
    digest: Digest
    content: ContentId
    counts: Counts
    token: Token | None
    at_s: float


@dataclass(slots=True)
class _Held:
    """Everything that a crash leaves."""

    facts: MirrorFacts
    memory: dict[str, JsonValue] = field(default_factory=dict)
    listed: dict[str, tuple[ListedImage, str]] = field(default_factory=dict)
    #: The images that the listing begun last has shown so far.
    shown: set[str] = field(default_factory=set)
    moves: dict[str, ImageRecord] = field(default_factory=dict)
    records: dict[str, ImageRecord] = field(default_factory=dict)
    bases: dict[DocumentKey, Base] = field(default_factory=dict)
    locals: dict[DocumentKey, LocalFile] = field(default_factory=dict)
    readings: dict[DocumentKey, _Read] = field(default_factory=dict)
    contents: dict[ContentId, bytes] = field(default_factory=dict)
    sets: dict[str, SetRecord] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    saves: dict[str, SaveRecord] = field(default_factory=dict)
    alarms: set[DocumentKey] = field(default_factory=set)


class MemoryState:
    """The memory of one mirror."""

    def __init__(self, store_id: str = "0" * 32, fault: Fault = no_fault) -> None:
        self.held = _Held(MirrorFacts(store_id))
        self.fault = fault
        self.memory: ProviderMemory = _Memory(self)
        self.journal: SaveJournal = _Journal(self)

    def snapshot(self) -> object:
        """All that is held, to be given to `restore` or compared."""
        return deepcopy(self.held)

    def restore(self, snapshot: object) -> None:
        """Go back to a snapshot."""
        assert isinstance(snapshot, _Held)
        self.held = deepcopy(snapshot)

    @contextmanager
    def change(self, call: str) -> Iterator[_Held]:
        """One transaction: all of it, or, when the fault strikes first, nothing."""
        self.fault(f"state.{call}:before", None)
        yield self.held
        self.fault(f"state.{call}:after", None)

    async def facts(self) -> MirrorFacts:
        return self.held.facts

    async def set_facts(self, facts: MirrorFacts) -> None:
        with self.change("set_facts") as held:
            held.facts = facts

    async def reset(self, store_id: str) -> None:
        with self.change("reset") as old:
            self.held = _Held(MirrorFacts(store_id), contents=old.contents, saves=old.saves, alarms=old.alarms)

    async def forget_future(self, now_s: float) -> None:
        with self.change("forget_future") as held:
            held.bases = {
                key: replace(base, checked_at_s=0.0) if base.checked_at_s > now_s else base
                for key, base in held.bases.items()
            }
            held.readings = {
                key: replace(read, at_s=0.0) if read.at_s > now_s else read for key, read in held.readings.items()
            }

    async def begin_listing(self) -> None:
        with self.change("begin_listing") as held:
            held.shown = set()

    async def end_listing(self) -> None:
        with self.change("end_listing") as held:
            held.listed = {id_: row for id_, row in held.listed.items() if id_ in held.shown}

    async def add_listed(self, images: Sequence[ListedImage], folds: Sequence[str]) -> None:
        with self.change("add_listed") as held:
            held.listed |= {image.id: (image, fold) for image, fold in zip(images, folds, strict=True)}
            held.shown |= {image.id for image in images}

    async def listed_count(self) -> int:
        return len(self.held.shown)

    async def listed(self, ids: Sequence[str]) -> Sequence[ListedImage]:
        return [self.held.listed[id_][0] for id_ in ids if id_ in self.held.listed]

    async def add_readings(self, readings: Sequence[tuple[Reading, Token | None]], at_s: float) -> None:
        with self.change("add_readings") as held:
            for reading, token in readings:
                assert reading.data is not None
                assert reading.digest is not None
                content = content_id(reading.data)
                held.contents[content] = reading.data
                held.readings[reading.key] = _Read(reading.digest, content, reading.counts, token, at_s)

    async def unlisted(self) -> Sequence[str]:
        return sorted(self.held.records.keys() - self.held.listed.keys())

    async def image_rows(self, after: str | None, limit: int) -> Sequence[ImageRow]:
        ids = sorted(id_ for id_ in self.held.records.keys() | self.held.listed.keys() if after is None or id_ > after)
        return [ImageRow(id_, self.held.records.get(id_), self._listed_file(id_)) for id_ in ids[:limit]]

    async def document_rows(self, after: DocumentKey | None, limit: int) -> Sequence[DocumentRow]:
        return [self._row(key) for key in self._keys() if after is None or key > after][:limit]

    async def unrecorded(self, after: DocumentKey | None, limit: int) -> Sequence[DocumentRow]:
        held = self.held
        keys = sorted(key for key in held.readings if key.image in held.records and (after is None or key > after))
        return [self._row(key) for key in keys[:limit]]

    async def rows_of_images(self, images: Sequence[str]) -> Sequence[DocumentRow]:
        wanted = set(images)
        return [self._row(key) for key in self._keys() if key.image in wanted]

    async def unplaced(self, after: tuple[str, str] | None, limit: int) -> Sequence[Unplaced]:
        held = self.held
        waiting = sorted((fold, image.id) for image, fold in held.listed.values() if self._is_unplaced(image))
        groups = Counter(fold for fold, _ in waiting)
        behind = [entry for entry in waiting if after is None or entry > after]
        page = behind[:limit] + [entry for entry in behind[limit:] if entry[0] == behind[limit - 1][0]]
        return [
            Unplaced(
                held.listed[id_][0],
                held.records.get(id_),
                groups[fold],
                any(other.id != id_ and folded(other.place) == fold for other in held.records.values()),
            )
            for fold, id_ in page
        ]

    async def begin_moves(self, moves: Sequence[Move]) -> None:
        with self.change("begin_moves") as held:
            held.moves |= {move.new.id: move.new for move in moves}

    async def unfinished_moves(self) -> Sequence[Move]:
        return [
            Move(old := self.held.records[id_], replace(old, directory=new.directory, name=new.name, place=new.place))
            for id_, new in sorted(self.held.moves.items())
        ]

    async def end_moves(self, records: Sequence[ImageRecord]) -> None:
        with self.change("end_moves") as held:
            for record in records:
                held.records[record.id] = record
                held.moves.pop(record.id, None)

    async def occupied(self, folds: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
        files = frozenset(folded(record.place) for record in self.held.records.values())
        folders = frozenset(folder for file in files for folder in folders_of(file))
        return files & frozenset(folds), folders & frozenset(folds)

    async def sets(self) -> Sequence[SetRecord]:
        return [entry for _, entry in sorted(self.held.sets.items())]

    async def record_sets(self, sets: Sequence[SetRecord]) -> None:
        with self.change("record_sets") as held:
            held.sets = {entry.id: entry for entry in sets} | held.sets

    async def known_paths(self, paths: Sequence[str]) -> frozenset[str]:
        known = {record.path for record in self.held.records.values()}
        folders: list[str | None] = [entry.folder for entry in self.held.sets.values()]
        known |= {
            _document_path(record.place, folder)
            for record in self.held.records.values()
            for folder in folders or [None]
        }
        return frozenset(known.intersection(paths))

    async def contents(self, ids: Sequence[ContentId]) -> Mapping[ContentId, bytes]:
        return {id_: self.held.contents[id_] for id_ in ids if id_ in self.held.contents}

    async def record_images(self, records: Sequence[ImageRecord]) -> None:
        with self.change("record_images") as held:
            for record in records:
                held.records[record.id] = record

    async def record_documents(self, records: Sequence[DocumentRecorded]) -> None:
        with self.change("record_documents") as held:
            for record in records:
                assert record.base.content in held.contents, "a base without its content"
                held.bases[record.key] = record.base
                held.locals[record.key] = record.local
                held.readings.pop(record.key, None)

    async def record_local(self, found: Sequence[tuple[DocumentKey, LocalFile | None]]) -> None:
        with self.change("record_local") as held:
            for key, local in found:
                if local is None:
                    held.locals.pop(key, None)
                else:
                    held.locals[key] = local

    async def record_checked(self, checked: Sequence[tuple[DocumentKey, Token | None, float]]) -> None:
        with self.change("record_checked") as held:
            for key, token, at_s in checked:
                held.bases[key] = replace(held.bases[key], token=token, checked_at_s=at_s)
                held.readings.pop(key, None)

    async def forget_images(self, ids: Sequence[str]) -> None:
        with self.change("forget_images") as held:
            for id_ in ids:
                held.records.pop(id_, None)
                held.moves.pop(id_, None)
            for side in (held.bases, held.locals, held.readings):
                for key in [key for key in side if key.image in set(ids)]:
                    del side[key]

    async def forget_documents(self, keys: Sequence[DocumentKey]) -> None:
        with self.change("forget_documents") as held:
            for key in keys:
                held.bases.pop(key, None)
                held.locals.pop(key, None)
                held.readings.pop(key, None)

    async def set_troubles(self, troubles: Sequence[Trouble]) -> None:
        with self.change("set_troubles") as held:
            held.troubles = tuple(troubles)

    async def troubles(self) -> Sequence[Trouble]:
        return self.held.troubles

    async def compact(self) -> None:
        with self.change("compact") as held:
            used = {base.content for base in held.bases.values()} | {read.content for read in held.readings.values()}
            used |= {
                id_ for save in held.saves.values() for id_ in (save.base, save.before, save.body) if id_ is not None
            }
            held.contents = {id_: data for id_, data in held.contents.items() if id_ in used}
            sets = {key.set for key in held.bases.keys() | held.locals.keys()}
            sets |= {document.set for image, _ in held.listed.values() for document in image.documents}
            held.sets = {id_: entry for id_, entry in held.sets.items() if id_ in sets}

    def _listed(self, image: str) -> ListedImage | None:
        return self.held.listed[image][0] if image in self.held.listed else None

    def _listed_file(self, image: str) -> ListedFile | None:
        listed = self._listed(image)
        return None if listed is None else ListedFile(listed.status, listed.size_bytes)

    def _is_unplaced(self, image: ListedImage) -> bool:
        record = self.held.records.get(image.id)
        return record is None or (record.directory, record.name) != (image.directory, image.name)

    def _keys(self) -> Sequence[DocumentKey]:
        held = self.held
        keys = {
            DocumentKey(id_, document.set) for id_, (image, _) in held.listed.items() for document in image.documents
        }
        return sorted(key for key in keys | held.bases.keys() | held.locals.keys() if key.image in held.records)

    def _row(self, key: DocumentKey) -> DocumentRow:
        held, image, place = self.held, self._listed(key.image), self.held.records[key.image].place
        document = next((document for document in image.documents if document.set == key.set), None) if image else None
        return DocumentRow(
            key=key,
            place=place,
            path=_document_path(place, held.sets[key.set].folder if key.set in held.sets else None),
            base=held.bases.get(key),
            local=held.locals.get(key),
            remote=_seen(document, held.readings.get(key)),
            listed=document is not None,
            status=image.status if image is not None else None,
        )


class _Memory:
    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def get(self, name: str) -> JsonValue:
        return self._state.held.memory.get(name)

    async def put(self, name: str, value: JsonValue) -> None:
        with self._state.change("memory.put") as held:
            held.memory.pop(name, None)
            if value is not None:
                held.memory[name] = value


class _Journal:
    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def open_saves(self, records: Sequence[SaveRecord], contents: Mapping[ContentId, bytes]) -> None:
        with self._state.change("open_saves") as held:
            held.contents |= contents
            held.saves |= {record.id: record for record in records}

    async def close_save(self, save: str, outcome: SaveOutcome, previous_count: int | None = None) -> None:
        with self._state.change("close_save") as held:
            held.saves[save] = replace(held.saves[save], outcome=outcome, previous_count=previous_count)

    async def open_records(self) -> Sequence[SaveRecord]:
        return [record for record in await self.saves() if record.outcome is SaveOutcome.OPEN]

    async def saves(
        self, *, key: DocumentKey | None = None, run: str | None = None, since_s: float = 0.0
    ) -> Sequence[SaveRecord]:
        newest_first = reversed(self._state.held.saves.values())
        wanted = [record for record in newest_first if key in {None, record.key} and run in {None, record.run}]
        return [record for record in wanted if record.at_s >= since_s]

    async def set_alarm(self, key: DocumentKey) -> None:
        with self._state.change("set_alarm") as held:
            held.alarms.add(key)

    async def clear_alarm(self, key: DocumentKey) -> None:
        with self._state.change("clear_alarm") as held:
            held.alarms.discard(key)

    async def alarms(self) -> frozenset[DocumentKey]:
        return frozenset(self._state.held.alarms)


def _document_path(place: str, folder: str | None) -> str:
    return f"annotations/{place}.json" if folder is None else f"annotations/{folder}/{place}.json"


def _seen(document: ListedDocument | None, read: _Read | None) -> RemoteSeen | None:
    token, empty = (document.token, document.empty) if document is not None else (None, False)
    if read is None:
        return RemoteSeen(token, empty) if document is not None else None
    return RemoteSeen(token, empty, read.digest, read.content, read.counts, read.token, read.at_s)
