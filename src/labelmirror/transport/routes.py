"""Names for what requests ask for, few enough to count them by. Pure."""

import re
from typing import Final

#: Parts of a path that every request of a kind has.
_WORD: Final = re.compile(r"[a-z][a-z_-]{0,23}|v\d")
_NUMBER: Final = re.compile(r"\d+|[0-9a-fA-F-]{16,}")
_ONE: Final = ":id"


def route_of(method: str, path: str) -> str:
    """Method and path with `:id` in the place of ids and names: `GET /api/datasets/:id/images`.

    Of a file's name the folders before it are a part, though they look like words.
    """
    parts: list[str] = []
    for part in path.split("/"):
        if not part or _WORD.fullmatch(part):
            parts.append(part)
            continue
        if not _NUMBER.fullmatch(part) and _ONE in parts:
            while parts[-1] != _ONE:
                parts.pop()
        parts.append(_ONE)
    return f"{method} {'/'.join(parts)}"
