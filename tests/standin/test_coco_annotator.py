"""The stand-in COCO Annotator keeps to the wire contract, odd and wrong answers included."""

import asyncio
import io
import random
from collections import Counter
from typing import Any

import aiohttp
import pytest
from PIL import Image as Picture

from labelmirror.standin import Fault, FaultKind
from labelmirror.standin.coco_annotator.geometry import from_paper, measured, to_paper
from support.coco_client import CocoClient, coco_client
from support.standin_client import Answer

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

    async def test_a_server_without_logins_takes_anybody_for_an_owner(self) -> None:
        async with coco_client() as client:
            client.world.open_to_all = True
            assert (await client.ask("GET", "/info/", login=NOBODY)).json["login_enabled"] is False
            assert (await client.ask("GET", "/user/", login=NOBODY)).json["username"] == "anonymous"
            assert (await client.ask("GET", "/image/", login=NOBODY)).json["total"] == 17


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


BOX = [10, 10, 30, 10, 30, 20, 10, 20]


def flat(read: Any) -> dict[int, Any]:
    """The annotations of a reading by their ids."""
    return {entry["id"]: entry for group in read["categories"] for entry in group["annotations"]}


def complete(read: Any) -> dict[str, Any]:
    """The body that saves a reading as it is."""
    named = ("id", "name", "color", "keypoint_edges", "keypoint_labels", "keypoint_colors")
    kept = ("id", "isbbox", "color", "metadata", "keypoints")
    return {
        "mode": "segment",
        "user": read["preferences"],
        "dataset": {"id": read["dataset"]["id"], "annotate_url": read["dataset"]["annotate_url"]},
        "image": {name: read["image"][name] for name in ("id", "metadata", "category_ids")},
        "categories": [
            {
                **{name: group.get(name) for name in named},
                "annotations": [
                    {**{name: entry.get(name) for name in kept}, "sessions": [], "compoundPath": entry["paper_object"]}
                    for entry in group["annotations"]
                ],
            }
            for group in read["categories"]
        ],
    }


def without(entry: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}


def steady(read: Any) -> Any:
    """A reading without what is never the same, and without what a save changes by itself."""
    return {**without(read, "time_ms"), "image": without(read["image"], "regenerate_thumbnail")}


