"""`sync`, `plan`, `status`, `verify`, `datasets` as a process against a stand-in: what they do, and their published answers."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from labelmirror.standin import Image
from support.cli import Home, drop_annotation, home


def image_of(document: Path, where: Home) -> Image:
    """The server's image whose document this is."""
    name = document.relative_to(where.mirror / "annotations").as_posix().removesuffix(".json")
    directory, _, filename = name.rpartition("/")
    found = where.dataset.at(f"/{directory}", filename)
    assert found is not None
    return found


async def test_a_first_mirror_holds_every_image_and_document_and_a_second_sync_asks_next_to_nothing(
    tmp_path: Path,
) -> None:
    async with home(tmp_path, images=12) as here:
        first = await here.json("sync")
        (mirror,) = first["mirrors"]
        assert mirror["outcome"] == "synced"
        assert mirror["images"]["total"] == mirror["images"]["pulled"] == 12
        assert mirror["documents"]["pulled"] == 12
        files = here.files()
        assert len(files) == 24
        contents = {image.content for image in here.dataset}
        assert {data for path, data in files.items() if path.startswith("images/")} == contents

        (mirror,) = (await here.json("sync"))["mirrors"]
        assert (mirror["images"]["pulled"], mirror["documents"]["pulled"]) == (0, 0)
        assert mirror["requests"]["api"] <= 3
        assert mirror["requests"]["storage"] == 0
        assert here.files() == files


