"""A mirror of a COCO Annotator through its life, as processes against a stand-in: edits on both sides, and death midway."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve
from labelmirror.standin.coco_annotator import CocoWorld, Image
from support.cli import Ended, environment, labelmirror

CONFIG = """\
version = 1
state = "state"
ledger = "ledger.db"
[servers.coco]
kind = "coco-annotator"
url = "{url}"
user = "{user}"
password = {{ env = "PASSWORD" }}
[datasets.harbour]
server = "coco"
name = "harbour"
path = "harbour"
push = true
"""
TRIANGLE = [1.0, 1.0, 20.0, 1.0, 20.0, 15.25]


@dataclass(frozen=True, slots=True)
class Home:
    """A folder with a configuration, the stand-in, and an image with three annotations."""

    folder: Path
    standin: Standin
    image: Image

    @property
    def world(self) -> CocoWorld:
        return self.standin.world_as(CocoWorld)

    @property
    def document(self) -> Path:
        place = self.image.path.removeprefix("/datasets/harbour/")
        return self.folder / "harbour" / "annotations" / f"{place}.json"

    @property
    def env(self) -> dict[str, str]:
        assert self.standin.login is not None
        return {"PASSWORD": self.standin.login.password}

    async def run(self, *arguments: str) -> Ended:
        return await to_thread.run_sync(lambda: labelmirror(*arguments, cwd=self.folder, env=self.env))

    async def sync(self, exit_code: int = 0) -> dict[str, Any]:
        ended = await self.run("sync", "--json")
        assert ended.exit_code == exit_code, ended.stdout + ended.stderr
        (mirror,) = ended.answer["mirrors"]
        found: dict[str, Any] = mirror
        return found

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Edit the document as a person would."""
        held = json.loads(self.document.read_bytes())
        change(held)
        self.document.write_text(json.dumps(held, indent=2, ensure_ascii=False))

    def here(self) -> list[Any]:
        return _shown(json.loads(self.document.read_bytes())["annotations"])

    def there(self) -> list[Any]:
        rows = self.world.annotations_of(self.image)
        return _shown([{name: getattr(row, name) for name in _FIELDS} for row in rows])


_FIELDS = ("id", "category_id", "segmentation", "keypoints", "isbbox", "color", "metadata")


def _shown(rows: list[dict[str, Any]]) -> list[Any]:
    return [[row[name] for name in _FIELDS] for row in sorted(rows, key=lambda row: int(row["id"]))]


def _looks(row: dict[str, Any]) -> str:
    return json.dumps([row["category_id"], row["segmentation"], row.get("keypoints") or []])


@asynccontextmanager
async def home(folder: Path) -> AsyncIterator[Home]:
    async with serve(StandinOptions(kind="coco-annotator", images=12)) as standin:
        assert standin.login is not None
        (folder / "labelmirror.toml").write_text(CONFIG.format(url=standin.url, user=standin.login.user))
        world = standin.world_as(CocoWorld)
        images = world.images_of(world.dataset("harbour"))
        made = Home(folder, standin, next(image for image in images if len(world.annotations_of(image)) == 3))
        await made.sync()
        yield made


def everything(document: dict[str, Any]) -> None:
    """Draw one anew, take one away, add two."""
    first, second, _ = document["annotations"]
    second |= {"segmentation": [TRIANGLE], "keypoints": [], "isbbox": False, "category_id": 5}
    additions = [{"category_id": 1, "segmentation": [[number + shift for number in TRIANGLE]]} for shift in (0.25, 0.5)]
    document["annotations"] = [first, second, *additions]
    document["image"]["metadata"] = {"weather": "sun"}


async def test_edits_of_both_sides_meet_and_are_taken_back(tmp_path: Path) -> None:
    async with home(tmp_path) as made:
        before = made.there()
        assert made.here() == before
        made.edit(everything)
        theirs = made.world.annotate(made.image)
        met = await made.sync()
        assert (met["documents"]["pushed"], met["documents"]["merged"]) == (1, 1)
        assert made.here() == made.there()
        assert len(made.here()) == 5
        assert theirs.id in [row[0] for row in made.here()]
        assert made.image.metadata == {"weather": "sun"}
        assert (await made.sync())["requests"]["api"] == 4

        (save,) = (await made.run("history", "--json")).answer["saves"]
        assert (await made.run("undo", save["id"], "--json")).exit_code == 0
        assert made.here() == made.there()
        assert len(made.here()) == 4
        assert theirs.id in [row[0] for row in made.here()]


