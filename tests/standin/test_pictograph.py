"""The stand-in Pictograph keeps to the wire contract, generation by generation."""

import asyncio
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from PIL import Image as Picture

from labelmirror.standin import Image, Role, StandinError, StandinOptions, WindowKind, serve
from support.standin_client import Answer, StandinClient, standin_client

GENERATIONS = ["g0", "g1", "g1b", "g2"]
BOX = {"id": "b", "name": "boat", "type": "bbox", "bounding_box": {"x": 1, "y": 2.5, "w": 3, "h": 4}}


def place(image: Image) -> str:
    return f"{image.directory.rstrip('/')}/{image.filename}"


def newest(client: StandinClient) -> Image:
    return client.standin.world.dataset("harbour").active[0]


async def save(client: StandinClient, annotations: Any, **more: Any) -> Answer:
    return await client.post(f"/annotations/harbour{place(newest(client))}", {"annotations": annotations}, **more)


async def exported(client: StandinClient, **order: Any) -> dict[str, Any]:
    created = await client.post("/exports/", {"dataset_name": "harbour", "name": "e", **order})
    assert created.json["data"]["status"] == "pending"
    row: dict[str, Any] = {}
    while row.get("status") != "completed":
        row = (await client.get("/exports/e", dataset="harbour")).json["data"]
        await asyncio.sleep(0.01)
    return row


class TestKeysAndLimits:
    async def test_without_a_working_key_nothing_is_answered_or_counted(self) -> None:
        async with standin_client(limit=5) as client:
            assert (await client.ask("GET", "/datasets/", key=None)).status == 401
            assert (await client.ask("GET", "/datasets/", key="pk_live_x")).status == 401
            assert (await client.get("/datasets/")).headers["X-RateLimit-Remaining"] == "4"
            client.standin.revoke_key()
            assert (await client.get("/datasets/")).status == 401

    async def test_a_key_looks_like_one(self) -> None:
        async with standin_client() as client:
            assert client.standin.key.startswith("pk_live_")
            assert len(client.standin.key) == 40
            assert client.standin.add_key(Role.VIEWER) != client.standin.key

    @pytest.mark.parametrize("kind", list(WindowKind))
    async def test_a_spent_quota_is_429_until_it_returns(self, kind: WindowKind) -> None:
        async with standin_client(limit=3, window_s=60.0, window_kind=kind) as client:
            client.standin.spend(2)
            assert (await client.get("/datasets/")).status == 200
            refused = await client.get("/datasets/")
            assert refused.status == 429
            assert 0 < int(refused.headers["Retry-After"]) <= 60
            assert refused.json["error"]["code"] == "rate_limited"
            client.standin.clock.advance(60.0)
            assert (await client.get("/datasets/")).status == 200

    async def test_failed_calls_are_counted_and_storage_is_not(self) -> None:
        async with standin_client(limit=10) as client:
            item = (await client.get("/datasets/harbour/download")).json["data"]["items"][0]
            stored = await client.fetch(item["image_url"])
            assert not any(name.startswith("X-RateLimit") for name in stored.headers)
            missing = await client.get("/datasets/nowhere")
            assert (missing.status, missing.headers["X-RateLimit-Remaining"]) == (404, "8")

    async def test_every_key_has_a_quota_of_its_own(self) -> None:
        async with standin_client(limit=1) as client:
            other = client.standin.add_key(Role.VIEWER)
            assert (await client.get("/datasets/")).status == 200
            assert (await client.ask("GET", "/datasets/", key=other)).status == 200
            assert (await client.get("/datasets/")).status == 429

    async def test_the_server_may_believe_in_another_time(self) -> None:
        async with standin_client(clock_offset_s=-86_400.0) as client:
            headers = (await client.get("/datasets/")).headers
            date = parsedate_to_datetime(headers["Date"])
            assert datetime.now(UTC) - date >= timedelta(days=1)
            assert 0 < int(headers["X-RateLimit-Reset"]) - date.timestamp() <= 3_601

    @pytest.mark.parametrize(
        ("role", "statuses"),
        [(Role.VIEWER, [200, 403, 403, 403]), (Role.MEMBER, [200, 200, 403, 201]), (Role.ADMIN, [200, 200, 200, 201])],
    )
    async def test_a_role_bounds_what_a_key_may_do(self, role: Role, statuses: list[int]) -> None:
        async with standin_client() as client:
            client.standin.role = role
            at = f"/annotations/harbour{place(newest(client))}"
            answers = [
                await client.get(at),
                await client.post(at, {"annotations": []}),
                await client.ask("DELETE", at),
                await client.post("/exports/", {"dataset_name": "harbour", "name": "e"}),
            ]
            assert [answer.status for answer in answers] == statuses


