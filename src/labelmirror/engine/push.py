"""Which edits are sent, and what else becomes of them, decided on what the server holds now.

A plan is older than the save. So each document is read again just before it is decided about; what is to be sent goes
through the protocol of `saving`, and what does not stand then is read and decided about anew, a few times.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from labelmirror.engine.agreed import refuse
from labelmirror.engine.conflicts import known_conflicts, side_of
from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, Run, image_path
from labelmirror.engine.rows import document_pages
from labelmirror.engine.saving import Batch, NewBase, Saving, Sending
from labelmirror.engine.settle import ROUNDS
from labelmirror.errors import InvalidDocument, TooLarge, Unavailable, UndoClash, Unreadable
from labelmirror.model.document import ContentId, Document, render
from labelmirror.model.events import Phase
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Capabilities, Dataset, ListedImage, Reading, WantedDocument
from labelmirror.model.report import DocumentCounts
from labelmirror.model.rows import DocumentRow, FileStat
from labelmirror.model.saving import WishKind
from labelmirror.model.trouble import HoldReason, Stage
from labelmirror.planning.classify import Outcome
from labelmirror.planning.plan import Look, plan_document
from labelmirror.planning.push import Decision, Side, Step, decide, decide_wish


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


@dataclass(slots=True)
class Pushing:
    """The pushes of one run. Where the server takes one document in a request, each is read just before its save.

    `untouched` are the documents with which a person's will was not done because of other edits: they are as they were.
    """

    run: Run
    dataset: Dataset
    looked: Look
    counts: DocumentCounts
    capabilities: Capabilities
    untouched: set[DocumentKey] = field(default_factory=set)
    saving: Saving = field(init=False)

    def __post_init__(self) -> None:
        self.saving = Saving(self.run, self.dataset, self.looked, self.counts, self.capabilities.atomic_saves)

    @property
    def batch(self) -> int:
        """How many documents are pushed together."""
        return self.capabilities.save_batch

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
        if self.saving.is_given_up:
            return frozenset(row.key for row in rows)
        waiting = await self._hold_known(await self._valid_edits(rows, wishes or {}))
        for _ in range(ROUNDS):
            again: list[_Edit] = []
            while waiting:
                if self.run.stopping:
                    return frozenset(edit.row.key for edit in (*waiting, *again))
                edits = {edit.row.key: edit for edit in waiting}
                batch, waiting = await self._look_again(waiting)
                undone = await self.saving.send(batch)
                again += [replace(edits[key], unsaved=unsaved) for key, unsaved in undone.items()]
            waiting = again
        for edit in waiting:
            if edit.unsaved:
                message = f"the server did not save it: {edit.unsaved}; the next run tries again"
                self.saving.fail_in_vain(edit.row, Unavailable.code, message)
            else:
                message = "others kept saving this document; the next run tries again"
                self.run.fail(edit.row.key, image_path(edit.row.place), Stage.PUSH, "remote_moved", message)
        return frozenset()

    async def _valid_edits(self, rows: Sequence[DocumentRow], wishes: Mapping[DocumentKey, Wish]) -> list[_Edit]:
        """The edits that may be sent; a document that may not is reported with file, place and what is allowed."""
        mirror = self.run.mirror
        images = {image.id: image for image in await mirror.state.listed([row.key.image for row in rows])}
        edits: list[_Edit] = []
        for row in rows:
            try:
                read = await mirror.tree.read(row.path, limit_bytes=DOCUMENT_LIMIT_BYTES)
            except (TooLarge, Unreadable) as error:
                self.run.fail_with(row.key, image_path(row.place), Stage.VALIDATE, error)
                continue
            wish = wishes.get(row.key)
            if row.key.image not in images:
                if wish is not None:  # nothing is created anew on the server, whoever asks
                    self.run.hold(row, HoldReason.EDITED_AND_DELETED, self.counts)
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
                message = "its file was edited just now, so it was not taken: look at it, and decide again"
                self._leave_untouched(row, "changed_meanwhile", message)
        return edits

    async def _hold_known(self, edits: list[_Edit]) -> list[_Edit]:
        """Hold what is known to be in conflict without asking the server again; the others."""
        own = [(edit.row, edit.local) for edit in edits if edit.wish is None and edit.local is not None]
        known = await known_conflicts(self.run.mirror, self.looked, own)
        for edit in edits:
            if edit.row.key in known:
                self.run.hold(edit.row, known[edit.row.key], self.counts)
        return [edit for edit in edits if edit.row.key not in known]

    def _readable(self, read: tuple[bytes, FileStat] | None) -> tuple[bytes | None, Document | None]:
        if read is None:
            return None, None
        try:
            return read[0], self.run.mirror.format.parse(read[0])
        except InvalidDocument:
            return read[0], None

    async def _look_again(self, edits: Sequence[_Edit]) -> tuple[Batch, list[_Edit]]:
        """Read documents again until the window is used up, and decide; what is to be sent, and what is left to read."""
        mirror = self.run.mirror
        bases = await self._bases(edits)
        by_key = {edit.row.key: edit for edit in edits}
        began_s = mirror.clock.monotonic_s()
        sendings: list[Sending] = []
        wanted = [WantedDocument(edit.row.key, edit.image) for edit in edits]
        async with aclosing(mirror.provider.reread(self.dataset, wanted)) as readings:
            async for reading in readings:
                edit = by_key.pop(reading.key, None)
                if edit is None:
                    continue
                if reading.being_annotated:
                    self.run.hold(edit.row, HoldReason.BEING_ANNOTATED, self.counts)
                    continue
                if reading.data is None or reading.digest is None:
                    problem = reading.problem
                    code, message = (
                        (problem.code, problem.message) if problem else ("unread", "could not be read again")
                    )
                    if code == Unavailable.code:
                        self.saving.fail_in_vain(edit.row, code, message)
                    else:
                        self.run.fail(edit.row.key, image_path(edit.row.place), Stage.PUSH, code, message)
                    continue
                try:
                    sending = await self._treat(edit, bases.get(edit.row.key), reading)
                except InvalidDocument as error:
                    message = f"the server's own version cannot be compared: {error.message}"
                    self.run.fail(edit.row.key, edit.row.path, Stage.PUSH, error.code, message)
                    continue
                if sending is not None:
                    sendings.append(sending)
                if self.run.stopping or mirror.clock.monotonic_s() - began_s >= mirror.policy.push_window_s:
                    break
        return Batch(began_s, sendings), list(by_key.values())

    async def _bases(self, edits: Sequence[_Edit]) -> Mapping[DocumentKey, bytes]:
        bases = {edit.row.key: edit.row.base.content for edit in edits if edit.row.base is not None}
        contents = await self.run.mirror.state.contents(list(bases.values()))
        return {key: contents[content] for key, content in bases.items()}

    async def _treat(self, edit: _Edit, base: bytes | None, reading: Reading) -> Sending | None:
        """Decide about one document on what was just read, and do what needs no save; what is to be sent.

        Raises InvalidDocument where the server's own annotations cannot be told apart.
        """
        mirror, row = self.run.mirror, edit.row
        assert reading.data is not None
        planned = self.looked.agreed.documents.get(row.key) if self.looked.agreed is not None else None
        if planned is not None and reading.digest != planned.sides.remote:
            refuse(self.run, planned, image_path(row.place), "the server's version changed", Stage.PUSH)
            return None
        decision = await self._decide(edit, base, reading.data)
        if decision.step in {Step.HOLD, Step.CLASH, Step.LEAVE}:  # of the others, it goes on record with what is done
            await mirror.state.add_readings([(reading, None)], mirror.clock.now_s())
        asked = edit.wish is not None
        match decision.step:
            case Step.HOLD:
                assert decision.reason is not None
                self.run.hold(row, decision.reason, self.counts)
            case Step.CLASH:
                message = f"changed again since that save: {', '.join(decision.clashing)}"
                self._leave_untouched(row, UndoClash.code, message)
            case Step.LEAVE if asked:
                self._leave_untouched(
                    row, "edited_here", "it was edited here too; push that edit or take it back first"
                )
            case Step.LEAVE:
                pass
            case Step.ADOPT:
                same = NewBase(row, reading, reading.data, placed=True, equal=True, asked=asked)
                self.counts.adopted += await self.saving.record([same])
            case Step.TAKE_REMOTE:
                theirs = NewBase(row, reading, reading.data, placed=False, equal=False, asked=asked)
                taken = await self.saving.record([theirs])
                self.counts.pulled += taken
                if not taken:
                    self.untouched.add(row.key)
            case Step.SEND:
                assert edit.local is not None
                assert edit.data is not None
                return self.saving.prepared(row, edit.image, reading, edit.local, edit.data, merged=False, asked=asked)
            case Step.SEND_MERGED:
                wanted = mirror.format.rebuilt(mirror.format.parse(reading.data), decision.parts)
                return self.saving.prepared(row, edit.image, reading, wanted, render(wanted), merged=True, asked=asked)
        return None

    async def _decide(self, edit: _Edit, base_data: bytes | None, remote_data: bytes) -> Decision:
        """Hand the three sides of one document to planning."""
        documents = self.run.mirror.format
        former = await self._former(edit.wish)
        last = documents.parse(base_data) if base_data is not None else None
        # Where annotations have no ids of their own, they are told apart by those that they descend from.
        origin = last if former is None else former[0]

        def side(document: Document) -> Side:
            return side_of(documents, document, origin)

        local = side(edit.local) if edit.local is not None else None
        remote = side(documents.parse(remote_data))
        base = side(last) if last is not None else None
        if edit.wish is not None:
            versions = (side(former[0]), side(former[1])) if former is not None else None
            return decide_wish(edit.wish.kind, base, local, remote, versions, stable_ids=documents.stable_ids)
        assert local is not None, "an edit without a wish has a readable file"
        return decide(base, local, remote, self.run.mirror.policy.on_conflict, stable_ids=documents.stable_ids)

    def _leave_untouched(self, row: DocumentRow, code: str, message: str) -> None:
        self.untouched.add(row.key)
        self.run.fail(row.key, image_path(row.place), Stage.PUSH, code, message)

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


async def may_be_saved(run: Run, dataset: Dataset, row: DocumentRow, data: bytes) -> bool:
    """Whether the server can take this working document; what speaks against it is put on the list of failures."""
    problems = await run.mirror.provider.problems(dataset, row.key, data)
    for problem in problems:
        message = f"{row.path}: {problem.message}. {problem.hint}".removesuffix(". ")
        run.fail(row.key, image_path(row.place), Stage.VALIDATE, problem.code, message)
    return not problems
