"""The stand-in COCO Annotator keeps to the wire contract, odd and wrong answers included."""

import asyncio
import io
from collections import Counter
from typing import Any

import pytest
from PIL import Image as Picture

from support.coco_client import CocoClient, coco_client

UNAUTHORIZED = {"success": False, "message": "Authorization required"}
NOBODY = None


class TestLogin:
    async def test_basic_needs_the_password_and_minds_no_case_in_the_name(self) -> None:
        async with coco_client() as client:
            user, password = client.login
            assert (await client.get("/user/")).json["user"]["is_admin"] is True
            assert (await client.ask("GET", "/user/", login=(user.upper(), password))).status == 200
            for login in (NOBODY, (user, "wrong"), ("ghost", password)):
                refused = await client.ask("GET", "/dataset/", login=login)
                assert (refused.status, refused.json) == (401, UNAUTHORIZED)
                assert "WWW-Authenticate" not in refused.headers

    async def test_a_cookie_of_a_session_stays_good_after_its_end(self) -> None:
        async with coco_client() as client:
            user, password = client.login
            answer = await client.post("/user/login", {"username": user, "password": password}, login=NOBODY)
            assert answer.status == 200
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
            client.session.cookie_jar.clear()
            for path in ("/user/logout", "/dataset/"):
                assert (await client.ask("GET", path, login=NOBODY, headers={"Cookie": cookie})).status == 200
            client.session.cookie_jar.clear()
            forged = await client.ask("GET", "/dataset/", login=NOBODY, headers={"Cookie": f"{cookie}0"})
            assert forged.status == 401

    async def test_a_wrong_password_at_the_login_is_400(self) -> None:
        async with coco_client() as client:
            answer = await client.post("/user/login", {"username": "admin", "password": "x"}, login=NOBODY)
            assert answer.status == 400
            assert answer.json == {"success": False, "message": "Could not authenticate user"}

    async def test_information_and_by_mistake_the_change_of_a_dataset_need_no_login(self) -> None:
        async with coco_client() as client:
            assert (await client.ask("GET", "/info/", login=NOBODY)).json["login_enabled"] is True
            answer = await client.post(f"/dataset/{client.harbour.id}", {"categories": ["boat", "kite"]}, login=NOBODY)
            assert answer.status == 200
            names = [client.world.categories[number].name for number in client.harbour.categories]
            assert names == ["boat", "kite"]


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "status", "html"),
        [
            ("GET", "/nowhere", 404, True),
            ("GET", "/dataset/1", 404, True),
            ("GET", "/undo/", 404, True),
            ("GET", "/annotator/data", 404, True),
            ("GET", "/image/abc", 404, True),
            ("PUT", "/dataset/", 405, False),
            ("POST", "/image/1", 405, False),
            ("GET", "/annotation/99999", 400, False),
            ("GET", "/image/99999", 400, False),
            ("GET", "/image/99999/coco", 400, False),
            ("GET", "/annotator/data/99999", 400, False),
            ("GET", "/dataset/99999/coco", 400, False),
            ("GET", "/dataset/99999/data", 500, False),
            ("GET", "/image/?page=0", 500, False),
            ("GET", "/image/?per_page=0", 500, False),
            ("GET", "/image/?page=x", 400, False),
            ("GET", "/dataset/data?limit=0", 500, False),
            ("GET", "/dataset/1/data?limit=0", 500, False),
            ("GET", "/dataset/1/data?folder=nowhere", 400, False),
            ("GET", "/dataset/1/data?id__gt=x", 500, False),
        ],
    )
    async def test_what_cannot_be_answered_is_refused_in_the_odd_way_of_the_server(
        self, method: str, path: str, status: int, html: bool
    ) -> None:
        async with coco_client() as client:
            answer = await client.ask(method, path)
            assert answer.status == status
            assert answer.headers["Content-Type"].startswith("text/html" if html else "application/json")

    async def test_a_slash_too_few_is_a_redirect(self) -> None:
        async with coco_client() as client:
            answer = await client.get("/dataset")
            assert (answer.status, answer.headers["Location"]) == (308, "/api/dataset/")

    async def test_a_body_that_is_not_json_and_a_missing_argument_are_400(self) -> None:
        async with coco_client() as client:
            broken = await client.ask("POST", "/annotation/", data=b"{")
            assert broken.status == 400
            assert "could not understand" in broken.json["message"]
            missing = await client.post("/annotation/", {"category_id": 1})
            assert missing.json == {
                "errors": {"image_id": "Missing required parameter in the JSON body"},
                "message": "Input payload validation failed",
            }

    async def test_an_idle_connection_is_closed_after_two_seconds(self) -> None:
        async with coco_client() as client:
            host, port = client.standin.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /api/info/ HTTP/1.1\r\nHost: x\r\n\r\n")
            # The server ends it: without a word after the answer, and long before the minutes of other servers.
            assert b'"name"' in await asyncio.wait_for(reader.read(), 30)
            writer.close()