class TestGenerations:
    async def test_an_unknown_one_is_refused_with_those_that_exist(self) -> None:
        with pytest.raises(StandinError, match="unknown generation 'g3'; known: g0, g1, g1b, g2"):
            async with serve(StandinOptions(generation="g3")):
                pass

    async def test_an_unknown_kind_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(StandinError, match="unknown kind 'pictogram'; did you mean 'pictograph'"):
            async with serve(StandinOptions(kind="pictogram")):
                pass

    @pytest.mark.parametrize(
        ("generation", "keys"),
        [
            ("g0", {"success", "datasets", "count"}),
            ("g1", {"success", "datasets", "count"}),
            ("g1b", {"data", "pagination"}),
            ("g2", {"data", "pagination"}),
        ],
    )
    async def test_a_listing_has_the_envelope_of_its_generation(self, generation: str, keys: set[str]) -> None:
        async with standin_client(generation=generation) as client:
            assert set((await client.get("/datasets/", limit=1)).json) == keys

    @pytest.mark.parametrize(
        ("generation", "statuses"),
        [("g0", [404, 404, 404]), ("g1", [404, 200, 200]), ("g1b", [404, 200, 200]), ("g2", [200, 404, 404])],
    )
    async def test_the_probe_tells_generations_apart(self, generation: str, statuses: list[int]) -> None:
        async with standin_client(generation=generation) as client:
            paths = ("/datasets/harbour", "/datasets/by-name/harbour", "/datasets/by-name/meadow%20%26%20shore")
            assert [(await client.get(path)).status for path in paths] == statuses

    @pytest.mark.parametrize("generation", GENERATIONS)
    async def test_a_slash_at_the_end_counts(self, generation: str) -> None:
        async with standin_client(generation=generation) as client:
            assert (await client.get("/datasets")).status == 404

    @pytest.mark.parametrize(
        ("generation", "body"),
        [
            ("g0", {"error": "not_found", "message": "Dataset not found", "detail": "Dataset not found"}),
            ("g1", {"detail": "Dataset not found"}),
            (
                "g1b",
                {
                    "error": {"code": "not_found", "message": "Dataset not found", "details": {}},
                    "detail": "Dataset not found",
                },
            ),
        ],
    )
    async def test_an_error_has_the_body_of_its_generation(self, generation: str, body: Any) -> None:
        async with standin_client(generation=generation) as client:
            answer = await client.get("/datasets/by-name/nowhere/download")
            assert (answer.status, answer.json) == (404, body)

    async def test_g2_refuses_unknown_query_parameters(self) -> None:
        async with standin_client() as client:
            answer = await client.get("/images/", dataset="harbour", dataset_id="x")
            assert answer.status == 400
            assert "dataset_id" in answer.json["error"]["message"]

    async def test_g0_speaks_the_documented_annotations_and_understands_its_sdk(self) -> None:
        async with standin_client(generation="g0") as client:
            image = newest(client)
            body = {
                "annotations": [{"id": "b", "name": "boat", "type": "bbox", "bbox": [1, 2, 3, 4], "metadata": None}]
            }
            assert (await client.post(f"/annotations/{image.id}", body)).status == 200
            read = (await client.get(f"/annotations/{image.id}")).json["annotations"]
            assert read == [
                {
                    "id": "b",
                    "name": "boat",
                    "type": "bbox",
                    "bounding_box": {"x": 1, "y": 2, "w": 3, "h": 4},
                    "confidence": 1.0,
                }
            ]

    async def test_g0_lists_annotation_files_of_a_dataset(self) -> None:
        async with standin_client(generation="g0") as client:
            dataset = client.standin.world.dataset("harbour")
            rows = (await client.get(f"/annotations/dataset/{dataset.id}/download")).json["annotations"]
            assert {row["image_id"] for row in rows} == {image.id for image in dataset if image.annotations}
            first = await client.get(rows[0]["url"])
            assert first.json["image_uuid"] == rows[0]["image_id"]

    @pytest.mark.parametrize("generation", GENERATIONS)
    async def test_no_generation_returns_annotations_that_it_would_not_take(self, generation: str) -> None:
        async with standin_client(generation=generation, images=40) as client:
            for image in client.standin.world.dataset("harbour"):
                at = f"/annotations/{image.id}" if generation != "g2" else f"/annotations/harbour{place(image)}"
                read = (await client.get(at)).json["annotations"]
                assert len(read) == image.annotation_count
                saved = await client.post(at, {"annotations": read})
                assert saved.status == 200, (image.number, saved.body)
                assert (await client.get(at)).json["annotations"] == read


