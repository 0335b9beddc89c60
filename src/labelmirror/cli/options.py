"""Arguments and values of options that several commands take."""

from datetime import timedelta
from typing import Annotated

import typer

#: Mirrors by name; none means all.
Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Mirrors; all if none is named.", show_default=False)
]


def duration(text: str) -> timedelta:
    """An option's value such as "30s", "10m" or "1h30m". Raises typer.BadParameter."""
    from labelmirror.providers.forms import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
