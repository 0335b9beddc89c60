"""Move what is gone on the server to the trash. The last step of a run, and only of one without failures."""

from collections.abc import Sequence

from labelmirror.engine.mirror import Run
from labelmirror.engine.rows import document_pages, image_pages
from labelmirror.model.actions import ImageAction
from labelmirror.model.events import Phase
from labelmirror.model.report import DocumentCounts, ImageCounts
from labelmirror.model.rows import DocumentRow, ImageRow
from labelmirror.planning.classify import Outcome
from labelmirror.planning.plan import Look, plan_document, plan_image


async def retire(run: Run, looked: Look, images: ImageCounts, documents: DocumentCounts) -> None:
    """Retire images with their documents, and documents whose annotation set is gone.

    An image of which a document is held, invalid or only here keeps its files: a person has work in it.
    """
    state = run.mirror.state
    with run.phase(Phase.RETIRING) as progress:
        async for page in image_pages(state):
            for row in page:
                action = plan_image(row, looked, run.mirror.policy).action
                if action in {ImageAction.RETIRE, ImageAction.KEEP}:
                    retired = await _retire_image(run, looked, row, keep_files=action is ImageAction.KEEP)
                    if action is ImageAction.RETIRE:
                        images.retired += retired >= 0
                        documents.retired += max(retired, 0)
                    progress.add(1)
        async for rows in document_pages(state):
            gone = [row for row in rows if plan_document(row, looked, run.mirror.policy).outcome is Outcome.RETIRE]
            documents.retired += await _retire_documents(run, gone)


async def _retire_image(run: Run, looked: Look, row: ImageRow, *, keep_files: bool) -> int:
    """The number of its documents that went too; -1 when the image stays because somebody has work in it."""
    state, tree, record = run.mirror.state, run.mirror.tree, row.record
    rows = await state.rows_of_images([row.id])
    outcomes = {plan_document(document, looked, run.mirror.policy).outcome for document in rows}
    if outcomes & {Outcome.HOLD, Outcome.INVALID, Outcome.LOCAL_ONLY, Outcome.UNKNOWN} or record is None:
        return -1
    present = [(document.path, document.local.stat) for document in rows if document.local is not None]
    if not keep_files:
        # Documents first: one that was edited a moment ago keeps its image.
        if not all(await tree.retire(present, run=run.id)):
            return -1
        if record.stat is not None:
            await tree.retire([(record.path, record.stat)], run=run.id)
    await run.map_changes()
    await state.forget_images([row.id])
    return len(present)


async def _retire_documents(run: Run, rows: Sequence[DocumentRow]) -> int:
    files = [(row.key, row.path, row.local.stat) for row in rows if row.local is not None]
    if not files:
        return 0
    gone = await run.mirror.tree.retire([(path, stat) for _, path, stat in files], run=run.id)
    keys = [key for (key, _, _), done in zip(files, gone, strict=True) if done]
    await run.mirror.state.forget_documents(keys)
    return len(keys)
