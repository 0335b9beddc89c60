"""The stand-in Remo keeps to the wire contract, with what is odd about the real server."""

import asyncio
import csv
import hashlib
import io
import zipfile
from collections import Counter
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from labelmirror.standin import Fault, FaultKind, Login, Standin, StandinOptions, serve
from labelmirror.standin.remo import Mark, RemoWorld, Sketch, Status
from support.remo_client import RemoClient, remo_client
from support.standin_client import Answer

UI = "/api/v1/ui"
HTML_500 = (500, b"<h1>Server Error (500)</h1>")


def points(*numbers: float) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def box(name: str, *corners: float, classes: tuple[str, ...] = ("Boat",), **more: Any) -> dict[str, Any]:
    marks = [{"name": each} for each in classes]
    return {"name": name, "coordinates": points(*(corners or (1, 2, 3, 4))), "classes": marks, **more}


def names(answer: Any) -> list[str]:
    return [entry["name"] for entry in answer["annotation_info"]]


def brief(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.body


class TestGettingIn:
    async def test_the_login_gives_the_same_token_every_time(self) -> None:
        async with remo_client() as client:
            login = client.standin.login
            assert login == Login("remo@remo.ai", "adminpass")
            given = {"email": login.user, "password": login.password}
            path = "/api/rest-auth/login/"
            for answer in (
                await client.ask("POST", path, token=None, json=given),
                await client.ask("POST", path, token=None, data=given),
                await client.ask("POST", path, token=None, cookie=None, json=given),
            ):
                assert answer.json == {"key": client.standin.key}
                assert answer.headers["Set-Cookie"].startswith("sessionid=")
            refused = await client.ask("POST", path, token=None, json={**given, "password": "x"})
            assert refused.status == 400
            assert refused.json == {"non_field_errors": ["Unable to log in with provided credentials."]}

    async def test_without_credentials_some_calls_say_so_and_nested_ones_say_that_nothing_is_there(self) -> None:
        async with remo_client() as client:
            for path, status in {
                "/api/version": 200,
                f"{UI}/datasets/": 401,
                "/api/v1/sdk/datasets/1/images/": 401,
                f"{UI}/annotation-sets/1/": 401,
                f"{UI}/annotation-sets/1/export/": 401,
                f"{UI}/datasets/1/images/": 404,
                f"{UI}/datasets/1/annotation-sets/": 404,
                f"{UI}/datasets/1/contents/": 404,
                "/api/dataset/1/annotation-set/1/image/1/annotation/": 404,
                "/api/version/": 200,
            }.items():
                assert (await client.ask("GET", path, token=None)).status == status, path
                wrong = await client.ask("GET", path, token="x")
                assert (wrong.status, wrong.json) == (401, {"detail": "Invalid token."}), path
                assert wrong.headers["WWW-Authenticate"] == "Token"

    async def test_a_revoked_token_is_refused(self) -> None:
        async with remo_client() as client:
            client.standin.revoke_key()
            assert (await client.get(f"{UI}/datasets/")).status == 401

    async def test_a_request_without_a_session_cookie_is_logged_in_and_ends_the_session_before(self) -> None:
        async with remo_client() as client:
            path = f"{UI}/datasets/"
            first = await client.ask("GET", path, token=None, cookie=None)
            session = first.headers["Set-Cookie"].partition(";")[0]
            assert first.status == 200
            assert (await client.ask("GET", path, token=None, cookie=session)).status == 200
            await client.ask("GET", path, cookie=None)
            ended = await client.ask("GET", path, token=None, cookie=session)
            assert ended.status == 401
            assert ended.headers["Set-Cookie"].startswith('sessionid=""; ')

    async def test_concurrent_requests_without_the_cookie_end_each_other_with_their_work_done(self) -> None:
        async with remo_client() as client:
            before = len(client.world.datasets)
            creations = (
                client.ask("POST", "/api/dataset/", cookie=None, json={"name": f"d{number}"}) for number in range(16)
            )
            answers = Counter(brief(answer)[0] for answer in await asyncio.gather(*creations))
            assert answers[400] > 0
            assert answers.total() == 16
            assert len(client.world.datasets) == before + 16

    async def test_the_dummy_cookie_spares_sixty_concurrent_requests(self) -> None:
        async with remo_client() as client:
            path = f"{UI}/annotation-sets/{client.boxes.id}/tags/"
            answers = await asyncio.gather(*(client.get(path) for _ in range(60)))
            assert {answer.status for answer in answers} == {200}


class TestPaging:
    async def test_pages_are_of_32_unless_a_sensible_limit_is_given(self) -> None:
        async with remo_client(images=40) as client:
            path = f"{UI}/datasets/1/images/"
            for limit, length in (("", 32), ("0", 32), ("-1", 32), ("x", 32), ("5", 5), ("100000", 40)):
                assert len((await client.get(path, limit=limit)).json["results"]) == length

    async def test_links_name_the_host_that_the_request_named(self) -> None:
        async with remo_client() as client:
            answer = await client.ask("GET", f"{UI}/datasets/1/images/?limit=2&a=z%20z", headers={"Host": "proxy:9"})
            assert answer.json["next"] == f"http://proxy:9{UI}/datasets/1/images/?a=z+z&limit=2&offset=2"
            assert answer.json["previous"] is None

    async def test_the_sdk_list_is_whole_and_begins_again_past_its_end(self) -> None:
        async with remo_client() as client:
            path = "/api/v1/sdk/datasets/1/images/"
            whole = (await client.get(path)).json
            assert set(whole) == {"count", "results"}
            assert len(whole["results"]) == whole["count"] == 12
            assert len((await client.get(path, limit=5, offset=10)).json["results"]) == 2
            assert (await client.get(path, limit=5, offset=12)).json == whole


class TestImages:
    async def test_every_original_has_the_digest_that_its_thumbnail_names(self) -> None:
        async with remo_client() as client:
            listed = (await client.get(f"{UI}/datasets/1/images/")).json["results"]
            for row in listed:
                image = (await client.get(f"{UI}/datasets/1/images/{row['id']}/")).json
                original = await client.ask("GET", quote(image["original"] or image["image"]), token=None)
                digest = hashlib.md5(original.body, usedforsecurity=False).hexdigest()
                assert digest == row["thumbnail"].rpartition("/")[2], row["name"]

    async def test_a_large_image_is_shown_smaller_while_its_sizes_stay(self) -> None:
        async with remo_client() as client:
            listed = (await client.get("/api/v1/sdk/datasets/1/images/")).json["results"]
            large = next(row for row in listed if row["name"] == "panorama.jpg")
            shown, original = await client.get(large["url"]), client.harbour.named("panorama.jpg")
            assert (large["width"], large["height"]) == (3600, 3100)
            assert large["size"] == len(original.content) != len(shown.body)
            image = (await client.get(f"{UI}/datasets/1/images/{large['id']}/")).json
            assert image["image_dimensions"] == [3104, 2673]
            assert (await client.get(image["original"])).body == original.content

    async def test_files_have_neither_ranges_nor_validators(self) -> None:
        async with remo_client() as client:
            url = (await client.get("/api/v1/sdk/datasets/1/images/")).json["results"][0]["url"]
            ranged = await client.ask("GET", url, token=None, headers={"Range": "bytes=0-9"})
            assert (ranged.status, len(ranged.body)) == (200, client.first.size_bytes)
            assert "ETag" not in ranged.headers
            assert ranged.headers["Content-Type"] == "application/octet-stream"
            assert ranged.headers["Last-Modified"].endswith("GMT")
            head = await client.ask("HEAD", url)
            assert head.headers["Content-Length"] == str(client.first.size_bytes)

    async def test_a_missing_file_and_a_query_are_500(self) -> None:
        async with remo_client() as client:
            url = (await client.get("/api/v1/sdk/datasets/1/images/")).json["results"][0]["url"]
            assert brief(await client.get("/media/dataset_images/none")) == HTML_500
            assert brief(await client.get("/media/x")) == HTML_500
            assert brief(await client.get(url, x=1)) == HTML_500

    async def test_a_name_may_be_there_twice_and_two_images_may_share_a_file(self) -> None:
        async with remo_client() as client:
            twin = client.world.add_image(client.harbour, "twin.jpg", payload=client.first.content)
            rows = (await client.get("/api/v1/sdk/datasets/1/images/")).json["results"]
            assert max(Counter(row["name"] for row in rows).values()) == 2
            assert [row["id"] for row in rows if row["url"] == rows[0]["url"]] == [client.first.id, twin.id]

    async def test_folders_show_only_in_contents_level_by_level(self) -> None:
        async with remo_client() as client:
            found: list[int] = []
            waiting = [""]
            while waiting:
                level = (await client.get(f"{UI}/datasets/1/contents/{waiting.pop()}", limit=100)).json["results"]
                kinds = [row["record_type"] for row in level]
                assert kinds == sorted(kinds, key=lambda kind: kind != "folder")
                waiting += [f"{row['folder']['id']}/" for row in level if row["folder"]]
                found += [row["image"]["id"] for row in level if row["image"]]
            assert sorted(found) == sorted(client.harbour.images)

    async def test_contents_break_where_a_page_begins_right_at_their_end(self) -> None:
        async with remo_client() as client:
            path = f"{UI}/datasets/1/contents/"
            count = (await client.get(path)).json["count"]
            assert brief(await client.get(path, offset=count)) == HTML_500
            assert (await client.get(path, offset=count + 1)).json["results"] == []

    async def test_an_image_deleted_is_gone_everywhere(self) -> None:
        async with remo_client() as client:
            path = f"/api/user-dataset/1/images/{client.first.id}/"
            gone = client.one(client.boxes, client.first)
            assert [(await client.delete(path)).status for _ in range(2)] == [204, 404]
            assert (await client.get(f"{gone}/annotation/")).status == 404
            assert (await client.get("/api/v1/sdk/datasets/1/images/")).json["count"] == 11

    async def test_an_archived_dataset_is_listed_without_a_filter_and_empty(self) -> None:
        async with remo_client() as client:
            await client.ask("PATCH", "/api/user-dataset/1/", json={"is_archived": True})
            listed = (await client.get(f"{UI}/datasets/")).json["results"]
            active = (await client.get(f"{UI}/datasets/", is_archived="false")).json["results"]
            assert ([row["id"] for row in listed], [row["id"] for row in active]) == ([1, 2], [2])
            assert (await client.get(f"{UI}/datasets/1/images/")).status == 404
            assert (await client.get(f"{UI}/datasets/1/annotation-sets/")).status == 404


class TestReading:
    async def test_objects_come_by_name_as_text_with_their_place_in_the_save(self) -> None:
        async with remo_client() as client:
            many = list(client.harbour)[3]
            info = (await client.read(client.boxes, many))["annotation_info"]
            assert [entry["position_number"] for entry in info] == [1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8, 9]
            assert info[4]["classes"][0] == {"name": "Buoy", "lower": "buoy", "questionable": False}

    async def test_an_image_never_annotated_is_empty(self) -> None:
        async with remo_client() as client:
            never = list(client.harbour)[4]
            for chosen in client.harbour.sets.values():
                expected = {"error": False, "annotation_info": [], "status": "not_annotated"}
                assert await client.read(chosen, never) == expected

    async def test_classes_of_an_image_come_with_their_score(self) -> None:
        async with remo_client() as client:
            info = (await client.read(client.scene, list(client.harbour)[1]))["annotation_info"]
            assert info == [
                {"name": "Busy", "lower": "busy", "questionable": False, "score": 0.071},
                {"name": "Calm", "lower": "calm", "questionable": True},
            ]

    async def test_unknown_things_are_404(self) -> None:
        async with remo_client() as client:
            other = client.world.dataset("meadow & shore")
            for path in (
                f"/api/dataset/1/annotation-set/{client.boxes.id}/image/999/annotation/",
                f"/api/dataset/1/annotation-set/999/image/{client.first.id}/annotation/",
                f"/api/dataset/{other.id}/annotation-set/{client.boxes.id}/image/{client.first.id}/annotation/",
                f"{UI}/datasets/999/",
                f"{UI}/datasets/abc/",
                f"{UI}/annotation-sets/999/",
                f"{UI}/datasets/1/contents/999/",
            ):
                assert brief(await client.get(path)) == (404, b'{"detail":"Not found."}'), path
            export = await client.get(f"{UI}/annotation-sets/999/export/")
            assert export.json == {"error": "Annotation set with id: 999, was not found."}
            assert (await client.get(f"{UI}/datasets/1/images/999/annotations/")).json == {"name": ""}

    async def test_an_unknown_path_is_the_web_application_and_a_missing_slash_a_redirect(self) -> None:
        async with remo_client() as client:
            page = await client.get("/api/nothing/")
            assert (page.status, page.headers["Content-Type"]) == (200, "text/html")
            moved = await client.get(f"{UI}/datasets", limit=3)
            assert (moved.status, moved.headers["Location"]) == (301, f"{UI}/datasets/?limit=3")
            wrong = await client.ask("PUT", f"{client.one(client.boxes, client.first)}/save-annotation/", json={})
            assert (wrong.status, wrong.json) == (405, {"detail": 'Method "PUT" not allowed.'})


class TestSaving:
    async def test_a_save_replaces_everything_and_answers_what_is_stored(self) -> None:
        async with remo_client() as client:
            one, two = box("B", 10.7, 20.2, -5.9, 40, auto_created=True), box("A", classes=("Zebra", "Boat"))
            answer = (await client.save(client.boxes, client.first, {"objects": [one, two]})).json
            assert answer["status"] == "1"
            assert answer["annotation_info"] == (await client.read(client.boxes, client.first))["annotation_info"]
            second, first = answer["annotation_info"]
            assert (first["name"], first["position_number"], first["auto_created"]) == ("B", 1, True)
            assert first["coordinates"] == points(10, 20, -5, 40)
            assert [entry["name"] for entry in second["classes"]] == ["Zebra", "Boat"]
            assert "Zebra" in client.boxes.classes.values()

    @pytest.mark.parametrize("body", [{}, {"objects": []}, {"classes": [{"name": "Calm"}]}])
    async def test_a_save_without_objects_clears_but_for_tags_and_status(self, body: Any) -> None:
        async with remo_client() as client:
            saved = await client.save(client.boxes, client.first, body)
            assert saved.json["annotation_info"] == []
            assert client.boxes.status(client.first) is Status.DONE
            assert [name for _, name in client.boxes.tagged(client.first)] == ["night", "blurry"]

    async def test_objects_that_repeat_a_name_or_points_are_dropped_silently(self) -> None:
        async with remo_client() as client:
            sent = [box("A"), box("B", classes=("Ship",)), box("A", 5, 6, 7, 8), box("C", 9, 9, 1, 1)]
            answer = await client.save(client.boxes, client.first, {"objects": sent})
            assert (answer.status, names(answer.json)) == (200, ["A", "C"])

    async def test_unknown_classes_join_as_they_are_spelt_unless_they_are_to_be_skipped(self) -> None:
        async with remo_client() as client:
            joining = [box("A", classes=("boat", " Boat ", "Boat"))]
            await client.save(client.boxes, client.first, {"objects": joining})
            assert {"boat", " Boat ", "Boat"} <= set(client.boxes.classes.values())
            skipping = {"objects": [box("A", classes=("Newt", "Boat"))], "skip_new_classes": True}
            answer = (await client.save(client.boxes, client.first, skipping)).json
            assert [entry["name"] for entry in answer["annotation_info"][0]["classes"]] == ["Boat"]
            assert "Newt" not in client.boxes.classes.values()

    async def test_a_classification_without_status_becomes_not_annotated(self) -> None:
        async with remo_client() as client:
            marks = [{"name": "Calm"}, {"name": "Busy", "questionable": True, "score": 0.5}]
            with_it = (await client.save(client.scene, client.first, {"classes": marks, "status": "done"})).json
            assert (with_it["status"], names(with_it)) == (1, ["Busy", "Calm"])
            without = (await client.save(client.scene, client.first, {"classes": marks})).json
            assert without["status"] == -1
            assert (await client.read(client.scene, client.first))["status"] == "not_annotated"

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"name": ""}, {"name": ["This field may not be blank."]}),
            ({"name": "x" * 256}, {"name": ["Ensure this field has no more than 255 characters."]}),
            ({"coordinates": ...}, {"coordinates": ["This field is required."]}),
            ({"classes": ...}, {"classes": ["This field is required."]}),
            ({"classes": [{"name": ""}]}, {"classes": [{"name": ["This field may not be blank."]}]}),
            (
                {"classes": ["Boat"]},
                {"classes": [{"non_field_errors": ["Invalid data. Expected a dictionary, but got str."]}]},
            ),
            ({"auto_created": "x"}, {"auto_created": ["Must be a valid boolean."]}),
        ],
    )
    async def test_a_wrong_field_is_named_and_nothing_changed(
        self, change: dict[str, Any], complaint: dict[str, Any]
    ) -> None:
        async with remo_client() as client:
            before = await client.read(client.boxes, client.first)
            wrong = {name: value for name, value in {**box("B"), **change}.items() if value is not ...}
            answer = await client.save(client.boxes, client.first, {"objects": [box("A"), wrong]})
            assert (answer.status, answer.json) == (400, [{}, complaint])
            assert await client.read(client.boxes, client.first) == before

    @pytest.mark.parametrize(
        "body",
        [
            [],
            {"objects": "x"},
            {"objects": None},
            {"objects": ["x"]},
            {"objects": [{**box("A"), "coordinates": [{"x": None, "y": 1}]}]},
            {"objects": [{**box("A"), "coordinates": [{"x": "7.5", "y": 1}]}]},
            {"objects": [], "status": "half done"},
        ],
    )
    async def test_what_no_serializer_catches_is_500_and_nothing_changed(self, body: Any) -> None:
        async with remo_client() as client:
            before = await client.read(client.boxes, client.first)
            assert brief(await client.save(client.boxes, client.first, body)) == HTML_500
            assert await client.read(client.boxes, client.first) == before

    @pytest.mark.parametrize("mark", [{"name": "c" * 256}, {"name": "Boat", "questionable": "x"}])
    async def test_a_class_that_only_the_database_refuses_leaves_half_a_save(self, mark: dict[str, Any]) -> None:
        async with remo_client() as client:
            sent = [box("A"), {**box("B", 5, 6, 7, 8), "classes": [mark]}, box("C", 9, 9, 1, 1)]
            assert brief(await client.save(client.boxes, client.first, {"objects": sent})) == HTML_500
            info = (await client.read(client.boxes, client.first))["annotation_info"]
            assert [(entry["name"], len(entry["classes"])) for entry in info] == [("A", 1), ("B", 0)]

    async def test_other_bodies_than_json_are_refused(self) -> None:
        async with remo_client() as client:
            path = f"{client.one(client.boxes, client.first)}/save-annotation/"
            text = await client.ask("POST", path, data=b"{}", headers={"Content-Type": "text/plain"})
            assert (text.status, text.json) == (415, {"detail": 'Unsupported media type "text/plain" in request.'})
            broken = await client.ask("POST", path, data=b"{x", headers={"Content-Type": "application/json"})
            assert broken.status == 400
            assert broken.json["detail"].startswith("JSON parse error - ")

    async def test_what_is_read_can_be_saved_back_in_its_order(self) -> None:
        async with remo_client() as client:
            for image in client.harbour:
                before = await client.read(client.boxes, image)
                objects = sorted(before["annotation_info"], key=lambda entry: int(entry["position_number"]))
                await client.save(client.boxes, image, {"objects": objects})
                assert await client.read(client.boxes, image) == before

    async def test_a_save_is_seen_half_done_while_contents_jump(self) -> None:
        async with remo_client() as client:
            client.world.step_s = 0.002
            sent = [box(f"N{number}", number, 1, 2, 3) for number in range(20)]
            saving = asyncio.ensure_future(client.save(client.boxes, client.first, {"objects": sent}))
            seen, settled, stamps = set[int](), set[int](), set[str]()
            while not saving.done():
                seen.add(len((await client.read(client.boxes, client.first))["annotation_info"]))
                level = (await client.get(f"{UI}/datasets/1/contents/", limit=100)).json["results"]
                row = next(row["image"] for row in level if row["image"] and row["image"]["id"] == client.first.id)
                settled.add(len(row["annotations"][0]["coordinates"]))
                stamps.add((await client.stamps(client.boxes))[1])
            await saving
            assert len(seen & set(range(2, 20))) > 1
            assert settled <= {1, 20}
            assert len(stamps) <= 2

    async def test_two_saves_at_once_end_in_the_union_of_both(self) -> None:
        async with remo_client() as client:
            bodies = [
                {"objects": [box(f"{who}{n}", n, who_n, 5, 5) for n in range(10)]} for who_n, who in enumerate("AB")
            ]
            answers = await asyncio.gather(*(client.save(client.boxes, client.first, body) for body in bodies))
            assert [answer.status for answer in answers] == [200, 200]
            assert len((await client.read(client.boxes, client.first))["annotation_info"]) == 20


