"""`labelmirror verify`."""

import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Names, Wait
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from labelmirror.engine.verify import Subset, VerifyReport
    from labelmirror.model.report import RunError


#: What mends a snapshot.
_STORED_ANEW = "labelmirror backup, which stores anew what the mirror still holds"


@command
def verify(
    call: Call,
    names: Names = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes and times only.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Read every file (the default).")] = False,
    subset: Annotated[
        str | None, typer.Option(metavar="K/N", help="Check the K-th of N parts, read whole.", show_default=False)
    ] = None,
    snapshot: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Check what is stored of a snapshot instead of a mirror.", show_default=False),
    ] = None,
    wait: Wait = None,
) -> ExitCode:
    """Check the files of mirrors against what was recorded of them, and bring back what is damaged."""
    from labelmirror.app import chosen, open_mirror, open_snapshots
    from labelmirror.cli import endings, shapes, telling
    from labelmirror.cli.shop import attempt, open_shop
    from labelmirror.engine import verify as engine
    from labelmirror.engine.snapshots import find, verify_snapshot
    from labelmirror.engine.verify import Depth
    from labelmirror.model.snapshot import Access

    if quick + full + (subset is not None) > 1:
        raise UsageError("--quick, --full and --subset exclude each other")
    if snapshot is not None and names:
        raise UsageError("--snapshot checks a snapshot; it takes no mirror's name")
    part = _part(subset)
    wait_s = wait.total_seconds() if wait else 0.0
    depth = Depth.QUICK if quick else Depth.FULL

    async def work() -> ExitCode:
        reports: list[VerifyReport] = []
        with open_shop(call, failures=logging.WARNING) as shop:
            if snapshot is not None:
                async with open_snapshots(shop, Access.READ, wait_s=wait_s) as store:
                    reports.append(await verify_snapshot(store, await find(store, snapshot), depth, part))
            for name in chosen(shop.config, names or []) if snapshot is None else ():

                async def verify_one(name: str = name) -> "VerifyReport":
                    async with open_mirror(shop, name, wait_s=wait_s) as mirror:
                        return await engine.verify(mirror, depth, part)

                reports.append(await attempt(verify_one, partial(_unchecked, name)))
        code = endings.exit_code([endings.verify_codes(report) for report in reports])
        return call.answer(
            {**shapes.verify_shape(reports), **shapes.speaking_shape([report.error for report in reports], code)},
            lambda: telling.checked(reports, "labelmirror sync" if snapshot is None else _STORED_ANEW),
            code,
            errors=[(report.name, report.error) for report in reports],
        )

    return run_cancellable(work)


def _unchecked(name: str, error: "RunError") -> "VerifyReport":
    from labelmirror.engine.verify import VerifyReport

    return VerifyReport(name, error=error)


def _part(text: str | None) -> "Subset":
    """The part that K/N names; the whole without one. Raises UsageError."""
    from labelmirror.engine.verify import Subset

    if text is None:
        return Subset()
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--subset: {text!r} is no part of a whole", hint="the second of seven parts is 2/7")
    return Subset(int(found[1]), int(found[2]))
