"""`labelmirror config show`."""

import json
from typing import Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.output import table
from labelmirror.errors import ExitCode


@command
def show(
    call: Call,
    origin: Annotated[bool, typer.Option("--origin", help="Show where each value comes from.")] = False,
) -> ExitCode:
    """Print the settings in force; secrets show as ***."""
    from labelmirror.config.show import rows

    settings = list(rows(call.load()))
    columns = ("key", "value", "origin") if origin else ("key", "value")

    def cell(value: object) -> str:
        return "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return call.answer(
        {"settings": [{"key": row.key, "value": row.value, "origin": row.origin} for row in settings]},
        lambda: table(columns, ((row.key, cell(row.value), row.origin)[: len(columns)] for row in settings)),
    )