class TestLabels:
    async def test_status_tags_and_clearing(self) -> None:
        async with remo_client() as client:
            at = f"{UI}/annotation-sets/{client.boxes.id}/images/{client.first.id}"
            assert (await client.post(f"{at}/status/", {"status": "skipped"})).json == {"status": "skipped"}
            assert (await client.read(client.boxes, client.first))["status"] == "skipped"
            assert brief(await client.post(f"{at}/status/", {"status": "x"})) == HTML_500
            added = [await client.post(f"{at}/tags/", {"name": "Night Shot"}) for _ in range(2)]
            assert [answer.status for answer in added] == [201, 200]
            assert added[0].json["name"] == "night shot"
            assert (await client.delete(f"{at}/annotations/")).status == 204
            assert await client.read(client.boxes, client.first) == {
                "error": False,
                "annotation_info": [],
                "status": "not_annotated",
            }
            tags = (await client.get(f"{at}/tags/")).json["results"]
            assert [row["name"] for row in tags] == ["night", "blurry", "night shot"]
            for _ in range(2):
                assert (await client.delete(f"{at}/tags/{tags[0]['id']}/")).status == 204
            assert (await client.get(f"{at}/tags/")).json["count"] == 2
            assert brief(await client.get(f"{at}/status/")) == HTML_500
            assert brief(await client.get(f"{at}/annotations/")) == HTML_500

    async def test_clearing_what_was_never_annotated_is_404(self) -> None:
        async with remo_client() as client:
            never = list(client.harbour)[4]
            answer = await client.delete(f"{UI}/annotation-sets/{client.boxes.id}/images/{never.id}/annotations/")
            assert (answer.status, answer.json) == (404, {"error": "Annotation was not found."})

    async def test_tags_of_a_set_are_a_table_in_one_answer(self) -> None:
        async with remo_client() as client:
            client.world.tag(client.boxes, client.first, 'a, "b"')
            answer = await client.get(f"{UI}/annotation-sets/{client.boxes.id}/export-tags/")
            rows = list(csv.reader(io.StringIO(answer.body.decode(), newline="")))
            assert rows[:2] == [["file_name", "tag"], ["pier-00000.jpg", "night"]]
            assert ["pier-00000.jpg", 'a, "b"'] in rows

    async def test_renaming_a_tag_or_a_class_gives_another_id(self) -> None:
        async with remo_client() as client:
            at = f"{UI}/annotation-sets/{client.boxes.id}"
            tag = (await client.get(f"{at}/tags/")).json["results"][0]
            other = (await client.ask("PUT", f"{at}/tags/{tag['id']}/", json={"name": "Dusk"})).json
            assert (other["name"], other["id"] != tag["id"]) == ("Dusk", True)
            classes = {row["name"]: row["id"] for row in (await client.get(f"{at}/")).json["classes"]}
            renamed = (await client.ask("PUT", f"{at}/classes/{classes['Ship']}/", json={"name": "HUGE ship"})).json
            assert renamed["name"] == "Huge ship"
            info = (await client.read(client.boxes, client.first))["annotation_info"]
            assert [entry["name"] for entry in info[0]["classes"]] == ["Huge ship"]

    async def test_classes_are_spelt_by_the_server_and_their_last_objects_vanish_with_them(self) -> None:
        async with remo_client() as client:
            at = f"{UI}/annotation-sets/{client.boxes.id}/classes"
            added = [await client.post(f"{at}/", {"name": name}) for name in ("big bird", "BIG bird")]
            assert [(answer.status, answer.json["name"]) for answer in added] == [(201, "Big bird"), (200, "Big bird")]
            ship = next(number for number, name in client.boxes.classes.items() if name == "Ship")
            client.world.save(
                client.boxes,
                client.first,
                [
                    Sketch(name="only", points=((1, 1), (2, 2)), marks=(Mark("Ship"),)),
                    Sketch(name="both", points=((3, 1), (2, 2)), marks=(Mark("Ship"), Mark("Boat"))),
                    Sketch(name="none", points=((4, 1), (2, 2))),
                ],
            )
            assert (await client.delete(f"{at}/{ship}/")).status == 204
            assert names(await client.read(client.boxes, client.first)) == ["both", "none"]
            assert brief(await client.delete(f"{at}/{ship}/")) == HTML_500
            assert (await client.get(f"{at}/")).status == 405

    async def test_a_set_is_made_once_by_its_name(self) -> None:
        async with remo_client() as client:
            wanted = {"annotation_task": "Object detection", "dataset_id": 1, "name": "more", "classes": ["dog"]}
            answers = [await client.post(f"{UI}/annotation-sets/", wanted) for _ in range(2)]
            assert [answer.status for answer in answers] == [201, 400]
            assert [row["name"] for row in answers[0].json["classes"]] == ["Dog"]
            assert "exists in current dataset" in answers[1].json["error"]