class TestListings:
    async def test_images_come_newest_first_and_pages_join_without_gap(self) -> None:
        async with standin_client(images=25) as client:
            rows: list[Any] = []
            more = True
            while more:
                page = (await client.get("/images/", dataset="harbour", limit=10, offset=len(rows))).json
                rows += page["data"]
                more = page["pagination"]["has_more"]
            assert [row["id"] for row in rows] == [image.id for image in client.standin.world.dataset("harbour").active]
            assert page["pagination"]["total"] == 25
            created = [row["created_at"] for row in rows]
            assert created == sorted(created, reverse=True)

    async def test_a_capped_page_is_short_and_says_that_more_follow(self) -> None:
        async with standin_client(page_cap=5) as client:
            page = (await client.get("/images/", dataset="harbour", limit=1_000)).json
            assert len(page["data"]) == 5
            assert page["pagination"]["has_more"]

    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("/images/", {"dataset": "harbour", "limit": 1_001}),
            ("/images/", {"dataset": "harbour", "offset": -1}),
            ("/images/", {"dataset": "harbour", "min_confidence_lt": "low"}),
            ("/datasets/harbour", {"include_images": "true", "images_limit": 10_001}),
            ("/datasets/harbour/download", {"limit": 10_001}),
            ("/datasets/harbour/download", {"mode": "everything"}),
            ("/images/", {}),
        ],
    )
    async def test_limits_that_are_documented_are_enforced(self, path: str, query: dict[str, Any]) -> None:
        async with standin_client() as client:
            assert (await client.get(path, **query)).status == 422

    async def test_filters_choose_among_images(self) -> None:
        async with standin_client(images=30) as client:
            images = client.standin.world.dataset("harbour").active
            for query, chosen in (
                ({"directory_path": "/day"}, [image.id for image in images if image.directory == "/day"]),
                ({"filename": "pier-00002.jpg"}, [image.id for image in images if image.filename == "pier-00002.jpg"]),
                ({"status": "review"}, [image.id for image in images if image.status == "review"]),
                ({"status": "in_progress"}, []),
                ({"min_confidence_lt": 0.9}, [image.id for image in images if (image.min_confidence or 1) < 0.9]),
            ):
                rows = (await client.get("/images/", dataset="harbour", **query)).json["data"]
                assert [row["id"] for row in rows] == chosen

    async def test_archived_images_are_listed_only_on_request(self) -> None:
        async with standin_client() as client:
            image = newest(client)
            client.standin.world.archive_image(image)
            assert (await client.get("/datasets/harbour")).json["data"]["archived_image_count"] == 1
            listed = (await client.get("/images/", dataset="harbour")).json["data"]
            everything = (await client.get("/images/", dataset="harbour", include_archived="true")).json["data"]
            assert image.id not in {row["id"] for row in listed}
            assert image.id in {row["id"] for row in everything}

    async def test_a_batch_holds_no_directories_and_only_the_wanted_links(self) -> None:
        async with standin_client(batch_cap=7) as client:
            for mode, names in (
                ("full", {"image_url", "annotation_url"}),
                ("images_only", {"image_url"}),
                ("annotations_only", {"annotation_url"}),
            ):
                data = (await client.get("/datasets/harbour/download", mode=mode, limit=10_000)).json["data"]
                assert data["total_items"] == len(data["items"]) == 7
                wanted = {"id", "filename", "file_size", "annotation_count"} | names
                assert all(set(item) == wanted for item in data["items"])

    async def test_a_status_filter_partitions_a_batch(self) -> None:
        async with standin_client(images=30) as client:
            parts = [
                (await client.get("/datasets/harbour/download", status_filter=status)).json["data"]["items"]
                for status in ("new", "annotate", "review", "complete")
            ]
            assert sum(map(len, parts)) == 30
            assert all(parts)

    async def test_a_hundred_thousand_images_are_listed_in_a_hundred_pages(self) -> None:
        async with standin_client(images=100_000, limit=None) as client:
            page = (await client.get("/images/", dataset="harbour", limit=1_000, offset=99_000)).json
            assert (len(page["data"]), page["pagination"]["total"]) == (1_000, 100_000)
            assert not page["pagination"]["has_more"]
            items = (await client.get("/datasets/harbour/download", limit=10_000)).json["data"]["items"]
            assert len({item["id"] for item in items}) == 10_000


