"""Bring a snapshot's documents back on the server: read what is there, ask the guards, and push what differs.

Every document goes through the save protocol (see `saving.py`), so it is read again before its save, journaled, read back,
and can be undone. Images are never created anew: a document whose image is gone is reported.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import anyio

from labelmirror.engine.look import Seen, look
from labelmirror.engine.marker import check_marker
from labelmirror.engine.mirror import Mirror, Run, image_path
from labelmirror.engine.push import Pushing, Wish
from labelmirror.engine.resolve import conclude
from labelmirror.engine.rows import image_pages
from labelmirror.engine.runs import carry_out, new_run, run_error
from labelmirror.errors import InvalidDocument, LabelmirrorError, SnapshotDamaged, UsageError, command_line
from labelmirror.model.actions import PlanItem
from labelmirror.model.document import ContentId, render
from labelmirror.model.events import Phase
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Consent
from labelmirror.model.remote import Dataset
from labelmirror.model.report import MirrorReport, PlanReport
from labelmirror.model.rows import DocumentRow
from labelmirror.model.saving import WishKind
from labelmirror.model.snapshot import SavedDocument, SavedImage, Snapshot
from labelmirror.model.trouble import Stage
from labelmirror.planning.classify import Void
from labelmirror.planning.guard import RestoreTally, check_restore
from labelmirror.planning.plan import remote_view
from labelmirror.planning.push import restored, same_parts
from labelmirror.planning.strategy import forecast
from labelmirror.ports.provider import DocumentFormat
from labelmirror.ports.snapshots import SnapshotStore

#: So many documents are in memory while they are pushed.
CHUNK = 1000


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What is asked of a restore. `exact` takes back what was added since; `elsewhere` lets the mirror be of another
    dataset than the snapshot, so that images are recognised by directory and name.
    """

    exact: bool = False
    elsewhere: bool = False
    consent: Consent = field(default_factory=Consent)
    stop: anyio.Event | None = None

    @property
    def kind(self) -> WishKind:
        """What is wished of each document."""
        return WishKind.RESTORE_EXACT if self.exact else WishKind.RESTORE


async def restore_to_server(
    mirror: Mirror, store: SnapshotStore, snapshot: Snapshot, options: RestoreOptions
) -> MirrorReport:
    """Restore. Trouble is in the report; `documents.pushed` counts what was brought back."""
    return await carry_out(mirror, partial(_restore, store, snapshot, options), options.stop)


async def _restore(
    store: SnapshotStore, snapshot: Snapshot, options: RestoreOptions, run: Run, report: MirrorReport
) -> None:
    comparison = await _compare(run, store, snapshot, options)
    seen = comparison.seen
    report.images.total = snapshot.head.images
    report.refused = check_restore(comparison.tally, options.consent)
    pushing = Pushing(run, seen.dataset, seen.look, report.documents, seen.capabilities)
    granted: set[DocumentKey] = set()
    if report.refused is None:
        with run.phase(Phase.RESTORING, len(comparison.wanted)) as progress:
            for start in range(0, len(comparison.wanted), CHUNK):
                if run.stopping:
                    break
                chunk = comparison.wanted[start : start + CHUNK]
                granted |= await pushing.grant(await _wishes(run, store, chunk, options.kind))
                progress.add(len(chunk))
    await conclude(run, report, pushing, granted)


async def plan_restore_to_server(
    mirror: Mirror, store: SnapshotStore, snapshot: Snapshot, options: RestoreOptions
) -> PlanReport:
    """What `restore_to_server` would save now. Looks for real, and writes nothing outside the state."""
    before = mirror.provider.traffic()
    run = new_run(mirror)
    report = PlanReport(mirror.name)
    try:
        await check_marker(mirror, claim=False)
        comparison = await _compare(run, store, snapshot, options, move_files=False)
        report.refused = check_restore(comparison.tally, options.consent)
        report.push = len(comparison.wanted)
        report.items = [PlanItem(wanted.key, wanted.path, "push") for wanted in comparison.wanted]
        report.strategy = "+".join(("listing", *comparison.seen.ways))
        report.forecast = forecast(
            images=0,
            image_bytes=0,
            image_batch=0,
            pushes=report.push,
            reread_requests=comparison.seen.capabilities.reread_requests,
            save_batch=comparison.seen.capabilities.save_batch,
            quota=mirror.provider.quota(),
        )
    except (LabelmirrorError, ExceptionGroup) as error:
        report.error = run_error(error)
    report.troubles = run.troubles
    report.requests_spent = mirror.provider.traffic().since(before).api
    return report


