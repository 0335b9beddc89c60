"""Find out how saves ended that were cut off, and finish those that were done by half.

A server that stores a document in several steps may hold half of a save when the connection or this program dies. Such a
half looks like somebody's deletions. So it is finished from the undo record before anything is decided on it, and where
that cannot be done the document is left alone.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from labelmirror.engine.mirror import Mirror, Run, image_path
from labelmirror.errors import InvalidDocument, OutcomeUnknown
from labelmirror.model.document import Document, content_id
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset, ListedImage, Reading, WantedDocument
from labelmirror.model.rows import Base, LocalFile
from labelmirror.model.saving import Save, SaveAnswer, SaveOutcome, SaveRecord
from labelmirror.model.trouble import Stage
from labelmirror.planning.plan import Look
from labelmirror.ports.provider import DocumentFormat
from labelmirror.ports.state import DocumentRecorded
from labelmirror.ports.tree import Placement, PlaceOutcome

#: A document is saved this often in one run while others keep saving it, or while it is left half done.
ROUNDS = 3

_UNSETTLED = (
    "a save of it may be half done: the server let it neither be finished nor read{said}; the next run that pushes tries "
    "again, and `labelmirror conflicts take` ends it"
)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A save that may be half done: its record, what the server held before, and what was sent."""

    record: SaveRecord
    image: ListedImage
    before: Document
    body: Document


async def finish(mirror: Mirror, dataset: Dataset, save: Unfinished, found: Reading) -> tuple[Reading | None, str]:
    """Send a save again while `found`, read just now, is half of it; what the server holds then, and what it said last.

    None where it is still half done, or cannot be read. This is no blind repetition: what is there was read before.
    """
    said = ""
    for _ in range(ROUNDS):
        if not is_half(mirror, save, found):
            return found, said
        key = save.record.key
        sent = Save(key, save.image, save.body, found, save.record.idempotency_key)
        (result,) = await mirror.provider.save_many(dataset, [sent])
        said = result.message
        again = await read_now(mirror, dataset, [WantedDocument(key, save.image)])
        if not again:
            return None, said
        (found,) = again
        if result.answer not in {SaveAnswer.OVERTAKEN, SaveAnswer.UNKNOWN}:
            return found, said  # all of it was done: what is missing by now is somebody's edit
    return None if is_half(mirror, save, found) else found, said


async def read_now(mirror: Mirror, dataset: Dataset, wanted: Sequence[WantedDocument]) -> Sequence[Reading]:
    """What the server holds of these documents; those that cannot be read are missing."""
    if not wanted:
        return ()
    async with aclosing(mirror.provider.reread(dataset, wanted)) as readings:
        return [reading async for reading in readings if reading.data is not None]


def base_of(held: Reading, checked_at_s: float) -> Base:
    """What both sides agree on when they hold what was read."""
    assert held.digest is not None
    assert held.data is not None
    return Base(held.digest, content_id(held.data), held.counts, None, checked_at_s)


def is_half(mirror: Mirror, save: Unfinished, found: Reading) -> bool:
    """Whether the server holds half of a save."""
    if found.data is None or found.digest in {save.record.before_digest, save.record.body_digest}:
        return False
    try:
        return mirror.format.half_saved(save.before, save.body, mirror.format.parse(found.data))
    except InvalidDocument:
        return False


def named_by_server(documents: DocumentFormat, sent: Document, held: Reading) -> bytes | None:
    """The document as the server holds it, if it gave additions their ids; they belong into the working file."""
    if not documents.stable_ids or held.data is None:
        return None
    before, after = documents.keyed(sent), documents.keyed(documents.parse(held.data))
    return None if {part.key for part in before} == {part.key for part in after} else held.data