class TestExports:
    async def export(self, client: RemoClient, name: str, **query: str) -> Answer:
        return await client.get(f"{UI}/annotation-sets/{client.harbour.set(name).id}/export/", **query)

    async def test_json_has_file_names_and_shapes_and_little_else(self) -> None:
        async with remo_client() as client:
            rows = (await self.export(client, "boxes")).json
            assert rows[0] == {
                "annotations": [{"bbox": {"xmax": 12, "xmin": 1, "ymax": 10, "ymin": 2}, "classes": ["Ship"]}],
                "file_name": "pier-00000.jpg",
                "height": 32,
                "tags": ["night", "blurry"],
                "task": "Object detection",
                "width": 56,
            }
            assert len(rows) == 10
            assert len((await self.export(client, "boxes", export_without_annotations="true")).json) == 12
            assert set((await self.export(client, "outlines")).json[0]["annotations"][0]) == {"classes", "segments"}
            assert (await self.export(client, "scene")).json[0]["classes"] == ["Busy"]

    async def test_coco_names_first_classes_in_lower_case_and_knows_no_classification(self) -> None:
        async with remo_client() as client:
            coco = (await self.export(client, "boxes", annotation_format="coco")).json
            assert [row["name"] for row in coco["categories"]] == ["boat", "buoy", "ship"]
            assert coco["annotations"][0]["bbox"] == [1, 2, 11, 8]
            assert (await self.export(client, "scene", annotation_format="coco")).status == 404

    async def test_csv_has_a_row_for_each_object(self) -> None:
        async with remo_client() as client:
            answer = await self.export(client, "boxes", annotation_format="csv")
            lines = answer.body.decode().splitlines()
            assert lines[:2] == ["file_name,classes,xmin,ymin,xmax,ymax", "pier-00000.jpg,Ship,1,2,12,10"]
            assert answer.headers["Content-Type"] == "text/csv"

    async def test_tags_come_in_a_zip_and_filter(self) -> None:
        async with remo_client() as client:
            packed = await self.export(client, "boxes", export_tags="true")
            with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
                assert archive.namelist() == ["tags.csv", "boxes.json"]
            assert len((await self.export(client, "boxes", filter_by_tags="night,none")).json) == 2

    async def test_words_that_it_does_not_know_are_400(self) -> None:
        async with remo_client() as client:
            for query in ({"export_tags": "True"}, {"full_path": "'true'"}, {"annotation_format": "xml"}):
                assert (await self.export(client, "boxes", **query)).status == 400

    @pytest.mark.parametrize("corners", [(), (1, 2), (1, 2, 3, 4, 5, 6)])
    async def test_a_box_without_two_points_breaks_the_export_of_the_set(self, corners: tuple[float, ...]) -> None:
        async with remo_client() as client:
            wrong = {**box("A"), "coordinates": points(*corners)}
            assert (await client.save(client.boxes, client.first, {"objects": [wrong]})).status == 200
            assert brief(await self.export(client, "boxes")) == HTML_500
            await client.save(client.boxes, client.first, {})
            assert (await self.export(client, "boxes")).status == 200


