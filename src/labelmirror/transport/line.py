"""The requests of one process that wait for their turn, and whose it is next."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio

from labelmirror.model.pacing import Priority

#: Turns of each priority in a round; pushes go before all rounds.
WEIGHTS: Final[Mapping[Priority, int]] = {Priority.PULL: 8, Priority.BYTES: 3, Priority.VERIFY: 1}


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that waits: `called` when there is something for it to do, `served` when it may be sent.

    `trouble` is what to raise instead of waiting any longer.
    """

    priority: Priority
    called: anyio.Event = field(default_factory=anyio.Event)
    served: bool = False
    trouble: Exception | None = None

    @property
    def settled(self) -> bool:
        """Whether it waits no more."""
        return self.served or self.trouble is not None


class Line:
    """Who waits, in the order of service: pushes first, the others by deficit round-robin, each class in order."""

    def __init__(self) -> None:
        self._queues: dict[Priority, deque[Ticket]] = {priority: deque() for priority in Priority}
        self._turns = dict(WEIGHTS)

    def join(self, ticket: Ticket) -> None:
        """Take one in, behind those of its priority."""
        self._queues[ticket.priority].append(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Let one go that may have been served already."""
        queue = self._queues[ticket.priority]
        if ticket in queue:
            queue.remove(ticket)

    def waiting(self, priority: Priority) -> int:
        """How many of this priority wait."""
        return len(self._queues[priority])

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(queue) for queue in self._queues.values())

    def next(self) -> Ticket:
        """Take the next to be served; there must be one."""
        if self._queues[Priority.PUSH]:
            return self._queues[Priority.PUSH].popleft()
        while True:
            for priority in WEIGHTS:
                if self._queues[priority] and self._turns[priority] > 0:
                    self._turns[priority] -= 1
                    return self._queues[priority].popleft()
            self._turns = dict(WEIGHTS)

    def drain(self, priorities: Sequence[Priority]) -> Sequence[Ticket]:
        """Take all of some classes out of the line."""
        taken = [ticket for priority in priorities for ticket in self._queues[priority]]
        for priority in priorities:
            self._queues[priority].clear()
        return taken

    def call_one(self) -> None:
        """Wake one that waits, so that it may lead."""
        for priority in Priority:
            if self._queues[priority]:
                self._queues[priority][0].called.set()
                return
