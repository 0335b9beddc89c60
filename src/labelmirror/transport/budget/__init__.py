"""When a request may be sent: arithmetic on the shared book of a quota. Pure: no clock, no I/O, no randomness.

Two beliefs about the server are kept apart. *How much is left* is only ever what an answer said, less what is leased
and not yet answered: no belief about the window can make that too much. *When to look again* is a belief: a fixed
window opens at its Reset, a sliding one gives back what left its far end. A look is one request; all others wait for
its headers, so a wrong belief costs one request, never a burst.

`window` reads the book, `others` says what is kept for other users, `observing` enters an answer, `granting` leases
requests, `server_time` follows the server's clock.
"""

from labelmirror.transport.budget.granting import Ask, Granted, Wait, grant, quota, release
from labelmirror.transport.budget.observing import NOTHING_SEEN, Answer, Fate, observe
from labelmirror.transport.budget.server_time import ServerClock
from labelmirror.transport.budget.window import WHOLE_SECOND_S, window_s

__all__ = [
    "NOTHING_SEEN",
    "WHOLE_SECOND_S",
    "Answer",
    "Ask",
    "Fate",
    "Granted",
    "ServerClock",
    "Wait",
    "grant",
    "observe",
    "quota",
    "release",
    "window_s",
]