class TestFiles:
    async def test_links_work_without_a_key_until_they_expire(self) -> None:
        async with standin_client(link_lifetime_s=60) as client:
            item = (await client.get("/datasets/harbour/download")).json["data"]["items"][0]
            image = client.standin.world.image(item["id"])
            assert item["image_url"].startswith(client.standin.storage_url)
            first = await client.fetch(item["image_url"])
            assert first.body == image.content
            assert len(first.body) == item["file_size"] == int(first.headers["Content-Length"])
            client.standin.clock.advance(61.0)
            late = await client.fetch(item["image_url"])
            assert late.status == 403
            assert b"ExpiredToken" in late.body
            assert not any(record.key_sent for record in client.standin.requests if record.origin == "storage")

    async def test_all_links_can_be_expired_at_once_and_new_ones_work(self) -> None:
        async with standin_client() as client:
            before = (await client.get("/datasets/harbour/download")).json["data"]["items"][0]["image_url"]
            client.standin.expire_links()
            assert (await client.fetch(before)).status == 403
            after = (await client.get("/datasets/harbour/download")).json["data"]["items"][0]["image_url"]
            assert (await client.fetch(after)).status == 200

    async def test_a_forged_link_is_refused(self) -> None:
        async with standin_client() as client:
            first, second = (await client.get("/datasets/harbour/download")).json["data"]["items"][:2]
            forged = first["image_url"].replace(first["id"], second["id"])
            assert (await client.fetch(forged)).status == 403
            assert (await client.fetch(first["image_url"].split("?")[0])).status == 403

    async def test_a_range_resumes_only_the_same_content(self) -> None:
        async with standin_client() as client:
            item = (await client.get("/datasets/harbour/download")).json["data"]["items"][0]
            whole = await client.fetch(item["image_url"])
            tag = whole.headers["ETag"]
            assert not tag.startswith("W/")
            rest = await client.fetch(item["image_url"], headers={"Range": "bytes=10-", "If-Range": tag})
            assert (rest.status, rest.body) == (206, whole.body[10:])
            assert rest.headers["Content-Range"] == f"bytes 10-{len(whole.body) - 1}/{len(whole.body)}"
            other = await client.fetch(item["image_url"], headers={"Range": "bytes=10-", "If-Range": '"other"'})
            assert (other.status, other.body) == (200, whole.body)
            beyond = await client.fetch(item["image_url"], headers={"Range": "bytes=999999-"})
            assert beyond.status == 416

    async def test_pictures_are_pictures_and_no_two_are_the_same_file(self) -> None:
        async with standin_client(images=40) as client:
            contents = set()
            for image in client.standin.world.dataset("harbour"):
                assert len(image.content) == image.size_bytes
                with Picture.open(io.BytesIO(image.content)) as picture:
                    picture.load()
                    assert picture.size == (image.width, image.height)
                    assert picture.get_format_mimetype() == image.mime
                contents.add(image.content)
            assert len(contents) == 40

    async def test_bytes_come_by_id_and_by_path(self) -> None:
        async with standin_client() as client:
            image = newest(client)
            by_id, by_path = await client.get(f"/images/{image.id}"), await client.get(f"/images/harbour{place(image)}")
            assert by_id.body == by_path.body == image.content
            assert (await client.get(f"/images/harbour/{image.id}")).status == 404

    async def test_hostile_names_are_sent_as_they_are(self) -> None:
        async with standin_client(hostile_names=True, images=40) as client:
            rows = (await client.get("/images/", dataset="harbour", limit=1_000)).json["data"]
            names = {row["filename"] for row in rows}
            assert {"..", "/etc/absolute.png", "CON.png", "line\nbreak.png", "Twin.png", "twin.png"} <= names
            assert {"caf\u00e9.png", "cafe\u0301.png"} <= names
            assert max(len(name.encode()) for name in names) == 300
            assert (await exported(client))["image_count"] == 40


