"""Pushing, conflicts, history and undo as processes against a stand-in: nobody's work is lost, and all of it is explained."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labelmirror.standin import Image
from support.cli import Home, drop_annotation, home

Annotations = list[dict[str, Any]]


def rewrite(document: Path, change: Callable[[Annotations], Annotations]) -> None:
    """Edit a document as a person would."""
    held = json.loads(document.read_bytes())
    held["annotations"] = change(held["annotations"])
    document.write_text(json.dumps(held, indent=2, ensure_ascii=False))


def ids(document: Path) -> list[str]:
    return [annotation["id"] for annotation in json.loads(document.read_bytes())["annotations"]]


def path_of(document: Path, where: Home) -> str:
    return document.relative_to(where.mirror).as_posix()


def image_of(document: Path, where: Home) -> Image:
    """The server's image whose document this is."""
    directory, _, filename = path_of(document, where).removeprefix("annotations/").removesuffix(".json").rpartition("/")
    found = where.dataset.at(f"/{directory}", filename)
    assert found is not None
    return found


def on_server(image: Image) -> list[str]:
    return [annotation["id"] for annotation in image.annotations]


def doubt(annotations: Annotations) -> Annotations:
    """Change the first annotation."""
    return [{**annotations[0], "confidence": 0.5}, *annotations[1:]]


