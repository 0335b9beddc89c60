"""Answers of commands: one JSON object, or text and tables for people. Standard output carries nothing else."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labelmirror.errors import DiskError, ExitCode, LabelmirrorError
from labelmirror.model.document import JsonValue

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text


class OutputLost(DiskError):
    """Standard output cannot be written, so that only standard error is left to say so."""


class ReaderLeft(LabelmirrorError):
    """Whoever read standard output has seen enough: nothing is wrong, and there is nobody to tell."""


def open_standard_streams() -> None:
    """Make all three usable, whatever this program was started with.

    One that was closed would be the next file that is opened: it becomes /dev/null. What the encoding of standard output
    lacks is spelled out, as Python does on standard error.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


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
        # Not cropped: what must stay whole is longer than the terminal is wide.
        console.print(make(), crop=False)
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


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> "RenderableType":
    """A table without frames, as wide as its content; None shows as "-".

    Where a terminal is too narrow for its words, each row is a block of lines, "column  cell", so that no word is broken.
    """
    return _Table(columns, [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows])


@dataclass(frozen=True, slots=True)
class _Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment

        made = list(console.render(self._made(), options))
        if all(Segment.get_line_length(line) <= options.max_width for line in Segment.split_lines(made)):
            yield from made
            return
        width = max(len(column) for column in self.columns)
        for number, row in enumerate(self.rows):
            if number:
                yield ""
            for column, cell in zip(self.columns, row, strict=True):
                yield verbatim(f"{column:<{width}}  {cell}")

    def _made(self) -> "Table":
        from rich.cells import cell_len
        from rich.table import Table
        from rich.text import Text

        made = Table(box=None, pad_edge=False, header_style="bold")
        for number, column in enumerate(self.columns):
            words = [word for text in (column, *(row[number] for row in self.rows)) for word in text.split()]
            # Else rich takes width from the widest columns first, even where that breaks words.
            longest = max((cell_len(word) for word in words), default=0)
            made.add_column(column, overflow="fold", min_width=longest)
        for row in self.rows:
            made.add_row(*(Text(cell) for cell in row))
        return made


def verbatim(text: str) -> "Text":
    """A line that is never broken, however narrow the terminal: a command or a path, to be copied."""
    from rich.text import Text

    return Text(printable(text), no_wrap=True, overflow="ignore")


def printable(text: str) -> str:
    """The text with control characters spelled out: a name from a server must not steer a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
