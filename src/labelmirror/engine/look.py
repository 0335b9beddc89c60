"""Look at the three sides: list the server, give new images their places, scan the files, read what may have changed.

Everything seen goes on record page by page, so that a look which is cut off costs nothing twice. Nothing but the state
is written, except that files follow an image whose name changed on the server (see `place_images`).
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from labelmirror.engine.mirror import PAGE, Mirror, Progress, Run, image_path
from labelmirror.engine.pull import read_base
from labelmirror.engine.rows import document_pages
from labelmirror.engine.scan import scan, with_present_files
from labelmirror.errors import BudgetSpent, KeyRefused, Limited, RemoteError, Unavailable
from labelmirror.model.document import Counts
from labelmirror.model.events import Phase
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Capabilities, Dataset, ListedImage, Reading, ReadWay, Token
from labelmirror.model.rows import DocumentRow, ImageRecord, Move, Unplaced
from labelmirror.model.trouble import Stage
from labelmirror.planning import places
from labelmirror.planning.plan import Look, distrust_before_s, remote_view
from labelmirror.planning.strategy import rank_ways
from labelmirror.ports.state import DocumentRecorded

#: A listing that moves while it is read is read again, this often in all.
LISTING_TRIES = 3
#: Readings are put on record in batches of this many.
READING_BATCH = 500
#: Documents of an archive whose number of annotations is not the listing's are read again singly, up to this many.
REREADS_MIN, REREADS_PERCENT = 20, 1

#: Errors that end a run: another way of reading would meet them as well.
RUN_ENDING = (KeyRefused, Limited, BudgetSpent, Unavailable)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look established: what planning needs, the dataset, and the ways of reading that were used."""

    look: Look
    dataset: Dataset
    capabilities: Capabilities
    full_check: bool
    ways: tuple[str, ...]


async def look(run: Run, *, full_check: bool, move_files: bool) -> Seen:
    """Look at server and files. `full_check` reads every document whose listing shows no strong sign of its content.

    Without `move_files` an image that was renamed on the server keeps its place for now.
    """
    mirror = run.mirror
    now_s = mirror.clock.now_s()
    facts = await mirror.state.facts()
    dataset = await mirror.provider.dataset(mirror.ref)
    capabilities = await mirror.provider.capabilities()
    due = facts.last_full_check_s is None or now_s - facts.last_full_check_s >= mirror.policy.full_check_every_s
    if move_files:
        await _recover(run)
    complete, pages = await _list(run, dataset)
    confirmed = await _confirm_absent(run, dataset, pages) if complete else frozenset()
    looked = Look(
        started_s=now_s,
        complete=complete,
        confirmed_absent=confirmed,
        distrust_before_s=distrust_before_s(
            now_s=now_s,
            full_check=full_check or due,
            last_sync_s=facts.last_sync_s,
            every_s=mirror.policy.full_check_every_s,
        ),
    )
    await place_images(run, move_files=move_files)
    await scan(run)
    ways: tuple[str, ...] = ()
    if mirror.policy.content.annotations:
        ways = await _read(run, dataset, looked)
    return Seen(looked, dataset, capabilities, full_check or due, ways)


# --- the listing -------------------------------------------------------------------------------------------------


async def _list(run: Run, dataset: Dataset) -> tuple[bool, int]:
    """Put a listing on record; whether it is proven complete, and how many pages it had."""
    state, provider = run.mirror.state, run.mirror.provider
    announced, distinct, pages = None, 0, 0
    for _ in range(LISTING_TRIES):
        with run.phase(Phase.LISTING, dataset.images) as progress:

            async def take(rows: Sequence[ListedImage], progress: Progress = progress) -> None:
                await state.add_listed(rows, [places.fold(row.directory, row.name) for row in rows])
                progress.add(len(rows))

            await state.begin_listing()
            end = await provider.list_images(dataset, take)
        announced, distinct, pages = end.announced, await state.listed_count(), end.pages
        if end.steady and announced == distinct:
            return True, pages
    run.fail(
        DocumentKey(""),
        "",
        Stage.LIST,
        "incomplete_listing",
        f"the server announced {announced} images and listed {distinct}: nothing is deleted in this run",
    )
    return False, pages


