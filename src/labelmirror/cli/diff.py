"""`labelmirror diff`."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Name
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode

if TYPE_CHECKING:
    from labelmirror.model.report import PlanReport


@command
def diff(
    call: Call,
    name: Name,
    image: Annotated[str | None, typer.Argument(metavar="IMAGE", help="Only this image: its id, or a path.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Read what the server holds first, without a change here.")
    ] = False,
) -> ExitCode:
    """Say how documents differ, annotation by annotation, from what both sides last agreed on. Changes nothing."""
    from labelmirror.app import chosen, open_local_mirror, open_mirror
    from labelmirror.cli import endings, explaining, shapes
    from labelmirror.cli.naming import documents_of
    from labelmirror.cli.plan import unplanned
    from labelmirror.cli.shop import attempt, open_shop
    from labelmirror.engine import compare, cycle
    from labelmirror.engine.cycle import CycleOptions
    from labelmirror.engine.marker import check_marker

    async def work() -> ExitCode:
        with open_shop(call) as shop:
            chosen(shop.config, [name])
            error = None

            async def look() -> "PlanReport":
                async with open_mirror(shop, name) as mirror:
                    return await cycle.plan(mirror, CycleOptions(full_check=True))

            if fresh:
                error = (await attempt(look, partial(unplanned, name))).error
            async with open_local_mirror(shop, name) as mirror:
                await check_marker(mirror, claim=False)
                facts = await mirror.state.facts()
                if image is None:
                    entries = await compare.diff(mirror)
                else:
                    keys = {row.key for row in await documents_of(mirror, image)}
                    (image_id,) = {key.image for key in keys}
                    entries = [entry for entry in await compare.diff(mirror, image_id) if entry.key in keys]
        code = endings.exit_code([endings.error_codes(error)])
        return call.answer(
            {
                "images": [shapes.diff_shape(entry) for entry in entries],
                "seen_at": shapes.time_text(facts.last_look_s),
                **shapes.speaking_shape([error], code),
            },
            lambda: explaining.differences(name, entries, facts.last_look_s),
            code,
            errors=[(name, error)],
        )

    return run_cancellable(work)
