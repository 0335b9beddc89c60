"""Where images lie: give each a path, let files follow renames, and finish what a run that died left halfway."""

from collections.abc import Sequence
from dataclasses import replace

from labelmirror.engine.mirror import PAGE, Run
from labelmirror.engine.pull import read_base
from labelmirror.engine.scan import with_present_files
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset
from labelmirror.model.rows import ImageRecord, Move, Unplaced
from labelmirror.model.trouble import Stage
from labelmirror.planning import places
from labelmirror.ports.state import DocumentRecorded


async def place_sets(run: Run, dataset: Dataset) -> None:
    """Give every annotation set of the dataset a folder; one that was renamed on the server keeps the one it has."""
    state = run.mirror.state
    if new := places.set_folders(dataset.sets, await state.sets()):
        await run.map_changes()
        await state.record_sets(new)


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
        pairs = [pair for pair in pairs if pair[0] != pair[1]]
        # All or nothing, as far as can be seen beforehand; a lost file has nothing to follow.
        there = await tree.stat_many([target for _, target in pairs])
        here = await tree.stat_many([source for source, _ in pairs])
        blocked = any(source and target for source, target in zip(here, there, strict=True))
        if not blocked:
            await tree.move(pairs)
            here = await tree.stat_many([source for source, _ in pairs])
        if not any(here):
            await state.end_moves([move.new])
        else:
            if blocked:
                await state.end_moves([move.old])
            message = f"was renamed on the server; its files cannot follow to {move.new.place}: something is in the way"
            run.fail(DocumentKey(move.new.id), move.old.path, Stage.PULL, "move_blocked", message)


async def recover(run: Run, *, move_files: bool) -> None:
    """Finish what a run that died left between a file and its record: moves, and documents written but not recorded.

    A written document is known by the reading that it came from. Without this the server's own former content would
    look like somebody's edit, if the server has moved on since. Without `move_files` moves wait for a run that has it.
    """
    state = run.mirror.state
    if move_files and (moves := await state.unfinished_moves()):
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
