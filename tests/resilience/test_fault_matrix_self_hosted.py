"""Every fault on every request to the servers that people run themselves: a first mirror, then one of what people changed
there and here, with edits to be pushed, merged and held.

A cell holds when nothing that people did is lost or doubled on either side: after a run that met the fault, every working
file is a whole version and every edit is still there; and one more run, when the fault has ended, leaves both sides as if
there had been none, without fetching an image again that was on record. In `make test` a few cells are drawn by seed; with
EXHAUSTIVE=1 in the environment (`make test-kill`) each request meets each fault, once and for as long as the run lasts,
and the server breaks after each single write of each save.
"""

import hashlib
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labelmirror.engine.cycle import CycleOptions, sync
from labelmirror.engine.mirror import Mirror
from labelmirror.errors import InvalidDocument
from labelmirror.model.keys import DatasetRef
from labelmirror.model.policy import MirrorPolicy
from labelmirror.model.report import MirrorOutcome, MirrorReport
from labelmirror.standin import Fault, FaultKind, StandinOptions, serve
from labelmirror.state.sqlite import open_state
from labelmirror.transport.http import Timeouts
from labelmirror.tree.directory import DirectoryTree
from support.fault_cells import LASTING, Cell, all_cells, drawn, printed
from support.quick_clock import QuickClock
from support.self_hosted import BENCHES, NAME, Bench
from support.yard import Mute, Yard, is_kept, is_temporary, is_working

