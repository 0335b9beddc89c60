"""The shipped engine through thousands of seeded worlds: people on both sides, faults, deaths at any step.

Replay a seed with: python -m pytest tests/sim --seed N
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from labelmirror.engine import look, pull, push, saving
from labelmirror.engine.mirror import Run
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import OnConflict
from labelmirror.model.remote import Dataset, Reading
from labelmirror.model.rows import FileStat, LocalFile
from labelmirror.model.saving import Save, SaveAnswer, SaveResult
from labelmirror.planning import plan
from labelmirror.planning.plan import DocumentPlan
from labelmirror.planning.push import Decision, Ending, Side, decide, ending
from labelmirror.ports.state import DocumentRecorded
from labelmirror.ports.tree import Placement
from sim.many import lived
from sim.world import CRASH_POINTS, FAULTS, SAVE_FAULTS, World, simulate
from support.memory_provider import MemoryProvider, PlainFormat
from support.memory_state import _Journal
from support.memory_tree import MemoryTree

WORLDS = 2000

#: Every row of the decision table that a mirror can be in; the two with an invalid remote side are a provider's.
ROWS = {
    "base: local as base, remote as base",
    "base: local as base, remote changed",
    "base: local changed, remote as base",
    "base: local changed, remote changed",
    "base: local changed, remote changed and equal",
    "base: local absent, remote as base",
    "base: local absent, remote changed",
    "base: local as base, remote absent",
    "base: local changed, remote absent",
    "base: local absent, remote absent",
    "base: local as base, remote unknown",
    "base: local changed, remote unknown",
    "base: local invalid, remote as base",
    "no base: local absent, remote there",
    "no base: local there, remote there",
    "no base: local there, remote there and equal",
    "no base: local absent, remote unknown",
}


def live(seeds: Sequence[int]) -> tuple[Counter[str], ...]:
    """Live through these seeds; counts of table rows, faults, crash points and saves."""
    rows: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    crashes: Counter[str] = Counter()
    saves: Counter[str] = Counter()
    for seed in seeds:
        world = simulate(seed)
        rows += world.rows
        faults += world.faults
        crashes += world.crashes
        saves += world.saves
    return rows, faults, crashes, saves


def test_no_edit_is_lost_and_every_world_comes_to_rest(
    seed: int, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    if request.config.getoption("--seed") is not None:
        live([seed])
        return
    seeds = range(seed, seed + WORLDS)
    rows: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    crashes: Counter[str] = Counter()
    saves: Counter[str] = Counter()
    for more_rows, more_faults, more_crashes, more_saves in lived(live, seeds, at_once=50):
        rows += more_rows
        faults += more_faults
        crashes += more_crashes
        saves += more_saves
    tables = (("row", rows), ("fault", faults), ("death", crashes), ("save", saves))
    lines = [f"{count:9}  {title}  {name}" for title, counts in tables for name, count in sorted(counts.items())]
    record_property("shown", "\n".join([f"seeds {seeds[0]} to {seeds[-1]}", *lines]))
    assert not ROWS - rows.keys(), "rows of the table that no world reached"
    assert not {*FAULTS, *SAVE_FAULTS} - faults.keys(), "faults that never struck"
    assert not set(CRASH_POINTS) - crashes.keys(), "points at which nothing ever died"
    assert saves["pushed beside a run"], "no edit was pushed while a run listed its server"


# --- planted bugs: each breaks one law, and the worlds must show it ------------------------------------------------


@contextmanager
def deleting_after_one_listing() -> Iterator[None]:
    async def trust(run: Run, _dataset: object, _pages: int) -> frozenset[str]:
        return frozenset(await run.mirror.state.unlisted())

    with patch.object(look, "_confirm_absent", trust):
        yield


@contextmanager
def recording_base_before_the_file() -> Iterator[None]:
    honest = pull._pull

    async def hasty(run: Run, plans: Sequence[DocumentPlan]) -> int:
        stat = FileStat(0, 0, 0, 0)
        records = []
        for planned in plans:
            base = pull._base_of(planned.row)
            local = LocalFile(stat, base.digest, base.counts)
            records.append(DocumentRecorded(planned.row.key, base, local))
        if records:
            await run.mirror.state.record_documents(records)
        return await honest(run, plans)

    with patch.object(pull, "_pull", hasty):
        yield


@contextmanager
def overwriting_without_looking_again() -> Iterator[None]:
    honest = MemoryTree._place

    def blind(tree: MemoryTree, placement: Placement) -> object:
        present = tree._stat(placement.path)
        return honest(tree, Placement(placement.path, placement.source, present, placement.run))

    with patch.object(MemoryTree, "_place", blind):
        yield


@contextmanager
def forgetting_what_a_dead_run_wrote() -> Iterator[None]:
    async def nothing(_run: Run, *, move_files: bool) -> None:
        return

    with patch.object(look, "recover", nothing):
        yield


@contextmanager
def saving_without_reading_again() -> Iterator[None]:
    honest = decide

    def trusting(
        base: Side | None, local: Side, remote: Side, on_conflict: OnConflict, *, stable_ids: bool
    ) -> Decision:
        return honest(base, local, base if base is not None else remote, on_conflict, stable_ids=stable_ids)

    with patch.object(push, "decide", trusting):
        yield


@contextmanager
def recording_base_before_reading_back() -> Iterator[None]:
    async def believe(
        _saving: saving.Saving, sent: Sequence[tuple[saving.Sending, SaveResult]]
    ) -> dict[DocumentKey, Reading]:
        return {
            result.key: Reading(result.key, sending.data, sending.record.body_digest, {}) for sending, result in sent
        }

    with patch.object(saving.Saving, "_read_back", believe):
        yield


@contextmanager
def sending_blindly_again() -> Iterator[None]:
    honest = MemoryProvider.save_many

    async def stubborn(provider: MemoryProvider, dataset: Dataset, saves: Sequence[Save]) -> Sequence[SaveResult]:
        results = await honest(provider, dataset, saves)
        lost = any(result.answer is SaveAnswer.UNKNOWN for result in results)
        return await honest(provider, dataset, saves) if lost else results

    with patch.object(MemoryProvider, "save_many", stubborn):
        yield


@contextmanager
def sending_without_an_undo_record() -> Iterator[None]:
    async def forget(*_arguments: object) -> None:
        return

    with patch.object(_Journal, "open_saves", forget), patch.object(_Journal, "close_save", forget):
        yield


@contextmanager
def taking_half_a_save_for_somebodys_edit() -> Iterator[None]:
    honest = ending

    def trusting(answer: SaveAnswer, **facts: Any) -> Ending | None:
        return honest(answer, **{**facts, "atomic": True})

    with patch.object(PlainFormat, "half_saved", lambda *_: False), patch.object(saving, "ending", trusting):
        yield


@contextmanager
def doing_more_than_was_agreed_on() -> Iterator[None]:
    with patch.object(plan, "_is_agreed", lambda _plan, _agreed: True):
        yield


@pytest.mark.parametrize(
    "bug",
    [
        doing_more_than_was_agreed_on,
        saving_without_reading_again,
        recording_base_before_reading_back,
        sending_blindly_again,
        sending_without_an_undo_record,
        taking_half_a_save_for_somebodys_edit,
        deleting_after_one_listing,
        recording_base_before_the_file,
        overwriting_without_looking_again,
        forgetting_what_a_dead_run_wrote,
    ],
    ids=lambda bug: bug.__name__.replace("_", " "),
)
def test_a_planted_bug_is_caught(bug: Callable[[], Iterator[None]]) -> None:
    def caught(seed: int) -> bool:
        try:
            simulate(seed)
        except AssertionError:
            return True
        return False

    with bug():  # type: ignore[attr-defined]  # contextmanager functions, parametrised
        assert any(caught(seed) for seed in range(1000)), "1000 worlds did not notice"


def test_a_world_is_the_same_each_time_it_is_lived() -> None:
    def story(world: World) -> object:
        return world.log, world.tree.files(), world.rows

    assert story(simulate(5)) == story(simulate(5))