class TestUploads:
    async def upload(self, client: RemoClient, *files: tuple[str, bytes], **fields: str) -> Answer:
        form = aiohttp.FormData(quote_fields=False)
        for name, value in fields.items():
            form.add_field(name, value)
        for filename, data in files:
            form.add_field("files", data, filename=filename, content_type="image/jpeg")
        return await client.ask("POST", "/api/dataset/1/upload/", data=form)

    async def finished(self, client: RemoClient, session: str) -> Any:
        while True:
            told = (await client.get(f"{UI}/uploads/{session}/status/")).json
            if told["status"] in {"done", "failed"}:
                return told
            assert told["status"] == "pending"
            await asyncio.sleep(0.01)

    async def test_files_are_images_a_little_after_the_session_is_completed(self) -> None:
        async with remo_client() as client:
            data = client.first.content + b"end"
            session = (await self.upload(client, ("new one.jpg", data))).json["session_id"]
            assert (await client.get(f"{UI}/uploads/{session}/status/")).json["status"] == "not complete"
            path = f"{UI}/uploads/{session}/complete/"
            assert [(await client.post(path, {})).status for _ in range(2)] == [200, 404]
            assert len(client.harbour) == 12
            told = await self.finished(client, session)
            assert (told["status"], told["images"]["successful"]) == ("done", 1)
            assert client.harbour.named("new one.jpg").content == data

    async def test_failed_means_that_something_failed_and_a_taken_name_keeps_its_content(self) -> None:
        async with remo_client() as client:
            files = [(client.first.name, b"\xff\xd8"), ("x.gif", b"GIF89a"), (client.first.name, client.first.content)]
            session = (await self.upload(client, *files, complete="true")).json["session_id"]
            told = await self.finished(client, session)
            assert told["status"] == "failed"
            complaints = [entry["errors"] for entry in told["images"]["errors"]]
            assert complaints == [["File content type not supported"], ["not added (Duplicated image)"]]
            assert (told["images"]["successful"], told["errors"][0]["value"]) == (1, "x.gif")
            late = await self.upload(client, ("late.jpg", client.first.content), session_id=session)
            assert (late.status, len(client.harbour)) == (200, 12)

    async def test_a_folder_in_a_form_breaks_it_and_unknown_things_are_refused(self) -> None:
        async with remo_client() as client:
            assert brief(await self.upload(client, folder_id="1", complete="true")) == HTML_500
            assert (await self.upload(client, session_id="none")).status == 404
            assert (await client.post("/api/dataset/99/upload/", {})).status == 403
            assert (await client.post(f"{UI}/uploads/", {"dataset_id": 1})).json["status"] == "not complete"
            assert (await client.post(f"{UI}/uploads/", {})).status == 404


