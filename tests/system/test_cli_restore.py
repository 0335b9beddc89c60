"""Restoring snapshots to a folder and to the server, as people do it."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from labelmirror.cli.drill import drill
from labelmirror.cli.frame import Call
from labelmirror.engine.restore_server import restore_to_server
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.model.trouble import Failed
from labelmirror.providers.pictograph.format import PictographFormat
from labelmirror.standin import KINDS, Standin, StandinOptions, serve
from labelmirror.telemetry.logs import Masker
from support.cli import Home, drop_annotation, home


def digests(here: Home) -> dict[str, str]:
    """The canonical form of what the server holds, by image id."""
    documents = PictographFormat()
    return {image.id: documents.digest({"annotations": list(image.annotations)}) for image in here.dataset}


def vandalise(here: Home) -> None:
    world = here.standin.world
    for number, image in enumerate(image for image in here.dataset if image.annotations):
        if number % 2:
            world.save(image, [])
        else:
            world.move_geometry(image)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".labelmirror" not in path.parts
    }


def mirror_of(answer: dict[str, Any]) -> dict[str, Any]:
    (mirror,) = answer["mirrors"]
    found: dict[str, Any] = mirror
    return found


async def test_a_folder_gets_what_the_mirror_was(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        drop_annotation(here.documents()[0])
        (here.mirror / "annotations" / "mine.json").write_text("not even a document")
        was = tree(here.mirror)
        await here.json("backup", "--images")
        for path in (here.mirror / "annotations").rglob("*.json"):
            path.unlink()
        planned = mirror_of(await here.json("restore", "latest", "--to", "out", "--dry-run"))
        assert (planned["actions"]["pull_documents"], planned["actions"]["pull_images"]) == (7, 6)
        assert not (here.folder / "out").exists()
        here.standin.requests.clear()
        done = mirror_of(await here.json("restore", "latest", "--to", "out"))
        assert (done["outcome"], done["documents"]["pulled"], done["images"]["pulled"]) == ("synced", 7, 6)
        restored = tree(here.folder / "out")
        summary = json.loads(restored.pop("dataset.json"))
        assert restored == {path: data for path, data in was.items() if path != "dataset.json"}
        expected = json.loads(was["dataset.json"])
        assert sorted(summary.pop("images"), key=repr) == sorted(expected.pop("images"), key=repr)
        assert summary == expected
        assert len(here.standin.requests) == 0


async def test_files_in_the_folder_are_never_overwritten(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        await here.json("backup")
        await here.json("restore", "latest", "--to", "out")
        (mine, lost) = sorted((here.folder / "out" / "annotations").rglob("*.json"))[:2]
        mine.write_text("mine")
        lost.unlink()
        (here.folder / "out" / "dataset.json").write_text("{}")
        done = mirror_of(await here.json("restore", "latest", "--to", "out", exit_code=1))
        assert [failed["code"] for failed in done["failed"]] == ["in_the_way"] * 2
        assert (here.folder / "out" / "dataset.json").read_text() == "{}"
        assert (done["documents"]["pulled"], mine.read_text(), lost.exists()) == (1, "mine", True)


async def test_a_vandalised_dataset_is_as_it_was_and_the_restore_can_be_undone(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        await here.json("backup")
        before = digests(here)
        vandalise(here)
        vandalised = digests(here)
        changed = sum(before[each] != vandalised[each] for each in before)
        planned = mirror_of(await here.json("restore", "latest", "--to-server", "--dry-run"))
        assert planned["actions"]["push"] == len(planned["items"]) == changed
        assert planned["forecast"]["requests"] > 0
        assert digests(here) == vandalised
        done = mirror_of(await here.json("restore", "latest", "--to-server", "harbour"))
        assert (done["outcome"], done["documents"]["pushed"]) == ("synced", changed)
        assert digests(here) == before
        assert mirror_of(await here.json("sync", "--full-check"))["documents"]["pulled"] == 0
        await here.json("undo", "--run", done["run"])
        assert digests(here) == vandalised


async def test_a_document_whose_image_is_gone_is_reported_and_the_others_are_restored(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        await here.json("backup")
        gone, kept = [image for image in here.dataset if image.annotations][:2]
        here.standin.world.remove_image(gone)
        here.standin.world.save(kept, [])
        done = mirror_of(await here.json("restore", "latest", "--to-server", exit_code=1))
        assert [(failed["id"], failed["code"]) for failed in done["failed"]] == [(gone.id, "image_gone")]
        assert kept.annotations


async def test_what_a_restore_cannot_follow_is_a_usage_error_and_changes_nothing(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        await here.json("backup")
        vandalise(here)
        before = digests(here)
        (here.folder / "file").write_text("a file")
        here.config.write_text(
            here.config.read_text()
            + '[datasets.shore]\nserver = "acme"\nname = "meadow & shore"\npath = "shore"\ncontent = "annotations"\n'
        )
        await here.json("sync", "shore")
        for arguments in (
            ("latest",),
            ("latest", "--to", "out", "--to-server"),
            ("latest", "--to", "out", "--exact"),
            ("latest", "--drill", "--dry-run"),
            ("latest", "--to", "file"),
            ("latest", "--to", "harbour"),
            ("latest", "--to", "harbour/annotations/old"),
            ("nothing", "--to", "out"),
            ("latest:nobody", "--to-server"),
            ("latest", "--to-server", "nobody"),
        ):
            answer = await here.json("restore", *arguments, exit_code=2)
            assert answer["error"]["message"], arguments
            assert answer["error"]["hint"], arguments
        assert digests(here) == before
        assert not any((here.folder / each).exists() for each in ("out", "harbour/annotations/old"))
        # The small dataset has images of other sizes and places: none is mistaken for one that was saved.
        done = mirror_of(await here.json("restore", "latest", "--to-server", "shore", exit_code=1))
        assert {failed["code"] for failed in done["failed"]} <= {"image_gone"}
        here.config.write_text(here.config.read_text().replace("datasets.harbour", "datasets.renamed"))
        answer = await here.json("restore", "latest:harbour", "--to-server", exit_code=2)
        assert "does not have" in answer["error"]["message"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_drill_brings_every_document_back_on_a_server_of_its_own_whatever_kind_it_is(
    tmp_path: Path, kind: str
) -> None:
    async with home(tmp_path, kind=kind, images=12, hostile_names=True) as here:
        await here.json("backup", "--sync")
        files = tree(here.mirror)
        here.standin.requests.clear()
        report = await drill(Call(here.config, (), as_json=True, masker=Masker()), "latest", wait_s=0.0)
        assert (report.error, report.outcome, report.troubles) == (None, MirrorOutcome.SYNCED, [])
        documents = [data for path, data in files.items() if path.startswith("annotations/")]
        assert report.documents.pushed == sum(map(says_something, documents)) >= len(here.documents())
        assert (tree(here.mirror), len(here.standin.requests)) == (files, 0)


def says_something(document: bytes) -> bool:
    """Whether a document, of any kind, is another one than that of an image which nobody touched."""
    held = json.loads(document)
    image = held.get("image")
    metadata = image.get("metadata") if isinstance(image, dict) else None
    return bool(held["annotations"] or held.get("tags") or metadata or held.get("status") in {"done", "skipped"})


async def test_a_drill_tells_what_it_could_not_bring_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage: list[Standin] = []

    @asynccontextmanager
    async def seen(options: StandinOptions) -> AsyncIterator[Standin]:
        async with serve(options) as standin:
            stage.append(standin)
            yield standin

    async def restored_and_vandalised(*arguments: Any) -> MirrorReport:
        report = await restore_to_server(*arguments)
        (dataset,) = stage[0].world.datasets.values()
        stage[0].world.move_geometry(next(image for image in dataset if image.annotations))
        return report

    async with home(tmp_path) as here:
        await here.json("backup", "--sync")
        with monkeypatch.context() as patched:
            patched.setattr("labelmirror.cli.drill.serve", seen)
            patched.setattr("labelmirror.cli.drill.restore_to_server", restored_and_vandalised)
            call = Call(here.config, (), as_json=True, masker=Masker())
            report = await drill(call, "latest", wait_s=0.0)
        assert [each.code for each in report.troubles if isinstance(each, Failed)] == ["not_restored"]
        saved = sorted((here.folder / "backups" / "documents").rglob("*.gz"))
        annotated = {bool(json.loads(gzip.decompress(file.read_bytes()))["annotations"]): file for file in saved}
        assert annotated.keys() == {False, True}
        for file in annotated.values():
            file.chmod(0o644)
            file.write_bytes(b"flipped")
        done = mirror_of(await here.json("restore", "latest", "--drill", exit_code=10))
        assert [failed["code"] for failed in done["failed"]] == ["snapshot_damaged"] * 2
        assert done["documents"]["pushed"] == len(here.documents()) - 1


@pytest.mark.parametrize("kind", KINDS)
async def test_on_every_kind_of_server_what_was_deleted_and_pushed_comes_back(tmp_path: Path, kind: str) -> None:
    async with home(tmp_path, kind=kind, images=4) as here:
        here.configure("push = true")
        await here.json("sync")
        made = await here.json("backup")
        documents = here.documents()
        emptied, thinned = documents[:2]
        emptied.write_text(json.dumps({**json.loads(emptied.read_bytes()), "annotations": []}))
        drop_annotation(thinned)
        assert mirror_of(await here.json("sync"))["documents"]["pushed"] == 2
        planned = mirror_of(await here.json("restore", "latest", "--to-server", "--dry-run"))
        assert planned["actions"]["push"] == 2
        done = mirror_of(await here.json("restore", "latest", "--to-server"))
        assert (done["outcome"], done["documents"]["pushed"]) == ("synced", 2)
        assert mirror_of(await here.json("restore", "latest", "--to-server", "--dry-run"))["actions"]["push"] == 0
        assert mirror_of(await here.json("sync", "--full-check"))["documents"]["pulled"] == 0
        assert (await here.json("backup"))["snapshots"][0]["documents"] == made["snapshots"][0]["documents"]
