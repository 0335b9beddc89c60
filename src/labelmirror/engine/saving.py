"""The protocol of a save: undo record first, then send, read back, and only then record base.

No save is ever sent again while its effect is not known. The window in which somebody else's save can be overwritten runs
from the sending of a document's last read to the arrival of its save; it is measured.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from labelmirror.engine.mirror import Run, image_path
from labelmirror.engine.scan import read_local
from labelmirror.engine.settle import Unfinished, base_of, finish, named_by_server, read_now
from labelmirror.errors import OutcomeUnknown
from labelmirror.model.document import ContentId, Digest, Document, content_id
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset, ListedImage, Reading, WantedDocument
from labelmirror.model.report import DocumentCounts, Window
from labelmirror.model.rows import DocumentRow, LocalFile
from labelmirror.model.saving import Save, SaveAnswer, SaveOutcome, SaveRecord, SaveResult
from labelmirror.model.trouble import HoldReason, Stage
from labelmirror.planning.plan import Look
from labelmirror.planning.push import Ending, ending
from labelmirror.ports.state import DocumentRecorded
from labelmirror.ports.tree import Placement, PlaceOutcome

#: When the server failed with so many documents in a row, the others wait for the next run.
VAIN_MAX = 8


@dataclass(frozen=True, slots=True)
class Sending:
    """A save under way: what was read before, what is sent, and the bytes that the working file shall have then.

    `merged`: the working file does not have them yet. `asked`: it is a person's word on this document.
    """

    row: DocumentRow
    image: ListedImage
    before: Reading
    wanted: Document
    data: bytes
    merged: bool
    asked: bool
    record: SaveRecord


@dataclass(frozen=True, slots=True)
class Batch:
    """Saves that go together; the first of their documents was asked for at `began_s`, monotonic."""

    began_s: float
    sendings: Sequence[Sending]


@dataclass(frozen=True, slots=True)
class NewBase:
    """A document that both sides are to hold: as it was read of the server, and the bytes of the working file, which has
    them already if `placed`, and had the same annotations when the document was read if `equal`.
    """

    row: DocumentRow
    held: Reading
    data: bytes
    placed: bool
    equal: bool
    asked: bool

    @property
    def digest(self) -> Digest:
        """Of what was read."""
        assert self.held.digest is not None
        return self.held.digest


@dataclass(slots=True)
class Saving:
    """The saves of one run. `atomic`: the server never holds half of one."""

    run: Run
    dataset: Dataset
    looked: Look
    counts: DocumentCounts
    atomic: bool
    window: Window = field(default_factory=Window)
    #: Documents in a row that the server could not be made to read or save, nor to refuse.
    _vain: int = 0

    @property
    def is_given_up(self) -> bool:
        """Whether the server is left in peace until the next run."""
        return self._vain >= VAIN_MAX

    def fail_in_vain(self, row: DocumentRow, code: str, message: str) -> None:
        """Report a document with which the server failed. Where it does with one after the other, it is left in peace."""
        self.run.fail(row.key, image_path(row.place), Stage.PUSH, code, message)
        self._vain += 1
        if self._vain == VAIN_MAX:
            self.run.notice(
                "pushes_put_off",
                f"The server failed with {VAIN_MAX} documents in a row: what else was edited waits for the next run.",
            )

    def prepared(
        self,
        row: DocumentRow,
        image: ListedImage,
        before: Reading,
        wanted: Document,
        data: bytes,
        *,
        merged: bool,
        asked: bool,
    ) -> Sending:
        """A save with its undo record, not on record yet."""
        documents = self.run.mirror.format
        assert before.data is not None
        assert before.digest is not None
        record = SaveRecord(
            id=uuid.uuid4().hex,
            run=self.run.id,
            key=row.key,
            image=row.place,
            at_s=self.run.mirror.clock.now_s(),
            base=row.base.content if row.base is not None else None,
            before=content_id(before.data),
            before_digest=before.digest,
            body=content_id(data),
            body_digest=documents.digest(wanted),
            idempotency_key=uuid.uuid4().hex,
            read_count=sum(before.counts.values()),
            new_count=len(documents.annotations(wanted)),
        )
        return Sending(row, image, before, wanted, data, merged, asked, record)

    async def send(self, batch: Batch) -> Mapping[DocumentKey, str]:
        """Save by the protocol; the documents that have to be decided about again, with what the server said if the save of
        one had no effect.
        """
        sendings = batch.sendings
        if not sendings:
            return {}
        mirror = self.run.mirror
        contents: dict[ContentId, bytes] = {}
        for sending in sendings:
            assert sending.before.data is not None
            contents |= {sending.record.before: sending.before.data, sending.record.body: sending.data}
        await mirror.state.add_readings([(sending.before, None) for sending in sendings], mirror.clock.now_s())
        await mirror.state.journal.open_saves([sending.record for sending in sendings], contents)
        saves = [Save(s.row.key, s.image, s.wanted, s.before, s.record.idempotency_key) for s in sendings]
        results = await mirror.provider.save_many(self.dataset, saves)
        self.window.add(mirror.clock.monotonic_s() - batch.began_s)
        in_doubt: list[tuple[Sending, SaveResult]] = []
        for sending, result in zip(sendings, results, strict=True):
            # That somebody's save was overwritten is known by the answer alone: it is on record before the reading back,
            # which takes long for many documents and may be cut off.
            if (known := self._ending(sending, result, None)) is not None:
                await self._end(sending, result, known)
            else:
                in_doubt.append((sending, result))
        found = await self._read_back(in_doubt)
        ended = [(*pair, self._ending(*pair, found.get(pair[0].row.key))) for pair in in_doubt]
        standing = [sending for sending, _, how in ended if how is Ending.STANDS]
        await self.record([self._new_base(sending, found[sending.row.key]) for sending in standing])
        again: dict[DocumentKey, str] = {}
        for sending, result, how in ended:
            if await self._end(sending, result, how):
                again[sending.row.key] = result.message if how is Ending.NOT_APPLIED else ""
        return again

    async def _read_back(self, sent: Sequence[tuple[Sending, SaveResult]]) -> Mapping[DocumentKey, Reading]:
        """What the server holds now, after what was done by half is finished; what is not known is missing.

        Where the server said that it was done, less than was sent is no half save but somebody's edit.
        """
        mirror, found = self.run.mirror, dict[DocumentKey, Reading]()
        by_key = {result.key: (sending, result) for sending, result in sent}
        wanted = [WantedDocument(key, sending.image) for key, (sending, _) in by_key.items()]
        for reading in await read_now(mirror, self.dataset, wanted):
            sending, result = by_key[reading.key]
            if result.answer is not SaveAnswer.UNKNOWN:
                found[reading.key] = reading
                continue
            assert sending.before.data is not None
            before = mirror.format.parse(sending.before.data)
            save = Unfinished(sending.record, sending.image, before, sending.wanted)
            held, _ = await finish(mirror, self.dataset, save, reading)
            if held is not None:
                found[reading.key] = held
        return found

    def _ending(self, sending: Sending, result: SaveResult, found: Reading | None) -> Ending | None:
        return ending(
            result.answer,
            wanted=sending.record.body_digest,
            before=sending.record.before_digest,
            found=found.digest if found is not None else None,
            read_count=sending.record.read_count,
            previous_count=result.previous_count,
            atomic=self.atomic,
        )

    def _new_base(self, sending: Sending, found: Reading) -> NewBase:
        """What both sides hold after a save that stands."""
        named = named_by_server(self.run.mirror.format, sending.wanted, found)
        placed = not sending.merged and named is None
        return NewBase(
            sending.row, found, named or sending.data, placed=placed, equal=not sending.merged, asked=sending.asked
        )

    async def _end(self, sending: Sending, result: SaveResult, how: Ending | None) -> bool:
        """Close one save, of which base is recorded if it stands; True if its document has to be decided about again."""
        row, record = sending.row, sending.record
        journal, previous = self.run.mirror.state.journal, result.previous_count
        match how:
            case None:
                said = f" ({result.message})" if result.message else ""
                message = (
                    f"it is not known whether the save was done{said}; the next run finds out before anything else"
                )
                self.fail_in_vain(row, OutcomeUnknown.code, message)
            case Ending.REFUSED:
                await journal.close_save(record.id, SaveOutcome.REFUSED)
                self.run.fail(
                    row.key, image_path(row.place), Stage.PUSH, "rejected", result.message or "the server refused it"
                )
            case Ending.STANDS:
                await journal.close_save(record.id, SaveOutcome.SAVED, previous)
                self._vain = 0
                self.counts.pushed += 1
                self.counts.merged += sending.merged
            case Ending.FOREIGN_OVERWRITTEN:
                await journal.set_alarm(row.key)
                await journal.close_save(record.id, SaveOutcome.FOREIGN_OVERWRITTEN, previous)
                self._hold_overwritten(
                    row,
                    f"the server had {previous} annotations when it was saved, {record.read_count} were read just before: "
                    "somebody saved in between, and that save was overwritten.",
                )
            case Ending.NOT_APPLIED:
                await journal.close_save(record.id, SaveOutcome.NOT_APPLIED, previous)
                return True
            case Ending.SAVED_OVER:
                await journal.set_alarm(row.key)
                await journal.close_save(record.id, SaveOutcome.SUPERSEDED, previous)
                self._hold_overwritten(
                    row,
                    "the answer to its save was lost, and somebody saved before it could be read back, perhaps over half of "
                    "it: what is missing now need not be their deletion.",
                )
            case Ending.MOVED:
                await journal.close_save(record.id, SaveOutcome.SUPERSEDED, previous)
                return True
        return False

    def _hold_overwritten(self, row: DocumentRow, message: str) -> None:
        self.run.hold(row, HoldReason.FOREIGN_SAVE_OVERWRITTEN, self.counts)
        self.run.notice(HoldReason.FOREIGN_SAVE_OVERWRITTEN.value, f"{row.path}: {message}")

    async def record(self, bases: Sequence[NewBase]) -> int:
        """Record that both sides hold the same, after writing it here where it is not yet; of how many that was done.

        A file that was edited meanwhile stays as it is. If it had what was sent, that is its base now; else it keeps the
        old one, and the next run merges the edit with what the server has.
        """
        mirror, state = self.run.mirror, self.run.mirror.state
        files = {base.row.key: base.row.local for base in bases}
        writing = [base for base in bases if not base.placed or base.row.local is None]
        placed = await mirror.tree.place([self._placement(base) for base in writing])
        for base, result in zip(writing, placed, strict=True):
            key, stat = base.row.key, result.stat
            if result.outcome is PlaceOutcome.CHANGED or stat is None:
                local = await read_local(mirror, base.row.path)
                files[key] = local if base.equal else None
                await state.record_local([(key, local)])
            else:
                files[key] = LocalFile(stat, base.digest, base.held.counts)
        now_s = mirror.clock.now_s()
        done = [(base, local) for base in bases if (local := files[base.row.key]) is not None]
        for base in bases:
            if base.asked and files[base.row.key] is None:
                message = "its file was edited meanwhile and stays as it is; the next run compares it with the server's version"
                self.run.fail(base.row.key, image_path(base.row.place), Stage.PUSH, "changed_meanwhile", message)
        if not done:
            return 0
        await state.add_readings([(base.held, None) for base, _ in done], now_s)
        await state.record_documents(
            [DocumentRecorded(base.row.key, base_of(base.held, now_s), local) for base, local in done]
        )
        await self._quieten([base.row.key for base, _ in done if base.asked])
        return len(done)

    async def _quieten(self, keys: Sequence[DocumentKey]) -> None:
        """A person has decided about these documents: their alarms, and saves of earlier runs without an end, are over."""
        journal = self.run.mirror.state.journal
        for key in keys:
            if key in self.looked.alarms:
                await journal.clear_alarm(key)
            if key in self.looked.unsettled:
                for record in await journal.open_records():
                    if record.key == key and record.run != self.run.id:
                        await journal.close_save(record.id, SaveOutcome.SUPERSEDED)

    def _placement(self, base: NewBase) -> Placement:
        row = base.row
        return Placement(row.path, base.data, row.local.stat if row.local is not None else None, self.run.id)