async def settle_open_saves(run: Run, dataset: Dataset, looked: Look, *, may_send: bool) -> frozenset[DocumentKey]:
    """End the records of saves that a run which died or lost its connection left open; the documents that stay open.

    Sends nothing but reads, except to finish with `may_send` what was done by half. A save in an image that is not listed
    stays open until it is known that the image is gone.
    """
    mirror, state = run.mirror, run.mirror.state
    records = await state.journal.open_records()
    if not records:
        return frozenset()
    images = {image.id: image for image in await state.listed(sorted({record.key.image for record in records}))}
    wanted = {r.key: WantedDocument(r.key, images[r.key.image]) for r in records if r.key.image in images}
    found = {reading.key: reading for reading in await read_now(mirror, dataset, list(wanted.values()))}
    atomic = (await mirror.provider.capabilities()).atomic_saves
    unsettled: set[DocumentKey] = set()
    for record in records:
        held = found.get(record.key)
        if record.key not in wanted and await _is_gone(run, record.key.image, looked):
            await state.journal.close_save(record.id, SaveOutcome.SUPERSEDED)
            continue
        said = ""
        if held is not None and not atomic:
            held, said = await _finished(mirror, dataset, record, images[record.key.image], held, may_send=may_send)
        if held is None:
            unsettled.add(record.key)
            message = _UNSETTLED.format(said=f" ({said})" if said else "")
            run.fail(record.key, image_path(record.image), Stage.PUSH, OutcomeUnknown.code, message)
            continue
        found[record.key] = held
        await state.add_readings([(held, None)], mirror.clock.now_s())
        outcome = _outcome(record, held)
        if outcome is SaveOutcome.SAVED:
            await _agree(run, record, held, may_write=may_send)
        if outcome is SaveOutcome.SUPERSEDED and not atomic:
            # Somebody saved over what may have been half of ours: what is missing there need not be their deletion.
            await state.journal.set_alarm(record.key)
        await state.journal.close_save(record.id, outcome)
    return frozenset(unsettled)


async def _is_gone(run: Run, image: str, looked: Look) -> bool:
    """Whether an image that is not listed is not on the server; one that is not on record here was never seen there."""
    if not looked.complete:
        return False
    return image in looked.confirmed_absent or not await run.mirror.state.rows_of_images([image])


async def _finished(
    mirror: Mirror, dataset: Dataset, record: SaveRecord, image: ListedImage, found: Reading, *, may_send: bool
) -> tuple[Reading | None, str]:
    contents = await mirror.state.contents([record.before, record.body])
    before, body = (mirror.format.parse(contents[content]) for content in (record.before, record.body))
    save = Unfinished(record, image, before, body)
    if not may_send:
        return None if is_half(mirror, save, found) else found, ""
    return await finish(mirror, dataset, save, found)


async def _agree(run: Run, record: SaveRecord, held: Reading, *, may_write: bool) -> None:
    """Record what was saved as base, if the working file held it too: what it may have become since was made of that.

    Brings the ids that the server gave to additions into the file, unless it was edited again.
    """
    mirror, state = run.mirror, run.mirror.state
    row = next((row for row in await state.rows_of_images([record.key.image]) if row.key == record.key), None)
    if held.digest is None or row is None or row.local is None or row.local.digest != held.digest:
        return
    local, now_s = row.local, mirror.clock.now_s()
    body = mirror.format.parse((await state.contents([record.body]))[record.body])
    data = named_by_server(mirror.format, body, held) if may_write else None
    if data is not None:
        (placed,) = await mirror.tree.place([Placement(row.path, data, local.stat, run.id)])
        if placed.stat is not None and placed.outcome is not PlaceOutcome.CHANGED:
            local = LocalFile(placed.stat, held.digest, held.counts)
    await state.record_documents([DocumentRecorded(row.key, base_of(held, now_s), local)])
    await state.add_readings([(held, None)], now_s)  # newer than the listing, which shows what was there before


def _outcome(record: SaveRecord, held: Reading) -> SaveOutcome:
    if held.digest == record.body_digest:
        return SaveOutcome.SAVED
    return SaveOutcome.NOT_APPLIED if held.digest == record.before_digest else SaveOutcome.SUPERSEDED
