"""Plans that are kept and carried out later, as processes against a stand-in."""

import json
from pathlib import Path

from support.cli import Home, drop_annotation, home


def ids(document: Path) -> list[str]:
    return [annotation["id"] for annotation in json.loads(document.read_bytes())["annotations"]]


def annotations_on(here: Home, document: Path) -> list[str]:
    """The annotations that the server holds of this document's image."""
    place = document.relative_to(here.mirror / "annotations").as_posix().removesuffix(".json")
    directory, _, filename = place.rpartition("/")
    image = here.dataset.at(f"/{directory}", filename)
    assert image is not None
    return [annotation["id"] for annotation in image.annotations]


async def test_a_kept_plan_is_carried_out_and_nothing_else(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true")
        first = await here.json("plan", "-o", "first.plan")
        assert first["file"] == str(tmp_path / "first.plan")
        assert not here.mirror.exists()
        (mirrored,) = (await here.json("apply", "first.plan"))["mirrors"]
        assert (mirrored["outcome"], mirrored["images"]["pulled"]) == ("synced", 6)
        assert (await here.json("sync"))["mirrors"][0]["documents"]["pulled"] == 0

        planned, later = here.documents()[:2]
        drop_annotation(planned)
        (shown,) = (await here.json("plan", "-o", "edit.plan"))["mirrors"]
        assert [item["action"] for item in shown["items"]] == ["push"]
        assert here.standin.key not in (tmp_path / "edit.plan").read_text()
        drop_annotation(later)
        (mirror,) = (await here.json("apply", "edit.plan"))["mirrors"]
        assert (mirror["outcome"], mirror["documents"]["pushed"]) == ("synced", 1)
        assert annotations_on(here, planned) == ids(planned)
        assert annotations_on(here, later) != ids(later)


async def test_what_moved_since_the_plan_is_refused_item_by_item(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true")
        await here.json("sync")
        moved, still = here.documents()[:2]
        for document in (moved, still):
            drop_annotation(document)
        await here.json("plan", "-o", "edit.plan")
        drop_annotation(moved)
        before = annotations_on(here, moved)
        (mirror,) = (await here.json("apply", "edit.plan", exit_code=1))["mirrors"]
        (failure,) = mirror["failed"]
        assert (failure["code"], failure["stage"], mirror["outcome"]) == ("plan_outdated", "validate", "partial")
        assert "the file here changed" in failure["message"]
        assert annotations_on(here, moved) == before
        assert annotations_on(here, still) == ids(still)
        # Carried out a second time it finds nothing that still holds.
        (mirror,) = (await here.json("apply", "edit.plan", exit_code=1))["mirrors"]
        assert {failure["code"] for failure in mirror["failed"]} == {"plan_outdated"}
        assert mirror["documents"]["pushed"] == 0


async def test_a_file_that_cannot_be_carried_out_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        file = tmp_path / "a.plan"
        await here.json("plan", "-o", "a.plan")
        kept = file.read_text()
        spent = len(here.standin.requests)
        for text, place in (
            (kept[:-20], "line "),
            (kept.replace("labelmirror_plan", "other"), "/labelmirror_plan"),
            (kept.replace('"harbour"', '"harbours"'), "/digest"),
        ):
            file.write_text(text)
            error = (await here.json("apply", "a.plan", exit_code=2))["error"]
            assert (error["code"], place in error["message"], "plan -o" in error["hint"]) == ("usage", True, True), (
                error
            )
        file.write_text(kept)
        here.configure("push = true")
        here.config.write_text(here.config.read_text().replace('state = "state"', 'state = "another"'))
        error = (await here.json("apply", "a.plan", exit_code=2))["error"]
        assert "/mirrors/0/store_id" in error["message"]
        assert len(here.standin.requests) == spent
        assert (await here.json("plan", "-o", "missing/a.plan", exit_code=2))["error"]["code"] == "usage"
        assert (await here.json("apply", "b.plan", exit_code=2))["error"]["code"] == "usage"
        assert len(here.standin.requests) == spent


async def test_no_plan_is_kept_of_mirrors_that_could_not_be_looked_at(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure(dataset="nowhere")
        answer = await here.json("plan", "-o", "a.plan", exit_code=2)
        assert answer["file"] is None
        assert not (tmp_path / "a.plan").exists()


async def test_a_dry_run_says_only_what_its_direction_does(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("push = true")
        await here.json("sync")
        document = here.documents()[0]
        drop_annotation(document)
        here.standin.world.add_image(here.dataset, "new.png")
        for flags, actions in ((("--pull-only",), {"pull"}), (("--push-only",), {"push"}), ((), {"pull", "push"})):
            (mirror,) = (await here.json("sync", "--dry-run", *flags))["mirrors"]
            assert {item["action"] for item in mirror["items"]} == actions


async def test_a_diff_says_when_the_server_was_last_looked_at_also_by_a_plan(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("plan")
        assert (await here.json("diff", "harbour"))["seen_at"] is not None
        assert (await here.json("status"))["mirrors"][0]["last_sync"] is None