async def _confirm_absent(run: Run, dataset: Dataset, pages: int) -> frozenset[str]:
    """Images that are gone: missing in a complete listing, and again in a second one or when asked for directly."""
    state, provider = run.mirror.state, run.mirror.provider
    missing = frozenset(await state.unlisted())
    if not missing:
        return missing
    if len(missing) <= pages:
        return await provider.confirm_absent(dataset, sorted(missing))
    complete, _ = await _list(run, dataset)
    return missing & frozenset(await state.unlisted()) if complete else frozenset()


# --- places ------------------------------------------------------------------------------------------------------


async def place_images(run: Run, *, move_files: bool) -> None:
    """Give every listed image a path, and let files follow images whose name or directory changed on the server."""
    state = run.mirror.state
    # A move that was stopped halfway is ended before another one begins.
    blocked = {move.new.id for move in await state.unfinished_moves()}
    after: tuple[str, str] | None = None
    while page := await state.unplaced(after, PAGE):
        after = (places.fold(page[-1].image.directory, page[-1].image.name), page[-1].image.id)
        wanted = [entry for entry in page if entry.record is None or (move_files and entry.image.id not in blocked)]
        assigned = places.assign(wanted, *await state.occupied(places.candidates(wanted)))
        new = [_placed(entry, assigned[entry.image.id]) for entry in wanted if entry.record is None]
        moved = [
            Move(entry.record, _placed(entry, assigned[entry.image.id])) for entry in wanted if entry.record is not None
        ]
        if new or moved:
            await run.map_changes()
        if new:
            await state.record_images(new)
        if moved:
            await _move(run, moved)


def _placed(entry: Unplaced, place: str) -> ImageRecord:
    """The record of an image at its new place."""
    image = entry.image
    old = entry.record if entry.record is not None else ImageRecord(image.id, image.directory, image.name, place)
    return replace(old, directory=image.directory, name=image.name, place=place)


async def _move(run: Run, moves: Sequence[Move]) -> None:
    """Let files follow their images.

    Where they go is on record before the first one does, and that they are there afterwards: killed in between, the
    next run ends these moves before it looks further.
    """
    state, tree = run.mirror.state, run.mirror.tree
    documents = await state.rows_of_images([move.new.id for move in moves])
    await state.begin_moves(moves)
    for move in moves:
        # What is there goes, on record or not: a run that died may have placed it.
        pairs = [(move.old.path, move.new.path)]
        paths = [row.path for row in documents if row.key.image == move.new.id]
        pairs += [(path, places.moved_document(path, move.old.place, move.new.place)) for path in paths]
        here = await tree.stat_many([source for source, _ in pairs])
        there = await tree.stat_many([target for _, target in pairs])
        going = [
            (pair, target)
            for pair, source, target in zip(pairs, here, there, strict=True)
            if source is not None and pair[0] != pair[1]
        ]
        free = all(target is None for _, target in going)
        if free and all(await tree.move([pair for pair, _ in going])):
            await state.record_images([move.new])
        else:
            if not free:
                await state.record_images([move.old])
            message = f"was renamed on the server; its files cannot follow to {move.new.place}: something is in the way"
            run.fail(DocumentKey(move.new.id), move.old.path, Stage.PULL, "move_blocked", message)


async def _recover(run: Run) -> None:
    """Finish what a run that died left between a file and its record: moves, and documents written but not recorded.

    A written document is known by the reading that it came from. Without this the server's own former content would
    look like somebody's edit, if the server has moved on since.
    """
    state = run.mirror.state
    if moves := await state.unfinished_moves():
        await _move(run, moves)
    after: DocumentKey | None = None
    while rows := await state.unrecorded(after, PAGE):
        after = rows[-1].key
        fresh = await with_present_files(run.mirror, rows)
        written = [
            DocumentRecorded(row.key, read_base(row.remote), row.local)
            for row in fresh
            if row.local is not None and row.remote is not None and row.local.digest == row.remote.read_digest
        ]
        if written:
            await state.record_documents(written)


# --- reading -----------------------------------------------------------------------------------------------------


async def _read(run: Run, dataset: Dataset, looked: Look) -> tuple[str, ...]:
    """Read what may have changed, in the cheapest way that the server allows; the names of the ways used."""
    mirror = run.mirror
    wanted = await _note_empty(run, dataset, looked)
    if wanted == 0:
        return ()
    used: list[str] = []
    problems: dict[DocumentKey, Reading] = {}
    for way in rank_ways(await mirror.provider.read_ways(dataset), wanted):
        used.append(way.name)
        try:
            problems |= await _read_way(run, dataset, looked, way, wanted)
        except RUN_ENDING:
            raise
        except RemoteError as error:
            run.notice("way_refused", f"Reading by {way.name} did not work ({error.message}); trying another way.")
        wanted = await _count_wanted(run, looked)
        if wanted == 0:
            break
    if wanted:
        await _report_unread(run, looked, problems)
    return tuple(used)