async def test_sync_answers_in_the_published_shape(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        (mirror,) = (await here.json("sync"))["mirrors"]
    assert mirror.keys() >= {
        "name",
        "outcome",
        "images",
        "documents",
        "failed",
        "held",
        "requests",
        "waited_s",
        "duration_s",
        "refused",
    }
    assert mirror["images"].keys() == {"total", "pulled", "bytes", "retired"}
    assert mirror["documents"].keys() == {"pulled", "pushed", "merged", "adopted", "held", "retired", "ahead"}
    assert mirror["requests"].keys() == {"api", "storage", "limited"}
    assert mirror["refused"] is None


async def test_plan_and_dry_run_say_the_same_and_change_nothing_in_the_mirror(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        (planned,) = (await here.json("plan"))["mirrors"]
        (dry,) = (await here.json("sync", "--dry-run"))["mirrors"]
        assert not here.mirror.exists()
        assert planned["actions"] == dry["actions"]
        assert planned["actions"] == {
            "pull_images": 6,
            "pull_documents": 6,
            "push": 0,
            "merge": 0,
            "hold": 0,
            "retire": 0,
            "ahead": 0,
        }
        assert planned["forecast"].keys() == {"requests", "bytes", "window_remaining", "fits", "eta_s"}
        assert {"id", "set", "document_path", "action"} <= planned["items"][0].keys()
        assert len(planned["items"]) == 12
        # What the first look recorded is not asked for again.
        assert dry["requests_spent"] < planned["requests_spent"]
        (done,) = (await here.json("sync"))["mirrors"]
        assert done["images"]["pulled"] == planned["actions"]["pull_images"]


async def test_status_needs_no_server_and_names_each_image(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        (before,) = (await here.json("status"))["mirrors"]
        assert (before["state"], before["last_sync"], before["blind_until"]) == ("never", None, None)
        await here.json("sync")
        drop_annotation(here.documents()[0])
        spent = len(here.standin.requests)
        (mirror,) = (await here.json("status", "--images"))["mirrors"]
        assert len(here.standin.requests) == spent
    assert mirror["state"] == "ahead"
    none = dict.fromkeys(("behind", "held", "failed", "local_only"), 0)
    assert mirror["counts"] == {"images": 6, "documents": 6, "ahead": 1, **none}
    assert mirror["safety_level"] == 1
    assert mirror["next_due"] is None
    assert mirror["blind_until"] > mirror["last_full_check"]
    assert [image["state"] for image in mirror["images"]].count("ahead") == 1
    assert {"id", "directory", "name", "image_path", "document_path", "state", "reason"} <= mirror["images"][0].keys()
    assert all((here.mirror / image["document_path"]).is_file() for image in mirror["images"])
    assert all((here.mirror / image["image_path"]).is_file() for image in mirror["images"])


async def test_an_edit_here_is_ahead_and_never_reverted(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        edited = here.documents()[0]
        drop_annotation(edited)
        data = edited.read_bytes()
        await here.json("sync", "--full-check")
        assert edited.read_bytes() == data


async def test_a_moved_shape_is_found_by_a_full_check_and_the_old_version_is_kept(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        document = here.documents()[0]
        old = document.read_bytes()
        here.standin.world.move_geometry(image_of(document, here))
        (plain,) = (await here.json("sync"))["mirrors"]
        assert plain["documents"]["pulled"] == 0
        (checked,) = (await here.json("sync", "--full-check"))["mirrors"]
        assert checked["documents"]["pulled"] == 1
        assert document.read_bytes() != old
        kept = here.mirror / ".labelmirror" / "history" / checked["run"] / document.relative_to(here.mirror)
        assert kept.read_bytes() == old


async def test_a_document_that_changed_on_both_sides_is_held_with_its_image_named(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        document = here.documents()[0]
        image = image_of(document, here)
        drop_annotation(document)
        data = document.read_bytes()
        here.standin.world.annotate(image)
        answer = await here.json("sync", exit_code=3)
        (mirror,) = answer["mirrors"]
        assert mirror["outcome"] == "held"
        (held,) = mirror["held"]
        assert held["reason"] == "both_edited"
        assert held["id"] == image.id
        assert (here.mirror / held["image"]).read_bytes() == image.content
        assert document.read_bytes() == data
        assert (await here.json("status"))["mirrors"][0]["state"] == "held"
        said = await here.run("sync")
        assert (said.exit_code, "edited here and changed on the server" in said.stdout) == (3, True)
        # Moving the file out takes the server's version.
        document.rename(tmp_path / "mine.json")
        await here.json("sync")
        assert len(json.loads(document.read_bytes())["annotations"]) == image.annotation_count


async def test_verify_reads_every_file_and_brings_back_a_damaged_one(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        assert await here.json("verify") == {"ok": True, "exit_code": 0, "checked": 12, "damaged": [], "errors": []}
        picture = next(path for path in sorted((here.mirror / "images").rglob("*")) if path.is_file())
        good = picture.read_bytes()
        picture.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        answer = await here.json("verify")
        assert answer["damaged"] == [
            {
                "mirror": "harbour",
                "path": picture.relative_to(here.mirror).as_posix(),
                "problem": "digest",
                "repaired": True,
            }
        ]
        assert picture.read_bytes() == good
        parts = [(await here.json("verify", "--subset", f"{part}/3"))["checked"] for part in (1, 2, 3)]
        assert sum(parts) == 12


async def test_datasets_lists_what_the_key_sees(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        (server,) = (await here.json("datasets"))["servers"]
        assert server["name"] == "acme"
        names = {dataset["name"]: dataset["id"] for dataset in server["datasets"]}
        assert names == {dataset.name: dataset.id for dataset in here.standin.world.datasets.values()}
        assert (await here.json("datasets", "acme"))["servers"] == [server]
        refused = await here.json("datasets", "acm", exit_code=2)
        assert "acme" in refused["error"]["hint"]


async def test_one_mirrors_error_does_not_keep_the_next_from_its_turn(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure(
            "[datasets.another]",
            'server = "acme"',
            'name = "no such dataset"',
            'path = "another"',
        )
        answer = await here.json("sync", exit_code=2)
        outcomes = {mirror["name"]: (mirror["outcome"], mirror["error"]) for mirror in answer["mirrors"]}
        assert outcomes["harbour"] == ("synced", None)
        assert outcomes["another"][0] == "failed"
        assert outcomes["another"][1]["code"] == answer["error"]["code"] == "unknown_dataset"
        assert len(here.files()) == 12


async def test_the_oldest_generation_of_the_server_is_mirrored_as_well(tmp_path: Path) -> None:
    async with home(tmp_path, generation="g0") as here:
        await here.json("sync")
        images = {data for path, data in here.files().items() if path.startswith("images/")}
        assert images == {image.content for image in here.dataset}


@pytest.mark.parametrize("loss", ["missing", "garbage"])
async def test_a_lost_state_is_rebuilt_without_overwriting_a_document_or_fetching_an_image(
    tmp_path: Path, loss: str
) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        edited = here.documents()[0]
        drop_annotation(edited)
        files = here.files()
        for path in here.database.parent.glob("labelmirror.db*"):
            path.unlink()
        if loss == "garbage":
            here.database.write_bytes(b"not a database " * 1000)
        refused = await here.json("sync", exit_code=7)
        assert "labelmirror repair" in refused["error"]["hint"]
        answer = await here.json("repair", exit_code=3)
        (mirror,) = answer["mirrors"]
        assert mirror["images"]["pulled"] == 0
        assert mirror["documents"]["held"] == 1
        assert here.files() == files
        aside = [path for path in here.database.parent.iterdir() if path.name.startswith("labelmirror.db.")]
        assert bool(aside) == (loss == "garbage")
        assert (await here.json("sync", exit_code=3))["mirrors"][0]["held"][0]["reason"] == "both_added"


async def test_repair_leaves_a_state_alone_that_a_newer_version_wrote(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        with closing(sqlite3.connect(here.database, isolation_level=None)) as database:
            database.execute("PRAGMA user_version = 999")
        answer = await here.json("repair", exit_code=7)
        assert "newer" in answer["error"]["message"]
        with closing(sqlite3.connect(here.database)) as database:
            assert database.execute("PRAGMA user_version").fetchone() == (999,)


async def test_repair_without_a_name_leaves_mirrors_alone_that_are_well(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("[datasets.other]", 'server = "acme"', 'name = "meadow & shore"', 'path = "other"')
        await here.json("sync")
        drop_annotation(here.documents()[0])
        with closing(sqlite3.connect(here.database, isolation_level=None)) as database:
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("DELETE FROM mirrors WHERE name = 'other'")
        answer = await here.json("repair")
        assert [mirror["name"] for mirror in answer["mirrors"]] == ["other"]
        assert (await here.json("status", "harbour"))["mirrors"][0]["state"] == "ahead"


async def test_hostile_names_stay_inside_the_mirror(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    async with home(folder, images=12, hostile_names=True) as here:
        await here.json("sync")
        assert len([path for path in here.files() if path.startswith("images/")]) == len(here.dataset)
        assert [path.name for path in tmp_path.iterdir()] == ["inner"]


async def test_a_sync_goes_on_after_the_mirrors_files_were_lost(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        files = here.files()
        shutil.rmtree(here.mirror / "images" / "day")
        (mirror,) = (await here.json("sync"))["mirrors"]
        assert mirror["images"]["pulled"] > 0
        assert here.files() == files