class TestReading:
    async def test_an_image_comes_with_all_categories_of_its_dataset_and_what_is_visible(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            client.harbour.annotate_url = "x"
            hidden = client.world.create(image, client.world.category("wreck").id, "admin")
            stray = client.world.create(image, 999, "admin")
            read = await client.read(image)
            assert [group["name"] for group in read["categories"]] == ["boat", "building", "person", "buoy"]
            visible = {entry.id for entry in client.world.annotations_of(image)} - {hidden.id, stray.id}
            assert set(flat(read)) == visible
            assert read["dataset"]["annotate_url"] == "x"
            assert all(entry["events"] == [] and entry["paper_object"] for entry in flat(read).values())
            assert isinstance(read["time_ms"], int)

    async def test_all_annotations_come_at_once_the_deleted_ones_too(self) -> None:
        async with coco_client() as client:
            rows = (await client.get("/annotation/")).json
            assert {row["id"] for row in rows} == set(client.world.annotations)
            assert any(row["deleted"] and "deleted_date" in row for row in rows)
            assert all("paper_object" not in row for row in rows)
            numbers = [row["id"] for row in rows]
            assert numbers != list(range(1, len(numbers) + 1))

    async def test_a_deleted_image_can_still_be_read(self) -> None:
        async with coco_client() as client:
            image = client.images()[1]
            client.world.delete(image)
            assert (await client.read(image))["image"]["deleted"] is True
            assert (await client.get(f"/image/{image.id}/coco")).status == 200

    async def test_people_who_have_an_image_open_are_named(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            image.annotating.append("carol")
            assert (await client.read(image))["image"]["annotating"] == ["carol"]

    async def test_the_sample_holds_something_of_everything(self) -> None:
        async with coco_client() as client:
            entries = [entry for image in client.images() for entry in client.world.annotations_of(image)]
            assert any(entry.isbbox for entry in entries)
            assert any(len(entry.segmentation) > 1 for entry in entries)
            assert any(entry.keypoints for entry in entries)
            assert any(entry.metadata for entry in entries)
            assert any(not client.world.annotations_of(image) for image in client.images())
            assert any(image.metadata for image in client.images())
            assert client.world.category("buoy").id not in {entry.category_id for entry in entries}
            for image in client.images():
                assert image.num_annotations == len(client.world.annotations_of(image))

    async def test_coco_of_an_image_has_its_used_categories_and_counts_keypoints(self) -> None:
        async with coco_client() as client:
            image = client.images()[2]
            person = client.world.category("person")
            client.world.draw(image, person, [], keypoints=[1, 2, 2, 3, 4, 1, 0, 0, 0])
            coco = (await client.get(f"/image/{image.id}/coco")).json
            used = {entry["category_id"] for entry in coco["annotations"]}
            assert {entry["id"] for entry in coco["categories"]} == used
            made = coco["annotations"][-1]
            assert (made["num_keypoints"], made["bbox"]) == (2, [0.0, 0.0, 0.0, 0.0])
            category = next(entry for entry in coco["categories"] if entry["id"] == person.id)
            assert category["keypoints"] == ["head", "hand", "foot"]
            assert category["skeleton"] == [[1, 2], [2, 3]]

    async def test_coco_of_a_dataset_leaves_out_what_shows_nothing_and_breaks_on_broken_keypoints(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            empty = client.world.create(image, 1, "admin")
            coco = (await client.get(f"/dataset/{client.harbour.id}/coco")).json
            assert empty.id not in {entry["id"] for entry in coco["annotations"]}
            assert {row["id"] for row in coco["images"]} == {row.id for row in client.images() if row.annotated}
            client.world.annotations_of(image)[0].keypoints = "broken"
            for path in (f"/dataset/{client.harbour.id}/coco", f"/image/{image.id}/coco"):
                assert (await client.get(path)).status == 500
            assert (await client.get(f"/annotator/data/{image.id}")).status == 200


class TestSingleWrites:
    async def test_what_is_created_keeps_its_shape_and_nothing_else(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            before = (await client.read(image))["image"]
            wanted = {"image_id": image.id, "category_id": 1, "segmentation": [BOX], "isbbox": "false"}
            ignored = {
                "color": "#010203",
                "metadata": {"a": 1},
                "area": 5,
                "bbox": [1, 2, 3, 4],
                "iscrowd": True,
                "id": 7,
            }
            made = (await client.post("/annotation/", {**wanted, **ignored})).json
            assert made["segmentation"] == [BOX]
            assert (made["isbbox"], made["iscrowd"], made["metadata"]) == (True, False, {})
            assert (made["area"], made["bbox"], made["paper_object"]) == (0, [0, 0, 0, 0], [])
            assert made["color"] != "#010203"
            assert made["id"] == max(client.world.annotations)
            read = await client.read(image)
            assert read["image"] == before
            assert made["id"] in flat(read)

    @pytest.mark.parametrize(("sent", "kept"), [("ab", ["a", "b"]), ({"counts": "x", "size": [1]}, ["counts", "size"])])
    async def test_a_segmentation_is_not_looked_at(self, sent: Any, kept: list[str]) -> None:
        async with coco_client() as client:
            body = {"image_id": client.images()[0].id, "category_id": 77, "segmentation": sent}
            assert (await client.post("/annotation/", body)).json["segmentation"] == kept

    async def test_what_is_refused_leaves_a_gap_in_the_ids(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            last = max(client.world.annotations)
            assert (await client.post("/annotation/", {"image_id": 999, "category_id": 1})).json == {
                "message": "Invalid image id"
            }
            assert (await client.post("/annotation/", {"image_id": image.id})).status == 500
            made = (await client.post("/annotation/", {"image_id": image.id, "category_id": 1})).json
            assert made["id"] == last + 3

    async def test_a_change_reads_the_category_alone_and_takes_it_away_if_absent(self) -> None:
        async with coco_client() as client:
            entry = client.world.annotations_of(client.images()[0])[0]
            before = (await client.get(f"/annotation/{entry.id}")).json
            changed = (await client.ask("PUT", f"/annotation/{entry.id}", json={"category_id": 2, "color": "x"})).json
            assert changed == {**before, "category_id": 2}
            taken = (await client.ask("PUT", f"/annotation/{entry.id}", json={})).json
            assert taken == without(before, "category_id")

    async def test_a_deletion_is_a_mark_and_can_be_repeated(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            entry = client.world.annotations_of(image)[0]
            for _ in range(2):
                assert (await client.ask("DELETE", f"/annotation/{entry.id}")).json == {"success": True}
            assert (await client.get(f"/annotation/{entry.id}")).json["deleted"] is True
            assert entry.id not in flat(await client.read(image))
            assert (await client.ask("DELETE", "/annotation/9999")).status == 400

    async def test_annotations_of_an_image_that_is_gone_cannot_be_deleted(self) -> None:
        async with coco_client() as client:
            first, second = client.images()[:2]
            kept, orphan = client.world.annotations_of(first)[0], client.world.annotations_of(second)[0]
            client.world.delete(first)
            client.world.lose_image(second)
            for entry in (kept, orphan):
                assert (await client.ask("DELETE", f"/annotation/{entry.id}")).status == 500
                assert not entry.deleted
            assert "image_id" not in (await client.get(f"/annotation/{orphan.id}")).json


class TestSaving:
    async def test_a_complete_body_changes_nothing(self) -> None:
        async with coco_client() as client:
            for image in client.images():
                before = await client.read(image)
                answer = await client.post("/annotator/data", complete(before))
                assert answer.json["success"] is True
                assert steady(await client.read(image)) == steady(before)

    async def test_only_what_is_named_and_exists_on_the_image_is_written(self) -> None:
        async with coco_client() as client:
            image, other = client.images()[0], client.images()[1]
            foreign = client.world.annotations_of(other)[0]
            body = complete(await client.read(image))
            named, left = body["categories"][0]["annotations"][0], body["categories"][1]["annotations"]
            left_before = {entry["id"]: flat(await client.read(image))[entry["id"]] for entry in left}
            body["categories"] = body["categories"][:1]
            body["categories"][0]["annotations"] = [
                {**named, "metadata": {"name": "new"}},
                {"id": foreign.id, "metadata": {"name": "stolen"}},
                {"id": 99_999, "metadata": {}},
            ]
            assert (await client.post("/annotator/data", body)).status == 200
            after = flat(await client.read(image))
            assert after[named["id"]]["metadata"] == {"name": "new"}
            assert {number: after[number] for number in left_before} == left_before
            assert foreign.metadata != {"name": "stolen"}
            assert image.num_annotations == 1

    async def test_without_a_dataset_it_is_refused_with_200(self) -> None:
        async with coco_client() as client:
            before = await client.read(client.images()[0])
            answer = await client.post("/annotator/data", without(complete(before), "dataset"))
            refusal = {"success": False, "message": "Could not find associated dataset"}
            assert (answer.status, answer.json) == (200, refusal)
            assert steady(await client.read(client.images()[0])) == steady(before)

    async def test_what_a_body_leaves_out_is_wiped(self) -> None:
        async with coco_client() as client:
            image = client.images()[2]
            person = client.world.category("person")
            entry = client.world.draw(image, person, [BOX], keypoints=[1, 2, 2], isbbox=True, metadata={"k": 1})
            image.metadata, client.harbour.annotate_url = {"weather": "rain"}, "https://example.org"
            client.world.users["admin"].preferences = {"theme": "dark"}
            await client.post(
                "/annotator/data",
                {
                    "dataset": {},
                    "image": {"id": image.id},
                    "categories": [{"id": person.id, "annotations": [{"id": entry.id}]}],
                },
            )
            read = await client.read(image)
            assert (read["preferences"], read["dataset"]["annotate_url"]) == ({}, "")
            assert (read["image"]["metadata"], read["image"]["category_ids"]) == ({}, [])
            assert (read["image"]["annotated"], read["image"]["num_annotations"]) == (False, 0)
            saved = flat(read)[entry.id]
            assert (saved["metadata"], saved["keypoints"], saved["isbbox"]) == ({}, [], False)
            assert "color" not in saved
            # The outline is the one thing that stays, though it did not count.
            assert (saved["segmentation"], saved["area"]) == ([[float(number) for number in BOX]], 200)
            everywhere = next(row for row in (await client.get("/category/")).json if row["id"] == person.id)
            assert (everywhere["keypoint_labels"], everywhere["keypoint_edges"]) == ([], [])
            assert everywhere["keypoint_colors"] == []
            assert "color" not in everywhere
            untouched = next(row for row in (await client.get("/category/")).json if row["name"] == "boat")
            assert untouched["color"] == "#e6194b"

    async def test_who_may_not_edit_a_category_wipes_its_colour_but_not_its_keypoints(self) -> None:
        async with coco_client() as client:
            carol = client.somebody("carol", shared=True)
            image, person = client.images()[0], client.world.category("person")
            body = {"dataset": {}, "image": {"id": image.id}, "categories": [{"id": person.id}]}
            assert (await client.post("/annotator/data", body, login=carol)).status == 200
            assert person.color is None
            assert person.keypoint_labels == ["head", "hand", "foot"]

    async def test_a_body_that_breaks_midway_leaves_its_beginning_written(self) -> None:
        async with coco_client() as client:
            image = client.images()[1]
            body = complete(await client.read(image))
            body["image"]["metadata"] = {"new": True}
            entries = [entry for group in body["categories"] for entry in group["annotations"]]
            assert len(entries) == 3
            entries[0]["metadata"], entries[2]["metadata"] = {"new": True}, {"new": True}
            entries[1]["id"] = None
            assert (await client.post("/annotator/data", body)).status == 500
            read = await client.read(image)
            assert flat(read)[entries[0]["id"]]["metadata"] == {"new": True}
            assert flat(read)[entries[2]["id"]]["metadata"] != {"new": True}
            assert read["image"]["metadata"] == {"weather": "rain"}

    @pytest.mark.parametrize(
        "spoilt",
        [
            {"id": None},
            {"sessions": [{"start": 1}]},
            {"compoundPath": 5},
            {"compoundPath": ["CompoundPath", {"children": [["Path", {"segments": [[1, 2]]}]]}]},
        ],
    )
    async def test_what_the_server_cannot_take_is_500(self, spoilt: dict[str, Any]) -> None:
        async with coco_client() as client:
            body = complete(await client.read(client.images()[0]))
            body["categories"][0]["annotations"][0].update(spoilt)
            assert (await client.post("/annotator/data", body)).status == 500

    async def test_a_deleted_annotation_that_is_named_is_written_and_stays_deleted(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            entry = client.world.annotations_of(image)[0]
            body = complete(await client.read(image))
            client.world.delete(entry)
            body["categories"][0]["annotations"][0]["metadata"] = {"name": "late"}
            await client.post("/annotator/data", body)
            assert (entry.metadata, entry.deleted) == ({"name": "late"}, True)

    async def test_time_spent_only_grows(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            for _ in range(2):
                body = complete(await client.read(image))
                body["categories"][0]["annotations"][0]["sessions"] = [{"start": 1, "milliseconds": 700, "tools": []}]
                await client.post("/annotator/data", body)
            entry = client.world.annotations_of(image)[0]
            assert (entry.milliseconds, len(entry.events)) == (1_400, 2)

    async def test_two_saves_at_once_leave_a_mixture(self) -> None:
        async with coco_client() as client:
            image = client.images()[1]
            bodies = []
            for writer in ("a", "b"):
                body = complete(await client.read(image))
                body["image"]["metadata"] = {"by": writer}
                for group in body["categories"]:
                    for entry in group["annotations"]:
                        entry["metadata"] = {"by": writer}
                bodies.append(body)
            writes, done = 0, asyncio.Event()

            async def pause() -> None:
                nonlocal writes
                writes += 1
                if writes == 3:  # the first writer, with a part of the annotations written
                    await done.wait()

            client.world.between_writes = pause
            first = asyncio.ensure_future(client.post("/annotator/data", bodies[0]))
            while writes < 3:
                await asyncio.sleep(0.001)
            assert (await client.post("/annotator/data", bodies[1])).status == 200
            done.set()
            assert (await first).status == 200
            read = await client.read(image)
            assert {entry["metadata"]["by"] for entry in flat(read).values()} == {"a", "b"}
            assert read["image"]["metadata"] == {"by": "a"}


class TestGeometry:
    def test_the_examples_of_the_contract_come_out(self) -> None:
        outline = [10.12, 10.5, 60, 10.5, 60, 40, 10.12, 40]
        assert measured([outline], 100, 80) == (1450, [10.0, 11.0, 50.0, 29.0])
        paper = ["Path", {"segments": [[-30.75, -29.5], [-1.67, -29.5], [-1.67, -11.93], [-30.75, -11.93]]}]
        rings = from_paper(paper, 64, 64)
        assert rings == [[1.25, 2.5, 30.33, 2.5, 30.33, 20.07, 1.25, 20.07]]
        assert measured(rings, 64, 64) == (493, [1.0, 3.0, 29.0, 17.0])

    @pytest.mark.parametrize("seed", range(20))
    def test_two_decimals_survive_the_way_to_the_editor_and_back(self, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(100):
            width, height = rng.randrange(9, 5_000), rng.randrange(9, 5_000)
            ring = [round(rng.uniform(-10, 5_000), 2) for _ in range(2 * rng.randrange(3, 9))]
            assert from_paper(to_paper([ring], width, height), width, height) == [ring], f"seed {seed}"

    @pytest.mark.parametrize(
        ("segments", "rings"),
        [
            ([[0.001, 0], [1, 0], [0, 1]], [[5.0, 5.0, 6.0, 5.0, 5.0, 6.0]]),
            ([[[0, 0], [9, 9], [9, 9], 1], [1, 0], [0, 1]], [[5.0, 5.0, 6.0, 5.0, 5.0, 6.0]]),
            ([[0, 0, 0], [1, 0, 0]], []),
            ([[1, 1], [2, 2]], []),
            ([[-5, -5], [-5, -5], [-5, -5]], []),
            ([[5, 5], [5, 5], [5, 5]], []),
            ([[50, 0], [51, 0], [50, 1]], [[55.0, 5.0, 56.0, 5.0, 55.0, 6.0]]),
        ],
    )
    def test_points_and_polygons_are_dropped_by_the_rules_of_the_server(self, segments: Any, rings: Any) -> None:
        assert from_paper(["CompoundPath", {"children": [["Path", {"segments": segments}]]}], 10, 10) == rings

    def test_an_empty_path_clears_and_overlaps_count_once(self) -> None:
        assert from_paper(["CompoundPath", {}], 10, 10) == []
        assert measured([], 10, 10) == (0, [0.0, 0.0, 0.0, 0.0])
        assert measured([[0, 0, 4, 0, 4, 4, 0, 4], [2, 2, 6, 2, 6, 6, 2, 6]], 10, 10) == (28, [0.0, 0.0, 6.0, 6.0])
        assert measured([[-5, -5, 5, -5, 5, 5, -5, 5]], 10, 10) == (25, [0.0, 0.0, 5.0, 5.0])


class TestPermissions:
    @pytest.mark.parametrize(
        ("method", "path", "body", "shared", "other"),
        [
            ("GET", "/dataset/{dataset}/data", None, 200, 500),
            ("GET", "/image/{image}", None, 200, 400),
            ("GET", "/annotator/data/{image}", None, 200, 400),
            ("GET", "/image/{image}/coco", None, 403, 400),
            ("GET", "/dataset/{dataset}/coco", None, 403, 400),
            ("GET", "/dataset/{dataset}/exports", None, 403, 400),
            ("POST", "/annotation/", {"category_id": 1}, 200, 400),
            ("PUT", "/annotation/{annotation}", {"category_id": 1}, 200, 400),
            ("DELETE", "/annotation/{annotation}", None, 200, 400),
            ("POST", "/annotator/data", {"dataset": {}}, 200, 500),
            ("DELETE", "/image/{image}", None, 403, 400),
            ("DELETE", "/dataset/{dataset}", None, 403, 403),
            ("GET", "/dataset/{dataset}/export?categories=", None, 200, 200),
            ("GET", "/tasks/", None, 200, 200),
            ("GET", "/undo/list/", None, 200, 200),
        ],
    )
    async def test_who_shares_a_dataset_may_less_than_its_owner(
        self, method: str, path: str, body: Any, shared: int, other: int
    ) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            ids = {
                "dataset": client.harbour.id,
                "image": image.id,
                "annotation": client.world.annotations_of(image)[0].id,
            }
            if body is not None:
                body = {**body, "image_id": image.id, "image": {"id": image.id}}
            statuses = [
                (await client.ask(method, path.format(**ids), login=login, json=body)).status
                for login in (client.somebody("stranger"), client.somebody("carol", shared=True), client.login)
            ]
            assert statuses == [other, shared, 200]

    async def test_lists_hold_what_is_shared_and_nothing_else(self) -> None:
        async with coco_client() as client:
            stranger, carol = client.somebody("stranger"), client.somebody("carol", shared=True)
            for path in ("/dataset/", "/annotation/"):
                assert (await client.ask("GET", path, login=stranger)).json == []
            assert (await client.ask("GET", "/image/", login=stranger)).json["total"] == 0
            assert [row["name"] for row in (await client.ask("GET", "/dataset/", login=carol)).json] == ["harbour"]
            assert (await client.ask("GET", "/image/", login=carol)).json["total"] == 12
            permissions = (await client.ask("GET", "/dataset/data", login=carol)).json["datasets"][0]["permissions"]
            assert (permissions["owner"], permissions["edit"], permissions["download"]) == (False, True, False)


class TestExports:
    async def test_an_export_needs_its_categories_and_appears_late(self) -> None:
        async with coco_client(export_polls=2) as client:
            at = f"/dataset/{client.harbour.id}"
            assert (await client.get(f"{at}/export")).status == 500
            assert (await client.get(f"{at}/export", categories="abc")).status == 500
            task = (await client.get(f"{at}/export", categories="", with_empty_images="true")).json
            row = next(row for row in (await client.get("/tasks/")).json if row["id"] == task["id"])
            assert row["completed"] is True
            lists = [(await client.get(f"{at}/exports")).json for _ in range(3)]
            assert [len(rows) for rows in lists] == [0, 0, 1]
            assert lists[2][0]["tags"][0] == "COCO"
            file = (await client.get(f"/export/{lists[2][0]['id']}/download")).json
            assert {row["id"] for row in file["images"]} == {image.id for image in client.images()}
            # The image fields are false defaults.
            assert not any(row["annotated"] or row["num_annotations"] or row["metadata"] for row in file["images"])
            shown = {entry.id for image in client.images() for entry in client.world.annotations_of(image)}
            assert {entry["id"] for entry in file["annotations"]} == shown
            assert any("keypoints" not in entry for entry in file["annotations"])

    async def test_without_a_word_images_without_annotations_are_missing(self) -> None:
        async with coco_client(export_polls=0) as client:
            at = f"/dataset/{client.harbour.id}"
            await client.get(f"{at}/export", categories=str(client.world.category("boat").id))
            export = (await client.get(f"{at}/exports")).json[0]
            file = (await client.get(f"/export/{export['id']}/download")).json
            assert [category["name"] for category in file["categories"]] == ["boat"]
            assert {row["id"] for row in file["images"]} == {entry["image_id"] for entry in file["annotations"]}

    async def test_a_job_that_gets_stuck_never_ends(self) -> None:
        async with coco_client(export_polls=0) as client:
            client.world.stalled = True
            at = f"/dataset/{client.harbour.id}"
            task = (await client.get(f"{at}/export", categories="")).json
            for _ in range(3):
                row = (await client.get("/tasks/")).json[0]
                assert (row["id"], row["completed"], row["progress"]) == (task["id"], False, 40.0)
                assert (await client.get(f"{at}/exports")).json == []
            assert (await client.get(f"/tasks/{task['id']}/logs")).json == {"logs": []}

    async def test_a_job_that_crashes_looks_like_one_that_is_stuck(self) -> None:
        async with coco_client(export_polls=0) as client:
            client.world.annotations_of(client.images()[0])[0].keypoints = "broken"
            at = f"/dataset/{client.harbour.id}"
            await client.get(f"{at}/export", categories="")
            assert (await client.get("/tasks/")).json[0]["completed"] is False
            assert (await client.get(f"{at}/exports")).json == []

    async def test_the_record_of_an_export_can_be_removed(self) -> None:
        async with coco_client(export_polls=0) as client:
            at = f"/dataset/{client.harbour.id}"
            await client.get(f"{at}/export", categories="")
            export = (await client.get(f"{at}/exports")).json[0]
            assert (await client.ask("DELETE", f"/export/{export['id']}")).status == 200
            assert (await client.get(f"/export/{export['id']}/download")).status == 400


class TestUndo:
    async def test_deleted_things_are_listed_newest_first_and_come_back(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            assert (await client.ask("DELETE", f"/image/{image.id}")).json == {"success": True}
            assert (await client.ask("DELETE", f"/image/{image.id}")).status == 400
            row = (await client.get("/undo/list/", limit=1)).json[0]
            assert (row["id"], row["name"], row["instance"]) == (image.id, image.file_name, "image")
            assert (await client.get("/undo/list/", limit=0)).status == 400
            assert (await client.ask("POST", f"/undo/?id={image.id}&instance=image")).status == 200
            assert (await client.read(image))["image"]["deleted"] is False

    async def test_a_final_delete_takes_the_annotations_of_an_image_along(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            gone = {entry.id for entry in client.world.annotations_of(image, deleted_too=True)}
            await client.ask("DELETE", "/undo/", params={"id": image.id, "instance": "image"})
            assert (await client.get(f"/annotator/data/{image.id}")).status == 400
            assert not gone & {row["id"] for row in (await client.get("/annotation/")).json}

    @pytest.mark.parametrize("kind", ["annotation", "image", "category", "dataset"])
    async def test_every_kind_can_be_deleted_marked_restored_and_erased(self, kind: str) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            number = {"annotation": client.world.annotations_of(image)[0].id, "image": image.id}.get(kind, 1)
            assert (await client.ask("DELETE", f"/{kind}/{number}")).status == 200
            listed = (await client.get("/undo/list/", type=kind)).json
            assert number in {row["id"] for row in listed}
            assert {row["instance"] for row in listed} == {kind}
            assert (await client.post("/undo/", {"id": number, "instance": kind})).status == 200
            assert number not in {row["id"] for row in (await client.get("/undo/list/", type=kind)).json}
            assert (await client.ask("DELETE", "/undo/", params={"id": number, "instance": kind})).status == 200
            assert (await client.post("/undo/", {"id": number, "instance": kind})).status == 400

    async def test_the_dangerous_get_wipes_all_metadata(self) -> None:
        async with coco_client() as client:
            assert (await client.get(f"/dataset/{client.harbour.id}/reset/metadata")).status == 200
            assert not any(image.metadata for image in client.images())


class TestUploads:
    async def upload(self, client: CocoClient, name: str, data: bytes) -> Answer:
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("image", data, filename=name, content_type="application/octet-stream")
        return await client.ask("POST", f"/image/?dataset_id={client.harbour.id}", data=form)

    async def test_other_bytes_are_stored_than_were_sent(self) -> None:
        async with coco_client() as client:
            jpeg = next(image.content for image in client.images() if image.mime == "image/jpeg")
            for name, kind in (("new.jpg", "JPEG"), ("day/new.png", "PNG")):
                number = (await self.upload(client, name, jpeg)).json
                stored = await client.get(f"/image/{number}", original="true")
                assert stored.body != jpeg
                with Picture.open(io.BytesIO(stored.body)) as picture:
                    assert picture.format == kind
                assert (await client.read(client.world.images[number]))["image"]["path"] == f"/datasets/harbour/{name}"

    async def test_a_name_may_lead_out_of_the_folder(self) -> None:
        async with coco_client() as client:
            number = (await self.upload(client, "../meadow & shore/esc.png", client.images()[0].content)).json
            rows = (await client.get(f"/dataset/{client.harbour.id}/data", order="id", id__gt=number - 1)).json
            assert [row["id"] for row in rows["images"]] == [number]
            path = client.world.images[number].path
            assert path == "/datasets/harbour/../meadow & shore/esc.png"

    @pytest.mark.parametrize(
        ("name", "data", "status"),
        [
            ("day/pier-00000.png", None, 400),
            ("gone.png", None, 400),
            ("nowhere/x.png", None, 500),
            ("x.xyz", None, 500),
            ("x.png", b"no picture", 500),
        ],
    )
    async def test_what_exists_or_is_no_picture_is_refused(self, name: str, data: bytes | None, status: int) -> None:
        async with coco_client() as client:
            assert (await self.upload(client, name, data or client.images()[0].content)).status == status


class TestPeople:
    async def test_other_people_change_the_world_without_a_trace_in_counts(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            before = await client.read(image)
            client.world.move_geometry(image, by=2)
            moved = await client.read(image)
            assert moved["image"] == before["image"]
            assert flat(moved) != flat(before)
            made = client.world.annotate(image)
            assert made.id in flat(await client.read(image))
            client.world.move_file(image, "elsewhere/a.png")
            read = (await client.read(image))["image"]
            assert (read["path"], read["file_name"]) == ("/datasets/harbour/elsewhere/a.png", image.file_name)

    async def test_every_annotation_of_the_sample_can_be_moved(self) -> None:
        async with coco_client() as client:
            for image in client.images():
                for entry in client.world.annotations_of(image):
                    before = flat(await client.read(image))[entry.id]
                    client.world.move_geometry(image, entry)
                    assert flat(await client.read(image))[entry.id] != before
                    assert entry.keypoints[6:] in ([], [0, 0, 0])

    async def test_a_visit_in_the_web_editor_saves_the_image(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            ring = [0.26, 1, 9.44, 1, 9.44, 5.06]
            drawn = client.world.draw(image, client.world.category("building"), [ring])
            empty = client.world.create(image, 1, "admin")
            client.world.visit(image, stay_ms=2_011)
            read = await client.read(image)
            assert flat(read)[drawn.id]["segmentation"] == [[0.3, 1.0, 9.4, 1.0, 9.4, 5.1]]
            assert read["image"]["milliseconds"] == 2_011
            assert empty.deleted


class TestFaults:
    @pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.RESET_AFTER, FaultKind.TIMEOUT, FaultKind.SHORT_BODY])
    async def test_a_connection_can_break_before_or_after_the_effect(self, kind: FaultKind) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            before = len(client.world.annotations_of(image))
            client.standin.faults.add(Fault(route="annotations.create", kind=kind))
            with pytest.raises((aiohttp.ClientError, TimeoutError)):
                await client.post("/annotation/", {"image_id": image.id, "category_id": 1})
            effect = kind in {FaultKind.RESET_AFTER, FaultKind.SHORT_BODY}
            assert len(client.world.annotations_of(image)) == before + effect
            assert (await client.post("/annotation/", {"image_id": image.id, "category_id": 1})).status == 200

    @pytest.mark.parametrize(
        ("route", "path"),
        [("images.list", "/image/?per_page=5"), ("annotations.list", "/annotation/"), ("datasets.list", "/dataset/")],
    )
    async def test_listings_can_lack_repeat_or_wrap_rows(self, route: str, path: str) -> None:
        async with coco_client() as client:

            async def rows() -> list[Any]:
                answer = (await client.ask("GET", path)).json
                found: list[Any] = answer["images"] if isinstance(answer, dict) else answer
                return found

            proper = await rows()
            for kind, wanted in ((FaultKind.SHORT_PAGE, proper[:-1]), (FaultKind.MISSING_PAGE, [])):
                client.standin.faults.add(Fault(route=route, kind=kind))
                assert await rows() == wanted
                client.standin.faults.clear()
            client.standin.faults.add(Fault(route=route, kind=FaultKind.WRONG_ENVELOPE))
            assert set((await client.ask("GET", path)).json) == {"data"}

    async def test_files_can_be_cut_or_swapped_and_refusals_have_the_words_of_the_server(self) -> None:
        async with coco_client() as client:
            image = client.images()[0]
            path = f"/image/{image.id}"
            answers = {}
            for kind in (FaultKind.WRONG_LENGTH, FaultKind.NOT_AN_IMAGE, FaultKind.HTML, FaultKind.ERROR_500):
                client.standin.faults.clear()
                client.standin.faults.add(Fault(route="images.bytes", kind=kind))
                answers[kind] = await client.get(path, original="true")
            assert answers[FaultKind.WRONG_LENGTH].body == image.content[:-7]
            assert len(answers[FaultKind.NOT_AN_IMAGE].body) == len(image.content)
            assert answers[FaultKind.HTML].headers["Content-Type"].startswith("text/html")
            assert set(answers[FaultKind.ERROR_500].json) == {"message"}

    async def test_a_limit_can_be_put_before_the_server_but_is_none_of_its_own(self) -> None:
        async with coco_client(limit=2) as client:
            for _ in range(5):
                answer = await client.get("/dataset/")
                assert answer.status == 200
                assert not any(name.startswith("X-RateLimit") for name in answer.headers)
            client.standin.faults.add(Fault(route="*", kind=FaultKind.LIMITED))
            limited = await client.get("/dataset/")
            assert (limited.status, limited.headers["Retry-After"]) == (429, "1")
