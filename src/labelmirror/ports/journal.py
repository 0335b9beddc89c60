"""The journal of saves: what was sent to a server, durable before it was sent, so that it can be understood and undone."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from labelmirror.model.document import ContentId
from labelmirror.model.keys import DocumentKey
from labelmirror.model.saving import SaveOutcome, SaveRecord


class SaveJournal(Protocol):
    """Undo records of one mirror. Every call is one transaction, durable when it returns."""

    async def open_saves(self, records: Sequence[SaveRecord], contents: Mapping[ContentId, bytes]) -> None:
        """Put saves on record before they are sent, with the contents that they name."""
        ...

    async def close_save(self, save: str, outcome: SaveOutcome, previous_count: int | None = None) -> None:
        """Say how a save ended, and how many annotations the server says that it overwrote (None: it did not say)."""
        ...

    async def open_records(self) -> Sequence[SaveRecord]:
        """Saves of which the end is not known: a run died, or lost its connection."""
        ...

    async def saves(
        self, *, key: DocumentKey | None = None, run: str | None = None, since_s: float = 0.0
    ) -> Sequence[SaveRecord]:
        """Saves, newest first: of one document, of one run, since a time."""
        ...

    async def set_alarm(self, key: DocumentKey) -> None:
        """Note that a save of somebody else was overwritten in this document: it is held until a person has seen it."""
        ...

    async def clear_alarm(self, key: DocumentKey) -> None:
        """A person has seen it."""
        ...

    async def alarms(self) -> frozenset[DocumentKey]:
        """Documents whose alarm nobody has cleared."""
        ...