class TestDatasets:
    async def test_lists_leave_out_what_is_deleted(self) -> None:
        async with coco_client() as client:
            rows = (await client.get("/dataset/")).json
            assert [row["name"] for row in rows] == ["harbour", "meadow & shore"]
            assert rows[0]["directory"] == "/datasets/harbour/"

    async def test_pages_count_images_and_echo_the_last_page_past_the_end(self) -> None:
        async with coco_client() as client:
            page = (await client.get("/dataset/data", page=2, limit=1)).json
            assert [row["name"] for row in page["datasets"]] == ["meadow & shore"]
            assert page["datasets"][0]["numberImages"] == 4
            past = (await client.get("/dataset/data", page=9, limit=1)).json
            assert (past["datasets"], past["pagination"]["page"]) == ([], 2)
            assert (await client.get("/dataset/data", page=0)).json["pagination"]["page"] == 1

    async def test_a_name_is_taken_also_by_what_is_deleted(self) -> None:
        async with coco_client() as client:
            made = (await client.post("/dataset/", {"name": "new", "categories": ["boat", "kite"]})).json
            assert [client.world.categories[number].name for number in made["categories"]] == ["boat", "kite"]
            for name in ("new", "attic"):
                assert (await client.post("/dataset/", {"name": name})).status == 400

    async def test_default_metadata_reaches_annotations_that_lack_its_keys(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            first = client.world.annotations_of(image)[0]
            first.metadata = {"name": "kept"}
            metadata = {"name": "", "seen": "no"}
            await client.post(f"/dataset/{client.harbour.id}", {"default_annotation_metadata": metadata})
            assert first.metadata == {"name": "kept", "seen": "no"}
            assert client.world.create(image, 1, "admin").metadata == metadata

    async def test_deleted_categories_are_in_one_list_and_not_in_the_other(self) -> None:
        async with coco_client() as client:
            assert "wreck" in {row["name"] for row in (await client.get("/category/")).json if row["deleted"]}
            page = (await client.get("/category/data")).json["categories"]
            assert {row["name"]: row["numberAnnotations"] for row in page}["buoy"] == 0
            assert "wreck" not in {row["name"] for row in page}

    async def test_a_change_of_a_category_empties_what_it_leaves_out(self) -> None:
        async with coco_client() as client:
            person = client.world.category("person")
            assert (await client.ask("PUT", f"/category/{person.id}", json={"name": "person"})).status == 200
            row = next(row for row in (await client.get("/category/")).json if row["id"] == person.id)
            assert (row["keypoint_labels"], row["keypoint_edges"]) == ([], [])
            assert "color" not in row


async def walked(client: CocoClient, path: str, size: str, count: int, **query: str | int) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = []
    while not pages or pages[-1]["images"]:
        pages.append((await client.get(path, page=len(pages) + 1, **{size: count}, **query)).json)
    return pages


class TestListings:
    async def test_pages_are_counted_from_nought_in_answers_and_one_too_many_is_promised(self) -> None:
        async with coco_client() as client:
            total = len([image for image in client.world.images.values() if not image.deleted])
            assert total == 17
            pages = await walked(client, "/image/", "per_page", 4)
            assert [page["page"] for page in pages] == [0, 1, 2, 3, 4, 5]
            assert {page["total"] for page in pages} == {total}
            assert {page["pages"] for page in pages} == {5}
            even = (await client.get("/image/", per_page=17)).json
            assert (even["pages"], len(even["images"])) == (2, 17)

    async def test_images_of_a_deleted_dataset_are_listed_and_deleted_images_are_not(self) -> None:
        async with coco_client() as client:
            rows = (await client.get("/image/", per_page=1000)).json["images"]
            attic = client.world.dataset("attic")
            assert attic.deleted
            assert attic.id in {row["dataset_id"] for row in rows}
            assert "gone.png" not in {row["file_name"] for row in rows}

    async def test_only_the_asked_fields_and_the_id_come(self) -> None:
        async with coco_client() as client:
            page = (await client.get("/image/", fields="path,width")).json
            assert page["fields"] == "path,width"
            assert {frozenset(row) for row in page["images"]} == {frozenset({"id", "path", "width"})}

    async def test_equal_names_change_places_unless_the_order_is_by_id(self) -> None:
        async with coco_client() as client:
            path = f"/dataset/{client.harbour.id}/data"
            ids = [image.id for image in client.images()]

            async def order(**query: str | int) -> tuple[int, ...]:
                return tuple(row["id"] for row in (await client.get(path, limit=100, **query)).json["images"])

            assert len({await order() for _ in range(20)}) > 1
            assert {await order(order="id") for _ in range(20)} == {tuple(ids)}
            assert sorted(await order()) == ids

    async def test_keysets_and_filters_narrow_a_listing(self) -> None:
        async with coco_client() as client:
            path = f"/dataset/{client.harbour.id}/data"
            ids: list[int] = []
            while page := (await client.get(path, limit=5, order="id", id__gt=ids[-1] if ids else 0)).json["images"]:
                ids += [row["id"] for row in page]
            assert ids == [image.id for image in client.images()]
            annotated = (await client.get(path, limit=100, annotated="true")).json
            assert annotated["total"] == sum(image.annotated for image in client.images()) < len(ids)
            assert (await client.get(path, num_annotations__gte=1)).json["total"] == annotated["total"]
            assert (await client.get(path, no_such_field=1)).json["images"] == []

    async def test_folders_narrow_a_listing_and_images_below_are_included(self) -> None:
        async with coco_client() as client:
            path = f"/dataset/{client.harbour.id}/data"
            everything = (await client.get(path)).json
            assert (everything["total"], everything["subdirectories"]) == (12, ["day", "night"])
            night = (await client.get(path, folder="night")).json
            assert (night["total"], night["subdirectories"]) == (6, ["rain"])

    async def test_a_size_below_nought_gives_one_image_and_nonsense(self) -> None:
        async with coco_client() as client:
            page = (await client.get(f"/dataset/{client.harbour.id}/data", limit=-1)).json
            assert (len(page["images"]), page["pages"]) == (1, -11)

    async def test_names_are_equal_in_several_folders_and_paths_can_leave_the_folder(self) -> None:
        async with coco_client(images=24, hostile_names=True) as client:
            assert any("/../" in image.path for image in client.images())
        async with coco_client() as client:
            assert max(Counter(image.file_name for image in client.images()).values()) > 1
            assert len({image.path for image in client.images()}) == len(client.images())


class TestBytes:
    async def test_the_original_comes_exactly_with_its_validators(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            answer = await client.get(f"/image/{image.id}", original="true")
            assert answer.body == image.content
            assert answer.headers["Content-Type"] == "image/png"
            assert f"-{len(image.content)}-" in answer.headers["ETag"]
            head = await client.ask("HEAD", f"/image/{image.id}", params={"original": "1"})
            assert (head.status, head.body) == (200, b"")
            for name in ("ETag", "Content-Length", "Last-Modified", "Content-Type"):
                assert head.headers[name] == answer.headers[name]

    @pytest.mark.parametrize("query", [{}, {"original": ""}, {"asAttachment": "true"}, {"width": "20"}])
    async def test_anything_else_is_a_jpeg_under_the_type_of_the_file(self, query: dict[str, str]) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            answer = await client.ask("GET", f"/image/{image.id}", params=query)
            assert answer.headers["Content-Type"] == "image/png"
            assert answer.body.startswith(b"\xff\xd8\xff")
            assert "ETag" not in answer.headers
            assert "Content-Length" not in answer.headers
            with Picture.open(io.BytesIO(answer.body)) as picture:
                assert picture.width == (20 if "width" in query else image.width)

    @pytest.mark.parametrize("text", ["false", "0", "no"])
    async def test_any_text_means_yes(self, text: str) -> None:
        async with coco_client() as client:
            assert "ETag" in (await client.get(f"/image/{client.images()[0].id}", original=text)).headers

    async def test_an_older_server_knows_no_originals(self) -> None:
        async with coco_client() as client:
            client.world.knows_original = False
            answer = await client.get(f"/image/{client.images()[0].id}", original="true")
            assert (answer.status, "ETag" in answer.headers) == (200, False)

    async def test_ranges_and_conditions_are_not_looked_at(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            etag = (await client.get(f"/image/{image.id}", original="true")).headers["ETag"]
            headers = {"Range": "bytes=5-", "If-None-Match": etag}
            answer = await client.ask("GET", f"/image/{image.id}", params={"original": "true"}, headers=headers)
            assert (answer.status, answer.body) == (200, image.content)

    async def test_a_name_of_latin_letters_breaks_the_attachment(self) -> None:
        async with coco_client() as client:
            latin = client.world.add_image(client.harbour, "c d é.jpg")
            answer = await client.get(f"/image/{latin.id}", asAttachment="false", original="true")
            assert (answer.status, answer.headers["Connection"]) == (500, "close")
            assert answer.headers["Content-Type"].startswith("text/html")
            assert (await client.get(f"/image/{latin.id}", original="true")).status == 200
            japanese = client.world.add_image(client.harbour, "日本.jpg")
            assert (await client.get(f"/image/{japanese.id}", asAttachment="true")).status == 200

    async def test_another_file_in_its_place_shows_in_the_validator_alone(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            before = (await client.read(image))["image"]
            etag = (await client.get(f"/image/{image.id}", original="true")).headers["ETag"]
            client.world.replace_file(image, client.images()[5].content)
            assert (await client.get(f"/image/{image.id}", original="true")).headers["ETag"] != etag
            assert (await client.read(image))["image"] == before

    async def test_what_is_not_on_the_disk_breaks_and_what_is_deleted_is_unknown(self) -> None:
        async with coco_client() as client:
            first, second = client.images()[:2]
            first.on_disk = False
            assert (await client.get(f"/image/{first.id}", original="true")).status == 500
            client.world.delete(second)
            gone = await client.get(f"/image/{second.id}", original="true")
            assert (gone.status, gone.json) == (400, {"success": False})
