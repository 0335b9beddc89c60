"""The Provider of Remo: what is asked of which call, and how little of it while nothing changes."""

import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import anyio

from labelmirror.errors import InvalidDocument, NotFound, ProtocolError, UnknownDataset
from labelmirror.model.document import JsonObject, digest_of
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
from labelmirror.providers import answers
from labelmirror.providers.remo import convert, listing, routes, schema, wire
from labelmirror.providers.remo.format import RemoFormat
from labelmirror.providers.remo.images import RemoImages
from labelmirror.providers.remo.reading import Reads
from labelmirror.providers.remo.saving import Saves
from labelmirror.providers.remo.session import COOKIE, PAGE, UNSURE, Session
from labelmirror.providers.remo.settings import RemoSettings
from labelmirror.providers.secrets import Secret
from labelmirror.transport.api import PARSE_ASIDE_BYTES, ApiRules
from labelmirror.transport.body import BodyRules
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.http import Http, HttpSettings, Timeouts, open_http
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.parallel import in_parallel
from labelmirror.transport.retry import Backoff

SINGLE = ReadWay("single", fixed_requests=0, documents_per_request=1)
#: A time moves at the start of a save and its data afterwards, so what changed within this time may still be changing.
SETTLE_S: Final = 4.0
#: Under this name the provider remembers the classes of the annotation sets, with the change that they belong to.
MEMORY: Final = "classes"

_TAGS_HEAD: Final = b"file_name,tag"


