"""A configuration file as text: its tables, and on which line a key stands."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labelmirror.errors import ConfigError

#: A key from the top of the settings: ("servers", "acme", "reserve").
KeyPath = tuple[str, ...]
#: Settings as they were written, before validation.
RawTable = dict[str, Any]

SIZE_MAX_BYTES: Final = 4 * 2**20
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_PART: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_HEADER: Final = re.compile(rf"\s*\[\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_ASSIGNMENT: Final = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_POSITION: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def dotted(path: KeyPath) -> str:
    """A key as one would write it: `servers.acme.reserve`, with quotes where TOML wants them."""
    return ".".join(part if _BARE.fullmatch(part) else f'"{_escaped(part)}"' for part in path)


def _escaped(part: str) -> str:
    return "".join(char if char.isprintable() and char not in '"\\' else f"\\u{ord(char):04x}" for char in part)


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file that was read: its tables and the lines of its keys. `open_to_others` tells of its mode."""

    path: Path
    tables: RawTable
    lines: Mapping[KeyPath, int]
    open_to_others: bool

    def line(self, path: KeyPath) -> int | None:
        """The line, from 1, of this key or of the nearest table around it; None where the text does not show it."""
        for length in range(len(path), 0, -1):
            if (found := self.lines.get(path[:length])) is not None:
                return found
        return None


def read(path: Path) -> Document:
    """Read a configuration file. Raises ConfigError with line and column when it is not TOML, or cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MAX_BYTES + 1)
            mode = path.stat().st_mode
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    if len(data) > SIZE_MAX_BYTES:
        msg = f"{path}: larger than {SIZE_MAX_BYTES} bytes, which is no configuration"
        raise ConfigError(msg)
    return parse(path, data, open_to_others=bool(mode & 0o077))


def parse(path: Path, data: bytes, *, open_to_others: bool) -> Document:
    """Take the bytes of a configuration file apart. Raises ConfigError as `read` does."""
    try:
        text = data.decode()
        tables = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        msg = f"{path}:{line}: not UTF-8"
        raise ConfigError(msg) from None
    except RecursionError:
        msg = f"{path}: not TOML that this program reads: lists or tables are nested too deep"
        raise ConfigError(msg) from None
    except tomllib.TOMLDecodeError as error:
        # The parser's words may repeat a piece of the text only as one illegal character.
        match = _POSITION.fullmatch(str(error))
        what, line_text, column = match.groups() if match else (str(error), None, None)
        where = f"{line_text}:{column}" if line_text else f"{text.count(chr(10)) + 1}"
        msg = f"{path}:{where}: not TOML: {what}"
        raise ConfigError(msg) from None
    return Document(path, tables, dict(reversed(list(_key_lines(text)))), open_to_others)


def _key_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    # Looks at each line alone: a key inside a multi-line text is seen too, which can only mislead about a line number.
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            yield table, number
        elif assignment := _ASSIGNMENT.match(line):
            yield table + _parts(assignment[1]), number


def _parts(written: str) -> KeyPath:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in re.findall(_PART, written))
