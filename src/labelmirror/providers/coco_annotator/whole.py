"""Reading the whole server at once: the listing of a dataset, and with it the contents of its documents.

No server of this kind shows what changed, and asking for each image costs a request each. So all images come in large
pages and all annotations in one answer (contract, 13); both are kept on disk until the documents have been read.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from anyio import to_thread

from labelmirror.errors import BodyMismatch, ProtocolError, TooLarge, Unavailable
from labelmirror.model.document import JsonValue
from labelmirror.model.keys import DocumentKey
from labelmirror.model.pacing import Priority
from labelmirror.model.remote import Dataset, ListedImage, ListingEnd, Reading, WantedDocument
from labelmirror.ports.provider import PageSink
from labelmirror.providers.answers import read
from labelmirror.providers.coco_annotator import convert, wire
from labelmirror.providers.coco_annotator.spool import Kept, Spool
from labelmirror.providers.reading import sliced, unread
from labelmirror.providers.temporary import temporary_file
from labelmirror.transport.api import Api
from labelmirror.transport.body import BodyRules

#: Images of one page: the server takes any number, and answers nobody else while it writes a page.
PAGE = 5_000
#: Rows handed on, and documents composed, by one visit to the thread.
SLICE = 500
#: A large answer that breaks off is asked for this often in all.
TRIES = 3
#: Bytes of the large answer that are parsed in one piece.
PIECE_BYTES = 2**20

_FIELDS = "id,dataset_id,path,file_name,width,height,metadata,deleted"


@dataclass(frozen=True, slots=True)
class WholeRules:
    """Bounds on a whole read: pages of images, bytes and nesting of all annotations."""

    pages: int = 100_000
    size_bytes: int = 64 * 2**30
    depth: int = 64


class WholeRead:
    """The latest whole read; of one dataset at a time. Listing begins one, reading uses it up."""

    def __init__(self, api: Api, folder: Path, rules: WholeRules) -> None:
        self._api = api
        self._folder = folder
        self._rules = rules
        self._spool: Spool | None = None
        self._dataset: Dataset | None = None
        self._is_fresh = False

    async def aclose(self) -> None:
        """Give its space back."""
        if self._spool is not None:
            await to_thread.run_sync(self._spool.close)
        self._spool, self._dataset = None, None

    def price(self, dataset: Dataset) -> int | None:
        """Requests that reading documents costs now; None while this dataset was not listed."""
        if self._dataset is None or self._dataset.id != dataset.id:
            return None
        return 0 if self._is_fresh else 1

    # --- listing ---------------------------------------------------------------------------------------------------

    async def list_images(self, dataset: Dataset, sink: PageSink) -> ListingEnd:
        """Hand all images of the dataset to `sink`. Raises ProtocolError where a list is missing, TooLarge beyond bounds.

        The total is that of all datasets together, so it proves a listing complete when as many different images came.
        What is missing then counts as missing here.
        """
        await self.aclose()
        spool = self._spool = await to_thread.run_sync(Spool, self._folder)
        total, steady, pages = await self._take_images(spool, dataset)
        await self._take_annotations(spool, dataset)
        self._dataset, self._is_fresh = dataset, True
        salt = convert.canonical_json(dataset.categories)
        slices = spool.pages(SLICE, salt)
        while kept := await to_thread.run_sync(next, slices, None):
            await sink(_listed(dataset, kept))
        seen, own = await to_thread.run_sync(lambda: (spool.seen(), spool.images()))
        return ListingEnd(own + total - seen, steady, pages)

    async def _take_images(self, spool: Spool, dataset: Dataset) -> tuple[int, bool, int]:
        """All images of all datasets, as there is no filter; the total, whether it stood still, and the pages."""
        where, page, total, steady, received = f"GET {wire.API}/image/", 0, 0, True, 0
        while True:
            page += 1
            query = {"page": str(page), "per_page": str(PAGE), "fields": _FIELDS}
            answer = read(wire.ImagePage, await self._api.get(f"{wire.API}/image/", query), where=where)
            steady = steady and (page == 1 or answer.total == total)
            total, before = answer.total, await to_thread.run_sync(spool.seen)
            await to_thread.run_sync(_keep_page, spool, dataset, answer.images, where)
            received += len(answer.images)
            if not answer.images or received >= total:
                return total, steady, page
            if await to_thread.run_sync(spool.seen) == before:
                return total, False, page  # the same page again: there is no way to go on
            if page >= self._rules.pages:
                raise TooLarge(f"{where}: the listing has more than {self._rules.pages} pages")

    async def _take_annotations(self, spool: Spool, dataset: Dataset) -> None:
        path = f"{wire.API}/annotation/"
        categories = frozenset(number for row in dataset.categories if isinstance(number := row["id"], int))
        with temporary_file(self._folder) as file:
            await self._download(path, file)
            take = partial(
                spool.take_annotations, categories=categories, where=f"GET {path}", depth_max=self._rules.depth
            )
            await to_thread.run_sync(lambda: take(iter(lambda: file.read(PIECE_BYTES), b"")))

    async def _download(self, path: str, file: IO[bytes]) -> None:
        for left in reversed(range(TRIES)):
            file.seek(0)
            file.truncate()
            try:
                async with self._api.stream(
                    path, priority=Priority.PULL, rules=BodyRules(self._rules.size_bytes)
                ) as body:
                    async for chunk in body.chunks:
                        file.write(chunk)
            except BodyMismatch as error:
                if left == 0:
                    raise Unavailable(error.message) from None
            else:
                break
        file.seek(0)

    # --- reading ---------------------------------------------------------------------------------------------------

    async def read(self, wanted: AsyncIterator[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """These documents as they were listed, the second time as their annotations are now; unknown images are missing."""
        spool, dataset = self._spool, self._dataset
        assert spool is not None, "only what was listed can be read so"
        assert dataset is not None, "only what was listed can be read so"
        if not self._is_fresh:
            await self._take_annotations(spool, dataset)
        self._is_fresh = False
        async with aclosing(sliced(wanted, SLICE)) as slices:
            async for documents in slices:
                ids = [document.key.image for document in documents]
                for reading in await to_thread.run_sync(_readings, spool, dataset, ids):
                    yield reading


def _keep_page(spool: Spool, dataset: Dataset, images: Sequence[JsonValue], where: str) -> None:
    rows = [read(wire.ImageRow, image, where=where) for image in images]
    spool.add_seen(row.id for row in rows)
    spool.add_images(convert.image_fields(row) for row in rows if str(row.dataset_id) == dataset.id and not row.deleted)


def _listed(dataset: Dataset, page: Sequence[Kept]) -> Sequence[ListedImage]:
    return [convert.listed_image(dataset, kept.image, kept.hash, len(kept.annotations)) for kept in page]


def _readings(spool: Spool, dataset: Dataset, ids: Sequence[str]) -> Sequence[Reading]:
    found: list[Reading] = []
    for kept in spool.kept([int(image) for image in ids]):
        try:
            found.append(convert.reading_of(convert.kept_document(dataset, kept)))
        except ValueError:
            message = f"GET {wire.API}/annotation/: a number of the image {kept.image['id']} is out of range"
            found.append(unread(DocumentKey(str(kept.image["id"])), ProtocolError(message)))
    return found