#: For runs that are to meet silence; other runs have the patience of an ordinary test.
IMPATIENT = Timeouts(connect_s=1, idle_s=0.1, total_s=0.4)
PATIENT = Timeouts(connect_s=10, idle_s=10, total_s=30)
EXHAUSTIVE = os.environ.get("EXHAUSTIVE") == "1"
#: Cells of each server that are drawn for an ordinary run.
DRAWN = 6
#: Nothing here has links to other hosts that expire.
KINDS = tuple(kind for kind in FaultKind if kind not in {FaultKind.EXPIRED_LINK, FaultKind.PRIVATE_LINK})
_LISTS = ("datasets.list", "images.", "contents.", "sets.", "annotations.list", "categories.", "tags.")
#: Where the answers are that a kind can spoil; other kinds spoil any answer.
ONLY = {
    FaultKind.NOT_AN_IMAGE: ("images.bytes", "media", "files"),
    FaultKind.WRONG_SIZE: ("contents.", "images.", "files"),
    FaultKind.DUPLICATE_PAGE: _LISTS,
    FaultKind.MISSING_PAGE: _LISTS,
    FaultKind.SHORT_PAGE: _LISTS,
    FaultKind.WRONG_ENVELOPE: _LISTS,
    # A document without annotations is one like any other, and an annotation set is gone when it is missing twice.
    FaultKind.EMPTY_LIST: tuple(route for route in _LISTS if route != "sets."),
}
#: Answers in which something is left out that nothing else tells of: what they lack is gone here until the next one, or the
#: next full check.
PLAUSIBLE = frozenset(
    {FaultKind.DUPLICATE_PAGE, FaultKind.MISSING_PAGE, FaultKind.SHORT_PAGE, FaultKind.EMPTY_LIST, FaultKind.WRONG_SIZE}
)
Prints = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """What must be the same however often a run was disturbed."""

    outcome: MirrorOutcome
    server: Mapping[str, Any]
    files: Prints
    bases: Mapping[tuple[str, str], str | None]
    troubles: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Range:
    """A scenario: what comes of it undisturbed, and the requests that it takes by phase."""

    bench: Bench
    folder: Path
    first: End
    changed: End
    #: The working documents as they were edited, by path.
    edited: Prints
    requests: dict[str, Counter[str]]
    #: One for all runs: waiting moves it, and time never goes back.
    clock: QuickClock

    async def fire(self, cell: Cell) -> None:
        """Go through one cell. Raises AssertionError if it does not hold."""
        yard = self.begun(cell.phase)
        self.bench.standin.faults.add(Fault(route=cell.route, kind=cell.kind, nth=cell.nth, times=cell.times))
        await self._outlast(yard, cell.phase, str(cell), plausible=cell.kind in PLAUSIBLE)

    async def tear(self, step: int, times: int) -> bool:
        """Let the server break at a step in the middle of a save; False where there are not so many."""
        yard = self.begun("changed")
        writes = self.bench.tear(step, times)
        await self._outlast(yard, "changed", f"torn at step {step} {times} times")
        return writes.count > step

    async def _outlast(self, yard: Yard, phase: str, where: str, *, plausible: bool = False) -> None:
        """A run that is disturbed, and one that is not."""
        before, after = files_of(self.bench, yard), self.first if phase == "first" else self.changed
        await run(self.bench, yard, IMPATIENT, self.clock)
        self.bench.rest()
        recorded = self._check_interrupted(where, yard, before, after, plausible=plausible)
        report = await run(self.bench, yard, PATIENT, self.clock, full_check=plausible)
        found = end_of(self.bench, yard, report)
        assert found.outcome is after.outcome, f"{where}: {report.outcome} {report.error} {report.troubles}"
        assert found.troubles == after.troubles, f"{where}: {found.troubles}"
        for name in ("server", "files", "bases"):
            one, other = getattr(found, name), getattr(after, name)
            different = {
                key: (one.get(key), other.get(key)) for key in {*one, *other} if one.get(key) != other.get(key)
            }
            assert not different, f"{where}: {name}: {different}"
        kept = set(files_of(self.bench, yard, kept_too=True).values())
        missing = [path for path, print_ in before.items() if is_working(path) and print_ not in kept]
        assert not missing, f"{where}: a version is neither in use nor kept: {missing}"
        assert all(row["outcome"] != "open" for row in yard.rows("saves")), f"{where}: the journal is not closed"
        again = fetched(self.bench) & recorded
        assert not again, f"{where}: fetched again: {again}"

    def _check_interrupted(self, where: str, yard: Yard, before: Prints, after: End, *, plausible: bool) -> set[str]:
        """Every file is a whole version, nothing that is to stay is gone, no edit is lost. Returns what is on record."""
        files = files_of(self.bench, yard)
        for path, print_ in files.items():
            if is_working(path) and not plausible:
                known = {before.get(path), after.files.get(path), self.first.files.get(path)}
                assert print_ in known, f"{where}: {path} is no whole version"
        gone = [path for path in before if path in after.files and path not in files]
        assert not gone, f"{where}: gone: {gone}"
        for path, print_ in self.edited.items() if before else ():
            assert files[path] in {print_, self.changed.files[path]}, f"{where}: the edit of {path} is lost"
        return {row["image"] for row in yard.rows("images") if row["condition"] == "intact"}

    def begun(self, phase: str) -> Yard:
        """A mirror at the beginning of a phase, and the server as it is then."""
        yard = Yard(self.folder / "yard")
        shutil.rmtree(yard.folder, ignore_errors=True)
        if phase == "first":
            yard.folder.mkdir()
            self.bench.put(self.bench.before)
        else:
            shutil.copytree(self.folder / "edited", yard.folder)
            self.bench.put(self.bench.after)
        return yard

    def cells(self) -> Iterator[Cell]:
        """All of them."""
        return all_cells(self.requests, KINDS, ONLY)


def files_of(bench: Bench, yard: Yard, *, kept_too: bool = False) -> Prints:
    """What tells the content of the files of a mirror, by path: documents that say the same are the same."""
    found = {}
    for path in sorted(path for path in yard.mirror.rglob("*") if path.is_file()):
        name, data = str(path.relative_to(yard.mirror)), path.read_bytes()
        # Beside the places, dataset.json has the counts of the moment before the pushes.
        if (
            name not in {".labelmirror/marker.json", "dataset.json"}
            and (kept_too or not is_kept(name))
            and not is_temporary(name)
        ):
            found[name] = hashlib.sha256(data).hexdigest()
            if "annotations/" in name:
                try:
                    found[name] = bench.format.digest(bench.format.parse(data))
                except InvalidDocument:
                    assert is_kept(name), f"{name} is no document"
    return found


