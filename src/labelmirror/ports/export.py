"""Files in the formats of other programs: where their rows go, and how a document is put into other words."""

from collections.abc import Callable, Sequence
from typing import Protocol

from labelmirror.model.coco import CocoDocument
from labelmirror.model.document import Document, JsonObject

#: Puts a document into COCO's words. Pure.
CocoForm = Callable[[Document], CocoDocument]


class RowsFile(Protocol):
    """One JSON object of lists on its way, which are filled side by side and take no memory. Raises DiskError."""

    async def add(self, section: str, rows: Sequence[JsonObject]) -> None:
        """Append rows to one of its lists."""
        ...
