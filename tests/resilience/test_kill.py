"""A run that is killed at any of its requests or writes, and what the next one makes of what it left.

A step is a seed, a call of the system that changes a file, or the end of a transaction. The
deaths are drawn by seed; with EXHAUSTIVE=1 in the environment (`make test-kill`) each step has one.
"""

import itertools
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from labelmirror.standin import StandinOptions, serve
from support.killing import Death, Driver, Ended, warm_driver
from support.yard import NOTHING, Held, Scene, Yard, check_interrupted, check_whole, is_working

IMAGES = 8
#: Deaths per scenario and moment where they are drawn.
DRAWN = 8


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
async def test_a_first_mirror_killed_at_a_step_ends_as_if_it_had_not_been(
    tmp_path: Path, moment: str, seed: int
) -> None:
    async with stage(tmp_path) as here:

        async def killed(death: Death | None) -> Victim:
            yard = Yard.make(tmp_path / "yard", here.scene.standin)
            here.scene.put(here.scene.before)
            return Victim(yard, await here.driver.run(yard.config, death), None)

        await _die_everywhere(here, killed, before=NOTHING, after=here.before, moment=moment, seed=seed)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_changed_mirror_killed_at_a_step_ends_as_if_it_had_not_been(
    tmp_path: Path, moment: str, seed: int
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

        await _die_everywhere(here, killed, before=here.before, after=here.after, moment=moment, seed=seed)


async def _die_everywhere(
    here: Stage,
    killed: Callable[[Death | None], Awaitable[Victim]],
    *,
    before: Held,
    after: Held,
    moment: str,
    seed: int,
) -> None:
    undisturbed = await killed(None)
    whole = undisturbed.ended
    assert not whole.killed
    shutil.rmtree(undisturbed.yard.folder)
    steps: Iterable[int] = itertools.count(1)
    if os.environ.get("EXHAUSTIVE") != "1":
        steps = sorted(random.Random(seed).sample(range(1, len(whole.steps) + 1), DRAWN))
    deaths = 0
    for step in steps:
        victim = await killed(Death(step, after=moment == "after"))
        yard, ended = victim.yard, victim.ended
        if not ended.killed:
            # Threads take turns as they like, so a run may have a few steps more or less than another.
            assert step > len(whole.steps) * 0.8, f"only {len(ended.steps)} steps, {len(whole.steps)} before"
            break
        deaths += 1
        where = f"killed {moment} step {step}, {ended.steps[-1]}"
        recorded = check_interrupted(yard, here.scene.changed, before, after, where)
        if yard.facts().get("last_sync_s") != victim.last_sync_s:
            working = {path: found for path, found in yard.files().items() if is_working(path)}
            assert working == {path: found for path, found in after.files.items() if is_working(path)}, where
        here.scene.standin.requests.clear()
        await completed(here.driver, yard)
        check_whole(yard, before, after, where)
        assert not here.scene.fetched() & recorded, f"{where}: fetched again"
        shutil.rmtree(yard.folder)
    print(f"{deaths} deaths {moment} one of {len(whole.steps)} requests and writes")
    assert deaths >= DRAWN - 1


async def test_a_directory_whose_claim_was_cut_off_is_claimed_by_the_next_run(tmp_path: Path) -> None:
    async with serve(StandinOptions(images=2, limit=None)) as standin, warm_driver() as driver:
        counted = await driver.run(Yard.make(tmp_path / "counted", standin).config)
        yard = Yard.make(tmp_path / "yard", standin)
        # The first file that is ever renamed is the marker.
        await driver.run(yard.config, Death(counted.steps.index("rename") + 1, after=True))
        assert not yard.facts()["claimed"]
        await completed(driver, yard)
        assert yard.facts()["claimed"]
