"""Image bytes: through signed links that one request brings by thousands, or through the API with a request each."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio

from labelmirror.errors import LinkExpired, RemoteError
from labelmirror.model.remote import Dataset, ListedImage
from labelmirror.ports.clock import Clock
from labelmirror.ports.provider import ImageStream
from labelmirror.providers import answers
from labelmirror.providers.pictograph import wire
from labelmirror.providers.pictograph.dialect import LINK_PAGE, STATUSES, Dialect
from labelmirror.providers.pictograph.expiry import image_id, leads_to_api, lifetime_s
from labelmirror.providers.pictograph.packed import PackedImages
from labelmirror.transport.http import Http

#: Links of an image that were refused, before it is given up.
LINK_TRIES = 3
#: A link is used for this share of its life, so that it does not end under a worker's hands.
LIFE_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class _Link:
    url: str
    batch: int


@dataclass(slots=True)
class _Batch:
    """The links of one part of a dataset. `number` counts how often they were asked for; `trouble` is why they failed."""

    lock: anyio.Lock = field(default_factory=lambda: anyio.Lock(fast_acquire=True))
    number: int = 0
    urls: dict[str, str] = field(default_factory=dict)
    urls_by_name: dict[str, str] = field(default_factory=dict)
    good_until_s: float | None = None
    trouble: RemoteError | None = None


class Links:
    """Signed links of a dataset's images, asked for when the first is needed and again when they expire.

    One answer holds LINK_PAGE links and there is no next page, so a larger dataset is asked for by status.
    """

    def __init__(self, http: Http, dialect: Dialect, dataset: Dataset, clock: Clock) -> None:
        self._http = http
        self._dialect = dialect
        self._dataset = dataset
        self._clock = clock
        self.by_status = dataset.images is None or dataset.images > LINK_PAGE
        self._batches: dict[str | None, _Batch] = {}

    async def of(self, image: ListedImage, refused: _Link | None = None) -> _Link | None:
        """A link to an image, other than one that was refused; None if the server gives none."""
        if self.by_status and image.status not in STATUSES:
            return None
        status = image.status if self.by_status else None
        if (batch := self._batches.get(status)) is None:
            batch = self._batches[status] = _Batch()
        async with batch.lock:
            expired = batch.good_until_s is not None and self._clock.monotonic_s() >= batch.good_until_s
            if batch.number == 0 or expired or (refused is not None and refused.batch == batch.number):
                await self._ask(batch, status)
            if batch.trouble is not None:
                raise batch.trouble
            url = batch.urls.get(image.id) or batch.urls_by_name.get(image.name)
            return None if url is None else _Link(url, batch.number)

    async def _ask(self, batch: _Batch, status: str | None) -> None:
        """Replace a batch. Trouble is kept for all who wait, so that it does not cost each of them a request."""
        request = self._dialect.links(self._dataset, status)
        if request is not None:
            where = f"GET {request.path}"
            try:
                answer = await self._http.api.get(request.path, request.query)
                rows = answers.items(self._dialect.unwrapped(answer, where=where), "items", where=where)
                items = [answers.read(wire.LinkItem, row, where=where) for row in rows]
            except RemoteError as error:
                batch.trouble = error
            else:
                self._replace(batch, items)
        batch.number += 1

    def _replace(self, batch: _Batch, answered: Sequence[wire.LinkItem]) -> None:
        # What is no signed link of a storage host, the API gives under its own path.
        origin = self._http.api.origin
        items = [item for item in answered if not leads_to_api(item.image_url or "", origin)]
        found = {image_id(item): item.image_url for item in items}
        batch.urls = {image: url for image, url in found.items() if image is not None and url is not None}
        batch.urls_by_name = {} if self.by_status or len(answered) >= LINK_PAGE else _nameable(items)
        # All links of one answer were signed together.
        first = next(iter(batch.urls.values()), None)
        life_s = None if first is None else lifetime_s(first, self._clock.now_s())
        batch.good_until_s = None if life_s is None else self._clock.monotonic_s() + LIFE_SHARE * life_s


def _nameable(items: Sequence[wire.LinkItem]) -> dict[str, str]:
    """Links that can be told by their file name: older generations give no id for an image without annotations.

    Only where the items are those of the whole dataset, and one alone has that name.
    """
    often = Counter(item.filename for item in items)
    return {
        item.filename: item.image_url
        for item in items
        if item.filename and item.image_url and image_id(item) is None and often[item.filename] == 1
    }


@dataclass(frozen=True, slots=True)
class PictographImages:
    """The ImageSource of a dataset. Images that links leave out come out of exports, where there may be any, and else
    through the API.
    """

    http: Http
    dialect: Dialect
    links: Links | None
    packed: PackedImages | None

    @asynccontextmanager
    async def open(
        self, image: ListedImage, *, offset: int = 0, validator: str | None = None
    ) -> AsyncIterator[ImageStream]:
        """Start receiving an image; expired links are renewed once for all who wait."""
        async with AsyncExitStack() as stack:
            yield await self._entered(stack, image, offset, validator)

    async def _entered(
        self, stack: AsyncExitStack, image: ListedImage, offset: int, validator: str | None
    ) -> ImageStream:
        link = await self.links.of(image) if self.links else None
        for left in reversed(range(LINK_TRIES)):
            if link is None or self.links is None:
                break
            try:
                return await stack.enter_async_context(
                    self.http.storage.open(link.url, offset=offset, validator=validator)
                )
            except LinkExpired:
                if left == 0:
                    raise
                link = await self.links.of(image, refused=link)
        if self.packed is not None and (stream := await self.packed.open(image)) is not None:
            return stream
        path = self.dialect.image_bytes(image.id)
        return await stack.enter_async_context(self.http.api.stream(path, offset=offset, validator=validator))
