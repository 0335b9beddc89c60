"""Look at the three sides: list the server, give new images their places, scan the files, read what may have changed.

Everything seen goes on record page by page, so that a look which is cut off costs nothing twice. Nothing but the state
is written, except that files follow an image whose name changed on the server (see `placing.py`).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace

from labelmirror.engine.mirror import Progress, Run
from labelmirror.engine.placing import place_images, place_sets, recover
from labelmirror.engine.reading import Readings
from labelmirror.engine.rows import image_pages
from labelmirror.engine.scan import scanned_documents, scanned_images
from labelmirror.engine.settle import settle_open_saves
from labelmirror.errors import GuardRefused, UnknownDataset, command_line
from labelmirror.model.actions import Agreed
from labelmirror.model.events import Phase
from labelmirror.model.keys import DatasetRef, DocumentKey
from labelmirror.model.remote import (
    Capabilities,
    Dataset,
    ListedImage,
)
from labelmirror.model.rows import MirrorFacts
from labelmirror.model.trouble import Stage
from labelmirror.planning import places
from labelmirror.planning.guard import Tally
from labelmirror.planning.plan import Look, distrust_before_s, plan_document, plan_image

#: A listing that moves while it is read is read again, this often in all.
LISTING_TRIES = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look established: what planning needs, the dataset, and the ways of reading that were used.

    `tally` counts the plan as the rows were gone over; None where readings came afterwards, so that it has to be made anew.
    """

    look: Look
    tally: Tally | None
    dataset: Dataset
    capabilities: Capabilities
    full_check: bool
    ways: tuple[str, ...]


#: Something to do while documents are read; told what is seen until then.
Beside = Callable[[Seen], AbstractAsyncContextManager[None]]


async def look(
    run: Run,
    *,
    full_check: bool,
    move_files: bool,
    finish_saves: bool = True,
    agreed: Agreed | None = None,
    beside: Beside | None = None,
) -> Seen:
    """Look at server and files. `full_check` reads every document whose listing shows no strong sign of its content.

    Without `move_files` an image that was renamed on the server keeps its place for now. `finish_saves` sends again what a
    save that was cut off left half done. With `agreed` only what that names is read: such a look is no full check.
    """
    mirror = run.mirror
    now_s = mirror.clock.now_s()
    facts = await mirror.state.facts()
    async with run.room():
        dataset = await known_dataset(run, facts)
        capabilities = await mirror.provider.capabilities()
    # A clock that stepped back must not let old readings pass for new ones, nor put the next full check off for ever.
    await mirror.state.forget_future(now_s)
    checked_s, ended_s = (
        None if then is None or then > now_s else then for then in (facts.last_full_check_s, facts.last_end_s)
    )
    overdue = checked_s is None or now_s - checked_s >= mirror.policy.full_check_every_s
    fully = agreed is None and (full_check or overdue)
    await place_sets(run, dataset)
    # Carrying out a plan begins no move, but ends what a dead run began: files halfway would pass for lost ones.
    await recover(run, move_files=move_files or agreed is not None)
    complete, pages = await _list_unless_unchanged(run, dataset, facts, anew=fully)
    confirmed = await _confirm_absent(run, dataset, pages) if complete else frozenset()
    looked = Look(
        started_s=now_s,
        complete=complete,
        confirmed_absent=confirmed,
        absent_sets=await _absent_sets(run, dataset),
        distrust_before_s=distrust_before_s(
            now_s=now_s,
            full_check=fully,
            last_end_s=ended_s,
            every_s=mirror.policy.full_check_every_s,
        ),
        categories=dataset.category_names(),
        agreed=agreed,
    )
    unsettled = await settle_open_saves(run, dataset, looked, may_send=finish_saves)
    looked = replace(looked, unsettled=unsettled, alarms=await mirror.state.journal.alarms())
    await place_images(run, move_files=move_files)
    reading = Readings(run, dataset, looked)
    seen = Seen(looked, await _scan(run, reading), dataset, capabilities, fully, ())
    if reading.needed:
        async with nullcontext() if beside is None or not reading.wanted else beside(seen):
            seen = replace(seen, tally=None, ways=await reading.read())
    await mirror.state.set_facts(replace(await mirror.state.facts(), last_look_s=now_s))
    return seen


