"""The Provider of COCO Annotator: what is asked of which route, for as few requests as a server without signs allows."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio

from labelmirror.errors import ConfigError, InvalidDocument, NotFound, Rejected
from labelmirror.model.keys import DatasetRef, DocumentKey
from labelmirror.model.pacing import Priority
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
from labelmirror.providers.answers import read
from labelmirror.providers.coco_annotator import convert, schema, wire
from labelmirror.providers.coco_annotator.format import CocoAnnotatorFormat
from labelmirror.providers.coco_annotator.images import CocoAnnotatorImages
from labelmirror.providers.coco_annotator.reading import Opened, SingleReads, open_image
from labelmirror.providers.coco_annotator.saving import Saves
from labelmirror.providers.coco_annotator.settings import CocoAnnotatorSettings
from labelmirror.providers.coco_annotator.whole import PAGE, WholeRead, WholeRules
from labelmirror.providers.datasets import is_meant, unknown_dataset
from labelmirror.providers.http import http_settings
from labelmirror.providers.secrets import Secret
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.http import Http, Timeouts, open_http
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.parallel import aside, chosen_in_parallel
from labelmirror.transport.retry import Backoff

#: Under this name the provider remembers which version the server is.
MEMORY = "version"
#: The server closes a connection that was idle for 2 s; what is sent on it then is lost, and may not be sent again.
KEEPALIVE_S = 1.0
#: All annotations are written before the first byte of their answer is sent, and a worker that takes 180 s is killed.
PATIENCE = Timeouts(idle_s=200.0)

SINGLE = ReadWay("single", fixed_requests=0, documents_per_request=1)

_NOTES = ("a file that is replaced on the server's disk under its old name is not seen",)
_OPEN = "logins are disabled there: whoever reaches the server may change everything"


class CocoAnnotatorProvider:
    """One COCO Annotator as one user."""

    def __init__(
        self, http: Http, memory: ProviderMemory, *, folder: Path, connections: int, whole_rules: WholeRules
    ) -> None:
        self._http = http
        self._memory = memory
        self._connections = connections
        self._format = CocoAnnotatorFormat()
        self._whole = WholeRead(http.api, folder, whole_rules)
        #: The image that was opened last: its save, if one follows, need not open it again.
        self._opened: Opened | None = None

    async def aclose(self) -> None:
        """Give up what lies on disk."""
        await self._whole.aclose()

    @property
    def format(self) -> DocumentFormat:
        """How COCO Annotator's documents look."""
        return self._format

    def traffic(self) -> Traffic:
        """What was sent so far; images come through the API too."""
        return self._http.traffic()

    def quota(self) -> Quota:
        """What the configuration allows: the server knows no limit."""
        return self._http.api.pacer.quota()

    async def capabilities(self) -> Capabilities:
        """What the server can do. Its version is asked for once and remembered."""
        held = await self._memory.get(MEMORY)
        if not isinstance(held, list) or len(held) != 2:
            path = f"{wire.API}/info/"
            info = read(wire.Info, await self._http.api.get(path), where=f"GET {path}")
            held = [info.git.tag or "of an unknown version", info.login_enabled]
            await self._memory.put(MEMORY, held)
        version, has_logins = held
        return Capabilities(
            generation=f"COCO Annotator {version}",
            signal=ChangeSignal.STRONG,
            listing_page=PAGE,
            image_batch=0,
            safety_level=1,
            atomic_saves=False,
            notes=_NOTES if has_logins else (*_NOTES, _OPEN),
        )

    # --- datasets --------------------------------------------------------------------------------------------------

    async def datasets(self) -> Sequence[Dataset]:
        """All datasets that the user may see."""
        path = f"{wire.API}/category/"
        categories = convert.categories_of(wire.rows(await self._http.api.get(path), where=path), where=f"GET {path}")
        path = f"{wire.API}/dataset/"
        rows = wire.rows(await self._http.api.get(path), where=f"GET {path}")
        return [convert.dataset_of(row, categories, where=f"GET {path}") for row in rows]

    async def dataset(self, ref: DatasetRef) -> Dataset:
        """The dataset meant. Raises UnknownDataset, naming the nearest names."""
        held = await self.datasets()
        for dataset in held:
            if is_meant(ref, dataset.id, dataset.name):
                return dataset
        raise unknown_dataset(ref, (dataset.name for dataset in held))

    # --- images ----------------------------------------------------------------------------------------------------

    async def stamp(self, dataset: Dataset) -> str | None:  # noqa: ARG002 - the port's
        """Nothing but the listing itself shows whether anything changed."""
        return None

    async def list_images(self, dataset: Dataset, sink: PageSink) -> ListingEnd:
        """Pass once over all images of a dataset, and keep what their documents hold."""
        return await self._whole.list_images(dataset, sink)

    async def confirm_absent(self, dataset: Dataset, images: Sequence[str]) -> frozenset[str]:
        """Images that are deleted, softly or for good, or in another dataset now."""

        async def is_absent(image: str) -> bool:
            try:
                await open_image(self._http.api, dataset, image, Priority.PULL)
            except NotFound:
                return True
            except Rejected:  # the right to see the dataset was taken from this user: the image is there all the same
                return False
            return False

        return await chosen_in_parallel(is_absent, images, self._connections)

    @asynccontextmanager
    async def images(self, dataset: Dataset, wanted: int) -> AsyncIterator[ImageSource]:  # noqa: ARG002 - the port's
        """Bytes of a dataset's images."""
        yield CocoAnnotatorImages(self._http.api)

    # --- documents -------------------------------------------------------------------------------------------------

    async def read_ways(self, dataset: Dataset) -> Sequence[ReadWay]:
        """What the listing brought already, and one by one."""
        price = self._whole.price(dataset)
        whole = ReadWay("whole", fixed_requests=price or 0, documents_per_request=1, covers_all=True)
        return [SINGLE] if price is None else [SINGLE, whole]

    async def read(
        self, dataset: Dataset, way: ReadWay, wanted: AsyncIterator[WantedDocument]
    ) -> AsyncIterator[Reading]:
        """Read documents in one of the ways."""
        singly = SingleReads(self._http.api, dataset, self._connections)
        async with aclosing(singly.read(wanted) if way.name == SINGLE.name else self._whole.read(wanted)) as readings:
            async for reading in readings:
                yield reading

    def empty(self, dataset: Dataset, image: ListedImage, document: ListedDocument) -> Reading:  # noqa: ARG002 - the port's
        """The document of an image without annotations and metadata."""
        return convert.reading_of(convert.document_of(convert.bare_image(dataset, image), dataset.categories, ()))

    # --- saving ----------------------------------------------------------------------------------------------------

    async def reread(self, dataset: Dataset, wanted: Sequence[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """Read documents one by one, now."""
        singly = SingleReads(self._http.api, dataset, self._connections)
        async with aclosing(singly.again(wanted)) as readings:
            async for reading, opened in readings:
                self._opened = opened
                yield reading

    async def problems(self, dataset: Dataset, key: DocumentKey, data: bytes) -> Sequence[InvalidDocument]:
        """Why a working document cannot be saved."""

        def look() -> Sequence[InvalidDocument]:
            return schema.invalid(data, dataset, key.image)

        return await aside(look, len(data))

    async def save_many(self, dataset: Dataset, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """Make the server hold these documents, one after the other, each in several steps."""
        opened, self._opened = self._opened, None

        def at_hand(save: Save) -> Opened | None:
            return opened if opened is not None and opened.reading == save.expected else None

        return await Saves(self._http.api, dataset, at_hand).run(saves)


@asynccontextmanager
async def build(
    settings: CocoAnnotatorSettings,
    *,
    password: Secret,
    memory: ProviderMemory,
    pacer: Pacer,
    gate: Gate,
    clock: Clock,
    draw: Callable[[], float],
    folder: Path,
    timeouts: Timeouts = PATIENCE,
    backoff: Backoff | None = None,
) -> AsyncIterator[CocoAnnotatorProvider]:
    """Open a provider. `folder` takes temporary files, `draw` gives uniform numbers in [0, 1).

    Raises ConfigError for a user name that HTTP cannot carry.
    """
    if ":" in settings.user:
        raise ConfigError("a user name cannot hold a colon", hint="HTTP Basic ends the name there.")
    caps = settings.caps
    login = base64.b64encode(f"{settings.user}:{password.reveal()}".encode()).decode()
    sessions = http_settings(settings, {"Authorization": f"Basic {login}"}, timeouts=timeouts, backoff=backoff)
    sessions = replace(sessions, has_quota=False, keepalive_s=KEEPALIVE_S)
    async with open_http(sessions, pacer=pacer, gate=gate, clock=clock, draw=draw) as http:
        provider = CocoAnnotatorProvider(
            http,
            memory,
            folder=folder,
            connections=settings.connections,
            whole_rules=WholeRules(caps.pages, caps.archive_size, caps.json_depth),
        )
        try:
            yield provider
        finally:
            with anyio.CancelScope(shield=True):
                await provider.aclose()
