"""When two paths may be one and the same to a file system that ignores case or normalises Unicode."""

import unicodedata


def folded(path: str) -> str:
    """The form that is equal for all paths which some file system takes for the same: case-folded and NFC."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def folders_of(path: str) -> tuple[str, ...]:
    """Every folder that a path lies in, outermost first."""
    parts = path.split("/")
    return tuple("/".join(parts[:count]) for count in range(1, len(parts)))