class TestStamps:
    """D, U, L and S of the contract, section 7: which of them each event moves."""

    async def moved(self, client: RemoClient, path: str, method: str = "POST", body: Any = None) -> str:
        chosen = next(iter(client.harbour.sets.values()))
        before = await client.stamps(chosen)
        await client.ask(method, path, json=body)
        after = await client.stamps(chosen)
        return "".join(letter for letter, old, new in zip("DULS", before, after, strict=True) if old != new)

    async def test_each_event_moves_what_it_moves_on_the_real_server(self) -> None:
        async with remo_client() as client:
            at, never = f"{UI}/annotation-sets/{client.boxes.id}", list(client.harbour)[4]
            image, other = f"{at}/images/{client.first.id}", f"{at}/images/{never.id}"
            save = f"{client.one(client.boxes, client.first)}/save-annotation/"
            objects = (await client.read(client.boxes, client.first))["annotation_info"]
            assert await self.moved(client, save, body={"objects": objects}) == "DUL"
            assert await self.moved(client, save, body={"objects": [box("A"), box("B", 5, 6, 7, 8)]}) == "DULS"
            assert await self.moved(client, save, body={"objects": [{}]}) == "D"
            assert await self.moved(client, save, body={"objects": [None]}) == ""
            assert await self.moved(client, f"{image}/status/", body={"status": "skipped"}) == "ULS"
            assert await self.moved(client, f"{image}/tags/", body={"name": "night"}) == ""
            assert await self.moved(client, f"{image}/tags/", body={"name": "fresh"}) == "S"
            assert await self.moved(client, f"{other}/tags/", body={"name": "night"}) == "UL"
            assert await self.moved(client, f"{at}/classes/", body={"name": "bird"}) == "US"
            boat = next(number for number, name in client.boxes.classes.items() if name == "Boat")
            assert await self.moved(client, f"{at}/classes/{boat}/", "PUT", {"name": "Canoe"}) == "DUS"
            assert await self.moved(client, f"{image}/annotations/", "DELETE") == "ULS"
            assert await self.moved(client, f"{at}/", "PUT", {"name": "squares"}) == "U"
            assert await self.moved(client, f"/api/user-dataset/1/images/{never.id}/", "DELETE") == "D"
            assert await self.moved(client, "/api/user-dataset/1/folders/", body={"name": "f"}) == ""


