"""Pushes that are killed at any of their requests or writes, and what the next run makes of what they left.

One run carries an edit, an addition and a deletion to the server and merges a fourth document with what somebody did there,
all in one bulk save; it holds a fifth, which both sides changed; then the first save is undone. In `make test` the deaths
are drawn by seed; with EXHAUSTIVE=1 in the environment (`make test-kill`) each step has two, just before and just after.
"""

import itertools
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labelmirror.model.document import Digest, JsonObject
from labelmirror.providers.pictograph.format import PictographFormat
from labelmirror.standin import Dataset, Standin, StandinOptions, serve
from support.killing import Death, warm_driver
from support.yard import Scene, Yard, is_temporary, is_working

#: Fewer than an export would be worth.
IMAGES = 7
#: Deaths for each moment where they are drawn.
DRAWN = 8

FORMAT = PictographFormat()

Annotations = list[dict[str, Any]]


def doubted(annotations: Annotations) -> Annotations:
    """Edited: its first annotation is less sure."""
    return [{**annotations[0], "confidence": 0.5}, *annotations[1:]]


def extended(annotations: Annotations) -> Annotations:
    return [*annotations, {**annotations[0], "id": "mine"}]


def shortened(annotations: Annotations) -> Annotations:
    return annotations[:-1]


class Quarrel(Scene):
    """A stand-in's world before and after somebody worked on the fourth and fifth of five images; all are edited here.

    `edits` are what people do here, by image; the first is pushed and undone again.
    """

    def __init__(self, standin: Standin) -> None:
        self.standin = standin
        self.before = self._held()
        images = sorted((image for image in self._dataset if len(image.annotations) > 1), key=lambda image: image.id)
        chosen = [image.id for image in images[:5]]
        self.merged, self.conflict = chosen[3:]
        self.edits: Mapping[str, Callable[[Annotations], Annotations]] = dict(
            zip(chosen, (doubted, extended, shortened, doubted, doubted), strict=True)
        )
        standin.world.annotate(self.merged)
        standin.world.move_geometry(self.conflict)
        self.after: dict[str, Dataset] = self._held()

    @property
    def _dataset(self) -> Dataset:
        return next(iter(self.standin.world.datasets.values()))

    def documents(self) -> dict[str, Annotations]:
        """What the server holds, by image."""
        return {image.id: [dict(each) for each in image.annotations] for image in self._dataset}

    def digests(self) -> dict[str, Digest]:
        """The same, as digests of documents."""
        return {id_: digest_of(annotations) for id_, annotations in self.documents().items()}


def digest_of(annotations: Sequence[JsonObject]) -> Digest:
    return FORMAT.digest({"annotations": annotations})


@dataclass(frozen=True, slots=True)
class End:
    """What must be the same however often a run was killed on the way."""

    server: dict[str, Digest]
    files: dict[str, str]
    bases: dict[str, str | None]
    saves: Counter[tuple[str, str]]
    held: list[tuple[str, str]]


def end_of(scene: Quarrel, yard: Yard) -> End:
    """How it stands; every save that had an effect counts, with the content that it left."""
    troubles = [json.loads(row["item"]) for row in yard.rows("troubles")]
    return End(
        server=scene.digests(),
        files={path: found for path, found in yard.files().items() if is_working(path)},
        bases={row["image"]: row["base_digest"] for row in yard.rows("documents")},
        saves=Counter((row["image"], row["body_digest"]) for row in yard.rows("saves") if row["outcome"] == "saved"),
        held=sorted((trouble["id"], trouble["reason"]) for trouble in troubles if "reason" in trouble),
    )


def edit(scene: Quarrel, yard: Yard) -> None:
    """Work in the files."""
    places = yard.places()
    for image, change in scene.edits.items():
        path = yard.mirror / "annotations" / f"{places[image]}.json"
        document = json.loads(path.read_bytes())
        path.write_text(json.dumps({**document, "annotations": change(document["annotations"])}, indent=2))