def end_of(bench: Bench, yard: Yard, report: MirrorReport) -> End:
    """How it stands."""
    troubles = [json.loads(row["item"]) for row in yard.rows("troubles")]
    return End(
        outcome=report.outcome,
        server=bench.server(),
        files=files_of(bench, yard),
        bases={(row["image"], row["set_id"]): row["base_digest"] for row in yard.rows("documents")},
        troubles=sorted((each["id"], each.get("reason", ""), each.get("message", "")) for each in troubles),
    )


def fetched(bench: Bench) -> set[str]:
    """The images whose bytes were sent since the requests were forgotten."""
    return {entry.path.rpartition("/")[2] for entry in bench.standin.requests if entry.route == "images.bytes"}


async def run(
    bench: Bench, yard: Yard, timeouts: Timeouts, clock: QuickClock, *, full_check: bool = False
) -> MirrorReport:
    """One sync, with the state and the tree as they are shipped."""
    async with open_state(yard.folder / "state") as database:
        state = await database.mirror("yard")
        async with bench.provider(state.memory, clock, timeouts) as provider:
            mirror = Mirror(
                name="yard",
                server="standin",
                policy=MirrorPolicy(push=True),
                format=provider.format,
                tree=DirectoryTree(yard.mirror),
                state=state,
                ref=DatasetRef(name=NAME),
                provider=provider,
                clock=clock,
                reporter=Mute(),
                workers=4,
            )
            return await sync(mirror, CycleOptions(full_check=full_check))


def edit(bench: Bench, yard: Yard) -> Prints:
    """Work in the files, and lose one; the prints of those that were edited."""
    places = {row["image"]: row["place"] for row in yard.rows("images")}
    before = files_of(bench, yard)
    for (image, folder), change in bench.edits().items():
        path = yard.mirror / "annotations" / folder / f"{places[image]}.json"
        document = json.loads(path.read_bytes())
        change(document)
        path.write_text(json.dumps(document, indent=2), "utf-8")
    after = files_of(bench, yard)
    for name in after:
        if name.startswith("annotations/") and name.endswith(f"/{places[bench.ids[-1]]}.json"):
            (yard.mirror / name).unlink()
    return {path: print_ for path, print_ in after.items() if print_ != before[path]}


@asynccontextmanager
async def firing_range(kind: str, folder: Path) -> AsyncIterator[Range]:
    make = BENCHES[kind]
    options = StandinOptions(kind=kind, images=make.images, hang_s=0.2, oversized_bytes=2**20)
    async with serve(options) as standin:
        bench, clock, requests = make(standin), QuickClock(), {}
        bench.put(bench.before)
        yard = Yard(folder / "edited")
        yard.folder.mkdir()
        report = await run(bench, yard, PATIENT, clock)
        assert report.outcome is MirrorOutcome.SYNCED, (report.error, report.troubles)
        first = end_of(bench, yard, report)
        requests["first"] = Counter(standin.requests.by_route)
        edited = edit(bench, yard)
        assert len(edited) == len(bench.edits())
        undisturbed = Yard(folder / "undisturbed")
        shutil.copytree(yard.folder, undisturbed.folder)
        bench.put(bench.after)
        report = await run(bench, undisturbed, PATIENT, clock)
        assert report.outcome is MirrorOutcome.HELD, (report.error, report.troubles)
        requests["changed"] = Counter(standin.requests.by_route)
        changed = end_of(bench, undisturbed, report)
        yield Range(bench, folder, first, changed, edited, requests, clock)


@pytest.mark.parametrize("kind", BENCHES)
async def test_no_fault_loses_or_doubles_what_people_did(kind: str, tmp_path: Path, seed: int) -> None:
    async with firing_range(kind, tmp_path) as here:
        cells = list(here.cells())
        if not EXHAUSTIVE:
            cells = random.Random(seed).sample(drawn(cells, seed), DRAWN)
        broken: dict[str, str] = {}
        for cell in cells:
            try:
                await here.fire(cell)
            except AssertionError as error:
                broken[str(cell)] = str(error)
        print(printed(cells, broken))
        assert not broken, "\n".join(broken.values())
        step = 0 if EXHAUSTIVE else 1 + seed % 5
        while await here.tear(step, LASTING) and EXHAUSTIVE:
            await here.tear(step, 1)
            step += 1
        print(f"broken in the middle of a save after write {step}")
