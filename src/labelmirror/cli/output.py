"""Answers of commands: one JSON object, or text and tables for people. Standard output carries nothing else."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labelmirror.errors import DiskError, ExitCode, LabelmirrorError
from labelmirror.model.document import JsonValue

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


class OutputLost(DiskError):
    """Standard output cannot be written, so that only standard error is left to say so."""


class ReaderLeft(LabelmirrorError):
    """Whoever read standard output has seen enough: nothing is wrong, and there is nobody to tell."""


def write_json(keys: Mapping[str, JsonValue], exit_code: ExitCode) -> None:
    """Write the JSON answer in one line: `ok` (true for exit code 0 only), `exit_code` and the command's own keys.

    Raises OutputLost when standard output cannot take it, ReaderLeft when nobody reads it, as `write_human` does.
    """
    envelope = {"ok": exit_code == ExitCode.DONE, "exit_code": int(exit_code), **keys}
    # ASCII only: a pipe may have any encoding, and names from a server may hold lone surrogates.
    with _standard_output():
        sys.stdout.write(json.dumps(envelope, ensure_ascii=True, allow_nan=False) + "\n")


def write_human(make: "Callable[[], RenderableType]") -> None:
    """Write an answer for people; `make` is called only here, so that JSON never pays for rich."""
    from rich.console import Console

    # A pipe has no width: a row stays on one line, for grep.
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    # Rendered first: rich would end the program by itself when the reader has left.
    with console.capture() as rendered:
        console.print(make())
    with _standard_output():
        sys.stdout.write(rendered.get())


@contextmanager
def _standard_output() -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer cannot be written at the end of the program either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise ReaderLeft("nobody reads standard output any more") from error
        msg = f"standard output cannot be written: {error.strerror}"
        raise OutputLost(msg) from error


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> "Table":
    """A table without frames, as wide as its content; None shows as "-"."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text("-" if cell is None else printable(str(cell))) for cell in row))
    return made


def printable(text: str) -> str:
    """The text with control characters spelled out: a name from a server must not steer a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
