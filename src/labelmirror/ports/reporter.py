"""Where facts go: logs, progress bars, counters."""

from typing import Protocol

from labelmirror.model.events import Event


class Reporter(Protocol):
    """Takes facts. Never raises, never waits."""

    def emit(self, event: Event) -> None:
        """Take one fact."""
        ...
