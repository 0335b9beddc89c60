"""What is particular about Pictograph: generations, prices, exports, links."""

import io
import json
import random
import struct
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import anyio
import pytest
from yarl import URL

from labelmirror.engine.cycle import CycleOptions, sync
from labelmirror.errors import (
    BodyMismatch,
    ConfigError,
    DiskError,
    KeyRefused,
    ProtocolError,
    RemoteError,
    RoleRefused,
    TooLarge,
    Unavailable,
    UnknownDataset,
)
from labelmirror.model.document import JsonValue
from labelmirror.model.keys import DatasetRef
from labelmirror.model.policy import Content, MirrorPolicy
from labelmirror.model.remote import Dataset, ListedDocument, ListedImage
from labelmirror.model.report import MirrorOutcome
from labelmirror.ports.provider import Provider
from labelmirror.providers.pictograph import convert
from labelmirror.providers.pictograph.archive import ArchiveRules, documents
from labelmirror.providers.pictograph.dialect import Dialect, Generation
from labelmirror.providers.pictograph.expiry import image_id, leads_to_api, lifetime_s
from labelmirror.providers.pictograph.exports import ExportRules
from labelmirror.providers.pictograph.provider import EXPORT, SINGLE, PictographProvider
from labelmirror.providers.pictograph.wire import LinkItem
from labelmirror.standin import Fault, FaultKind, Role, Standin, StandinOptions, serve
from support.full_disk import fill_disk
from support.memory_facts import MemoryFacts
from support.memory_mirror import Bench
from support.pictograph import HARBOUR, fetched, listed, provider_on, read_all
from support.quick_clock import QuickClock

GENERATIONS = ("g0", "g1", "g1b", "g2")


@asynccontextmanager
async def opened(
    memory: MemoryFacts | None = None, clock: QuickClock | None = None, **options: object
) -> AsyncIterator[tuple[Standin, PictographProvider]]:
    made = StandinOptions(**options)  # type: ignore[arg-type]  # each test knows its options
    async with serve(made) as standin, provider_on(standin, memory=memory, clock=clock) as provider:
        yield standin, provider


# --- generations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_the_generation_is_found_with_two_requests_and_remembered(generation: str) -> None:
    memory = MemoryFacts()
    async with opened(memory, generation=generation) as (standin, provider):
        assert (await provider.capabilities()).generation == generation
        assert standin.requests.api == 2
        async with provider_on(standin, memory=memory) as next_run:
            standin.requests.clear()
            await next_run.dataset(HARBOUR)
            assert standin.requests.api == 1


@pytest.mark.parametrize("before", GENERATIONS)
@pytest.mark.parametrize("now", GENERATIONS)
async def test_a_server_that_moved_to_another_generation_is_followed(before: str, now: str) -> None:
    memory = MemoryFacts({"generation": before})
    async with opened(memory, generation=now) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, end = await listed(provider, dataset)
        assert len(rows) == end.announced == len(standin.world.dataset("harbour").active)
        assert memory.held["generation"] == now


@pytest.mark.parametrize("spoken", GENERATIONS)
@pytest.mark.parametrize("configured", GENERATIONS)
async def test_a_wrong_generation_is_an_error_and_never_an_empty_list(spoken: str, configured: str) -> None:
    options = StandinOptions(generation=spoken)
    async with serve(options) as standin, provider_on(standin, generation=configured) as provider:
        dataset = Dataset(standin.world.dataset("harbour").id, "harbour", None, None)
        try:
            rows, end = await listed(provider, dataset)
        except RemoteError:
            assert spoken != configured
        else:
            assert {row.id for row in rows} == {image.id for image in standin.world.dataset("harbour").active}
            assert end.announced == len(rows)


async def test_an_error_that_stays_is_not_probed_for_ever() -> None:
    fault = Fault(route="datasets.get", kind=FaultKind.HTML, times=99)
    async with opened(generation="g2", faults=(fault,)) as (standin, provider):
        with pytest.raises(ProtocolError):
            await provider.dataset(HARBOUR)
        assert standin.requests.api <= 5