async def known_dataset(run: Run, facts: MirrorFacts) -> Dataset:
    """The dataset that is mirrored, after making sure that it is the one that was mirrored so far.

    Names are used again: another dataset of the same name would replace every image here, a few at a time unnoticed.
    Raises GuardRefused where it is another one, and UnknownDataset, with the new name if it was renamed on the server.
    """
    mirror, known = run.mirror, facts.dataset_id
    try:
        dataset = await mirror.provider.dataset(mirror.ref)
    except UnknownDataset as error:
        if known is None or mirror.ref.name is None:
            raise
        renamed = await mirror.provider.dataset(DatasetRef(id=known))
        raise UnknownDataset(
            f"{mirror.name}: {error.message}; what was mirrored so far is called {renamed.name} there now",
            hint=f'If it was renamed, say so in [datasets.{mirror.name}]: name = "{renamed.name}"',
        ) from error
    if known is None:
        await mirror.state.set_facts(replace(facts, dataset_id=dataset.id))
    elif known != dataset.id:
        raise GuardRefused(
            f"{mirror.name}: {dataset.name} on the server is another dataset ({dataset.id}) than was mirrored so far "
            f"({known})",
            hint="Give it a mirror and a path of its own, or, if it is to take the other one's place here: "
            + command_line("repair", mirror.name),
        )
    return dataset


async def _scan(run: Run, reading: Readings) -> Tally:
    """Bring the local side on record. What planning says of the rows is tallied on the way: each pass over all has a price."""
    mirror, content, tally = run.mirror, run.mirror.policy.content, Tally()
    with run.phase(Phase.SCANNING) as progress:
        if content.annotations:
            async for documents in scanned_documents(mirror):
                plans = [plan_document(row, reading.looked, mirror.policy) for row in documents]
                await reading.note(plans)
                for plan in plans:
                    tally.add_document(plan)
                progress.add(len(documents))
        async for images in scanned_images(mirror) if content.images else image_pages(mirror.state):
            for row in images:
                tally.add_image(plan_image(row, reading.looked, mirror.policy))
            progress.add(len(images))
    return tally


# --- the listing -------------------------------------------------------------------------------------------------


async def _list_unless_unchanged(run: Run, dataset: Dataset, facts: MirrorFacts, *, anew: bool) -> tuple[bool, int]:
    """Put a listing on record, unless the server's stamp says that the last one would come again."""
    state = run.mirror.state
    async with run.room():
        stamp = await run.mirror.provider.stamp(dataset)
    if stamp is not None and stamp == facts.listing_stamp and not anew:
        return True, 0
    if facts.listing_stamp is not None:  # it speaks for the rows that go now
        await state.set_facts(replace(await state.facts(), listing_stamp=None))
    complete, pages = await _list(run, dataset)
    if complete and stamp is not None:
        await state.set_facts(replace(await state.facts(), listing_stamp=stamp))
    return complete, pages


async def _absent_sets(run: Run, dataset: Dataset) -> frozenset[str]:
    """Annotation sets that are gone: missing in what the server says of the dataset, and again when asked a second time."""
    recorded = {entry.id for entry in await run.mirror.state.sets()}
    missing = recorded - {entry.id for entry in dataset.sets}
    if not missing:
        return frozenset()
    async with run.room():
        again = await run.mirror.provider.dataset(run.mirror.ref)
    return frozenset(missing - {entry.id for entry in again.sets})


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
            async with run.room():
                end = await provider.list_images(dataset, take)
        announced, distinct, pages = end.announced, await state.listed_count(), end.pages
        if end.steady and announced == distinct:
            await state.end_listing()
            return True, pages
    await state.end_listing()
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
    if len(missing) <= max(pages, 1):
        async with run.room():
            return await provider.confirm_absent(dataset, sorted(missing))
    await state.set_facts(replace(await state.facts(), listing_stamp=None))
    complete, _ = await _list(run, dataset)
    return missing & frozenset(await state.unlisted()) if complete else frozenset()