# --- what differs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A document to bring back; paths are relative to the mirror. `into` is what another dataset or image holds, into whose
    words it is translated; None where it is its own.
    """

    key: DocumentKey
    path: str
    image_path: str
    content: ContentId
    into: ContentId | None


@dataclass(slots=True)
class _Comparison:
    """A snapshot beside what the server holds: the documents to bring back, with their saved contents."""

    seen: Seen
    tally: RestoreTally = field(default_factory=RestoreTally)
    wanted: list[_Wanted] = field(default_factory=list)


async def _compare(
    run: Run, store: SnapshotStore, snapshot: Snapshot, options: RestoreOptions, *, move_files: bool = True
) -> _Comparison:
    """Look at the server and compare. What cannot be restored is put on the run's list of failures. Raises UsageError."""
    mirror, head = run.mirror, snapshot.head
    seen = await look(run, full_check=True, move_files=move_files)
    run.troubles.clear()  # what the look found of other documents is the next run's to tell
    same = (head.server, head.dataset_id) == (mirror.server, seen.dataset.id)
    if not same and not options.elsewhere:
        raise UsageError(
            f"the snapshot is of {head.dataset_name!r} ({head.dataset_id}) on {head.server}, and {mirror.name} mirrors "
            f"{seen.dataset.name!r} ({seen.dataset.id}) on {mirror.server}",
            hint="To match images by directory and name instead of their ids, name the mirror: "
            + command_line("restore", snapshot.id[:8], "--to-server", mirror.name),
        )
    comparison = _Comparison(seen)
    finder = _Finder(run, store, snapshot, _sets(snapshot, seen.dataset, by_id=same), by_id=same)
    for name in head.pages:
        try:
            page = await store.page(name)
        except SnapshotDamaged as error:
            run.fail(DocumentKey(""), "", Stage.VERIFY, error.code, error.message)
            continue
        await _compare_page(run, store, comparison, await finder.find(page.images), exact=options.exact)
    return comparison


async def _compare_page(
    run: Run,
    store: SnapshotStore,
    comparison: _Comparison,
    found: Sequence["_Found"],
    *,
    exact: bool,
) -> None:
    documents, state, tally = run.mirror.format, run.mirror.state, comparison.tally
    differing: list[tuple[_Found, ContentId | None]] = []
    for each in found:
        row = each.row
        view = remote_view(row, comparison.seen.look)
        tally.documents += 1
        tally.annotations += sum(view.counts.values())
        if view.side is Void.ABSENT:
            _fail_gone(run, row.key, image_path(row.place))
        elif view.side != each.saved.digest:
            differing.append((each, _held(row, read=view.read) if isinstance(view.side, str) else None))
    theirs = await state.contents([held for _, held in differing if held is not None])
    ours = await store.documents([each.saved.content for each, _ in differing])
    for each, held in differing:
        row, content = each.row, each.saved.content
        if content not in ours:
            _fail_damaged(run, row.key, image_path(row.place))
            continue
        if each.foreign and held is None:
            message = "what the server holds of it could not be read, so nothing can be brought there"
            run.fail(row.key, image_path(row.place), Stage.PULL, "unread", message)
            continue
        try:
            there = theirs.get(held) if held is not None else None
            change = _change(documents, ours[content], there, foreign=each.foreign, exact=exact)
        except InvalidDocument as error:
            run.fail_with(row.key, image_path(row.place), Stage.VALIDATE, error)
            continue
        if change is None:
            continue
        problems = await run.mirror.provider.problems(comparison.seen.dataset, row.key, change.data)
        for problem in problems:
            run.fail_with(row.key, image_path(row.place), Stage.VALIDATE, problem)
        if not problems:
            tally.add(row.path, change.removes)
            into = held if each.foreign else None
            comparison.wanted.append(_Wanted(row.key, row.path, image_path(row.place), content, into))


@dataclass(frozen=True, slots=True)
class _Change:
    """What bringing back a saved document would save now, and how many of the parts that are there it removes."""

    data: bytes
    removes: int


def _change(
    documents: DocumentFormat, saved: bytes, held: bytes | None, *, foreign: bool, exact: bool
) -> _Change | None:
    """None: nothing is to be brought back. Without `held` it is not known what the server holds.

    Raises InvalidDocument where the parts of one cannot be told apart, or not be translated.
    """
    wanted = documents.parse(saved)
    if held is None:
        documents.keyed(wanted)
        return _Change(saved, 0)
    there = documents.parse(held)
    if foreign:
        wanted = documents.translated(wanted, there)
    parts = documents.keyed(wanted, wanted)
    before = documents.keyed(there, wanted)
    after = restored(parts, before, exact=exact)
    if same_parts(after, before):
        return None
    removes = len({part.key for part in before} - {part.key for part in after})
    return _Change(render(documents.rebuilt(there, after)), removes)


def _held(row: DocumentRow, *, read: bool) -> ContentId | None:
    """The content that the server is known to hold."""
    if read:
        return row.remote.read_content if row.remote is not None else None
    return row.base.content if row.base is not None else None


def _fail_gone(run: Run, key: DocumentKey, image: str) -> None:
    message = "its image is not in the dataset, and a document cannot be without it"
    run.fail(key, image, Stage.PUSH, "image_gone", message)


