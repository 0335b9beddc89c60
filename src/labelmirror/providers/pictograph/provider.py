"""The Provider of Pictograph: what is asked of which route, in the generation that the server speaks."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

from labelmirror.errors import ConfigError, InvalidDocument, NotFound, ProtocolError, Rejected
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
from labelmirror.providers import answers
from labelmirror.providers.datasets import is_meant, unknown_dataset
from labelmirror.providers.http import http_settings
from labelmirror.providers.pictograph import convert, listing, probe, schema, wire
from labelmirror.providers.pictograph.archive import ArchiveRules, documents
from labelmirror.providers.pictograph.dialect import (
    BULK_SAVES,
    EMBEDDED_PAGE,
    LINK_PAGE,
    LIST_PAGE,
    Dialect,
    Generation,
)
from labelmirror.providers.pictograph.exports import ExportRules, Exports
from labelmirror.providers.pictograph.format import PictographFormat
from labelmirror.providers.pictograph.images import Links, PictographImages
from labelmirror.providers.pictograph.packed import PackedImages
from labelmirror.providers.pictograph.reading import SingleReads, reading_of
from labelmirror.providers.pictograph.saving import Saves
from labelmirror.providers.pictograph.settings import PictographSettings
from labelmirror.providers.secrets import Secret
from labelmirror.transport.concurrency import Gate
from labelmirror.transport.http import Http, Timeouts, open_http
from labelmirror.transport.pacer import Pacer
from labelmirror.transport.parallel import aside, chosen_in_parallel
from labelmirror.transport.retry import Backoff

#: Under this name the provider remembers which generation the server speaks.
MEMORY = "generation"

SINGLE = ReadWay("single", fixed_requests=0, documents_per_request=1)
#: The server's own files: composed of nothing, but named by a list whose length is not documented.
FILES = ReadWay("files", fixed_requests=1, documents_per_request=1, fidelity=1)
#: One request to create it, some to wait for it, one for its link, one to remove it.
EXPORT = ReadWay("export", fixed_requests=8, documents_per_request=1, covers_all=True, fidelity=1)

_COLD = "coldline"


class PictographProvider:
    """One Pictograph server with one key. `generation` None: find it out."""

    def __init__(
        self,
        http: Http,
        memory: ProviderMemory,
        *,
        clock: Clock,
        draw: Callable[[], float],
        folder: Path,
        connections: int,
        pages_max: int,
        generation: Generation | None = None,
        archive_rules: ArchiveRules | None = None,
        export_rules: ExportRules | None = None,
    ) -> None:
        self._http = http
        self._memory = memory
        self._clock = clock
        self._draw = draw
        self._folder = folder
        self._connections = connections
        self._pages_max = pages_max
        self._configured = generation
        self._known = generation
        self._archive_rules = archive_rules or ArchiveRules()
        self._export_rules = export_rules or ExportRules()
        self._format = PictographFormat()

    @property
    def format(self) -> DocumentFormat:
        """How Pictograph's documents look."""
        return self._format

    def traffic(self) -> Traffic:
        """What was sent so far, to the API and to storage hosts."""
        return self._http.traffic()

    def quota(self) -> Quota:
        """What the server still allows."""
        return self._http.api.pacer.quota()

    async def capabilities(self) -> Capabilities:
        """What this generation can do."""
        dialect = await self._dialect()
        return Capabilities(
            generation=dialect.generation.value,
            signal=ChangeSignal.WEAK,
            listing_page=EMBEDDED_PAGE,
            image_batch=LINK_PAGE,
            safety_level=1,
            save_batch=1 if dialect.bulk_save is None else BULK_SAVES,
        )

    # --- which generation ------------------------------------------------------------------------------------------

    async def _dialect(self) -> Dialect:
        if self._known is None:
            held = await self._memory.get(MEMORY)
            if isinstance(held, str) and held in list(Generation):
                self._known = Generation(held)
            else:
                return await self._probed()
        return Dialect(self._known)

    async def _probed(self) -> Dialect:
        self._known = await probe.find_generation(self._http.api)
        await self._memory.put(MEMORY, self._known.value)
        return Dialect(self._known)

    # --- datasets --------------------------------------------------------------------------------------------------

    async def datasets(self) -> Sequence[Dataset]:
        """All datasets that the key may see."""
        dialect = await self._dialect()
        try:
            return await self._all_datasets(dialect)
        except ProtocolError:
            newer = await self._moved_on(dialect)
            if newer is None:
                raise
            return await self._all_datasets(newer)

    async def dataset(self, ref: DatasetRef) -> Dataset:
        """The dataset meant. Raises UnknownDataset, naming the nearest names."""
        dialect = await self._dialect()
        try:
            return await self._find(dialect, ref)
        except ProtocolError:
            newer = await self._moved_on(dialect)
            if newer is None:
                raise
            return await self._find(newer, ref)

    async def _moved_on(self, dialect: Dialect) -> Dialect | None:
        """The dialect that the server speaks instead of this one; None where it is still the same, or configured."""
        if self._configured is not None:
            return None
        probed = await self._probed()
        return None if probed == dialect else probed

    async def _find(self, dialect: Dialect, ref: DatasetRef) -> Dataset:
        wanted = ref.name if ref.name is not None else ref.id
        assert wanted is not None, "a reference has a name or an id"
        request = dialect.dataset(wanted)
        if request is not None:
            try:
                answer = await self._http.api.get(request.path, request.query)
            except (NotFound, Rejected):
                pass  # the list decides: it may be this route that is missing, not the dataset
            else:
                where = f"GET {request.path}"
                found = convert.dataset_of(dialect.single(answer, "dataset", where=where), where=where)
                if is_meant(ref, found.id, found.name):
                    return found
        held = await self._all_datasets(dialect)
        meant = [found for found in held if is_meant(ref, found.id, found.name)]
        if not meant:
            raise unknown_dataset(ref, (dataset.name for dataset in held))
        if request is not None:
            raise ProtocolError(f"GET {request.path} did not answer with a dataset that the list of datasets has")
        return meant[0]

    async def _all_datasets(self, dialect: Dialect) -> Sequence[Dataset]:
        found: dict[str, Dataset] = {}
        offset = 0
        for _ in range(self._pages_max):
            request = dialect.datasets(LIST_PAGE, offset)
            where = f"GET {request.path}"
            answer = await self._http.api.get(request.path, request.query)
            rows = dialect.rows(answer, "datasets", where=where)
            before = len(found)
            for row in rows:
                dataset = convert.dataset_of(answers.table(row, where=where), where=where)
                found[dataset.id] = dataset
            offset += len(rows)
            more = _has_more(answer, where)
            if len(found) == before or more is False or (more is None and len(rows) < LIST_PAGE):
                break
        return list(found.values())

    # --- images ----------------------------------------------------------------------------------------------------

    async def stamp(self, dataset: Dataset) -> str | None:  # noqa: ARG002 - the port's
        """Nothing but the listing itself shows whether anything changed."""
        return None

    async def list_images(self, dataset: Dataset, sink: PageSink) -> ListingEnd:
        """Pass once over all images of a dataset."""
        api, dialect = self._http.api, await self._dialect()
        try:
            return await listing.list_images(api, dialect, dataset, sink, self._pages_max)
        except ProtocolError:
            newer = await self._moved_on(dialect)
            if newer is None:
                raise
            return await listing.list_images(api, newer, dataset, sink, self._pages_max)

    async def confirm_absent(self, dataset: Dataset, images: Sequence[str]) -> frozenset[str]:
        """Images that the server does not know, or that are archived or in another dataset now."""
        dialect = await self._dialect()

        async def is_absent(image: str) -> bool:
            request = dialect.image_facts(image)
            where = f"GET {request.path}"
            try:
                answer = await self._http.api.get(request.path, request.query)
            except NotFound:
                return True
            facts = answers.read(wire.ImageFacts, dialect.single(answer, "image", where=where), where=where)
            return facts.is_archived or facts.dataset_id not in {None, dataset.id}

        return await chosen_in_parallel(is_absent, images, self._connections)

    @asynccontextmanager
    async def images(self, dataset: Dataset, wanted: int) -> AsyncIterator[ImageSource]:
        """Bytes of a dataset's images: through links, but a single one through the API, which costs as much.

        Where one answer cannot have all links, exports may have the images that are left.
        """
        dialect = await self._dialect()
        links = Links(self._http, dialect, dataset, self._clock) if wanted > 1 else None
        async with AsyncExitStack() as stack:
            packed = None
            if links is not None and links.by_status and _may_export(dialect, dataset):
                packed = PackedImages(self._exports(dialect), dataset, self._archive_rules, stack)
            yield PictographImages(self._http, dialect, links, packed)

    # --- documents -------------------------------------------------------------------------------------------------

    async def read_ways(self, dataset: Dataset) -> Sequence[ReadWay]:
        """One by one, and as an export where the dataset can have one; the oldest generation has files too."""
        dialect = await self._dialect()
        ways = [SINGLE]
        if dialect.annotation_files(dataset) is not None:
            ways.append(FILES)
        if _may_export(dialect, dataset):
            ways.append(EXPORT)
        return ways

    async def read(
        self, dataset: Dataset, way: ReadWay, wanted: AsyncIterator[WantedDocument]
    ) -> AsyncIterator[Reading]:
        """Read documents in one of the ways."""
        dialect = await self._dialect()
        singly = SingleReads(self._http.api, dialect, dataset, self._connections)
        readers = {
            SINGLE.name: lambda: singly.by_image(wanted),
            FILES.name: lambda: singly.by_file(wanted),
            EXPORT.name: lambda: self._read_export(dialect, dataset),
        }
        async with aclosing(readers[way.name]()) as readings:
            async for reading in readings:
                yield reading

    def _exports(self, dialect: Dialect) -> Exports:
        return Exports(
            self._http,
            dialect,
            self._memory,
            self._clock,
            self._draw,
            self._folder,
            self._export_rules,
            self._archive_rules.size_bytes,
        )

    async def _read_export(self, dialect: Dialect, dataset: Dataset) -> AsyncGenerator[Reading, None]:
        archive = self._exports(dialect).archive(dataset)
        async with archive as file, aclosing(documents(file, self._archive_rules)) as batches:
            async for batch in batches:
                for reading in batch:
                    yield reading

    def empty(self, dataset: Dataset, image: ListedImage, document: ListedDocument) -> Reading:  # noqa: ARG002 - the port's
        """The document of an image without annotations."""
        return reading_of(image.id, convert.composed(str(self._http.api.origin), dataset, image, []))

    # --- saving ----------------------------------------------------------------------------------------------------

    async def reread(self, dataset: Dataset, wanted: Sequence[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """Read documents one by one, now."""
        dialect = await self._dialect()
        singly = SingleReads(self._http.api, dialect, dataset, self._connections)
        async with aclosing(singly.again(wanted)) as readings:
            async for reading in readings:
                yield reading

    async def problems(self, dataset: Dataset, key: DocumentKey, data: bytes) -> Sequence[InvalidDocument]:
        """Why a working document cannot be saved in this generation of the server."""
        dialect = await self._dialect()

        def look() -> Sequence[InvalidDocument]:
            return schema.invalid(data, dataset, key.image, dialect.generation)

        return await aside(look, len(data))

    async def save_many(self, dataset: Dataset, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """Overwrite documents: many in a request where the generation has that, else a request each."""
        dialect = await self._dialect()
        return await Saves(self._http.api, dialect, dataset, self._connections).run(saves)


def _may_export(dialect: Dialect, dataset: Dataset) -> bool:
    return dataset.details.get("storage_class") != _COLD and dialect.export(dataset.name, "any") is not None


def _has_more(answer: object, where: str) -> bool | None:
    if not isinstance(answer, dict) or "pagination" not in answer:
        return None
    return answers.read(wire.Pagination, answer["pagination"], where=where).has_more


@asynccontextmanager
async def build(
    settings: PictographSettings,
    *,
    key: Secret,
    memory: ProviderMemory,
    pacer: Pacer,
    gate: Gate,
    clock: Clock,
    draw: Callable[[], float],
    folder: Path,
    timeouts: Timeouts | None = None,
    backoff: Backoff | None = None,
    export_rules: ExportRules | None = None,
) -> AsyncIterator[PictographProvider]:
    """Open a provider. `folder` takes temporary files, `draw` gives uniform numbers in [0, 1).

    Raises ConfigError for a key that cannot be sent in a header.
    """
    value = key.reveal()
    if not (value.isascii() and value.isprintable() and value.strip() == value != ""):
        raise ConfigError("the API key has characters that no key has", hint="Is there a line break in it?")
    caps = settings.caps
    sessions = http_settings(settings, {"X-API-Key": value}, timeouts=timeouts, backoff=backoff)
    async with open_http(sessions, pacer=pacer, gate=gate, clock=clock, draw=draw) as http:
        yield PictographProvider(
            http,
            memory,
            clock=clock,
            draw=draw,
            folder=folder,
            connections=settings.connections,
            pages_max=caps.pages,
            generation=None if settings.generation == "auto" else Generation(settings.generation),
            archive_rules=ArchiveRules(caps.archive_size, caps.archive_members, caps.json_size, caps.inflation),
            export_rules=export_rules,
        )
