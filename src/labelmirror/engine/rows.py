"""Going over a mirror's rows page by page, so that memory does not grow with the dataset."""

from collections.abc import AsyncIterator, Sequence

from labelmirror.engine.mirror import PAGE
from labelmirror.model.keys import DocumentKey
from labelmirror.model.rows import DocumentRow, ImageRow
from labelmirror.ports.state import MirrorState


async def document_pages(state: MirrorState) -> AsyncIterator[Sequence[DocumentRow]]:
    """All document rows by key. Rows behind the present page may be changed meanwhile."""
    after: DocumentKey | None = None
    while page := await state.document_rows(after, PAGE):
        yield page
        after = page[-1].key


async def image_pages(state: MirrorState) -> AsyncIterator[Sequence[ImageRow]]:
    """All image rows by id. Rows behind the present page may be changed meanwhile."""
    after: str | None = None
    while page := await state.image_rows(after, PAGE):
        yield page
        after = page[-1].id