def _fail_damaged(run: Run, key: DocumentKey, image: str) -> None:
    run.fail(key, image, Stage.VERIFY, "snapshot_damaged", "what is stored of its document is missing or damaged")


async def _wishes(
    run: Run, store: SnapshotStore, wanted: Sequence[_Wanted], kind: WishKind
) -> Mapping[DocumentKey, Wish]:
    documents = run.mirror.format
    contents = await store.documents([each.content for each in wanted])
    theirs = await run.mirror.state.contents([each.into for each in wanted if each.into is not None])
    wishes: dict[DocumentKey, Wish] = {}
    for each in wanted:
        if each.content not in contents:  # it was whole a moment ago
            _fail_damaged(run, each.key, each.image_path)
            continue
        saved = contents[each.content]
        if each.into is not None:
            saved = render(documents.translated(documents.parse(saved), documents.parse(theirs[each.into])))
        wishes[each.key] = Wish(kind, saved=saved)
    return wishes


# --- finding what saved documents belong to ------------------------------------------------------------------------


def _sets(snapshot: Snapshot, dataset: Dataset, *, by_id: bool) -> Mapping[str, str]:
    """The ids that the annotation sets of a snapshot have now: by id in the same dataset, else by name."""
    found = {"": ""} | ({each.id: each.id for each in dataset.sets} if by_id else {})
    by_name = {each.name: each.id for each in dataset.sets}
    listed = snapshot.head.summary.get("sets")
    for entry in listed if isinstance(listed, list) else ():
        match entry:
            case {"id": str(former), "name": str(name)} if former not in found and name in by_name:
                found[former] = by_name[name]
            case _:
                pass
    return found


@dataclass(frozen=True, slots=True)
class _Found:
    """A saved document and the row that it belongs to; `foreign` is one of another dataset, or of an image uploaded anew."""

    saved: SavedDocument
    row: DocumentRow
    foreign: bool


@dataclass(slots=True)
class _Finder:
    """Finds the documents that saved ones belong to: by id in the same dataset, else by directory and name.

    An image that was uploaded anew has another id. It is taken for the saved one if it alone has that directory and name,
    its size is the same where both are known, and it is none of those that the snapshot knows by id.
    """

    run: Run
    store: SnapshotStore
    snapshot: Snapshot
    #: By their ids in the snapshot, those that its annotation sets have now.
    sets: Mapping[str, str]
    by_id: bool
    #: By directory and name, (id, size in bytes) of the images that the snapshot does not know; None where there are two.
    _places: dict[tuple[str, str], tuple[str, int | None] | None] | None = None

    async def find(self, images: Sequence[SavedImage]) -> Sequence[_Found]:
        """Each saved document that was valid, with its row; the others are reported."""
        ids = await self._ids(images)
        rows = await self.run.mirror.state.rows_of_images(sorted(set(ids.values())))
        by_key = {row.key: row for row in rows if row.listed}
        found: list[_Found] = []
        for image in images:
            now = ids.get(image.id)
            for saved in image.documents:
                annotation_set = self.sets.get(saved.key.set)
                row = by_key.get(DocumentKey(now, annotation_set)) if now and annotation_set is not None else None
                if saved.digest is None:
                    message = "it was no valid document when it was saved"
                    self.run.fail(saved.key, image.path, Stage.VALIDATE, InvalidDocument.code, message)
                elif annotation_set is None:
                    message = "its annotation set is not in the dataset, and a document cannot be without it"
                    self.run.fail(saved.key, image.path, Stage.PUSH, "set_gone", message)
                elif row is None:
                    _fail_gone(self.run, saved.key, image.path)
                else:
                    found.append(_Found(saved, row, foreign=not self.by_id or now != image.id))
        return found

    async def _ids(self, images: Sequence[SavedImage]) -> Mapping[str, str]:
        """The ids that saved images have on the server now; without those that are gone."""
        listed = await self.run.mirror.state.listed([image.id for image in images]) if self.by_id else ()
        ids = {image.id: image.id for image in listed}
        for image in images:
            if image.id not in ids:
                found = (await self._strangers()).get((image.directory, image.name))
                if found is not None and (found[1] is None or image.size_bytes in {None, found[1]}):
                    ids[image.id] = found[0]
        return ids

    async def _strangers(self) -> Mapping[tuple[str, str], tuple[str, int | None] | None]:
        if self._places is None:
            known: set[str] = set()
            for name in self.snapshot.head.pages if self.by_id else ():
                with suppress(SnapshotDamaged):  # reported when its documents are compared
                    known.update(image.id for image in (await self.store.page(name)).images)
            self._places = {}
            async for page in image_pages(self.run.mirror.state):
                for row in page:
                    if row.listed is not None and row.record is not None and row.id not in known:
                        place = (row.record.directory, row.record.name)
                        self._places[place] = None if place in self._places else (row.id, row.listed.size_bytes)
        return self._places