async def test_a_refused_key_says_so() -> None:
    async with opened() as (standin, provider):
        standin.revoke_key()
        with pytest.raises(KeyRefused) as refused:
            await provider.dataset(HARBOUR)
        assert standin.key not in refused.value.message


async def test_a_key_with_a_line_break_is_refused_before_anything_is_sent() -> None:
    async with serve(StandinOptions()) as standin:
        standin._keys[0].secret += "\n"
        with pytest.raises(ConfigError) as refused:
            async with provider_on(standin):
                pass
        assert standin.key.strip() not in refused.value.message


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", ["harbor", "meadow", "..", "a/b", "", "\n", "ü" * 400])
async def test_names_that_are_not_there_are_unknown_whatever_they_look_like(generation: str, name: str) -> None:
    async with opened(generation=generation) as (_, provider):
        with pytest.raises(UnknownDataset):
            await provider.dataset(DatasetRef(name=name))


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_dataset_whose_name_needs_quoting_is_mirrored_like_any_other(generation: str) -> None:
    async with opened(generation=generation) as (standin, provider):
        dataset = await provider.dataset(DatasetRef(name="meadow & shore"))
        rows, end = await listed(provider, dataset)
        assert {row.id for row in rows} == {image.id for image in standin.world.dataset(dataset.id).active}
        assert end.announced == len(rows)
        assert (await read_all(provider, dataset, EXPORT, rows)).keys() == {row.id for row in rows}
        assert (await fetched(provider, dataset, rows)).keys() == {row.id for row in rows}


# --- prices ------------------------------------------------------------------------------------------------------


async def _cycle(provider: Provider, wanted: int, images: int) -> int:
    """What a cycle of the engine asks of a provider; the API requests it cost."""
    before = provider.traffic()
    dataset = await provider.dataset(HARBOUR)
    rows, end = await listed(provider, dataset)
    assert end.announced == len(rows)
    changed = [row for row in rows if not row.documents[0].empty][:wanted]
    if changed:
        way = min(await provider.read_ways(dataset), key=lambda way: way.requests(len(changed)))
        readings = await read_all(provider, dataset, way, changed)
        assert {row.id for row in changed} <= readings.keys()
    if images:
        await fetched(provider, dataset, rows[: min(images, 20)])
    return provider.traffic().since(before).api