def check_at_death(
    scene: Quarrel,
    yard: Yard,
    *,
    original: Mapping[str, str | None],
    known: Mapping[str, set[str]],
    before: Mapping[str, Digest],
    where: str,
) -> None:
    """No file is half a version (INV1), base is what the server holds (INV2), no save is without a record (INV3)."""
    places = {f"annotations/{place}.json": id_ for id_, place in yard.places().items()}
    for path, found in yard.files().items():
        if path in places and not is_temporary(path):
            assert found in known[places[path]], f"{where}: {path} is no whole version"
    sent = {(row["image"], row["body_digest"]) for row in yard.rows("saves")}
    bases = {row["image"]: row["base_digest"] for row in yard.rows("documents")}
    for image, digest in scene.digests().items():
        assert digest == before[image] or (image, digest) in sent, f"{where}: {image} was saved without a record"
        # Only what is undone again was on the server before what it holds now.
        agreed = {original[image], digest} | (known[image] if image == min(scene.edits) else set())
        assert bases[image] in agreed, f"{where}: base of {image} is what the server never held"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_push_killed_at_a_step_ends_as_if_it_had_not_been(tmp_path: Path, moment: str, seed: int) -> None:
    options = StandinOptions(images=IMAGES, limit=None, unannotated_every=0)
    async with serve(options) as standin, warm_driver() as driver:
        scene = Quarrel(standin)
        ready = Yard.make(tmp_path / "ready", standin, exact=False)
        ready.config.write_text(f"{ready.config.read_text()}push = true\n")
        scene.put(scene.before)
        assert (await driver.run(ready.config)).answer is not None
        original = end_of(scene, ready).bases

        async def pushed(death: Death | None) -> tuple[Yard, tuple[str, ...], bool]:
            yard = Yard(tmp_path / "yard", exact=False)
            shutil.rmtree(yard.folder, ignore_errors=True)
            shutil.copytree(ready.folder, yard.folder)
            edit(scene, yard)
            scene.put(scene.after)
            ended = await driver.run(yard.config, death, command="push")
            return yard, ended.steps, ended.killed

        async def rested(yard: Yard) -> End:
            """After one more of the same, which has nothing to do if nothing was disturbed."""
            ended = await driver.run(yard.config, command="push")
            assert ended.answer is not None
            assert ended.answer["outcome"] == "held", ended.answer
            return end_of(scene, yard)

        yard, steps, _ = await pushed(None)
        batches = [
            entry for entry in standin.requests if entry.method in {"POST", "PUT"} and "annotations" in entry.path
        ]
        expected = await rested(yard)
        first = min(scene.edits)
        assert expected.held == [(scene.conflict, "both_edited")]
        assert Counter(image for image, _ in expected.saves) == {
            image: 2 if image == first else 1 for image in scene.edits if image != scene.conflict
        }
        assert expected.server[first] == expected.bases[first] == original[first]
        assert len(batches) == 2, "a bulk save, and an undo"
        local = {id_: {digest for digest in (original[id_], expected.bases[id_]) if digest} for id_ in original}
        for image, change in scene.edits.items():
            scene.put(scene.before)
            local[image].add(digest_of(change(scene.documents()[image])))
        scene.put(scene.after)
        before = scene.digests()

        chosen: Iterable[int] = itertools.count(1)
        if os.environ.get("EXHAUSTIVE") != "1":
            chosen = sorted(random.Random(seed).sample(range(1, len(steps) + 1), DRAWN))
        deaths: Counter[str] = Counter()
        for step in chosen:
            yard, done, killed = await pushed(Death(step, after=moment == "after"))
            if not killed:
                # Threads take turns as they like, so a run may have a few steps more or less than another.
                assert step > len(steps) * 0.8, f"only {len(done)} steps, {len(steps)} before"
                break
            deaths["request" if done[-1] == "request" else "write"] += 1
            where = f"killed {moment} step {step}, {done[-1]}"
            check_at_death(scene, yard, original=original, known=local, before=before, where=where)
            assert await rested(yard) == expected, where
            assert all(row["outcome"] != "open" for row in yard.rows("saves")), f"{where}: the journal is not closed"
            outcomes = Counter(row["outcome"] for row in yard.rows("saves"))
            assert outcomes.keys() <= {"saved", "not_applied"}, f"{where}: {outcomes}"
        print(f"{dict(deaths)} deaths {moment} one of {len(steps)} requests and writes")
        assert deaths.total() >= DRAWN - 1