async def test_an_edit_is_seen_pushed_listed_and_taken_back(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true")
        await here.json("sync")
        document = here.documents()[0]
        image, path, before = image_of(document, here), path_of(document, here), ids(document)
        drop_annotation(document)

        seen = await here.json("diff", "harbour")
        nothing: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
        assert seen["images"] == [
            {"id": image.id, "document_path": path, "local": {**nothing, "removed": before[-1:]}, "remote": nothing}
        ]
        assert seen["seen_at"] is not None

        (pulled,) = (await here.json("sync", "--pull-only"))["mirrors"]
        assert (pulled["documents"]["pushed"], on_server(image)) == (0, before)
        (pushed,) = (await here.json("sync", "--push-only"))["mirrors"]
        assert (pushed["documents"]["pushed"], on_server(image)) == (1, before[:-1])
        (standing,) = (await here.json("status"))["mirrors"]
        assert standing["state"] == "in_step"
        assert 0 < standing["window_s"]["last"] <= standing["window_s"]["max"]

        (save,) = (await here.json("history", "--image", path, "--since", "1h"))["saves"]
        assert (save["run"], save["mirror"], save["image_id"]) == (pushed["run"], "harbour", image.id)
        assert (save["previous_count"], save["new_count"], save["outcome"]) == (len(before), len(before) - 1, "saved")
        assert (here.mirror / save["image"]).read_bytes() == image.content

        # Somebody's later work survives the undo.
        added = here.standin.world.annotate(image)
        (undone,) = (await here.json("undo", save["id"][:10]))["mirrors"]
        assert undone["documents"]["pushed"] == 1
        assert sorted(on_server(image)) == sorted([*before, added]) == sorted(ids(document))
        assert len((await here.json("history", "harbour"))["saves"]) == 2
        assert (await here.json("history", "--run", pushed["run"]))["saves"] == [save]


async def test_edits_of_different_annotations_are_merged_on_both_sides(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true")
        await here.json("sync")
        document = here.documents()[0]
        image, before = image_of(document, here), ids(document)
        drop_annotation(document)
        added = here.standin.world.annotate(image)
        (mirror,) = (await here.json("sync"))["mirrors"]
        assert (mirror["documents"]["pushed"], mirror["documents"]["merged"], mirror["held"]) == (1, 1, [])
        assert on_server(image) == ids(document) == [*before[:-1], added]


async def test_a_conflict_is_held_explained_and_decided(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true")
        await here.json("sync")
        document = here.documents()[0]
        image, path = image_of(document, here), path_of(document, here)
        base, clash = document.read_bytes(), ids(document)[0]
        rewrite(document, doubt)
        mine = document.read_bytes()
        here.standin.world.move_geometry(image, clash, by=2)
        (fresh,) = (await here.json("diff", "harbour", path, "--fresh"))["images"]
        assert fresh["local"]["changed"] == fresh["remote"]["changed"] == [clash]

        (mirror,) = (await here.json("sync", exit_code=3))["mirrors"]
        (trouble,) = mirror["held"]
        assert (trouble["id"], trouble["reason"], document.read_bytes()) == (image.id, "both_edited", mine)
        assert (here.mirror / trouble["image"]).read_bytes() == image.content
        (held,) = (await here.json("conflicts", "list"))["held"]
        assert held.keys() == {"mirror", "id", "document_path", "reason", "base", "local", "remote"}
        assert Path(held["base"]).read_bytes() == base
        assert Path(held["local"]).read_bytes() == mine
        assert json.loads(Path(held["remote"]).read_bytes())["annotations"][0] != json.loads(base)["annotations"][0]
        shown = await here.json("conflicts", "show", "harbour", image.id)
        assert {key: shown[key] for key in held} == held
        assert shown["diff"] == {side: fresh[side] for side in ("local", "remote")}

        # What people are told to type does what they are told.
        said = (await here.run("conflicts", "show", "harbour", path)).stdout
        command = next(line for line in said.splitlines() if line.startswith("labelmirror conflicts take local"))
        taken = await here.run(*shlex.split(command)[1:6])
        assert taken.exit_code == 0
        (save,) = (await here.json("history"))["saves"]
        assert f"labelmirror undo --run {save['run']}" in taken.stdout
        assert image.annotations[0]["confidence"] == 0.5
        assert (await here.json("conflicts", "list"))["held"] == []

        # Taken back, both sides hold the server's version of before.
        await here.json("undo", "--image", "harbour", path)
        assert image.annotations[0].get("confidence", 1) != 0.5
        assert json.loads(document.read_bytes())["annotations"][0].get("confidence", 1) != 0.5
        # An edit that nothing holds is no conflict to be decided.
        rewrite(document, doubt)
        mine = document.read_bytes()
        for typed in (("show",), ("take", "remote")):
            error = (await here.json("conflicts", *typed, "harbour", path, exit_code=2))["error"]
            assert "is not held" in error["message"]
        assert document.read_bytes() == mine


async def test_whoever_takes_the_servers_version_is_told_where_the_own_file_lies(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        document = here.documents()[0]
        rewrite(document, doubt)
        mine = document.read_bytes()
        here.standin.world.annotate(image_of(document, here))
        await here.json("sync", exit_code=3)
        taken = await here.run("conflicts", "take", "remote", "harbour", path_of(document, here))
        told = next(line for line in taken.stdout.splitlines() if line.startswith("the file as it was: "))
        assert Path(told.partition(": ")[2]).read_bytes() == mine != document.read_bytes()


async def test_an_undo_that_clashes_with_later_work_says_so_and_holds_nothing(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true")
        await here.json("sync")
        document = here.documents()[0]
        image, path, clash = image_of(document, here), path_of(document, here), ids(document)[0]
        rewrite(document, doubt)
        await here.json("sync")
        here.standin.world.move_geometry(image, clash, by=2)
        await here.json("sync", "--full-check")
        later = document.read_bytes()
        answer = await here.json("undo", "--image", "harbour", path, exit_code=3)
        assert (answer["error"]["code"], "push" in answer["error"]["hint"]) == ("undo_clash", True)
        (failure,) = answer["mirrors"][0]["failed"]
        assert clash in failure["message"]
        assert document.read_bytes() == later
        assert (await here.json("conflicts", "list"))["held"] == []
        assert (await here.json("status"))["mirrors"][0]["state"] == "in_step"


async def test_a_broken_document_and_an_unknown_class_are_named_with_their_places_and_keep_no_other_back(
    tmp_path: Path,
) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true")
        await here.json("sync")
        broken, misnamed, good = here.documents()[:3]
        broken.write_text(broken.read_text().replace('"annotations": [', '"annotations": [,', 1))
        rewrite(misnamed, lambda held: [{**held[0], "name": "zeppelin"}, *held[1:]])
        before = [on_server(image_of(document, here)) for document in (broken, misnamed)]
        drop_annotation(good)
        planned = await here.run("plan")
        assert (planned.stdout.count("zeppelin"), "zeppelin" in planned.stderr) == (1, False)
        (mirror,) = (await here.json("sync", exit_code=1))["mirrors"]
        assert (mirror["outcome"], mirror["documents"]["pushed"]) == ("partial", 1)
        again = await here.run("sync")
        assert (again.stdout.count("zeppelin"), "zeppelin" in again.stderr) == (1, False)
        assert "next: mend the documents named above" in again.stdout
        failed = {failure["id"]: failure for failure in mirror["failed"]}
        assert failed.keys() == {image_of(broken, here).id, image_of(misnamed, here).id}
        assert {failure["stage"] for failure in failed.values()} == {"validate"}
        syntax, unknown = (failed[image_of(document, here).id]["message"] for document in (broken, misnamed))
        line = next(n for n, text in enumerate(broken.read_text().splitlines(), 1) if '"annotations": [' in text)
        assert f"line {line}" in syntax
        assert path_of(broken, here) in syntax
        line = next(n for n, text in enumerate(misnamed.read_text().splitlines(), 1) if "zeppelin" in text)
        assert f"(at /annotations/0/name, line {line})" in unknown
        assert [on_server(image_of(document, here)) for document in (broken, misnamed)] == before
        assert on_server(image_of(good, here)) == ids(good)


async def test_a_document_that_lost_most_of_its_annotations_waits_for_a_word(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true")
        image = next(image for image in here.dataset if image.annotation_count)
        for _ in range(12):
            here.standin.world.annotate(image)
        await here.json("sync")
        (document,) = (path for path in here.documents() if image_of(path, here) is image)
        count = image.annotation_count
        rewrite(document, lambda held: held[:1])
        (mirror,) = (await here.json("sync", exit_code=3))["mirrors"]
        assert [held["reason"] for held in mirror["held"]] == ["shrunk"]
        assert image.annotation_count == count
        await here.json("conflicts", "take", "local", "harbour", path_of(document, here))
        assert image.annotation_count == 1
        assert (await here.json("sync"))["mirrors"][0]["held"] == []


async def test_a_decision_is_carried_out_in_a_mirror_that_only_pulls_and_creates_nothing_anew(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        changed, gone = here.documents()[:2]
        image = image_of(changed, here)
        added = here.standin.world.annotate(image)
        here.standin.world.remove_image(image_of(gone, here))
        for document in (changed, gone):
            drop_annotation(document)
        (mirror,) = (await here.json("sync", exit_code=3))["mirrors"]
        assert {held["reason"] for held in mirror["held"]} == {"both_edited", "edited_and_deleted"}
        await here.json("conflicts", "take", "local", "harbour", path_of(changed, here))
        assert added not in on_server(image)
        assert on_server(image) == ids(changed)
        edit = gone.read_bytes()
        (mirror,) = (await here.json("conflicts", "take", "local", "harbour", path_of(gone, here), exit_code=3))[
            "mirrors"
        ]
        assert [held["reason"] for held in mirror["held"]] == ["edited_and_deleted"]
        assert gone.read_bytes() == edit
        assert len((await here.json("conflicts", "list"))["held"]) == 1


async def test_what_is_not_there_is_a_usage_error_and_costs_no_request(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        spent = len(here.standin.requests)
        for arguments in (
            ("diff", "harbour", "nothing"),
            ("conflicts", "take", "local", "harbour", "nothing"),
            ("undo",),
            ("undo", "abc"),
            ("history", "--since", "yesterday"),
        ):
            answer = await here.json(*arguments, exit_code=2)
            assert (answer["error"]["code"], bool(answer["error"]["hint"])) == ("usage", True), arguments
        assert (await here.json("history"))["saves"] == []
        assert len(here.standin.requests) == spent