class TestAnnotations:
    async def test_a_save_overwrites_and_tells_the_counts(self) -> None:
        async with standin_client() as client:
            image = newest(client)
            before = image.annotation_count
            answer = await save(client, [BOX])
            assert answer.json == {
                "image_id": image.id,
                "previous_count": before,
                "new_count": 1,
                "status": image.status,
            }
            kept = image.annotations[0]
            assert kept["bounding_box"] == BOX["bounding_box"]
            assert (kept["confidence"], kept["attributes"]) == (1.0, [])
            assert str(kept["created_by"]).startswith("api-key:pk_live_")
            assert image.revision == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            {**BOX, "name": "zeppelin"},
            {**BOX, "id": " "},
            {**BOX, "colour": "red"},
            {**BOX, "confidence": None},
            {**BOX, "confidence": 1.5},
            {**BOX, "metadata": {}},
            {**BOX, "type": "skeleton"},
            {**BOX, "bounding_box": {"x": 1, "y": 1, "w": 0, "h": 1}},
            {**BOX, "bounding_box": {"x": 1, "y": 1, "w": 1, "h": 1, "z": 1}},
            {key: value for key, value in BOX.items() if key != "id"},
            {
                "id": "k",
                "name": "eye",
                "type": "keypoint",
                "keypoint": {"x": 1, "y": 1},
                "bounding_box": BOX["bounding_box"],
            },
            {"id": "k", "name": "eye", "type": "keypoint", "keypoint": {"x": 1, "y": 1}, "instance_id": 0},
            {
                "id": "p",
                "name": "building",
                "type": "polygon",
                "polygon": {"paths": [[{"x": 0, "y": 0}, {"x": 1, "y": 1}]]},
            },
            {"id": "l", "name": "lane", "type": "polyline", "polyline": {"path": [{"x": 0, "y": 0}]}},
        ],
    )
    async def test_one_malformed_annotation_fails_a_save_and_a_whole_bulk_call(self, wrong: Any) -> None:
        async with standin_client() as client:
            first, second = client.standin.world.dataset("harbour").active[:2]
            before = first.annotations, second.annotations
            assert (await save(client, [wrong])).status == 422
            saves = [{"image_id": first.id, "annotations": []}, {"image_id": second.id, "annotations": [wrong]}]
            assert (await client.post("/annotations/bulk", {"saves": saves})).status == 422
            assert (first.annotations, second.annotations) == before

    async def test_an_id_twice_or_an_image_id_in_the_body_is_refused(self) -> None:
        async with standin_client() as client:
            assert (await save(client, [BOX, BOX])).status == 422
            body = {"annotations": [BOX], "image_id": newest(client).id}
            refused = await client.post(f"/annotations/harbour{place(newest(client))}", body)
            assert refused.status == 422
            assert "image_id" in refused.json["error"]["message"]

    async def test_a_bulk_save_reports_unknown_images_and_takes_at_most_two_hundred(self) -> None:
        async with standin_client() as client:
            image = newest(client)
            unknown = "00000000-0000-4000-8000-000000000000"
            saves = [{"image_id": image.id, "annotations": [BOX]}, {"image_id": unknown, "annotations": [BOX]}]
            answer = (await client.post("/annotations/bulk", {"saves": saves})).json
            assert [entry["image_id"] for entry in answer["saved"]] == [image.id]
            assert [entry["image_id"] for entry in answer["failed"]] == [unknown]
            many = [{"image_id": image.id, "annotations": []}] * 201
            assert (await client.post("/annotations/bulk", {"saves": many})).status == 422
            assert len(image.annotations) == 1

    async def test_a_repeated_idempotency_key_gets_the_first_answer_for_a_day(self) -> None:
        async with standin_client() as client:
            image = newest(client)
            first = await save(client, [BOX], headers={"Idempotency-Key": "k"})
            client.standin.world.save(image, [])
            again = await save(client, [BOX], headers={"Idempotency-Key": "k"})
            assert again.json == first.json
            assert image.annotations == ()
            client.standin.clock.advance(86_401.0)
            assert (await save(client, [BOX], headers={"Idempotency-Key": "k"})).json["previous_count"] == 0
            assert len(image.annotations) == 1

    async def test_class_operations_rewrite_many_images(self) -> None:
        async with standin_client(images=30) as client:
            harbour = client.standin.world.dataset("harbour")
            body = {"dataset": "harbour", "source_name": "ship", "target_name": "boat"}
            merged = (await client.post("/annotations/merge-class", body)).json["data"]
            assert merged["annotations_updated"] > 0
            assert "ship" not in harbour.class_names
            drop = {"dataset": "harbour", "name": "eye", "class_type": None, "delete_annotations": True}
            dropped = (await client.post("/annotations/delete-class", drop)).json["data"]
            assert dropped["annotations_removed"] > 0
            names = {annotation["name"] for image in harbour for annotation in image.annotations}
            assert names == {"boat", "building", "lane"}


