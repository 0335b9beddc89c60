"""Names that this program uses in a mirror's directory."""

from typing import Final
from uuid import uuid4

OURS: Final = ".labelmirror"
MARKER: Final = f"{OURS}/marker.json"
HISTORY: Final = f"{OURS}/history"
TRASH: Final = f"{OURS}/trash"
PARTIAL: Final = f"{OURS}/partial"
SUMMARY: Final = "dataset.json"
#: The folders that belong to the dataset.
TOPS: Final = ("annotations", "images")
#: How the name of a file begins that is not in place yet. No place begins like this.
TEMPORARY: Final = f"{OURS}-"


def temporary() -> str:
    """A name for a file that is not in place yet."""
    return TEMPORARY + uuid4().hex
