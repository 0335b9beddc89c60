"""The saves of one batch: what became of each, and when the others are not sent any more."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from labelmirror.errors import (
    BudgetSpent,
    KeyRefused,
    LabelmirrorError,
    Limited,
    OutcomeUnknown,
    ProtocolError,
    RoleRefused,
    TooLarge,
    Unavailable,
)
from labelmirror.model.keys import DocumentKey
from labelmirror.model.saving import Save, SaveAnswer, SaveResult

#: The request had no effect, and what it says concerns all saves: none is sent after it.
STOPPING: Final = (BudgetSpent, KeyRefused, Limited, RoleRefused, Unavailable)
#: The request was sent, and nothing that came back says what became of it.
UNANSWERED: Final = (OutcomeUnknown, ProtocolError, TooLarge)


@dataclass(slots=True)
class SaveResults:
    """What became of the saves of a batch. `reached`: the server got one; `stop`: why no other is sent."""

    reached: bool = False
    stop: LabelmirrorError | None = None
    _found: dict[DocumentKey, SaveResult] = field(default_factory=dict)

    def note(
        self, key: DocumentKey, answer: SaveAnswer, message: str = "", *, previous_count: int | None = None
    ) -> None:
        """What came back for one save."""
        self._found[key] = SaveResult(key, answer, previous_count=previous_count, message=message)

    def __contains__(self, key: DocumentKey) -> bool:
        """Whether it is known what became of this save."""
        return key in self._found

    def of(self, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """A result for each save, in their order.

        Raises what stops all saves as long as the server got none of them; after that, saves that were not sent any more have
        the answer UNKNOWN like those without one.
        """
        if self.stop is not None:
            if not self.reached:
                raise self.stop
            for save in saves:
                if save.key not in self:
                    self.note(save.key, SaveAnswer.UNKNOWN, f"it was not sent: {self.stop.message}")
        return [self._found[save.key] for save in saves]