class TestExports:
    async def test_an_archive_holds_one_document_for_each_image(self) -> None:
        async with standin_client() as client:
            row = await exported(client, include_images=True)
            archive = await client.fetch(row["download_url"])
            assert len(archive.body) == row["file_size"]
            with zipfile.ZipFile(io.BytesIO(archive.body)) as opened:
                names = opened.namelist()
                documents = [json.loads(opened.read(name)) for name in names if name.endswith(".json")]
                assert sum(not name.endswith(".json") for name in names) == 12
            for document in documents:
                image = client.standin.world.image(document["image_uuid"])
                assert (document["image_path"], document["image"]) == image.place
                assert document["annotations"] == list(image.annotations)
                assert document["annotation_count"] == len(image.annotations)
                file = await client.get(f"/annotations/{image.id}/file")
                assert file.json == document

    async def test_an_archive_shows_the_moment_of_its_order(self) -> None:
        async with standin_client(export_build_s=30.0) as client:
            image = newest(client)
            before = list(image.annotations)
            await client.post("/exports/", {"dataset_name": "harbour", "name": "e"})
            client.standin.world.annotate(image)
            for _ in range(4):
                row = (await client.get("/exports/e", dataset="harbour")).json["data"]
                assert row["status"] == "processing"
            assert (await client.get("/exports/e/download", dataset="harbour")).status == 409
            client.standin.clock.advance(31.0)
            while row["status"] != "completed":
                row = (await client.get("/exports/e", dataset="harbour")).json["data"]
                await asyncio.sleep(0.01)
            link = (await client.get("/exports/e/download", dataset="harbour")).json["data"]["download_url"]
            with zipfile.ZipFile(io.BytesIO((await client.fetch(link)).body)) as opened:
                document = json.loads(opened.read(f"annotations{place(image)}.json"))
            assert document["annotations"] == before

    async def test_polls_can_be_what_an_export_waits_for(self) -> None:
        async with standin_client(export_polls=3) as client:
            await client.post("/exports/", {"dataset_name": "harbour", "name": "e"})
            rows = [(await client.get("/exports/e", dataset="harbour")).json["data"] for _ in range(3)]
            assert [row["status"] for row in rows] == ["pending", "processing", "processing"]

    async def test_filters_and_empty_images_shape_an_archive(self) -> None:
        async with standin_client(export_empty=False, images=30) as client:
            row = await exported(client, class_filter=["lane"], status_filter="review")
            chosen = [
                image
                for image in client.standin.world.dataset("harbour")
                if image.status == "review" and any(entry["name"] == "lane" for entry in image.annotations)
            ]
            assert row["image_count"] == len(chosen) > 0

    async def test_names_are_unique_until_deleted(self) -> None:
        async with standin_client() as client:
            body = {"dataset_name": "harbour", "name": "e"}
            assert (await client.post("/exports/", body)).status == 201
            assert (await client.post("/exports/", body)).status == 409
            assert (await client.ask("DELETE", "/exports/e", params={"dataset": "harbour"})).status == 200
            assert (await client.get("/exports/e", dataset="harbour")).status == 404
            assert (await client.post("/exports/", body)).status == 201

    @pytest.mark.parametrize(
        ("generation", "path"),
        [("g0", "/exports/harbour/e"), ("g1", "/exports/harbour/e"), ("g1b", "/exports/by-name/harbour/e")],
    )
    async def test_older_generations_find_an_export_by_dataset_and_name(self, generation: str, path: str) -> None:
        async with standin_client(generation=generation) as client:
            await client.post("/exports/", {"dataset_name": "harbour", "name": "e"})
            row = (await client.get(path)).json
            assert (row.get("export") or row["data"])["name"] == "e"