async def _note_empty(run: Run, dataset: Dataset, looked: Look) -> int:
    """Put documents that the listing shows to be empty on record as read; the number of documents still to be read."""
    state, provider = run.mirror.state, run.mirror.provider
    wanted = 0
    async for page in document_pages(state):
        needed = [row for row in page if _is_wanted(run.mirror, row, looked)]
        empty = {row.key: row for row in needed if row.remote is not None and row.remote.empty}
        wanted += len(needed) - len(empty)
        if not empty:
            continue
        readings: list[tuple[Reading, Token | None]] = []
        for image in await state.listed(sorted({key.image for key in empty})):
            readings += [
                (provider.empty(dataset, image, document), document.token)
                for document in image.documents
                if DocumentKey(image.id, document.set) in empty
            ]
        await state.add_readings(readings, run.mirror.clock.now_s())
    return wanted


async def _count_wanted(run: Run, looked: Look) -> int:
    count = 0
    async for page in document_pages(run.mirror.state):
        count += sum(_is_wanted(run.mirror, row, looked) for row in page)
    return count


def _is_wanted(mirror: Mirror, row: DocumentRow, looked: Look) -> bool:
    return row.listed and mirror.policy.selects(row.status) and remote_view(row, looked).needs_reading


async def _wanted_images(run: Run, looked: Look) -> AsyncIterator[ListedImage]:
    async for page in document_pages(run.mirror.state):
        ids = dict.fromkeys(row.key.image for row in page if _is_wanted(run.mirror, row, looked))
        for image in await run.mirror.state.listed(list(ids)):
            yield image


async def _read_way(run: Run, dataset: Dataset, looked: Look, way: ReadWay, wanted: int) -> dict[DocumentKey, Reading]:
    """Read in one way and put the readings on record; those that could not be read, by key."""
    mirror = run.mirror
    problems: dict[DocumentKey, Reading] = {}
    batch: list[Reading] = []
    rereads = max(REREADS_MIN, wanted * REREADS_PERCENT // 100) if way.covers_all else 0
    with run.phase(Phase.READING, wanted) as progress:
        async for reading in mirror.provider.read(dataset, way, _wanted_images(run, looked)):
            if reading.problem is not None:
                problems[reading.key] = reading
                continue
            batch.append(reading)
            if len(batch) >= READING_BATCH:
                rereads -= await _record_readings(run, batch, way, rereads)
                progress.add(len(batch))
                batch = []
        await _record_readings(run, batch, way, rereads)
        progress.add(len(batch))
    return problems


async def _record_readings(run: Run, batch: Sequence[Reading], way: ReadWay, rereads: int) -> int:
    """Put a batch of readings on record; how many were left out so that they are read again singly.

    An archive may have been made before the listing: where the numbers of annotations differ, the document is read
    again, or, where that would be too many, its token is left open so that the next run reads it.
    """
    state = run.mirror.state
    listed = {image.id: image for image in await state.listed([reading.key.image for reading in batch])}
    kept: list[tuple[Reading, Token | None]] = []
    left_out = 0
    for reading in batch:
        image = listed.get(reading.key.image)
        if image is None:
            continue
        token = next((document.token for document in image.documents if document.set == reading.key.set), None)
        if way.covers_all and image.annotations is not None and image.annotations != _total(reading.counts):
            if left_out < rereads:
                left_out += 1
                continue
            token = None
        kept.append((reading, token))
    await state.add_readings(kept, run.mirror.clock.now_s())
    return left_out


def _total(counts: Counts) -> int:
    return sum(counts.values())


async def _report_unread(run: Run, looked: Look, problems: dict[DocumentKey, Reading]) -> None:
    async for page in document_pages(run.mirror.state):
        for row in page:
            if not _is_wanted(run.mirror, row, looked):
                continue
            reading = problems.get(row.key)
            if reading is not None and reading.problem is not None:
                run.fail(row.key, image_path(row.place), Stage.PULL, reading.problem.code, reading.problem.message)
            else:
                run.fail(
                    row.key, image_path(row.place), Stage.PULL, "unread", "the server did not give its annotations"
                )