class RemoProvider:
    """One Remo server with one user."""

    def __init__(
        self, http: Http, session: Session, memory: ProviderMemory, *, clock: Clock, connections: int, size_max: int
    ) -> None:
        self._http = http
        self._session = session
        self._memory = memory
        self._clock = clock
        self._connections = connections
        self._size_max = size_max
        self._format = RemoFormat()
        #: For each dataset whether it had been left alone for a while when it was last asked for.
        self._settled: dict[str, bool] = {}

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
            atomic_saves=False,
        )

    # --- datasets --------------------------------------------------------------------------------------------------

    async def datasets(self) -> Sequence[Dataset]:
        """All datasets that are not archived, with their annotation sets."""
        return await in_parallel(self._dataset, await self._rows(), self._connections)

    async def dataset(self, ref: DatasetRef) -> Dataset:
        """The dataset meant. Raises UnknownDataset, naming the nearest names, also where a name is that of several."""
        rows = await self._rows()
        meant = [row for row in rows if (row["name"] == ref.name if ref.name is not None else str(row["id"]) == ref.id)]
        if len(meant) != 1:
            raise _unknown(ref, meant, rows)
        return await self._dataset(meant[0])

    async def _rows(self) -> Sequence[JsonObject]:
        where = f"GET {routes.DATASETS}"
        found: dict[int, JsonObject] = {}
        async for page in self._session.pages(routes.DATASETS, {"is_archived": "false"}):
            found |= {answers.read(wire.DatasetRow, row, where=where).id: row for row in page.rows}
        return list(found.values())

    async def _dataset(self, value: JsonObject) -> Dataset:
        row = answers.read(wire.DatasetRow, value, where=f"GET {routes.DATASETS}")
        path = routes.sets(str(row.id))
        where = f"GET {path}"
        values = [item async for page in self._session.pages(path) for item in page.rows]
        sets = [answers.read(wire.SetRow, item, where=where) for item in values]
        change = convert.change_of(value, values)
        times = [row.updated_at, *(entry.updated_at for entry in sets), *(entry.last_annotated_date for entry in sets)]
        self._settled[str(row.id)] = _is_settled(times, self._http.api.date_s)
        return convert.dataset_of(row, sets, await self._classes(str(row.id), change, sets), change)

    async def _classes(self, dataset: str, change: str, sets: Sequence[wire.SetRow]) -> convert.Classes:
        """The classes of each set, asked for only when something changed."""
        held = await self._memory.get(MEMORY)
        if isinstance(held, Mapping) and held.get("change") == f"{dataset} {change}":
            known = held["classes"]
            assert isinstance(known, Mapping)
            return {key: [str(name) for name in names] for key, names in known.items() if isinstance(names, Sequence)}

        async def of(entry: wire.SetRow) -> Sequence[str]:
            path = routes.annotation_set(str(entry.id))
            where = f"GET {path}"
            rows = answers.items(await self._session.get(path), "classes", where=where)
            return [answers.read(wire.ClassRow, item, where=where).name for item in rows]

        names = await in_parallel(of, sets, self._connections)
        found = {str(entry.id): classes for entry, classes in zip(sets, names, strict=True)}
        await self._memory.put(MEMORY, {"change": f"{dataset} {change}", "classes": found})
        return found

    async def stamp(self, dataset: Dataset) -> str | None:
        """A digest of what moves with a change, and of all tags, which move nothing else (contract, 7)."""
        if not self._settled.get(dataset.id, False):
            return None
        tags = await in_parallel(self._tags_digest, [entry.id for entry in dataset.sets], self._connections)
        return digest_of([dataset.details["change"], list(tags)])

    async def _tags_digest(self, annotation_set: str) -> str:
        path = routes.set_tags(annotation_set)
        data = bytearray()
        async with self._session.stream(path, priority=Priority.PULL) as stream:
            async for chunk in stream.chunks:
                data += chunk
                if len(data) > self._size_max:
                    raise ProtocolError(f"GET {path} answered more than {self._size_max} bytes of tags")
        head, *rows = bytes(data).splitlines()
        if head != _TAGS_HEAD:
            raise ProtocolError(f"GET {path} answered something else than a list of tags")
        return digest_of(sorted(row.decode("utf-8", "replace") for row in rows))

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

        absent = await in_parallel(is_absent, images, self._connections)
        return frozenset(image for image, gone in zip(images, absent, strict=True) if gone)

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

        return look() if len(data) < PARSE_ASIDE_BYTES else await anyio.to_thread.run_sync(look)

    async def save_many(self, dataset: Dataset, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """Overwrite documents, those of different images at the same time."""
        return await Saves(self._session, dataset, self._connections).run(saves)


def _is_settled(times: Sequence[str | None], date_s: float | None) -> bool:
    """Whether nothing was written within the last while, by the server's own clock."""
    try:
        newest_s = max(datetime.fromisoformat(time).timestamp() for time in times if time is not None)
    except ValueError:
        return False
    return date_s is not None and date_s - newest_s >= SETTLE_S


def _unknown(ref: DatasetRef, meant: Sequence[JsonObject], rows: Sequence[JsonObject]) -> UnknownDataset:
    if meant:
        ids = ", ".join(sorted(str(row["id"]) for row in meant))
        return UnknownDataset(f"the server has {len(meant)} datasets {ref}", hint=f"Name one by its id: {ids}.")
    names = sorted(str(row["name"]) for row in rows)
    near = difflib.get_close_matches(ref.name or "", names, n=3, cutoff=0.5)
    hint = f"The nearest names are: {', '.join(near)}." if near else f"The server has {len(names)} datasets."
    return UnknownDataset(f"the server has no dataset {ref}", hint=hint)


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
    http_settings = HttpSettings(
        url=settings.url,
        headers={"Accept": "application/json", **COOKIE},
        connections=settings.connections,
        bandwidth=settings.bandwidth,
        rules=ApiRules(caps.json_size, caps.json_depth, caps.redirects, BodyRules(caps.image_size), UNSURE),
        timeouts=timeouts or Timeouts(),
        backoff=backoff or Backoff(),
        has_quota=False,
    )
    async with open_http(http_settings, pacer=pacer, gate=gate, clock=clock, draw=draw) as http:
        session = Session(http.api, memory, user=settings.user, password=password, pages_max=caps.pages)
        yield RemoProvider(
            http,
            session,
            memory,
            clock=clock,
            connections=settings.connections,
            size_max=caps.json_size,
        )
