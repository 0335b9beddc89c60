"""A run that is killed at any of its writes, and what the next one makes of what it left.

Every write of two scenarios is a step: a call of the system that changes a file, or the end of a transaction. The
deaths are drawn by seed; with EVERY_DEATH=1 in the environment (`make test-kill`) each step has one.
"""

import itertools
import json
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labelmirror.standin import StandinOptions, serve
from support.killing import Death, Driver, Ended, warm_driver
from support.yard import Scene, Yard, sha256

IMAGES = 8
#: Deaths per scenario and moment where they are drawn.
DRAWN = 20


@dataclass(frozen=True, slots=True)
class Held:
    """What a mirror holds when nobody disturbed it: files, and by image id the hashes and places of its two files."""

    files: dict[str, bytes]
    images: dict[str, str]
    documents: dict[str, str]
    places: dict[str, str]
    state: dict[str, Any]

    @classmethod
    def by(cls, yard: Yard) -> "Held":
        files, places = yard.files(), yard.places()
        return cls(
            files=files,
            images={id_: sha256(files[f"images/{place}"]) for id_, place in places.items()},
            documents={id_: sha256(files[f"annotations/{place}.json"]) for id_, place in places.items()},
            places=places,
            state=yard.state(),
        )


NOTHING = Held({}, {}, {}, {}, {})


@dataclass(frozen=True, slots=True)
class Stage:
    """A stand-in with its two worlds, a driver, and what runs that live make of each world."""

    scene: Scene
    driver: Driver
    before: Held
    after: Held


async def completed(driver: Driver, yard: Yard) -> None:
    ended = await driver.run(yard.config)
    assert ended.answer is not None
    assert ended.answer["outcome"] == "synced", ended.answer


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    options = StandinOptions(images=IMAGES, limit=None, unannotated_every=IMAGES)
    async with serve(options) as standin, warm_driver() as driver:
        scene = Scene(standin)
        scene.put(scene.before)
        yard = Yard.make(folder / "undisturbed", standin)
        await completed(driver, yard)
        before = Held.by(yard)
        yard.lose(scene.changed.lost)
        scene.put(scene.after)
        await completed(driver, yard)
        yield Stage(scene, driver, before, Held.by(yard))


@dataclass(frozen=True, slots=True)
class Victim:
    """A run that was to die, its mirror, and when that was last in step before."""

    yard: Yard
    ended: Ended
    last_sync_s: float | None


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_first_mirror_killed_at_a_write_ends_as_if_it_had_not_been(
    tmp_path: Path, moment: str, request: pytest.FixtureRequest
) -> None:
    async with stage(tmp_path) as here:

        async def killed(death: Death | None) -> Victim:
            yard = Yard.make(tmp_path / "yard", here.scene.standin)
            here.scene.put(here.scene.before)
            return Victim(yard, await here.driver.run(yard.config, death), None)

        await _die_everywhere(here, killed, before=NOTHING, after=here.before, moment=moment, request=request)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_changed_mirror_killed_at_a_write_ends_as_if_it_had_not_been(
    tmp_path: Path, moment: str, request: pytest.FixtureRequest
) -> None:
    async with stage(tmp_path) as here:

        async def killed(death: Death | None) -> Victim:
            yard = Yard.make(tmp_path / "yard", here.scene.standin)
            here.scene.put(here.scene.before)
            await completed(here.driver, yard)
            last_sync_s = yard.facts()["last_sync_s"]
            yard.lose(here.scene.changed.lost)
            here.scene.put(here.scene.after)
            return Victim(yard, await here.driver.run(yard.config, death), last_sync_s)

        await _die_everywhere(here, killed, before=here.before, after=here.after, moment=moment, request=request)


async def _die_everywhere(
    here: Stage,
    killed: Callable[[Death | None], Awaitable[Victim]],
    *,
    before: Held,
    after: Held,
    moment: str,
    request: pytest.FixtureRequest,
) -> None:
    undisturbed = await killed(None)
    whole = undisturbed.ended
    assert not whole.killed
    shutil.rmtree(undisturbed.yard.folder)
    steps: Iterable[int] = itertools.count(1)
    if os.environ.get("EVERY_DEATH") != "1":
        seed = request.config.getoption("--seed") or random.randrange(2**32)
        print(f"seed {seed}")
        steps = sorted(random.Random(seed).sample(range(1, len(whole.steps) + 1), DRAWN))
    deaths = 0
    for step in steps:
        victim = await killed(Death(step, after=moment == "after"))
        yard, ended = victim.yard, victim.ended
        if not ended.killed:
            # Threads take turns as they like, so a run may have a few writes more or less than another.
            assert step > len(whole.steps) * 0.8, f"only {len(ended.steps)} steps, {len(whole.steps)} before"
            break
        deaths += 1
        where = f"killed {moment} step {step}, {ended.steps[-1]}"
        recorded = _check_the_dead(here, victim, before, after, where)
        here.scene.standin.requests.clear()
        await completed(here.driver, yard)
        _check_the_living(yard, before, after, where)
        fetched = {entry.path.rpartition("/")[2] for entry in here.scene.standin.requests if "image" in entry.route}
        assert not fetched & recorded, f"{where}: fetched again"
        shutil.rmtree(yard.folder)
    print(f"{deaths} deaths {moment} one of {len(whole.steps)} writes")
    assert deaths >= DRAWN - 1


