"""Every fault can be asked for, hits the requests that it names, and ends."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from labelmirror.standin import Fault, FaultKind, FaultPlanError, StandinError, load_faults
from labelmirror.standin.faults import FaultPlan
from support.remo_client import remo_client
from support.standin_client import DEV, StandinClient, standin_client

LIST: dict[str, str | int] = {"dataset": "harbour", "limit": 4}


async def spoil(client: StandinClient, kind: FaultKind, route: str = "images.list") -> None:
    client.standin.faults.add(Fault(route=route, kind=kind))


def test_a_fault_hits_the_nth_match_and_as_many_as_it_says() -> None:
    plan = FaultPlan((Fault(route="images.*", kind=FaultKind.RESET, nth=2, times=2),))
    hits = [plan.due("images.list", "/x") for _ in range(4)]
    assert hits == [None, FaultKind.RESET, FaultKind.RESET, None]
    assert plan.due("datasets.list", "/x") is None


def test_a_fault_may_name_a_path() -> None:
    plan = FaultPlan((Fault(route=f"{DEV}/images/*", kind=FaultKind.HTML),))
    assert plan.due("images.list", f"{DEV}/images/") is FaultKind.HTML


def test_a_fault_file_gives_its_faults_in_order(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(
        '[[fault]]\nroute = "storage.image"\nkind = "reset"\n[[fault]]\nroute = "*"\nkind = "html"\nnth = 3\n'
    )
    assert load_faults(file) == (
        Fault(route="storage.image", kind=FaultKind.RESET),
        Fault(route="*", kind=FaultKind.HTML, nth=3),
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            '[[fault]]\nroute = "*"\nkind = "html"\n[[fault]]\nroute = "*"\nkind = "resett"',
            "fault 2: unknown kind 'resett'; did you mean 'reset'?",
        ),
        ('[[fault]]\nrout = "*"\nkind = "html"', "fault 1: unknown key 'rout'; did you mean 'route'?"),
        ('[[fault]]\nroute = "*"\nkind = "html"\nnth = 0', "fault 1: nth: "),
        ("[[faults]]", "unknown key 'faults'; did you mean 'fault'?"),
        ("[[fault", "faults.toml: "),
    ],
)
def test_a_mistake_in_a_fault_file_is_named_with_file_entry_and_nearest_word(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(text)
    with pytest.raises(FaultPlanError) as raised:
        load_faults(file)
    assert complaint in str(raised.value)
    assert str(file) in str(raised.value)


async def test_an_unknown_route_of_a_file_is_named_with_file_and_entry(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text('[[fault]]\nroute = "storage.img"\nkind = "reset"\n')
    with pytest.raises(StandinError) as raised:
        async with standin_client(faults=load_faults(file)):
            pass
    assert str(raised.value) == f"{file}: fault 1: unknown route 'storage.img'; did you mean 'storage.image'?"


async def test_an_unknown_route_keeps_the_server_from_starting() -> None:
    with pytest.raises(StandinError, match=r"unknown route 'images\.lst'; did you mean 'images\.list'\?"):
        async with standin_client(faults=(Fault(route="images.lst", kind=FaultKind.RESET),)):
            pass


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.TIMEOUT, FaultKind.SHORT_BODY])
async def test_a_broken_connection_is_an_error_once(kind: FaultKind) -> None:
    async with standin_client() as client:
        await spoil(client, kind)
        with pytest.raises(aiohttp.ClientError):
            await client.get("/images/", **LIST)
        assert (await client.get("/images/", **LIST)).status == 200


async def test_a_lost_answer_leaves_its_effect() -> None:
    async with standin_client() as client:
        image = client.standin.world.dataset("harbour").active[0]
        await spoil(client, FaultKind.RESET_AFTER, "annotations.save")
        place = f"{image.directory.rstrip('/')}/{image.filename}"
        with pytest.raises(aiohttp.ClientError):
            await client.post(f"/annotations/harbour{place}", {"annotations": []})
        assert image.annotations == ()


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FaultKind.LIMITED, 429),
        (FaultKind.LIMITED_BARE, 429),
        (FaultKind.ERROR_500, 500),
        (FaultKind.ERROR_502, 502),
        (FaultKind.ERROR_503, 503),
        (FaultKind.ERROR_504, 504),
    ],
)
async def test_a_refusing_fault_has_its_status_and_says_when_to_return_only_if_limited(
    kind: FaultKind, status: int
) -> None:
    async with standin_client() as client:
        await spoil(client, kind)
        answer = await client.get("/images/", **LIST)
        assert answer.status == status
        assert ("Retry-After" in answer.headers) == (kind is FaultKind.LIMITED)
        assert ("X-RateLimit-Remaining" in answer.headers) == (kind is not FaultKind.LIMITED_BARE)


@pytest.mark.parametrize(
    ("kind", "status", "page"), [(FaultKind.ERROR_500_AFTER, 500, False), (FaultKind.PAGE_400, 400, True)]
)
async def test_an_answer_can_hide_that_its_work_was_done(kind: FaultKind, status: int, page: bool) -> None:
    async with standin_client() as client:
        image = client.standin.world.dataset("harbour").active[0]
        await spoil(client, kind, "annotations.save")
        place = f"{image.directory.rstrip('/')}/{image.filename}"
        answer = await client.post(f"/annotations/harbour{place}", {"annotations": []})
        assert (answer.status, "html" in answer.headers["Content-Type"], image.annotations) == (status, page, ())


async def test_a_proxy_and_a_lost_login_refuse_in_their_own_ways() -> None:
    async with standin_client() as client, remo_client() as remo:
        await spoil(client, FaultKind.PAGE_404)
        answer = await client.get("/images/", **LIST)
        assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (404, "text/html")
        client.standin.faults.clear()
        await spoil(client, FaultKind.STRANGER)
        assert (await client.get("/images/", **LIST)).status == 401
        for _ in range(2):
            remo.standin.faults.add(Fault(route="*", kind=FaultKind.STRANGER))
        assert (await remo.get(f"{remo.one(remo.boxes, remo.first)}/annotation/")).status == 404


async def test_lists_can_be_missing_or_empty() -> None:
    async with standin_client() as client:
        await spoil(client, FaultKind.MISSING_LIST)
        assert "data" not in (await client.get("/images/", **LIST)).json
    async with remo_client() as remo:
        remo.standin.faults.add(Fault(route="contents.list", kind=FaultKind.EMPTY_LIST))
        answer = (await remo.get(f"/api/v1/ui/datasets/{remo.harbour.id}/contents/")).json
        assert (answer["count"], answer["results"]) == (0, [])


async def test_wrong_pages_repeat_skip_or_lack_rows() -> None:
    async with standin_client() as client:

        async def page(offset: int) -> list[str]:
            answer = await client.get("/images/", **LIST, offset=offset)
            return [row["id"] for row in answer.json["data"]]

        first, second = await page(0), await page(4)
        await spoil(client, FaultKind.DUPLICATE_PAGE)
        assert await page(0) == second
        client.standin.faults.clear()
        await spoil(client, FaultKind.SHORT_PAGE)
        assert await page(0) == first[:-1]
        client.standin.faults.clear()
        await spoil(client, FaultKind.MISSING_PAGE)
        answer = (await client.get("/images/", **LIST, offset=4)).json
        assert answer["data"] == []
        assert answer["pagination"] == {"limit": 4, "offset": 4, "total": 12, "has_more": False}


@pytest.mark.parametrize(
    ("generation", "key"), [("g0", "data"), ("g1", "data"), ("g1b", "datasets"), ("g2", "datasets")]
)
async def test_a_listing_can_come_in_the_envelope_of_another_generation(generation: str, key: str) -> None:
    async with standin_client(generation=generation) as client:
        proper = (await client.get("/datasets/")).json
        await spoil(client, FaultKind.WRONG_ENVELOPE, "datasets.list")
        strange = (await client.get("/datasets/")).json
        assert key not in proper
        assert [row["name"] for row in strange[key]] == ["harbour", "meadow & shore"]


async def test_links_and_sizes_can_lie() -> None:
    async with standin_client() as client:
        await spoil(client, FaultKind.PRIVATE_LINK, "datasets.download")
        items = (await client.get("/datasets/harbour/download")).json["data"]["items"]
        assert all(item["image_url"].startswith("http://10.0.0.1/images/") for item in items)
        await spoil(client, FaultKind.WRONG_SIZE, "datasets.download")
        items = (await client.get("/datasets/harbour/download")).json["data"]["items"]
        assert {item["file_size"] - client.standin.world.image(item["id"]).size_bytes for item in items} == {7}


async def test_files_can_be_cut_swapped_swollen_or_elsewhere() -> None:
    async with standin_client(oversized_bytes=300_000) as client:
        item = (await client.get("/datasets/harbour/download")).json["data"]["items"][0]
        whole = client.standin.world.image(item["id"]).content
        answers = {}
        for kind in (
            FaultKind.WRONG_LENGTH,
            FaultKind.NOT_AN_IMAGE,
            FaultKind.OVERSIZED,
            FaultKind.SLOW_DRIP,
            FaultKind.HTML,
            FaultKind.EXPIRED_LINK,
            FaultKind.REDIRECT,
        ):
            client.standin.faults.clear()
            await spoil(client, kind, "storage.image")
            answers[kind] = await client.fetch(item["image_url"])
        assert answers[FaultKind.WRONG_LENGTH].body == whole[:-7]
        assert answers[FaultKind.NOT_AN_IMAGE].body.startswith(b"This is no picture.")
        assert len(answers[FaultKind.NOT_AN_IMAGE].body) == len(whole)
        assert len(answers[FaultKind.OVERSIZED].body) == 300_000
        assert answers[FaultKind.SLOW_DRIP].body == whole
        assert answers[FaultKind.HTML].headers["Content-Type"].startswith("text/html")
        assert answers[FaultKind.EXPIRED_LINK].status == 403
        assert answers[FaultKind.REDIRECT].headers["Location"].startswith(client.standin.url)


async def test_a_redirect_of_the_api_leads_to_the_other_origin_which_notes_a_key_that_follows() -> None:
    async with standin_client() as client:
        await spoil(client, FaultKind.REDIRECT, "datasets.list")
        location = (await client.get("/datasets/")).headers["Location"]
        assert location.startswith(client.standin.storage_url)
        await client.fetch(location, headers={"X-API-Key": client.standin.key})
        latest = list(client.standin.requests)[-1]
        assert (latest.origin, latest.key_sent, latest.status) == ("storage", True, 404)


async def test_a_hanging_answer_does_not_keep_the_server_from_stopping() -> None:
    async with standin_client(hang_s=600.0) as client:
        await spoil(client, FaultKind.TIMEOUT)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.get("/images/", **LIST)
        assert list(client.standin.requests)[-1].fault is FaultKind.TIMEOUT
