"""Documents read one by one: several at a time, and the trouble with one keeps nobody from the others."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from labelmirror.errors import (
    InvalidDocument,
    LabelmirrorError,
    NotFound,
    ProtocolError,
    Rejected,
    TooLarge,
    Unavailable,
)
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Reading, ReadProblem, WantedDocument
from labelmirror.transport.parallel import as_far_as_possible

#: Documents are taken from the stream of wanted ones in slices of so many for each connection.
SLICE_PER_CONNECTION: Final = 16
#: If none of at least so many reads got through, the server is in trouble, not the documents.
ALL_FAILED_MIN: Final = 8
#: Trouble with one document; any other concerns all.
OF_ONE_DOCUMENT: Final = (InvalidDocument, NotFound, ProtocolError, Rejected, TooLarge, Unavailable)


def unread(key: DocumentKey, error: LabelmirrorError) -> Reading:
    """A document that could not be read, and why."""
    return Reading(key, None, None, {}, ReadProblem(error.code, error.message))


async def read_singly(
    read: Callable[[WantedDocument], Awaitable[Reading | None]],
    wanted: AsyncIterator[WantedDocument],
    connections: int,
) -> AsyncGenerator[Reading, None]:
    """What `read` makes of these documents, in their order, without those of which it makes nothing.

    An error that concerns all is raised after what was read before it. Raises Unavailable where none of many got through.
    """
    async for documents in sliced(wanted, SLICE_PER_CONNECTION * connections):
        done, trouble = await as_far_as_possible(read, documents, connections)
        readings = [item for item in done if item is not None]
        failed = [item.problem for item in readings if item.problem and item.problem.code == Unavailable.code]
        if len(failed) >= ALL_FAILED_MIN and len(failed) == len(readings):
            raise Unavailable(failed[0].message)
        for reading in readings:
            yield reading
        if trouble is not None:
            raise trouble


async def sliced(wanted: AsyncIterator[WantedDocument], size: int) -> AsyncGenerator[Sequence[WantedDocument], None]:
    """The documents, so many at a time."""
    documents: list[WantedDocument] = []
    async for document in wanted:
        documents.append(document)
        if len(documents) == size:
            yield documents
            documents = []
    if documents:
        yield documents
