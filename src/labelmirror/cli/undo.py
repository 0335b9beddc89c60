"""`labelmirror undo`."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.signals import run_stoppable
from labelmirror.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from labelmirror.app import Workshop
    from labelmirror.cli.signals import Stop
    from labelmirror.model.report import MirrorReport
    from labelmirror.model.saving import SaveRecord


@command
def undo(
    call: Call,
    save: Annotated[
        str | None, typer.Argument(metavar="SAVE_ID", help="One save, by its id or the beginning of it.")
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="All saves of a run.", show_default=False)] = None,
    image: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="NAME IMAGE", help="The newest save of an image of a mirror.", show_default=False),
    ] = None,
) -> ExitCode:
    """Take saves back, on the server and here. What was edited later is merged and survives; an undo can be undone."""
    from labelmirror.cli.runs import answer_with_runs, run_one
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine import resolve

    if bool(save) + (run is not None) + (image is not None) != 1:
        raise UsageError("name one: a save, --run RUN, or --image NAME IMAGE", hint="labelmirror history lists saves")

    async def work(stop: "Stop") -> ExitCode:
        reports: list[MirrorReport] = []
        with open_shop(call) as shop:
            meant = await _meant(shop, save, run, image)
            for name in sorted({mirror for mirror, _ in meant}):
                saves = [each for owner, each in meant if owner == name]
                take_back = partial(resolve.undo, saves=saves, stop=stop.requested)
                reports.append(await run_one(shop, name, take_back, stop.requested))
        return answer_with_runs(call, reports, stop)

    return run_stoppable(work)


async def _meant(
    shop: "Workshop", save: str | None, run: str | None, image: tuple[str, str] | None
) -> Sequence[tuple[str, "SaveRecord"]]:
    """The saves to undo, each with its mirror; at least one. Raises UsageError."""
    from labelmirror.app import chosen
    from labelmirror.cli.saves import Wanted, find

    names = list(chosen(shop.config, [] if image is None else [image[0]]))
    wanted = Wanted(id=save or "", run=run, image=None if image is None else image[1])
    found = await find(shop, names, wanted)
    effective = [each for each in found if each[1].outcome.had_effect]
    if save is not None and len(found) > 1:
        raise UsageError(
            f"{len(found)} saves begin with {save!r}", hint="name more of its id; history --json has all of it"
        )
    if not effective:
        said = f"it is {found[0][1].outcome.value}" if found else "none is on record"
        raise UsageError(
            f"there is no such save that changed something on the server ({said})", hint="labelmirror history"
        )
    return effective if image is None else effective[:1]