def _check_the_dead(here: Stage, victim: Victim, before: Held, after: Held, where: str) -> set[str]:
    """What must hold at the moment of death; the images that are on record with their files."""
    yard = victim.yard
    files = {path: sha256(data) for path, data in yard.files().items()}
    allowed = _versions(before, after)
    for path, found in files.items():
        if path.startswith(("images/", "annotations/")) and not path.rpartition("/")[2].startswith(".labelmirror-"):
            assert found in allowed.get(path, ()), f"{where}: {path} is no whole version"
    changed = here.scene.changed
    for id_, place in before.places.items():
        spots = {place, after.places.get(id_, place)}
        if id_ != changed.deleted:
            assert any(f"images/{spot}" in files for spot in spots), f"{where}: the image {place} is gone"
            lost = id_ == changed.lost
            assert lost or any(f"annotations/{spot}.json" in files for spot in spots), f"{where}: {place}.json is gone"
    records = {row["image"]: row for row in yard.rows("images")}
    recorded = set()
    for id_, row in records.items():
        spots = {place for place in (row["place"], row["next_place"]) if place is not None}
        there = {files.get(f"images/{spot}") for spot in spots}
        if row["condition"] == "intact" and id_ != changed.deleted:
            assert row["sha256"] in there, f"{where}: {row['place']} is on record, not on disk"
            recorded.add(id_)
    for document in yard.rows("documents"):
        id_, base = document["image"], document["base_content"]
        if base is not None and base != before.documents.get(id_):
            path = f"annotations/{records[id_]['place']}.json"
            assert files.get(path) == base, f"{where}: base of {path} is on record before its file"
    if yard.facts().get("last_sync_s") != victim.last_sync_s:
        working = {path: sha256(data) for path, data in after.files.items() if _is_working(path)}
        found_working = {path: found for path, found in files.items() if _is_working(path)}
        assert found_working == working, f"{where}: recorded as done, and is not"
    return recorded


def _versions(before: Held, after: Held) -> dict[str, set[str]]:
    """The hashes that each working file may have: those of its image's file, wherever it may be by now."""
    allowed: dict[str, set[str]] = {}
    for id_ in before.places | after.places:
        for place in (held.places[id_] for held in (before, after) if id_ in held.places):
            held_by = [held for held in (before, after) if id_ in held.places]
            allowed.setdefault(f"images/{place}", set()).update(held.images[id_] for held in held_by)
            allowed.setdefault(f"annotations/{place}.json", set()).update(held.documents[id_] for held in held_by)
    return allowed


def _is_working(path: str) -> bool:
    return path.startswith(("images/", "annotations/"))


def _is_kept(path: str) -> bool:
    return path.startswith((".labelmirror/history/", ".labelmirror/trash/"))


def _check_the_living(yard: Yard, before: Held, after: Held, where: str) -> None:
    """What must hold after the next run: no difference from a mirror that was never disturbed, and no version lost."""
    files = yard.files()
    marker = json.loads(files.pop(".labelmirror/marker.json"))
    assert marker["store_id"] == yard.facts()["store_id"], f"{where}: the marker is another store's"
    expected = {path: data for path, data in after.files.items() if path != ".labelmirror/marker.json"}
    for held in (files, expected):
        for path in [path for path in held if _is_kept(path)]:
            del held[path]
    assert files == expected, f"{where}: {sorted(set(files.items()) ^ set(expected.items()))}"
    state = yard.state()
    for table, rows in after.state.items():
        assert state[table] == rows, f"{where}: table {table}"
    kept = yard.kept()
    replaced = {data for path, data in before.files.items() if _is_working(path)} - set(files.values())
    assert replaced <= kept, f"{where}: a former version is in neither history nor trash"


async def test_a_directory_whose_claim_was_cut_off_is_claimed_by_the_next_run(tmp_path: Path) -> None:
    async with serve(StandinOptions(images=2, limit=None)) as standin, warm_driver() as driver:
        counted = await driver.run(Yard.make(tmp_path / "counted", standin).config)
        yard = Yard.make(tmp_path / "yard", standin)
        # The first file that is ever renamed is the marker.
        await driver.run(yard.config, Death(counted.steps.index("rename") + 1, after=True))
        assert not yard.facts()["claimed"]
        await completed(driver, yard)
        assert yard.facts()["claimed"]