class TestPeople:
    async def test_another_persons_edits_are_seen_by_the_next_read(self) -> None:
        async with standin_client() as client:
            world, image = client.standin.world, newest(client)
            count = image.annotation_count
            added = world.annotate(image)
            world.move_geometry(image, added, by=2)
            read = (await client.get(f"/annotations/harbour{place(image)}")).json["annotations"]
            assert len(read) == count + 1
            assert read[-1]["bounding_box"]["x"] == 3
            world.erase_annotation(image, added)
            assert image.annotation_count == count
            assert image.revision == 3

    async def test_a_moved_shape_changes_no_row(self) -> None:
        async with standin_client(images=30) as client:
            before = (await client.get("/images/", dataset="harbour")).json
            for image in client.standin.world.dataset("harbour"):
                if image.annotations:
                    old = image.annotations
                    client.standin.world.move_geometry(image)
                    assert image.annotations != old
            after = (await client.get("/images/", dataset="harbour")).json
            assert after == before

    async def test_images_come_go_and_move_under_the_same_id(self) -> None:
        async with standin_client() as client:
            world, image = client.standin.world, newest(client)
            harbour = world.dataset("harbour")
            added = world.add_image(harbour, "late.png", "/day", annotations=[BOX])
            world.move_image(image, "/elsewhere", "renamed.png")
            removed = harbour.active[2]
            world.remove_image(removed)
            rows = (await client.get("/images/", dataset="harbour")).json["data"]
            assert rows[0]["id"] == added.id
            assert {row["id"]: row["directory_path"] for row in rows}[image.id] == "/elsewhere"
            assert removed.id not in {row["id"] for row in rows}
            assert (await client.get(f"/annotations/{removed.id}/file")).status == 404
            with pytest.raises(ValueError, match="already exists"):
                world.add_image(harbour, "late.png", "/day")

    async def test_the_same_seed_makes_the_same_world(self) -> None:
        async with standin_client(seed=7) as one, standin_client(seed=7) as two, standin_client(seed=8) as three:
            ids = [[image.id for image in client.standin.world.dataset("harbour")] for client in (one, two, three)]
            assert ids[0] == ids[1]
            assert ids[0] != ids[2]
            assert one.standin.key == two.standin.key


class TestUploads:
    async def test_a_registration_needs_an_upload_of_the_stated_size_and_a_free_place(self) -> None:
        async with standin_client() as client:
            content = newest(client).content
            wanted = {"dataset": "harbour", "filename": "up.png", "directory_path": "/", "content_type": "image/png"}
            register = {**wanted, "file_size": len(content), "width": 8, "height": 8}
            link = (await client.post("/images/upload-url", wanted)).json["data"]["upload_url"]
            assert (await client.post("/images/register", register)).status == 400
            assert (await client.fetch(link, method="PUT", data=content)).status == 200
            assert (await client.post("/images/register", {**register, "file_size": 1})).status == 400
            row = (await client.post("/images/register", register)).json["data"]
            assert (await client.get(f"/images/{row['id']}")).body == content
            assert (await client.post("/images/upload-url", wanted)).status == 409


class TestCounters:
    async def test_the_log_counts_by_route_and_origin(self) -> None:
        async with standin_client() as client:
            item = (await client.get("/datasets/harbour/download")).json["data"]["items"][0]
            await client.fetch(item["image_url"])
            await client.get("/images/", dataset="harbour", limit=3)
            log = client.standin.requests
            assert dict(log.by_route) == {"datasets.download": 1, "storage.image": 1, "images.list": 1}
            assert (log.api, log.storage) == (2, 1)
            latest = list(log)[-1]
            assert (latest.method, latest.query["limit"], latest.status, latest.key_sent) == ("GET", "3", 200, True)
            assert latest.sent_bytes > 0
            log.clear()
            assert (len(log), log.api) == (0, 0)
