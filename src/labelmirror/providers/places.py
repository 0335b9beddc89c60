"""Where in a JSON text a value stands, so that a person is shown the line. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

#: The keys and positions that lead to a value.
Path = tuple[str | int, ...]

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')


@dataclass(frozen=True, slots=True)
class Place:
    """A value of the text: what leads to it, the line (1-based) of its key or of itself, and the text that it begins with."""

    path: Path
    line: int
    text: str


def places(json_text: str) -> Iterator[Place]:
    """Every value, in the order of the text, which must be JSON; NaN and Infinity may stand for numbers."""
    line = key_line = 1
    looked_at = 0
    # For each open list the position in it, for each open object the key, None until it has come.
    path: list[str | int | None] = []
    for found in _PIECE.finditer(json_text):
        line += json_text.count("\n", looked_at, found.start())
        looked_at = found.start()
        text = found.group()
        inner = path[-1] if path else 0
        if text in {"}", "]"}:
            path.pop()
        elif text == ",":
            path[-1] = inner + 1 if isinstance(inner, int) else None
        elif inner is None:
            path[-1], key_line = str(json.loads(text)), line
        elif text != ":":
            leading = tuple(part for part in path if part is not None)
            yield Place(leading, line if isinstance(inner, int) else key_line, text)
            if text in {"{", "["}:
                path.append(None if text == "{" else 0)


def lines(json_text: str, paths: Iterable[Path]) -> Mapping[Path, int]:
    """The line of each of these; of what is not there, the line of the innermost value that should have it."""
    wanted = list(paths)
    prefixes = {path[:length] for path in wanted for length in range(len(path) + 1)}
    found = {place.path: place.line for place in places(json_text) if place.path in prefixes}
    return {path: next(found[path[:n]] for n in range(len(path), -1, -1) if path[:n] in found) for path in wanted}


def pointer(path: Path) -> str:
    """The JSON pointer (RFC 6901) of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
