"""One pass over a dataset's images, in the largest pages that its server gives."""

from collections.abc import Sequence

from labelmirror.errors import TooLarge
from labelmirror.model.document import JsonObject, JsonValue
from labelmirror.model.remote import Dataset, ListingEnd
from labelmirror.ports.provider import PageSink
from labelmirror.providers import answers
from labelmirror.providers.pictograph import convert, wire
from labelmirror.providers.pictograph.dialect import Dialect
from labelmirror.transport.api import Api


async def list_images(api: Api, dialect: Dialect, dataset: Dataset, sink: PageSink, pages_max: int) -> ListingEnd:
    """Hand all rows to `sink`. Raises ProtocolError for a page without its list, TooLarge beyond `pages_max` pages.

    Rows come newest first, so an image added meanwhile moves all others by one: rows may repeat, and a total that moved
    makes the pass unsteady.
    """
    walk = _Walk(sink, pages_max)
    while True:
        request = dialect.embedded_images(dataset, walk.offset)
        if request is None:
            break
        where = f"GET {request.path}"
        row = dialect.single(await api.get(request.path, request.query), "dataset", where=where)
        if walk.pages == 0 and "images" not in row and dialect.may_leave_images_out:
            break
        total = answers.read(wire.DatasetRow, row, where=where).image_count
        if walk.pages == 0 and total is None and dialect.may_leave_images_out:
            break  # the image list has a total of its own, which a proof needs
        if await walk.take(answers.items(row, "images", where=where), total, where=where):
            return walk.end()
    while True:
        request = dialect.listed_images(dataset, walk.offset)
        where = f"GET {request.path}"
        answer = await api.get(request.path, request.query)
        rows = dialect.rows(answer, "images", where=where)
        announced = _announced(answer, where)
        if await walk.take(rows, dataset.images if announced is None else announced, where=where):
            return walk.end()


def _announced(answer: JsonValue, where: str) -> int | None:
    if not isinstance(answer, dict) or "pagination" not in answer:
        return None
    return answers.read(wire.Pagination, answer["pagination"], where=where).total


class _Walk:
    """Where a pass has come to, and whether it can still be a proof."""

    def __init__(self, sink: PageSink, pages_max: int) -> None:
        self._sink = sink
        self._pages_max = pages_max
        self.offset = 0
        self.pages = 0
        self._announced: int | None = None
        self._steady = True
        self._first: JsonObject | None = None

    async def take(self, rows: Sequence[JsonValue], total: int | None, *, where: str) -> bool:
        """Take over one page; True when it is the last."""
        images = [convert.image_of(row, where=where) for row in rows]
        first = answers.table(rows[0], where=where) if rows else None
        # The same page again: the server does not look at the offset, so there is no way to go on.
        stuck = self.pages > 0 and first is not None and first.get("id") == (self._first or {}).get("id")
        if (self.pages > 0 and total != self._announced) or stuck:
            self._steady = False
        self._announced, self._first = total, first
        self.pages += 1
        if images and not stuck:
            await self._sink(images)
            self.offset += len(images)
        if stuck or not images or (total is not None and self.offset >= total):
            # A pass that ends before its total is no proof; the engine compares.
            return True
        if self.pages >= self._pages_max:
            raise TooLarge(f"{where}: the listing has more than {self._pages_max} pages")
        return False

    def end(self) -> ListingEnd:
        """What the pass showed."""
        return ListingEnd(self._announced, self._steady, self.pages)