async def test_additions_are_not_doubled_when_somebody_saves_before_ours_is_read_back(tmp_path: Path) -> None:
    async with home(tmp_path) as made:
        made.edit(everything)
        theirs: list[int] = []

        async def annotate_once() -> None:
            if not theirs:
                theirs.append(made.world.annotate(made.image).id)

        made.world.between_writes = annotate_once
        await made.sync()
        await made.sync()
        assert made.here() == made.there()
        assert len(made.here()) == 5
        assert theirs[0] in [row[0] for row in made.here()]


async def test_an_addition_that_is_moved_while_it_is_saved_is_there_once(tmp_path: Path) -> None:
    async with home(tmp_path) as made:

        def add(document: dict[str, Any], shift: float = 0.25) -> None:
            document["annotations"].append({"category_id": 1, "segmentation": [[at + shift for at in TRIANGLE]]})

        def move(document: dict[str, Any]) -> None:
            document["annotations"].pop()
            add(document, 7.5)

        moves = iter([move])

        async def meanwhile() -> None:
            for each in moves:
                made.edit(each)

        made.edit(add)
        made.world.between_writes = meanwhile
        await made.sync()
        await made.sync()
        assert made.here() == made.there()
        assert len(made.here()) == 4


async def test_edits_that_do_not_fit_together_wait_for_a_person(tmp_path: Path) -> None:
    async with home(tmp_path) as made:
        first = made.world.annotations_of(made.image)[0]
        made.edit(lambda document: document["annotations"][0].update(color="#000001"))
        first.color = "#000002"
        (held,) = (await made.sync(exit_code=3))["held"]
        assert held["reason"] == "both_edited"
        assert (await made.run("conflicts", "take", "local", "harbour", str(made.image.id))).exit_code == 0
        assert first.color == "#000001"
        assert made.here() == made.there()


async def test_an_image_that_somebody_has_open_is_left_to_them(tmp_path: Path) -> None:
    async with home(tmp_path) as made:
        before = made.there()
        made.edit(everything)
        made.image.annotating.append("bob")
        (held,) = (await made.sync(exit_code=3))["held"]
        assert held["reason"] == "being_annotated"
        assert made.there() == before
        made.image.annotating.clear()
        assert (await made.sync())["documents"]["pushed"] == 1
        assert made.here() == made.there()


async def test_what_is_deleted_there_goes_to_the_trash_and_what_cannot_be_saved_is_told(tmp_path: Path) -> None:
    async with home(tmp_path) as made:
        other = next(image for image in made.world.images_of(made.world.dataset("harbour")) if image is not made.image)
        made.world.delete(other)
        assert (await made.sync())["images"]["retired"] == 1
        made.edit(lambda document: document["annotations"].append({"category_id": 1, "bbox": [1, 2, 3, 4]}))
        (failed,) = (await made.sync(exit_code=1))["failed"]
        assert failed["stage"] == "validate"
        assert "/annotations/3/segmentation" in failed["message"]
        assert '"isbbox": true' in failed["message"]


@pytest.mark.parametrize(
    ("route", "nth"),
    [
        ("annotations.create", 1),
        ("annotations.create", 2),
        ("annotations.update", 1),
        ("annotator.save", 1),
        ("halfway", 3),
        ("annotations.delete", 1),
    ],
)
async def test_a_save_is_finished_after_death_at_any_step(tmp_path: Path, route: str, nth: int) -> None:
    async with home(tmp_path) as made:
        made.edit(everything)
        reached = anyio.Event()
        writes = 0

        async def stand_still() -> None:
            nonlocal writes
            writes += 1
            if writes == nth:
                reached.set()
                await anyio.sleep_forever()

        if route == "halfway":
            made.world.between_writes = stand_still
        else:
            made.standin.faults.add(Fault(route=route, kind=FaultKind.TIMEOUT, nth=nth))
        asked = made.standin.requests.by_route[route]
        command = [sys.executable, "-m", "labelmirror", "sync", "--json"]
        async with await anyio.open_process(command, cwd=tmp_path, env=environment(tmp_path, made.env)) as process:
            with anyio.fail_after(30):
                while not reached.is_set() and made.standin.requests.by_route[route] < asked + nth:
                    await anyio.sleep(0.01)
            process.kill()

        async def go_on() -> None:
            return

        made.world.between_writes = go_on
        await made.sync()
        here = json.loads(made.document.read_bytes())["annotations"]
        assert {row["id"] for row in here} == {row.id for row in made.world.annotations_of(made.image)}
        sent = {_looks(row) for row in here}
        assert sent == {_looks(asdict(row)) for row in made.world.annotations_of(made.image)}
        assert len(sent) == 4
        assert made.image.metadata == {"weather": "sun"}
        assert (await made.sync())["requests"]["api"] == 4
