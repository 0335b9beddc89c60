"""Arguments and values of options that several commands take."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from labelmirror.errors import UsageError


def duration(text: str) -> timedelta:
    """An option's value such as "30s", "10m" or "1h30m". Raises typer.BadParameter."""
    from labelmirror.providers.forms import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


#: One mirror by name.
Name = Annotated[str, typer.Argument(metavar="NAME", help="The mirror.")]

#: An image, in the words that people have for it.
Image = Annotated[
    str, typer.Argument(metavar="IMAGE", help="An image's id, or the path of it or of its document in the mirror.")
]

#: Mirrors by name; none means all.
Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Mirrors; all if none is named.", show_default=False)
]

#: Time to wait for another run of the same mirror.
Wait = Annotated[
    timedelta | None,
    typer.Option(parser=duration, metavar="TIME", help='Wait so long ("10m") for another run.', show_default=False),
]

BudgetRequests = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Send at most N requests to servers.", show_default=False)
]

BudgetTime = Annotated[
    timedelta | None,
    typer.Option(parser=duration, metavar="TIME", help='End after so long ("30m").', show_default=False),
]

AllowDeletes = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Consent to N images going to the trash.", show_default=False)
]

AllowChanges = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Consent to N documents changing.", show_default=False)
]


def moment_s(text: str, now_s: float) -> float:
    """Wall-clock seconds of "2h" (so long ago), "2026-01-31" or "2026-01-31T08:00"; local time unless it names a zone.

    Raises UsageError.
    """
    from labelmirror.providers.forms import parse_duration

    try:
        if text[:4].isdecimal() and "-" in text:
            return datetime.fromisoformat(text).timestamp()
        return now_s - parse_duration(text).total_seconds()
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is no moment in time", hint='such as "2h" for two hours ago, "2026-01-31" or "2026-01-31T08:00Z"'
        ) from error
