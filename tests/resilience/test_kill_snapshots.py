"""A backup or a prune that is killed at any of its writes: no snapshot is ever without what it names.

The deaths are drawn by seed; with EXHAUSTIVE=1 in the environment (`make test-kill`) each write has one.
"""

import itertools
import json
import os
import random
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from labelmirror.engine.snapshots import verify_snapshot
from labelmirror.engine.verify import Depth, Subset
from labelmirror.model.snapshot import Access, Snapshot
from labelmirror.snapshots.directory import STORE, open_store
from labelmirror.standin import StandinOptions, serve
from support.killing import Death, Driver, warm_driver
from support.yard import Yard

#: Deaths per scenario and moment where they are drawn.
DRAWN = 5


@asynccontextmanager
async def mirrored(folder: Path) -> AsyncIterator[tuple[Driver, Yard]]:
    """A mirror in step, which no test touches."""
    async with serve(StandinOptions(images=6, limit=None)) as standin, warm_driver() as driver:
        yard = Yard.make(folder / "template", standin)
        ended = await driver.run(yard.config)
        assert ended.answer is not None
        yield driver, yard


def edit(yard: Yard, number: int) -> None:
    """Somebody edits a document."""
    path = sorted((yard.mirror / "annotations").rglob("*.json"))[number]
    held = json.loads(path.read_bytes())
    path.write_text(json.dumps({**held, "annotations": [], "edit": number}))


async def listed(yard: Yard, where: str) -> list[Snapshot]:
    """The snapshots that there are, all of them whole."""
    root = yard.folder / "backups"
    if not (root / STORE).exists():
        return []
    store = await open_store(root, Access.READ)
    found = await store.snapshots()
    assert not found.unusable, where
    for snapshot in found.snapshots:
        report = await verify_snapshot(store, snapshot, Depth.FULL, Subset())
        assert report.damaged == [], f"{where}: {snapshot.id}"
        assert report.checked > 0, where
    return list(found.snapshots)


def contents(yard: Yard) -> set[str]:
    return {path.relative_to(yard.folder).as_posix() for path in (yard.folder / "backups").rglob("*") if path.is_file()}


def steps_of(count: int, seed: int) -> Iterable[int]:
    if os.environ.get("EXHAUSTIVE") == "1":
        return itertools.count(1)
    return sorted(random.Random(seed).sample(range(1, count + 1), min(DRAWN, count)))


def copied(template: Yard, folder: Path) -> Yard:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template.folder, folder, symlinks=True)
    return Yard(folder)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_backup_killed_at_a_write_left_a_whole_snapshot_or_none(tmp_path: Path, moment: str, seed: int) -> None:
    async with mirrored(tmp_path) as (driver, template):
        whole = await driver.run(copied(template, tmp_path / "yard").config, command="backup")
        deaths = 0
        for step in steps_of(len(whole.steps), seed):
            yard = copied(template, tmp_path / "yard")
            ended = await driver.run(yard.config, Death(step, after=moment == "after"), command="backup")
            if not ended.killed:
                break
            deaths += 1
            where = f"killed {moment} step {step}, {ended.steps[-1]}"
            assert len(await listed(yard, where)) <= 1
            before = len(await listed(yard, where))
            await driver.run(yard.config, command="backup")
            assert len(await listed(yard, where)) == before + 1, where
            await driver.run(yard.config, command="prune")
            (kept,) = await listed(yard, where)
            # 6 images, 6 documents, the pages, the manifest, and the store's own two files; nothing half written.
            assert len(contents(yard)) == 6 + 6 + len(kept.head.pages) + 1 + 2, where
        print(f"{deaths} deaths {moment} one of {len(whole.steps)} writes")
        assert deaths >= min(DRAWN, len(whole.steps)) - 1


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_prune_killed_at_a_write_takes_nothing_that_a_snapshot_needs(
    tmp_path: Path, moment: str, seed: int
) -> None:
    async with mirrored(tmp_path) as (driver, template):
        for number in range(3):
            edit(template, number)
            await driver.run(template.config, command="backup")
        newest = (await listed(template, "before"))[-1]
        undisturbed = copied(template, tmp_path / "undisturbed")
        whole = await driver.run(undisturbed.config, command="prune")
        assert contents(undisturbed) < contents(template)
        deaths = 0
        for step in steps_of(len(whole.steps), seed):
            yard = copied(template, tmp_path / "yard")
            ended = await driver.run(yard.config, Death(step, after=moment == "after"), command="prune")
            if not ended.killed:
                break
            deaths += 1
            where = f"killed {moment} step {step}, {ended.steps[-1]}"
            assert newest in await listed(yard, where), where
            await driver.run(yard.config, command="prune")
            assert await listed(yard, where) == [newest], where
            assert contents(yard) == contents(undisturbed), where
        print(f"{deaths} deaths {moment} one of {len(whole.steps)} writes")
        assert deaths >= min(DRAWN, len(whole.steps)) - 1