@pytest.mark.parametrize(("generation", "images"), [("g2", 10_000), ("g1b", 1_000), ("g1", 1_000), ("g0", 1_000)])
async def test_ten_thousand_images_cost_a_dozen_requests(generation: str, images: int) -> None:
    options = StandinOptions(generation=generation, images=images, unannotated_every=0, export_polls=4)
    clock = QuickClock(pace=0.05)
    async with serve(options) as standin, provider_on(standin, clock=clock) as provider:
        costs = [
            await _cycle(provider, images, images),
            await _cycle(provider, 0, 0),
            await _cycle(provider, images // 100, 0),
        ]
    print(f"requests of a first mirror, of no change, of 1 % changed: {costs}")
    assert costs[0] <= 15
    assert costs[1] <= 1 + 3
    assert costs[2] <= 15


async def test_more_images_than_one_answer_has_links_for_are_asked_for_by_status() -> None:
    async with serve(StandinOptions(images=10_400)) as standin, provider_on(standin) as provider:
        dataset = await provider.dataset(HARBOUR)
        rows, end = await listed(provider, dataset)
        assert (end.pages, end.steady) == (2, True)
        some = random.Random(7).sample(rows, 40)
        standin.requests.clear()
        found = await fetched(provider, dataset, some)
        assert found == {row.id: standin.world.image(row.id).content for row in some}
        assert standin.requests.api == standin.requests.by_route["datasets.download"] == 4


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_images_beyond_the_links_of_one_answer_come_out_of_an_export(
    generation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelmirror.providers.pictograph.images.LINK_PAGE", 20)
    monkeypatch.setattr("labelmirror.providers.pictograph.packed.SINGLES", 5)
    async with opened(generation=generation, images=200, batch_cap=20, unannotated_every=0) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        statuses = {row.status for row in rows}
        standin.requests.clear()
        found = await fetched(provider, dataset, rows)
        assert found == {row.id: standin.world.image(row.id).content for row in rows}
        asked = standin.requests.by_route
        assert asked["exports.create"] == asked["exports.delete"] == len(statuses)
        assert asked["images.bytes"] <= 5 * len(statuses)


async def test_exports_of_images_that_are_wanted_at_once_do_not_remove_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labelmirror.providers.pictograph.images.LINK_PAGE", 20)
    monkeypatch.setattr("labelmirror.providers.pictograph.packed.SINGLES", 0)
    async with opened(images=200, batch_cap=20, unannotated_every=0) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        standin.requests.clear()
        async with provider.images(dataset, len(rows)) as source, anyio.create_task_group() as tasks:

            async def fetch(row: ListedImage) -> None:
                async with source.open(row) as stream:
                    assert b"".join([chunk async for chunk in stream.chunks]) == standin.world.image(row.id).content

            for row in rows:
                tasks.start_soon(fetch, row)
        assert standin.requests.by_route["images.bytes"] == 0


async def test_an_image_that_an_export_does_not_tell_from_another_comes_through_the_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labelmirror.providers.pictograph.images.LINK_PAGE", 10)
    monkeypatch.setattr("labelmirror.providers.pictograph.packed.SINGLES", 0)
    async with opened(images=60, batch_cap=10, unannotated_every=0) as (standin, provider):
        for image in standin.world.dataset("harbour"):
            image.payload = b"\xff\xd8\xff" + image.id.encode()
            image.size_bytes = len(image.payload)
            standin.world.move_image(image, f"/{image.number}", "same.jpg")
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        assert {row.size_bytes for row in rows} == {39}
        found = await fetched(provider, dataset, rows)
        assert found == {row.id: standin.world.image(row.id).content for row in rows}


async def test_a_key_that_may_make_no_export_fetches_every_image_without_a_link_through_the_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labelmirror.providers.pictograph.images.LINK_PAGE", 20)
    monkeypatch.setattr("labelmirror.providers.pictograph.packed.SINGLES", 5)
    async with opened(images=200, batch_cap=20, role=Role.VIEWER) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        found = await fetched(provider, dataset, rows)
        assert found == {row.id: standin.world.image(row.id).content for row in rows}
        assert standin.requests.by_route["exports.create"] <= 4


# --- listings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [("annotation_count", -1), ("annotation_count", "many"), ("file_size", 2.5), ("width", [])],
)
def test_a_hint_that_cannot_be_read_is_no_hint_and_hides_no_row(field: str, value: JsonValue) -> None:
    row: dict[str, JsonValue] = {"id": "a", "filename": "a.jpg", "annotation_count": 2, "file_size": 3, "width": 4}
    odd = convert.image_of({**row, field: value}, where="GET x")
    unset = convert.image_of({**row, field: None}, where="GET x")
    assert (odd.annotations, odd.size_bytes, odd.width_px) == (unset.annotations, unset.size_bytes, unset.width_px)
    assert not odd.documents[0].empty


def test_names_that_are_no_unicode_are_taken_as_they_are() -> None:
    read = convert.image_of({"id": "a\ud800", "filename": "\ud800.jpg", "directory_path": "/\udfff"}, where="GET x")
    assert (read.id, read.name, read.directory) == ("a\ud800", "\ud800.jpg", "\udfff")


@pytest.mark.parametrize("lost", ["id", "filename"])
def test_a_row_without_identity_breaks_the_contract(lost: str) -> None:
    row = {"id": "a", "filename": "a.jpg"}
    assert convert.image_of(row, where="").id == "a"
    del row[lost]
    with pytest.raises(ProtocolError):
        convert.image_of(row, where="")


@pytest.mark.parametrize(
    ("field", "value"), [("annotation_count", 3), ("min_confidence", 0.5), ("status", "review"), ("updated_at", "x")]
)
def test_every_hint_moves_the_token(field: str, value: JsonValue) -> None:
    row: dict[str, JsonValue] = {
        "id": "a",
        "filename": "a.jpg",
        "annotation_count": 2,
        "min_confidence": 0.9,
        "status": "new",
    }
    before = convert.image_of(row, where="").documents[0].token
    after = convert.image_of({**row, field: value}, where="").documents[0].token
    assert before != after
    assert before is not None
    assert not before.strong


def test_what_is_no_content_of_a_document_does_not_move_the_token() -> None:
    row: dict[str, JsonValue] = {"id": "a", "filename": "a.jpg", "annotation_count": 2, "split": "val", "tags": ["x"]}
    other: dict[str, JsonValue] = {**row, "split": "train", "tags": [], "directory_path": "/elsewhere"}
    assert convert.image_of(row, where="").documents == convert.image_of(other, where="").documents


def test_a_listing_without_counts_has_no_token_and_claims_no_empty_document() -> None:
    (document,) = convert.image_of({"id": "a", "filename": "a.jpg"}, where="").documents
    assert document == ListedDocument("", None, empty=False)


@pytest.mark.parametrize(
    ("directory", "name", "path"),
    [
        ("", "a.jpg", "/annotations/ds/a.jpg"),
        ("b/c", "a.jpg", "/annotations/ds/b/c/a.jpg"),
        ("b c", "a?#%.jpg", "/annotations/ds/b%20c/a%3F%23%25.jpg"),
        ("ü", "é.jpg", "/annotations/ds/%C3%BC/%C3%A9.jpg"),
        ("", "file", "/annotations/im-1/file"),
        ("a", "file", "/annotations/ds/a/file"),
        ("", "..", "/annotations/im-1/file"),
        ("..", "a.jpg", "/annotations/im-1/file"),
        ("a//b", "a.jpg", "/annotations/im-1/file"),
        ("", "a/b.jpg", "/annotations/im-1/file"),
        ("", "a\\b.jpg", "/annotations/im-1/file"),
        ("", "a\nb.jpg", "/annotations/im-1/file"),
        ("", "a\ud800.jpg", "/annotations/im-1/file"),
    ],
)
def test_names_that_do_not_survive_in_a_path_are_asked_for_by_id(directory: str, name: str, path: str) -> None:
    image = ListedImage("im-1", directory, name, None, None, None, None, None, None, ())
    found = Dialect(Generation.G2).annotations(Dataset("ds", "n", None, None), image)
    assert found.removeprefix("/api/v1/developer") == path


@pytest.mark.parametrize("identity", ["", "..", "a/b", "a?b", "a b", "a\nb"])
def test_an_id_that_is_no_plain_segment_never_reaches_a_path(identity: str) -> None:
    with pytest.raises(ProtocolError):
        Dialect(Generation.G2).image_bytes(identity)


# --- exports -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_an_export_leaves_nothing_behind(generation: str) -> None:
    memory = MemoryFacts()
    async with opened(memory, generation=generation, export_polls=5) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        await read_all(provider, dataset, EXPORT, rows)
        assert standin.requests.by_route["exports.delete"] == 1
        assert memory.held.keys() == {"generation"}


async def test_an_export_that_the_disk_has_no_room_for_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(MemoryFacts()) as (_, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _end = await listed(provider, dataset)
        fill_disk(monkeypatch)
        with pytest.raises(DiskError, match="No space left"):
            await read_all(provider, dataset, EXPORT, rows)


async def test_a_key_that_may_not_export_says_so_and_remembers_nothing() -> None:
    memory = MemoryFacts()
    async with opened(memory, role=Role.VIEWER) as (_, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        with pytest.raises(RoleRefused):
            await read_all(provider, dataset, EXPORT, rows)
        assert memory.held.keys() == {"generation"}
        assert len(await read_all(provider, dataset, SINGLE, rows)) == len(rows)


async def test_where_no_export_can_be_had_the_oldest_generation_gives_its_own_files_by_its_list_of_them() -> None:
    bench = Bench(policy=MirrorPolicy(content=Content.ANNOTATIONS))
    async with opened(generation="g0", role=Role.MEMBER, images=30) as (standin, provider):
        mirror = replace(bench.mirror, provider=provider, format=provider.format, ref=HARBOUR)
        report = await sync(mirror, CycleOptions())
        assert report.outcome is MirrorOutcome.SYNCED
        counts = standin.requests.by_route
        annotated = [image for image in standin.world.dataset("harbour").active if image.annotations]
        assert (counts["exports.create"], counts["annotations.files"]) == (1, 1)
        assert (counts["annotations.file"], counts["annotations.get"]) == (len(annotated), 0)
        for image in annotated:
            place = f"{image.directory}/{image.filename}".strip("/")
            document = json.loads(bench.tree.files()[f"annotations/{place}.json"])
            assert document["dataset"]["slug"], "the server's own file says more than a listing does"


async def test_a_key_that_may_not_remove_its_export_does_not_try_for_ever() -> None:
    memory = MemoryFacts()
    async with opened(memory, role=Role.MEMBER) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        for _ in range(3):
            assert len(await read_all(provider, dataset, EXPORT, rows)) >= len(rows) // 2
        assert standin.requests.by_route["exports.delete"] == 3
        assert memory.held.keys() == {"generation"}


async def test_an_export_that_a_killed_run_left_is_removed_by_the_next_one() -> None:
    memory = MemoryFacts()
    fault = Fault(route="exports.link", kind=FaultKind.ERROR_500, times=99)
    async with opened(memory, faults=(fault,)) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        with pytest.raises(RemoteError):
            await read_all(provider, dataset, EXPORT, rows)
        assert "exports" in memory.held
        standin.faults.clear()
        async with provider_on(standin, memory=memory) as next_run:
            await read_all(next_run, dataset, EXPORT, rows)
        assert standin.requests.by_route["exports.delete"] == 2
        assert memory.held.keys() == {"generation"}


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("exports.create", FaultKind.ERROR_500),
        ("exports.create", FaultKind.RESET_AFTER),
        ("exports.get", FaultKind.ERROR_503),
        ("exports.link", FaultKind.ERROR_500),
        ("storage.export", FaultKind.ERROR_503),
        ("storage.export", FaultKind.RESET),
        ("storage.export", FaultKind.SHORT_BODY),
        ("storage.export", FaultKind.EXPIRED_LINK),
    ],
)
async def test_trouble_with_exports_alone_leaves_the_other_ways_open(route: str, kind: FaultKind) -> None:
    memory = MemoryFacts()
    async with opened(memory, faults=(Fault(route=route, kind=kind, times=99),)) as (_, provider):
        dataset = await provider.dataset(HARBOUR)
        with pytest.raises(RemoteError) as failed:
            await read_all(provider, dataset, EXPORT, [])
        assert not isinstance(failed.value, Unavailable)
        assert "exports" in memory.held


async def test_an_export_that_never_gets_ready_is_given_up() -> None:
    clock = QuickClock()
    async with (
        serve(StandinOptions(export_polls=10_000)) as standin,
        provider_on(standin, clock=clock, export_rules=ExportRules()) as provider,
    ):
        dataset = await provider.dataset(HARBOUR)
        begun_s = clock.monotonic_s()
        with pytest.raises(RemoteError) as failed:
            await read_all(provider, dataset, EXPORT, [])
        assert not isinstance(failed.value, Unavailable)
        assert standin.requests.by_route["exports.get"] < 10
        assert clock.monotonic_s() - begun_s < 200, "a small one is stuck after minutes, not after an hour"


async def test_a_dataset_in_cold_storage_is_read_one_by_one() -> None:
    async with opened() as (standin, provider):
        standin.world.dataset("harbour").cold = True
        dataset = await provider.dataset(HARBOUR)
        assert [way.name for way in await provider.read_ways(dataset)] == ["single"]


async def test_polls_of_a_slow_export_grow_apart() -> None:
    clock = QuickClock()
    async with opened(clock=clock, export_polls=8) as (_, provider):
        dataset = await provider.dataset(HARBOUR)
        clock.slept_s.clear()
        await read_all(provider, dataset, EXPORT, [])
        assert clock.slept_s == sorted(clock.slept_s)
        assert max(clock.slept_s) <= 60


def archive(*members: tuple[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members:
            packed.writestr(name, data)
    return file


def member(image: str, **more: object) -> bytes:
    return json.dumps({"image_uuid": image, "annotations": [], **more}).encode()


async def contents(file: io.BytesIO, rules: ArchiveRules | None = None) -> list[str]:
    return [reading.key.image async for batch in documents(file, rules or ArchiveRules()) for reading in batch]


async def test_members_are_known_by_what_is_in_them_and_never_by_their_names() -> None:
    file = archive(
        ("../../etc/passwd", member("a")),
        ("/absolute", member("b")),
        ("manifest.json", b'{"format": "pictograph"}'),
        ("images/a.jpg", b"\xff\xd8\xff"),
        ("broken.json", b'{"image_uuid": "c", "annotations": ['),
        ("list.json", b"[]"),
        ("other.json", member("").replace(b'""', b"7")),
        ("empty", b""),
        ("bom.json", b"\xef\xbb\xbf" + member("d")),
        ("no-utf-8.json", member("e", more="\ud800")),
        ("deep.json", member("f", more=7).replace(b"7", b"[" * 700 + b"]" * 700)),
    )
    assert await contents(file) == ["a", "b", "d"]


async def test_an_archive_with_two_documents_of_one_image_is_refused() -> None:
    with pytest.raises(ProtocolError):
        await contents(archive(("a.json", member("a")), ("b.json", member("a", x=1))))


async def test_bombs_are_refused() -> None:
    bomb = archive(("a.json", member("a", x="x" * 30_000_000)))
    with pytest.raises(TooLarge):
        await contents(bomb)
    many = archive(*((f"{number}.json", member(str(number))) for number in range(20)))
    with pytest.raises(TooLarge):
        await contents(many, ArchiveRules(members=19))


@pytest.mark.parametrize("seed", range(60))
async def test_a_damaged_archive_is_an_error_or_misses_documents_but_never_changes_one(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    images = [str(number) for number in range(12)]
    data = bytearray(archive(*((f"{image}.json", member(image, x=rng.random())) for image in images)).getvalue())
    if seed % 2:
        del data[rng.randrange(len(data)) :]
    else:
        for _ in range(3):
            struct.pack_into("B", data, rng.randrange(len(data)), rng.randrange(256))
    with suppress(BodyMismatch, TooLarge, ProtocolError):
        assert set(await contents(io.BytesIO(bytes(data)))) <= set(images)


# --- links -------------------------------------------------------------------------------------------------------


async def test_expired_links_are_renewed_once_for_all_who_wait() -> None:
    async with opened(images=30) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        found: dict[str, bytes] = {}
        async with provider.images(dataset, len(rows)) as source:

            async def fetch(row: ListedImage) -> None:
                async with source.open(row) as stream:
                    found[row.id] = b"".join([chunk async for chunk in stream.chunks])

            await fetch(rows[0])
            standin.expire_links()
            standin.requests.clear()
            async with anyio.create_task_group() as tasks:
                for row in rows[1:]:
                    tasks.start_soon(fetch, row)
            assert standin.requests.by_route["datasets.download"] == 1
        assert found == {row.id: standin.world.image(row.id).content for row in rows}


async def test_links_are_renewed_before_they_expire() -> None:
    clock = QuickClock()
    async with opened(clock=clock, link_lifetime_s=100) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        async with provider.images(dataset, 3) as source:
            for row in rows[:3]:
                async with source.open(row):
                    clock.ahead_s += 95
        assert standin.requests.by_route["datasets.download"] == 3
        assert not [record for record in standin.requests if record.status == 403]


async def test_an_image_without_a_link_comes_through_the_api() -> None:
    async with opened() as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        async with provider.images(dataset, 9) as source:
            async with source.open(rows[0]):
                pass
            late = standin.world.add_image(standin.world.dataset("harbour"), "late.png")
            (row,) = [row for row in (await listed(provider, dataset))[0] if row.id == late.id]
            async with source.open(row) as stream:
                assert b"".join([chunk async for chunk in stream.chunks]) == late.content
        assert standin.requests.by_route["images.bytes"] == 1


async def test_images_that_older_generations_give_no_id_for_are_told_by_a_name_that_only_one_has() -> None:
    async with opened(generation="g1") as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        names = [row.name for row in rows]
        shared = [row for row in rows if row.annotations == 0 and names.count(row.name) > 1]
        assert any(row.annotations == 0 and names.count(row.name) == 1 for row in rows)
        async with provider.images(dataset, len(rows)) as source:
            for row in rows:
                async with source.open(row) as stream:
                    data = b"".join([chunk async for chunk in stream.chunks])
                assert data == standin.world.image(row.id).content
        assert standin.requests.by_route["images.bytes"] == len(shared)


async def test_refused_links_end_in_an_error_after_a_bounded_number_of_requests() -> None:
    fault = Fault(route="storage.image", kind=FaultKind.EXPIRED_LINK, times=999)
    async with opened(faults=(fault,)) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        with pytest.raises(RemoteError):
            await fetched(provider, dataset, rows[:4])
        assert standin.requests.by_route["datasets.download"] <= 3
        assert standin.requests.by_route["images.bytes"] == 0


async def test_trouble_with_the_links_costs_one_request_and_not_one_for_each_image() -> None:
    fault = Fault(route="datasets.download", kind=FaultKind.HTML, times=999)
    async with opened(faults=(fault,)) as (standin, provider):
        dataset = await provider.dataset(HARBOUR)
        rows, _ = await listed(provider, dataset)
        async with provider.images(dataset, len(rows)) as source:
            for row in rows:
                with pytest.raises(ProtocolError):
                    async with source.open(row):
                        pass
        assert standin.requests.by_route["datasets.download"] == 1


async def test_no_request_to_the_storage_host_carries_the_key() -> None:
    async with opened() as (standin, provider):
        await _cycle(provider, 99, 20)
        assert standin.requests.storage > 0
        assert not [record for record in standin.requests if record.origin.value == "storage" and record.key_sent]


NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("query", "left_s"),
    [
        ("X-Goog-Date=20231114T221320Z&X-Goog-Expires=900", 900.0),
        ("X-Goog-Date=20231114T221220Z&X-Goog-Expires=900", 840.0),
        ("X-Goog-Date=20231114T001320Z&X-Goog-Expires=900", 450.0),
        ("X-Goog-Date=20991114T001320Z&X-Goog-Expires=900", 900.0),
        ("X-Goog-Date=nonsense&X-Goog-Expires=900", 900.0),
        ("X-Amz-Expires=60", 60.0),
        ("Expires=1700000600&Signature=x", 600.0),
        ("expires=1600000000", None),
        ("Expires=soon", None),
        ("Expires=99999999999999999999", None),
        ("", None),
    ],
)
def test_a_link_tells_how_long_it_lasts(query: str, left_s: float | None) -> None:
    assert lifetime_s(f"https://storage.example/a?{query}", NOW_S) == left_s


@pytest.mark.parametrize(
    ("link", "is_api"),
    [
        ("https://api.example/api/v1/developer/images/1", True),
        ("/api/v1/developer/images/1", True),
        ("https://api.example:443/api/v1/developer/images/1?x=1", True),
        ("https://api.example/storage/1?Signature=a", False),
        ("http://api.example/api/v1/developer/images/1", False),
        ("https://storage.example/api/v1/developer/images/1", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_a_link_into_the_api_itself_is_told_from_a_storage_hosts(link: str, is_api: bool) -> None:
    assert leads_to_api(link, URL("https://api.example")) is is_api


def test_an_item_is_known_by_its_id_or_by_the_path_of_its_annotations() -> None:
    uuid = "0c3f1d2e-0000-4000-8000-0123456789ab"
    assert image_id(LinkItem(id="a", annotation_url=f"/annotations/{uuid}/file")) == "a"
    assert image_id(LinkItem(annotation_url=f"/api/v1/developer/annotations/{uuid}/file")) == uuid
    assert image_id(LinkItem(annotation_url="/annotations/harbour/a.jpg")) is None
    assert image_id(LinkItem()) is None
