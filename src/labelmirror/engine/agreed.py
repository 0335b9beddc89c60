"""A plan that was made before: which of its items still hold, and what the others are told.

What an item names is looked at again, side by side. Where anything moved nothing is done: whoever agreed to the plan
agreed to what it showed, and a new plan shows the rest.
"""

from collections.abc import Sequence
from dataclasses import replace

from labelmirror.engine.mirror import PAGE, Run, image_path
from labelmirror.engine.rows import image_pages
from labelmirror.errors import PlanOutdated
from labelmirror.model.actions import Agreed, PlanItem
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Directions
from labelmirror.model.trouble import Failed, Stage, Trouble
from labelmirror.planning.plan import (
    Look,
    carries_out,
    document_item,
    image_item,
    plan_document,
    plan_image,
    why_outdated,
)


async def refuse_outdated(run: Run, looked: Look, agreed: Agreed) -> None:
    """Put the items on the list of failures that do not hold any more; planning leaves them alone."""
    await _refuse_documents(run, replace(looked, agreed=None), agreed)
    await _refuse_images(run, replace(looked, agreed=None), agreed)


async def _refuse_documents(run: Run, looked: Look, agreed: Agreed) -> None:
    policy, keys = run.mirror.policy, sorted(agreed.documents)
    told = {DocumentKey(failed.id, failed.set) for failed in run.failures}
    for start in range(0, len(keys), PAGE):
        page = [key for key in keys[start : start + PAGE] if key not in told]
        rows = {row.key: row for row in await run.mirror.state.rows_of_images(sorted({key.image for key in page}))}
        for key in page:
            planned, row = agreed.documents[key], rows.get(key)
            if row is None:
                refuse(run, planned, planned.path, why_outdated(planned, None))
                continue
            plan = plan_document(row, looked, policy)
            now, image = document_item(plan), image_path(row.place)
            if now != planned:
                refuse(run, planned, image, why_outdated(planned, now))
            elif not carries_out(plan.outcome, policy, Directions.BOTH):
                refuse(run, planned, image, "this mirror does not push any more")


async def _refuse_images(run: Run, looked: Look, agreed: Agreed) -> None:
    left = dict(agreed.images)
    async for page in image_pages(run.mirror.state):
        for row in page:
            planned = left.pop(row.id, None)
            if planned is None:
                continue
            now = image_item(plan_image(row, looked, run.mirror.policy))
            if now != planned:
                refuse(run, planned, planned.path, why_outdated(planned, now))
    for planned in left.values():
        refuse(run, planned, planned.path, why_outdated(planned, None))


def refuse(run: Run, planned: PlanItem, image: str, reason: str, stage: Stage = Stage.VALIDATE) -> None:
    """Report that an item was left alone, and what moved; `image` is its image's path."""
    message = f"{planned.path}: {planned.action} was not done: since the plan was made, {reason}"
    run.fail_with(planned.key, image, stage, PlanOutdated(message))


async def still_troubled(run: Run, agreed: Agreed) -> Sequence[Trouble]:
    """What is left undone after a run that did only what was agreed on: its own troubles, and what it did not touch.

    An item that does not hold any more was left as it was, and so is what is known of it.
    """
    outdated = {DocumentKey(each.id, each.set) for each in run.failures if each.code == PlanOutdated.code}
    own = [each for each in run.troubles if not (isinstance(each, Failed) and each.code == PlanOutdated.code)]
    touched = {DocumentKey(each.id, each.set) for each in own} | (agreed.documents.keys() - outdated)
    fetched = {image for image in agreed.images if DocumentKey(image) not in outdated}
    earlier = [
        each
        for each in await run.mirror.state.troubles()
        if DocumentKey(each.id, each.set) not in touched and not (isinstance(each, Failed) and each.id in fetched)
    ]
    return [*earlier, *own]
