"""Carry local edits to the server without losing anybody's work.

For each batch: read again what the server holds, decide on that, write the undo records, send, read back, and only then
record base. The window in which somebody else's save can be overwritten runs from the sending of a document's last read
to the arrival of its save; it is measured. No save is ever sent again while its effect is not known.
"""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from labelmirror.engine.agreed import refuse
from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, Run, image_path
from labelmirror.engine.rows import document_pages
from labelmirror.engine.scan import read_local
from labelmirror.engine.settle import ROUNDS, Unfinished, base_of, finish, named_by_server, read_now
from labelmirror.errors import InvalidDocument, OutcomeUnknown, Unavailable, UndoClash
from labelmirror.model.document import ContentId, Digest, Document, content_id, render
from labelmirror.model.events import Phase
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset, ListedImage, Reading, WantedDocument
from labelmirror.model.report import DocumentCounts, Window
from labelmirror.model.rows import DocumentRow, FileStat, LocalFile
from labelmirror.model.saving import Save, SaveAnswer, SaveOutcome, SaveRecord, SaveResult, WishKind
from labelmirror.model.trouble import Held, HoldReason, Stage
from labelmirror.planning.classify import Outcome
from labelmirror.planning.plan import Look, plan_document
from labelmirror.planning.push import Decision, Ending, Side, Step, decide, decide_wish, ending
from labelmirror.ports.state import DocumentRecorded
from labelmirror.ports.tree import Placement, PlaceOutcome

#: When the server failed with so many documents in a row, the others wait for the next run.
VAIN_MAX = 8


@dataclass(frozen=True, slots=True)
class Wish:
    """A person's word on one document: take a side, undo a save that replaced `before` by `body`, or restore `saved`."""

    kind: WishKind
    before: ContentId | None = None
    body: ContentId | None = None
    saved: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Edit:
    """A document to be decided about: its row, its image, what the working file says (None: not readable), and a wish.

    `unsaved` is what the server said to a save of it that had no effect.
    """

    row: DocumentRow
    image: ListedImage
    data: bytes | None
    local: Document | None
    wish: Wish | None = None
    unsaved: str = ""


@dataclass(frozen=True, slots=True)
class _Sending:
    """A save under way: what was read before, what is sent, and the bytes that the working file shall have then."""

    edit: _Edit
    decision: Decision
    before: Reading
    wanted: Document
    data: bytes
    digest: Digest
    record: SaveRecord


@dataclass(frozen=True, slots=True)
class _Agreed:
    """A document that both sides are to hold: as it was read of the server, and the bytes of the working file, which has
    them already if `placed`, and had the same annotations when the document was read if `equal`.
    """

    edit: _Edit
    held: Reading
    data: bytes
    placed: bool
    equal: bool

    @property
    def digest(self) -> Digest:
        """Of what was read."""
        assert self.held.digest is not None
        return self.held.digest


