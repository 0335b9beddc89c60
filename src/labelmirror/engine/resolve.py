"""A person's word on single documents: take one side of a held one, undo a save. Both go through the save protocol."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import anyio

from labelmirror.engine.cycle import with_window
from labelmirror.engine.look import look
from labelmirror.engine.mirror import Mirror, Run
from labelmirror.engine.push import Pushing, Wish
from labelmirror.engine.runs import carry_out, record_troubles
from labelmirror.errors import UndoClash, UsageError, command_line
from labelmirror.model.keys import DocumentKey
from labelmirror.model.report import MirrorReport
from labelmirror.model.saving import SaveRecord, WishKind
from labelmirror.model.trouble import Held


async def take(mirror: Mirror, key: DocumentKey, kind: WishKind, stop: anyio.Event | None = None) -> MirrorReport:
    """Make one version of a held document (LOCAL, REMOTE or BASE) that of both sides. The others go to history.

    A document of which a save stays half done can be decided about too. `stop` ends it as it ends a run of `sync`. Raises
    UsageError when nothing is to be decided, and when there is no such version.
    """
    await _check_open(mirror, key, kind)
    return await carry_out(mirror, partial(_grant, {key: Wish(kind)}), stop)


async def _check_open(mirror: Mirror, key: DocumentKey, kind: WishKind) -> None:
    """An edit that nothing holds is not given up by mistake, and no version stands in for another that is missing."""
    row = next((row for row in await mirror.state.rows_of_images([key.image]) if row.key == key), None)
    path = row.path if row is not None else key.image
    held = {DocumentKey(each.id, each.set) for each in await mirror.state.troubles() if isinstance(each, Held)}
    unfinished = {record.key for record in await mirror.state.journal.open_records()}
    if row is None or key not in held | unfinished:
        raise UsageError(
            f"{mirror.name}: {path} is not held",
            hint=f"{command_line('conflicts', 'list', mirror.name)}; {command_line('diff', mirror.name, path)}",
        )
    if kind is WishKind.BASE and row.base is None:
        raise UsageError(
            f"{mirror.name}: {path}: there is no base: it is not known what both sides last agreed on",
            hint="Take local or remote.",
        )


async def undo(mirror: Mirror, saves: Sequence[SaveRecord], stop: anyio.Event | None = None) -> MirrorReport:
    """Take back what these saves did, by a three-way merge: later edits of others survive. Raises UsageError.

    A document in which the same annotations were changed since stays as it is, and UndoClash is in the report. Of several
    saves of one document the oldest decides what it goes back to, the newest what it comes from.
    """
    wishes: dict[DocumentKey, Wish] = {}
    for save in sorted(saves, key=lambda save: save.at_s, reverse=True):
        if not save.outcome.had_effect:
            raise UsageError(f"save {save.id} changed nothing on the server (it is {save.outcome.value})")
        newest = wishes.get(save.key)
        wishes[save.key] = Wish(WishKind.UNDO, save.before, newest.body if newest is not None else save.body)
    return await carry_out(mirror, partial(_grant, wishes), stop)


async def _grant(wishes: Mapping[DocumentKey, Wish], run: Run, report: MirrorReport) -> None:
    seen = await look(run, full_check=False, move_files=True)
    run.troubles.clear()  # what the look found of other documents is the next run's to tell
    pushing = Pushing(run, seen.dataset, seen.look, report.documents, seen.capabilities)
    await conclude(run, report, pushing, await pushing.grant(wishes))
    clashes = sum(failed.code == UndoClash.code for failed in run.failures)
    if clashes and not run.stopping:
        raise UndoClash(
            f"{clashes} of {len(wishes)} documents were not undone: the same annotations were changed since",
            hint="Edit the file as it should be, and push.",
        )


async def conclude(run: Run, report: MirrorReport, pushing: Pushing, granted: AbstractSet[DocumentKey]) -> None:
    """Put on record what became of the documents that were granted; of others and of untouched ones, what was known."""
    mirror = run.mirror
    report.window = pushing.saving.window
    await mirror.state.set_facts(with_window(await mirror.state.facts(), pushing.saving.window))
    decided = granted - pushing.untouched
    left = [each for each in await mirror.state.troubles() if DocumentKey(each.id, each.set) not in decided]
    new = [each for each in run.troubles if DocumentKey(each.id, each.set) not in pushing.untouched]
    await record_troubles(mirror, [*left, *new])
