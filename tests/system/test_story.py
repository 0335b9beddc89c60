"""One story for every kind of server: mirror, edits on both sides, merge, conflict, undo, delete, and a death."""

import json
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from labelmirror.providers.registry import KINDS
from support.cli import Home, home
from support.sites import SITES, Document, Entry, Site

#: How often the program is killed while it pushes.
DEATHS = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """A mirror on which the story is told."""

    here: Home
    site: Site

    async def sync(self, *options: str, exit_code: int = 0) -> dict[str, Any]:
        """One run's answer about the mirror."""
        answer = await self.here.json("sync", *options, exit_code=exit_code)
        mirror: dict[str, Any] = answer["mirrors"][0]
        return mirror

    async def entries(self) -> list[Entry]:
        """The documents of which the story can be told."""
        (mirror,) = (await self.here.json("status", "--images"))["mirrors"]
        assert {entry["state"] for entry in mirror["images"]} == {"in_step"}
        return [entry for entry in mirror["images"] if self.site.is_fit(self.document(entry))]

    def path(self, entry: Entry) -> Path:
        return self.here.mirror / str(entry["document_path"])

    def document(self, entry: Entry) -> Document:
        document: Document = json.loads(self.path(entry).read_bytes())
        return document

    def edit(self, entry: Entry, *, by: int | None = None) -> None:
        """Somebody edits a document here: adds an annotation, or moves the first one."""
        document = self.document(entry)
        if by is None:
            self.site.add(document)
        else:
            self.site.move(document, by)
        self.path(entry).write_text(json.dumps(document, indent=2, ensure_ascii=False))

    def marks(self, entry: Entry) -> set[str]:
        return self.site.marks(self.document(entry))

    def is_in_step(self, entry: Entry) -> bool:
        return self.marks(entry) == self.site.marks_there(entry)


@pytest.fixture(params=sorted(KINDS))
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    async with home(tmp_path, kind=request.param, images=24) as here:
        here.configure("push = true")
        made = Stage(here, SITES[request.param](here.standin))
        first = await made.sync()
        assert first["outcome"] == "synced"
        assert first["images"]["pulled"] == first["images"]["total"] == 24
        yield made


async def test_a_dataset_is_mirrored_once_and_then_left_alone(stage: Stage) -> None:
    entries = await stage.entries()
    assert len(entries) >= 6
    assert all(stage.is_in_step(entry) for entry in entries)
    before = stage.here.files()
    again = await stage.sync("--full-check")
    assert (again["images"]["pulled"], again["documents"]["pulled"], again["documents"]["pushed"]) == (0, 0, 0)
    assert stage.here.files() == before


async def test_edits_go_both_ways_and_meet_in_one_document(stage: Stage) -> None:
    added, moved, theirs, both, *_ = await stage.entries()
    stage.edit(added)
    stage.edit(moved, by=3)
    stage.site.add_there(theirs)
    stage.edit(both)
    stage.site.add_there(both)
    expected = stage.marks(both) | stage.site.marks_there(both)
    run = await stage.sync()
    assert (run["outcome"], run["documents"]["pushed"], run["documents"]["merged"]) == ("synced", 3, 1)
    assert run["documents"]["pulled"] == 1
    assert all(stage.is_in_step(entry) for entry in (added, moved, theirs, both))
    assert stage.marks(both) == expected
    again = await stage.sync("--full-check")
    assert (again["documents"]["pulled"], again["documents"]["pushed"]) == (0, 0)


async def test_what_both_moved_is_held_until_a_person_takes_a_side(stage: Stage) -> None:
    entry, other, *_ = await stage.entries()
    before = stage.site.marks_there(entry)
    for each in (entry, other):
        stage.edit(each, by=2)
        stage.site.move_there(each, by=4)
    mine, there = stage.path(entry).read_bytes(), stage.site.marks_there(entry)
    assert there != before
    run = await stage.sync("--full-check", exit_code=3)
    assert sorted((each["id"], each["reason"]) for each in run["held"]) == sorted(
        (each["id"], "both_edited") for each in (entry, other)
    )
    assert (stage.path(entry).read_bytes(), stage.site.marks_there(entry)) == (mine, there)
    held = (await stage.here.json("conflicts", "list"))["held"]
    assert {each["document_path"] for each in held} == {entry["document_path"], other["document_path"]}
    await stage.here.json("conflicts", "take", "remote", "harbour", entry["document_path"])
    await stage.here.json("conflicts", "take", "local", "harbour", other["document_path"])
    assert stage.marks(entry) == stage.site.marks_there(entry) == there
    assert stage.is_in_step(other)
    assert (await stage.sync("--full-check"))["outcome"] == "synced"


async def test_a_save_is_undone_and_later_work_of_others_survives(stage: Stage) -> None:
    entry, *_ = await stage.entries()
    before = stage.marks(entry)
    stage.edit(entry)
    await stage.sync()
    (save,) = (await stage.here.json("history"))["saves"]
    assert (save["outcome"], save["new_count"] - save["previous_count"]) == ("saved", 1)
    for named in (save["image"], save["image_id"], entry["document_path"]):
        assert (await stage.here.json("history", "--image", str(named)))["saves"] == [save]
    stage.site.add_there(entry)
    await stage.here.json("undo", save["id"])
    after = stage.marks(entry)
    assert len(after - before) == 1
    assert before <= after
    assert stage.is_in_step(entry)


async def test_an_image_that_is_deleted_there_goes_to_the_trash_here(stage: Stage) -> None:
    gone, edited, *_ = await stage.entries()
    stage.edit(edited)
    stage.site.delete_there(gone)
    stage.site.delete_there(edited)
    mine = stage.path(edited).read_bytes()
    run = await stage.sync(exit_code=3)
    assert run["images"]["retired"] == 1
    assert [(each["id"], each["reason"]) for each in run["held"]] == [(edited["id"], "edited_and_deleted")]
    assert not stage.path(gone).exists()
    assert [*(stage.here.mirror / ".labelmirror" / "trash").rglob(stage.path(gone).name)]
    assert stage.path(edited).read_bytes() == mine


async def test_a_program_that_is_killed_while_it_pushes_loses_and_doubles_nothing(stage: Stage, seed: int) -> None:
    rng = random.Random(seed)
    entries = await stage.entries()
    for entry in entries:
        stage.edit(entry)
        stage.edit(entry, by=2)
    expected = {entry["document_path"]: stage.marks(entry) for entry in entries}
    for _ in range(DEATHS):
        async with _running(stage.here) as process:
            await anyio.sleep(rng.uniform(0.3, 1.5))
            process.send_signal(signal.SIGKILL)
    last = await stage.sync("--full-check")
    assert last["outcome"] == "synced"
    for entry in entries:
        path = entry["document_path"]
        assert stage.marks(entry) == stage.site.marks_there(entry) == expected[path], path
        assert len(stage.document(entry)["annotations"]) == len(expected[path]), path
    saves = (await stage.here.json("history"))["saves"]
    assert "open" not in {save["outcome"] for save in saves}


@asynccontextmanager
async def _running(here: Home) -> AsyncIterator[Any]:
    process = here.start("sync", "--json")
    try:
        yield process
    finally:
        process.kill()
        await to_thread.run_sync(process.communicate)