@dataclass(slots=True)
class Pushing:
    """The pushes of one run. `batch` documents go in one request: where it is one, each is read just before its save.

    `untouched` are the documents with which a person's will was not done because of other edits: they are as they were.
    """

    run: Run
    dataset: Dataset
    looked: Look
    counts: DocumentCounts
    batch: int
    window: Window = field(default_factory=Window)
    untouched: set[DocumentKey] = field(default_factory=set)
    _began_s: float = 0.0
    #: Documents in a row that the server could not be made to read or save, nor to refuse.
    _vain: int = 0

    async def push(self) -> None:
        """Push every edit that the plan names, in batches; one document's trouble never stops the others."""
        with self.run.phase(Phase.PUSHING) as progress:
            batch: list[DocumentRow] = []
            async for page in document_pages(self.run.mirror.state):
                for row in page:
                    if plan_document(row, self.looked, self.run.mirror.policy).outcome in {Outcome.PUSH, Outcome.MERGE}:
                        batch.append(row)
                    if len(batch) == self.batch:
                        await self._push(batch)
                        progress.add(len(batch))
                        batch = []
                    if self.run.stopping:
                        return
            await self._push(batch)
            progress.add(len(batch))

    async def push_rows(self, rows: Sequence[DocumentRow]) -> None:
        """Push these edits."""
        with self.run.phase(Phase.PUSHING, len(rows)) as progress:
            for start in range(0, len(rows), self.batch):
                if self.run.stopping:
                    return
                await self._push(rows[start : start + self.batch])
                progress.add(len(rows[start : start + self.batch]))

    async def grant(self, wishes: Mapping[DocumentKey, Wish]) -> frozenset[DocumentKey]:
        """Do what a person wants of single documents, by the same protocol; those that a stop did not keep from it."""
        found = await self.run.mirror.state.rows_of_images(sorted({key.image for key in wishes}))
        rows = [row for row in found if row.key in wishes]
        granted: set[DocumentKey] = set()
        for start in range(0, len(rows), self.batch):
            if self.run.stopping:
                break
            batch = rows[start : start + self.batch]
            left = await self._push(batch, wishes)
            granted |= {row.key for row in batch} - left
        return frozenset(granted)

    async def _push(
        self, rows: Sequence[DocumentRow], wishes: Mapping[DocumentKey, Wish] | None = None
    ) -> frozenset[DocumentKey]:
        """Push these documents; the ones that a stop, or a server that only fails, left as they are."""
        if self._vain >= VAIN_MAX:
            return frozenset(row.key for row in rows)
        edits = await self._valid_edits(rows, wishes or {})
        for _ in range(ROUNDS):
            again: list[_Edit] = []
            while edits:
                if self.run.stopping:
                    return frozenset(edit.row.key for edit in (*edits, *again))
                sendings, edits = await self._look_again(edits)
                again += await self._send(sendings)
            edits = again
        for edit in edits:
            if edit.unsaved:
                message = f"the server did not save it: {edit.unsaved}; the next run tries again"
                self._fail_in_vain(edit.row, Unavailable.code, message)
            else:
                message = "others kept saving this document; the next run tries again"
                self.run.fail(edit.row.key, image_path(edit.row.place), Stage.PUSH, "remote_moved", message)
        return frozenset()

    def _fail_in_vain(self, row: DocumentRow, code: str, message: str) -> None:
        """Report a document with which the server failed. Where it does with one after the other, it is left in peace."""
        self.run.fail(row.key, image_path(row.place), Stage.PUSH, code, message)
        self._vain += 1
        if self._vain == VAIN_MAX:
            self.run.notice(
                "pushes_put_off",
                f"The server failed with {VAIN_MAX} documents in a row: what else was edited waits for the next run.",
            )

    async def _valid_edits(self, rows: Sequence[DocumentRow], wishes: Mapping[DocumentKey, Wish]) -> list[_Edit]:
        """The edits that may be sent; a document that may not is reported with file, place and what is allowed."""
        mirror = self.run.mirror
        images = {image.id: image for image in await mirror.state.listed([row.key.image for row in rows])}
        edits: list[_Edit] = []
        for row in rows:
            read = await mirror.tree.read(row.path, limit_bytes=DOCUMENT_LIMIT_BYTES)
            wish = wishes.get(row.key)
            if row.key.image not in images:
                if wish is not None:  # nothing is created anew on the server, whoever asks
                    self._hold(row, HoldReason.EDITED_AND_DELETED)
                continue
            if read is None and wish is None:
                continue
            if wish is not None and wish.kind is not WishKind.LOCAL:
                edits.append(_Edit(row, images[row.key.image], *self._readable(read), wish))
                continue
            if read is None:
                self.run.fail(
                    row.key, image_path(row.place), Stage.VALIDATE, "not_found", "there is no such file to take"
                )
                continue
            if not await may_be_saved(self.run, self.dataset, row, read[0]):
                continue
            if row.local is not None and read[1] == row.local.stat:
                edits.append(_Edit(row, images[row.key.image], read[0], mirror.format.parse(read[0]), wish))
            elif wish is not None:  # an edit that nobody asked for goes with the next run
                self.untouched.add(row.key)
                self._fail_changed(
                    row, "its file was edited just now, so it was not taken: look at it, and decide again"
                )
        return edits

    def _fail_changed(self, row: DocumentRow, message: str) -> None:
        self.run.fail(row.key, image_path(row.place), Stage.PUSH, "changed_meanwhile", message)

    def _hold(self, row: DocumentRow, reason: HoldReason) -> None:
        """Leave both sides alone, and tell a person."""
        self.counts.held += 1
        self.run.troubles.append(Held(row.key.image, row.key.set, image_path(row.place), reason))

    def _readable(self, read: tuple[bytes, FileStat] | None) -> tuple[bytes | None, Document | None]:
        if read is None:
            return None, None
        try:
            return read[0], self.run.mirror.format.parse(read[0])
        except InvalidDocument:
            return read[0], None

    # --- looking again ---------------------------------------------------------------------------------------------

    async def _look_again(self, edits: Sequence[_Edit]) -> tuple[list[_Sending], list[_Edit]]:
        """Read documents again until the window is used up, and decide; what is to be sent, and what is left to read."""
        mirror = self.run.mirror
        bases = await self._bases(edits)
        by_key = {edit.row.key: edit for edit in edits}
        began_s = mirror.clock.monotonic_s()
        sendings: list[_Sending] = []
        wanted = [WantedDocument(edit.row.key, edit.image) for edit in edits]
        async with aclosing(mirror.provider.reread(self.dataset, wanted)) as readings:
            async for reading in readings:
                edit = by_key.pop(reading.key, None)
                if edit is None:
                    continue
                if reading.being_annotated:
                    self._hold(edit.row, HoldReason.BEING_ANNOTATED)
                    continue
                if reading.data is None or reading.digest is None:
                    problem = reading.problem
                    code, message = (
                        (problem.code, problem.message) if problem else ("unread", "could not be read again")
                    )
                    if code == Unavailable.code:
                        self._fail_in_vain(edit.row, code, message)
                    else:
                        self.run.fail(edit.row.key, image_path(edit.row.place), Stage.PUSH, code, message)
                    continue
                try:
                    sending = await self._decide(edit, bases.get(edit.row.key), reading)
                except InvalidDocument as error:
                    message = f"the server's own version cannot be compared: {error.message}"
                    self.run.fail(edit.row.key, edit.row.path, Stage.PUSH, error.code, message)
                    continue
                if sending is not None:
                    sendings.append(sending)
                if self.run.stopping or mirror.clock.monotonic_s() - began_s >= mirror.policy.push_window_s:
                    break
        self._began_s = began_s
        return sendings, list(by_key.values())

    async def _bases(self, edits: Sequence[_Edit]) -> Mapping[DocumentKey, bytes]:
        bases = {edit.row.key: edit.row.base.content for edit in edits if edit.row.base is not None}
        contents = await self.run.mirror.state.contents(list(bases.values()))
        return {key: contents[content] for key, content in bases.items()}

    async def _decide(self, edit: _Edit, held: bytes | None, reading: Reading) -> _Sending | None:
        """Decide about one document on what was just read, and do what needs no save. `held` is base's document.

        Raises InvalidDocument where the server's own annotations cannot be told apart.
        """
        mirror, row, documents = self.run.mirror, edit.row, self.run.mirror.format
        assert reading.data is not None
        assert reading.digest is not None
        planned = self.looked.agreed.documents.get(row.key) if self.looked.agreed is not None else None
        if planned is not None and reading.digest != planned.sides.remote:
            refuse(self.run, planned, image_path(row.place), "the server's version changed", Stage.PUSH)
            return None
        former = await self._former(edit.wish)
        agreed = documents.parse(held) if held is not None else None
        # Where annotations have no ids of their own, they are told apart by those that they descend from.
        origin = agreed if former is None else former[0]
        local = self._side(edit.local, origin) if edit.local is not None else None
        remote = self._side(documents.parse(reading.data), origin)
        base = self._side(agreed, origin) if agreed is not None else None
        stable_ids = documents.stable_ids
        if edit.wish is not None:
            versions = (self._side(former[0], origin), self._side(former[1], origin)) if former is not None else None
            decision = decide_wish(edit.wish.kind, base, local, remote, versions, stable_ids=stable_ids)
        else:
            assert local is not None, "an edit without a wish has a readable file"
            decision = decide(base, local, remote, mirror.policy.on_conflict, stable_ids=stable_ids)
        if decision.step in {Step.HOLD, Step.CLASH, Step.LEAVE}:  # of the others, it goes on record with what is done
            await mirror.state.add_readings([(reading, None)], mirror.clock.now_s())
        match decision.step:
            case Step.HOLD:
                assert decision.reason is not None
                self._hold(row, decision.reason)
            case Step.CLASH:
                self.untouched.add(row.key)
                message = f"changed again since that save: {', '.join(decision.clashing)}"
                self.run.fail(row.key, image_path(row.place), Stage.PUSH, UndoClash.code, message)
            case Step.ADOPT:
                self.counts.adopted += await self._record(
                    [_Agreed(edit, reading, reading.data, placed=True, equal=True)]
                )
            case Step.TAKE_REMOTE:
                taken = await self._record([_Agreed(edit, reading, reading.data, placed=False, equal=False)])
                self.counts.pulled += taken
                if not taken:
                    self.untouched.add(row.key)
            case Step.SEND:
                assert edit.local is not None
                assert edit.data is not None
                return self._sending(edit, decision, reading, edit.local, edit.data)
            case Step.SEND_MERGED:
                wanted = documents.rebuilt(documents.parse(reading.data), decision.parts)
                return self._sending(edit, decision, reading, wanted, render(wanted))
            case Step.LEAVE if edit.wish is not None:
                self.untouched.add(row.key)
                message = "it was edited here too; push that edit or take it back first"
                self.run.fail(row.key, image_path(row.place), Stage.PUSH, "edited_here", message)
            case Step.LEAVE:
                pass
        return None

    def _side(self, document: Document, origin: Document | None) -> Side:
        documents = self.run.mirror.format
        return Side(documents.digest(document), documents.keyed(document, origin))

    async def _former(self, wish: Wish | None) -> tuple[Document, Document] | None:
        """The versions that a wish is about: from which to which it leads back. A restored one stands for both."""
        documents = self.run.mirror.format
        if wish is not None and wish.saved is not None:
            saved = documents.parse(wish.saved)
            return saved, saved
        if wish is None or wish.before is None or wish.body is None:
            return None
        contents = await self.run.mirror.state.contents([wish.body, wish.before])
        return documents.parse(contents[wish.body]), documents.parse(contents[wish.before])

    def _sending(self, edit: _Edit, decision: Decision, before: Reading, wanted: Document, data: bytes) -> _Sending:
        documents, row = self.run.mirror.format, edit.row
        assert before.data is not None
        assert before.digest is not None
        digest = documents.digest(wanted)
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
            body_digest=digest,
            idempotency_key=uuid.uuid4().hex,
            read_count=sum(before.counts.values()),
            new_count=len(documents.annotations(wanted)),
        )
        return _Sending(edit, decision, before, wanted, data, digest, record)

    # --- sending ---------------------------------------------------------------------------------------------------

    async def _send(self, sendings: Sequence[_Sending]) -> list[_Edit]:
        """Save a batch by the protocol; the edits that have to be decided about again."""
        if not sendings:
            return []
        mirror = self.run.mirror
        contents: dict[ContentId, bytes] = {}
        for sending in sendings:
            assert sending.before.data is not None
            contents |= {sending.record.before: sending.before.data, sending.record.body: sending.data}
        await mirror.state.add_readings([(sending.before, None) for sending in sendings], mirror.clock.now_s())
        await mirror.state.journal.open_saves([sending.record for sending in sendings], contents)
        saves = [Save(s.edit.row.key, s.edit.image, s.wanted, s.before, s.record.idempotency_key) for s in sendings]
        results = await mirror.provider.save_many(self.dataset, saves)
        self.window.add(mirror.clock.monotonic_s() - self._began_s)
        found = await self._read_back([pair for pair in zip(sendings, results, strict=True) if _may_stand(pair[1])])
        endings = [
            self._ending(sending, result, found.get(sending.edit.row.key))
            for sending, result in zip(sendings, results, strict=True)
        ]
        standing = [sending for sending, how in zip(sendings, endings, strict=True) if how is Ending.STANDS]
        await self._record([self._agreed(sending, found[sending.edit.row.key]) for sending in standing])
        again: list[_Edit] = []
        for sending, result, how in zip(sendings, results, endings, strict=True):
            if await self._end(sending, result, how):
                unsaved = result.message if how is Ending.NOT_APPLIED else ""
                again.append(replace(sending.edit, unsaved=unsaved))
        return again

    async def _read_back(self, sent: Sequence[tuple[_Sending, SaveResult]]) -> Mapping[DocumentKey, Reading]:
        """What the server holds now, after what was done by half is finished; what is not known is missing.

        Where the server said that it was done, less than was sent is no half save but somebody's edit.
        """
        mirror, found = self.run.mirror, dict[DocumentKey, Reading]()
        by_key = {result.key: (sending, result) for sending, result in sent}
        wanted = [WantedDocument(key, sending.edit.image) for key, (sending, _) in by_key.items()]
        for reading in await read_now(mirror, self.dataset, wanted):
            sending, result = by_key[reading.key]
            if result.answer is not SaveAnswer.UNKNOWN:
                found[reading.key] = reading
                continue
            assert sending.before.data is not None
            before = mirror.format.parse(sending.before.data)
            save = Unfinished(sending.record, sending.edit.image, before, sending.wanted)
            held, _ = await finish(mirror, self.dataset, save, reading)
            if held is not None:
                found[reading.key] = held
        return found

    def _ending(self, sending: _Sending, result: SaveResult, found: Reading | None) -> Ending | None:
        return ending(
            result.answer,
            wanted=sending.digest,
            before=sending.record.before_digest,
            found=found.digest if found is not None else None,
            read_count=sending.record.read_count,
            previous_count=result.previous_count,
        )

    def _agreed(self, sending: _Sending, found: Reading) -> _Agreed:
        """What both sides hold after a save that stands."""
        named = named_by_server(self.run.mirror.format, sending.wanted, found)
        merged = sending.decision.step is Step.SEND_MERGED
        placed = not merged and named is None
        return _Agreed(sending.edit, found, named or sending.data, placed=placed, equal=not merged)

    async def _end(self, sending: _Sending, result: SaveResult, how: Ending | None) -> bool:
        """Close one save, of which base is recorded if it stands; True if its document has to be decided about again."""
        mirror, row, record = self.run.mirror, sending.edit.row, sending.record
        journal, previous = mirror.state.journal, result.previous_count
        match how:
            case None:
                said = f" ({result.message})" if result.message else ""
                message = (
                    f"it is not known whether the save was done{said}; the next run finds out before anything else"
                )
                self._fail_in_vain(row, OutcomeUnknown.code, message)
            case Ending.REFUSED:
                await journal.close_save(record.id, SaveOutcome.REFUSED)
                self.run.fail(
                    row.key, image_path(row.place), Stage.PUSH, "rejected", result.message or "the server refused it"
                )
            case Ending.STANDS:
                await journal.close_save(record.id, SaveOutcome.SAVED, previous)
                self._vain = 0
                self.counts.pushed += 1
                self.counts.merged += sending.decision.step is Step.SEND_MERGED
            case Ending.FOREIGN_OVERWRITTEN:
                await journal.set_alarm(row.key)
                await journal.close_save(record.id, SaveOutcome.FOREIGN_OVERWRITTEN, previous)
                self._hold(row, HoldReason.FOREIGN_SAVE_OVERWRITTEN)
                self.run.notice(
                    "foreign_save_overwritten",
                    f"{row.path}: the server had {previous} annotations when it was saved, {record.read_count} were read "
                    "just before: somebody saved in between, and that save was overwritten.",
                )
            case Ending.NOT_APPLIED:
                await journal.close_save(record.id, SaveOutcome.NOT_APPLIED, previous)
                return True
            case Ending.MOVED:
                await journal.close_save(record.id, SaveOutcome.SUPERSEDED, previous)
                return True
        return False

    async def _record(self, agreed: Sequence[_Agreed]) -> int:
        """Record that both sides hold the same, after writing it here where it is not yet; of how many that was done.

        A file that was edited meanwhile stays as it is. If it had what was sent, that is its base now; else it keeps the
        old one, and the next run merges the edit with what the server has.
        """
        mirror, state = self.run.mirror, self.run.mirror.state
        files = {item.edit.row.key: item.edit.row.local for item in agreed}
        writing = [item for item in agreed if not item.placed or item.edit.row.local is None]
        placed = await mirror.tree.place([self._placement(item) for item in writing])
        for item, result in zip(writing, placed, strict=True):
            row, stat = item.edit.row, result.stat
            if result.outcome is PlaceOutcome.CHANGED or stat is None:
                local = await read_local(mirror, row.path)
                files[row.key] = local if item.equal else None
                await state.record_local([(row.key, local)])
            else:
                files[row.key] = LocalFile(stat, item.digest, item.held.counts)
        now_s = mirror.clock.now_s()
        done = [(item, local) for item in agreed if (local := files[item.edit.row.key]) is not None]
        for item in agreed:
            if item.edit.wish is not None and files[item.edit.row.key] is None:
                message = "its file was edited meanwhile and stays as it is; the next run compares it with the server's version"
                self._fail_changed(item.edit.row, message)
        if not done:
            return 0
        await state.add_readings([(item.held, None) for item, _ in done], now_s)
        await state.record_documents(
            [DocumentRecorded(item.edit.row.key, base_of(item.held, now_s), local) for item, local in done]
        )
        for key in (item.edit.row.key for item, _ in done if item.edit.wish is not None):
            if key in self.looked.alarms:
                await state.journal.clear_alarm(key)
            if key in self.looked.unsettled:
                for record in await state.journal.open_records():
                    if record.key == key and record.run != self.run.id:
                        await state.journal.close_save(record.id, SaveOutcome.SUPERSEDED)
        return len(done)

    def _placement(self, item: _Agreed) -> Placement:
        row = item.edit.row
        return Placement(row.path, item.data, row.local.stat if row.local is not None else None, self.run.id)


async def may_be_saved(run: Run, dataset: Dataset, row: DocumentRow, data: bytes) -> bool:
    """Whether the server can take this working document; what speaks against it is put on the list of failures."""
    problems = await run.mirror.provider.problems(dataset, row.key, data)
    for problem in problems:
        message = f"{row.path}: {problem.message}. {problem.hint}".removesuffix(". ")
        run.fail(row.key, image_path(row.place), Stage.VALIDATE, problem.code, message)
    return not problems


def _may_stand(result: SaveResult) -> bool:
    """Whether the server may hold what was sent, so that it has to be read back."""
    return result.answer in {SaveAnswer.CLAIMED, SaveAnswer.UNKNOWN}