class TestWorldAndFaults:
    async def test_people_can_change_it_in_process(self) -> None:
        async with remo_client() as client:
            world, boxes, first = client.world, client.boxes, client.first
            added = world.annotate(boxes, first)
            assert added in names(await client.read(boxes, first))
            before = (await client.read(boxes, first))["annotation_info"][0]["coordinates"][0]["x"]
            world.move_geometry(boxes, first, by=3)
            assert (await client.read(boxes, first))["annotation_info"][0]["coordinates"][0]["x"] == before + 3
            world.erase(boxes, first, added)
            assert added not in names(await client.read(boxes, first))

    async def test_the_world_of_another_kind_is_not_given(self) -> None:
        async with serve(StandinOptions(kind="remo", images=0)) as standin:
            assert isinstance(standin, Standin)
            assert standin.world_as(RemoWorld).dataset("harbour").images == {}
            with pytest.raises(TypeError, match="a remo stand-in holds a RemoWorld, not a World"):
                _ = standin.world

    async def test_the_same_seed_makes_the_same_world(self) -> None:
        worlds = []
        for _ in range(2):
            async with remo_client(hostile_names=True, images=30) as client:
                listed = (await client.get("/api/v1/sdk/datasets/1/images/")).json["results"]
                worlds.append([(row["name"], row["url"]) for row in listed])
        assert worlds[0] == worlds[1]

    @pytest.mark.parametrize(
        "kind", [FaultKind.ERROR_500, FaultKind.HTML, FaultKind.SHORT_PAGE, FaultKind.MISSING_PAGE]
    )
    async def test_a_fault_hits_its_route_once(self, kind: FaultKind) -> None:
        async with remo_client(faults=(Fault(route="images.page", kind=kind),)) as client:
            spoilt, whole = [await client.get(f"{UI}/datasets/1/images/") for _ in range(2)]
            assert spoilt.body != whole.body
            assert whole.json["count"] == 12

    async def test_listings_can_lie_about_sizes_and_point_into_private_networks(self) -> None:
        faults = (
            Fault(route="images.list", kind=FaultKind.WRONG_SIZE),
            Fault(route="images.get", kind=FaultKind.PRIVATE_LINK),
        )
        async with remo_client(faults=faults) as client:
            row = (await client.get("/api/v1/sdk/datasets/1/images/")).json["results"][0]
            assert row["size"] == client.first.size_bytes + 7
            image = (await client.get(f"{UI}/datasets/1/images/{client.first.id}/")).json
            assert image["image"] == f"http://10.0.0.1/media/dataset_images/{client.first.md5}"

    async def test_a_save_whose_answer_is_lost_was_done(self) -> None:
        async with remo_client(faults=(Fault(route="annotations.save", kind=FaultKind.RESET_AFTER),)) as client:
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.save(client.boxes, client.first, {"objects": [box("A")]})
            assert names(await client.read(client.boxes, client.first)) == ["A"]


async def test_contents_that_are_filtered_go_by_id_from_all_folders() -> None:
    async with remo_client() as client:
        path = f"{UI}/datasets/{client.harbour.id}/contents/"
        named = sorted(image.id for image in client.harbour if "pier" in image.name)
        query: dict[str, str | int] = {"image_name": "pier", "direction": "next", "limit": 1}
        first = (await client.get(path, **query, image_id=named[2] - 1)).json
        assert (first["count"], [row["image"]["id"] for row in first["results"]]) == (len(named), [named[2]])
        assert first["next"].startswith(path)
        around = (await client.get(path, image_name="pier", image_id=named[2], limit=1)).json
        assert [row["image"]["id"] for row in around["results"]] == [named[2]]
        last = (await client.get(path, **query, image_id=named[-1])).json
        assert (last["results"], last["next"]) == ([], None)
