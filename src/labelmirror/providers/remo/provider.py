"""The Provider of Remo: what is asked of which call, and how little of it while nothing changes."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from labelmirror.errors import InvalidDocument, NotFound
from labelmirror.model.keys import DatasetRef, DocumentKey
from labelmirror.model.remote import (
    Capabilities,
    ChangeSignal,
    Dataset,
    ListedDocument,
    ListedImage,
    ListingEnd,
    Quota,
    Reading,
    ReadWay,
    Traffic,
    WantedDocument,
)
from labelmirror.model.saving import Save, SaveResult
from labelmirror.ports.clock import Clock
from labelmirror.ports.provider import DocumentFormat, ImageSource, PageSink, ProviderMemory
from labelmirror.providers.http import http_settings
from labelmirror.providers.remo import convert, listing, routes, schema
from labelmirror.providers.remo.datasets import Datasets
from labelmirror.providers.remo.format import RemoFormat
from labelmirror.providers.remo.images import RemoImages
from labelmirror.providers.remo.reading import Reads
from labelmirror.providers.remo.saving import Saves
from labelmirror.providers.remo.session import COOKIE, PAGE, Session
from labelmirror.providers.remo.settings import RemoSettings
from labelmirror.providers.secrets import Secret
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.http import Http, Timeouts, open_http
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.parallel import aside, chosen_in_parallel
from labelmirror.transport.retry import Backoff

SINGLE = ReadWay("single", fixed_requests=0, documents_per_request=1)


class RemoProvider:
    """One Remo server with one user."""

    def __init__(self, http: Http, session: Session, datasets: Datasets, *, clock: Clock, connections: int) -> None:
        self._http = http
        self._session = session
        self._datasets = datasets
        self._clock = clock
        self._connections = connections
        self._format = RemoFormat()

    @property
    def format(self) -> DocumentFormat:
        """How Remo's documents look."""
        return self._format

    def traffic(self) -> Traffic:
        """What was sent so far; images come through the API too."""
        return self._http.traffic()

    def quota(self) -> Quota:
        """What the server still allows: it names no limit."""
        return self._http.api.pacer.quota()

    async def capabilities(self) -> Capabilities:
        """What a server of this kind can do."""
        return Capabilities(
            generation=await self._session.version(),
            signal=ChangeSignal.WEAK,
            listing_page=PAGE,
            image_batch=0,
            safety_level=1,
            reread_requests=2,
            atomic_saves=False,
        )

    # --- datasets --------------------------------------------------------------------------------------------------

    async def datasets(self) -> Sequence[Dataset]:
        """All datasets that are not archived, with their annotation sets."""
        return await self._datasets.all()

    async def dataset(self, ref: DatasetRef) -> Dataset:
        """The dataset meant. Raises UnknownDataset, naming the nearest names, also where a name is that of several."""
        return await self._datasets.find(ref)

    async def stamp(self, dataset: Dataset) -> str | None:
        """A digest of what moves with a change; None while something was written just now."""
        return await self._datasets.stamp(dataset)

    # --- images ----------------------------------------------------------------------------------------------------

    async def list_images(self, dataset: Dataset, sink: PageSink) -> ListingEnd:
        """Pass once over all images of a dataset."""
        return await listing.list_images(self._session, dataset, sink, self._connections)

    async def confirm_absent(self, dataset: Dataset, images: Sequence[str]) -> frozenset[str]:
        """Images that the server does not know."""

        async def is_absent(image: str) -> bool:
            try:
                await self._session.get(routes.image(dataset.id, image))
            except NotFound:
                return True
            return False

        return await chosen_in_parallel(is_absent, images, self._connections)

    @asynccontextmanager
    async def images(self, dataset: Dataset, wanted: int) -> AsyncIterator[ImageSource]:
        """Bytes of a dataset's images."""
        yield RemoImages(self._session, dataset, many=wanted > 1)

    # --- documents -------------------------------------------------------------------------------------------------

    async def read_ways(self, dataset: Dataset) -> Sequence[ReadWay]:  # noqa: ARG002 - the port's
        """One by one: exports and contents leave names, doubts and scores out."""
        return [SINGLE]

    async def read(
        self,
        dataset: Dataset,
        way: ReadWay,  # noqa: ARG002 - there is one
        wanted: AsyncIterator[WantedDocument],
    ) -> AsyncIterator[Reading]:
        """Read documents one by one."""
        async with aclosing(self._reads(dataset).by_document(wanted)) as readings:
            async for reading in readings:
                yield reading

    def empty(self, dataset: Dataset, image: ListedImage, document: ListedDocument) -> Reading:
        """The document of an image without annotations: status and tags are in its token."""
        sign = convert.sign_in(document)
        assert sign is not None, "what is shown as empty has a token"
        return convert.reading_of(dataset, image, document.set, status=sign.status, tags=sign.tags, annotations=())

    async def reread(self, dataset: Dataset, wanted: Sequence[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """Read documents one by one, now."""
        async with aclosing(self._reads(dataset).again(wanted)) as readings:
            async for reading in readings:
                yield reading

    def _reads(self, dataset: Dataset) -> Reads:
        return Reads(self._session, dataset, self._clock, self._connections)

    # --- saving ----------------------------------------------------------------------------------------------------

    async def problems(self, dataset: Dataset, key: DocumentKey, data: bytes) -> Sequence[InvalidDocument]:
        """Why a working document cannot be saved as it is."""
        rules = convert.rules_of(dataset, key.set)

        def look() -> Sequence[InvalidDocument]:
            return schema.invalid(data, key, rules)

        return await aside(look, len(data))

    async def save_many(self, dataset: Dataset, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """Overwrite documents, those of different images at the same time."""
        return await Saves(self._session, dataset, self._connections).run(saves)


@asynccontextmanager
async def build(
    settings: RemoSettings,
    *,
    password: Secret,
    memory: ProviderMemory,
    pacer: Pacer,
    gate: Gate,
    clock: Clock,
    draw: Callable[[], float],
    folder: Path,  # noqa: ARG001 - nothing is spooled
    timeouts: Timeouts | None = None,
    backoff: Backoff | None = None,
) -> AsyncIterator[RemoProvider]:
    """Open a provider. `draw` gives uniform numbers in [0, 1). Nothing is sent before it is asked something."""
    caps = settings.caps
    sessions = http_settings(settings, COOKIE, timeouts=timeouts, backoff=backoff)
    sessions = replace(sessions, has_quota=False)
    async with open_http(sessions, pacer=pacer, gate=gate, clock=clock, draw=draw) as http:
        session = Session(http.api, memory, user=settings.user, password=password, pages_max=caps.pages)
        datasets = Datasets(session, memory, connections=settings.connections, size_max_bytes=caps.json_size)
        yield RemoProvider(http, session, datasets, clock=clock, connections=settings.connections)
