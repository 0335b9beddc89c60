"""The laws of WorkingTree. A binding subclasses TreeContract and supplies `tree`, empty, and `person`, who edits in it."""

import hashlib
import io
import random
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import pytest
from PIL import Image

from labelmirror.errors import TooLarge
from labelmirror.model.document import JsonObject
from labelmirror.model.rows import FileStat
from labelmirror.ports.tree import Marker, Placement, PlaceOutcome, WorkingTree

RUN = "20250101T000000.000000Z"
NEW_YEAR_S = 1735689600.0
DAY_S = 86400.0
A, B, C = "images/x/a.jpg", "annotations/x/a.jpg.json", "images/c.jpg"


class Person(Protocol):
    """Somebody with a file manager."""

    def edit(self, path: str, data: bytes) -> None:
        """Write a file."""
        ...

    def remove(self, path: str) -> None:
        """Delete one."""
        ...

    def files(self) -> dict[str, bytes]:
        """Everything below images/ and annotations/."""
        ...

    def history(self) -> dict[tuple[str, str], list[bytes]]:
        """Replaced versions by (run, path), oldest first."""
        ...

    def trash(self) -> dict[tuple[str, str], list[bytes]]:
        """Retired files by (run, path)."""
        ...


async def put(tree: WorkingTree, path: str, data: bytes) -> FileStat:
    (now,) = await tree.stat_many([path])
    (placed,) = await tree.place([Placement(path, data, now, RUN)])
    assert placed.stat is not None
    return placed.stat


async def walked(tree: WorkingTree) -> list[str]:
    return sorted([path async for page in tree.walk() for path in page])


async def pages(*entries: Sequence[JsonObject]) -> AsyncIterator[Sequence[JsonObject]]:
    for page in entries:
        yield page


class TreeContract:
    async def test_a_directory_without_marker_has_none_until_it_is_claimed(self, tree: WorkingTree) -> None:
        assert await tree.marker() is None
        for mirror in ("m", "n"):
            await tree.write_marker(Marker("store", mirror))
            assert await tree.marker() == Marker("store", mirror)

    async def test_a_placed_file_is_there_with_its_stat_and_hash(self, tree: WorkingTree, person: Person) -> None:
        first, second = await tree.place([Placement(A, b"one", None, RUN), Placement(B, b"", None, RUN)])
        assert person.files() == {A: b"one", B: b""}
        assert first.sha256 == hashlib.sha256(b"one").hexdigest()
        assert await tree.stat_many([A, B, "images/none"]) == [first.stat, second.stat, None]
        assert person.history() == {}

    async def test_a_replaced_file_goes_to_history(self, tree: WorkingTree, person: Person) -> None:
        await put(tree, A, b"one")
        await put(tree, A, b"two")
        await put(tree, A, b"three")
        assert person.files() == {A: b"three"}
        assert person.history() == {(RUN, A): [b"one", b"two"]}

    async def test_a_file_edited_since_it_was_looked_at_is_left_alone(self, tree: WorkingTree, person: Person) -> None:
        seen = await put(tree, A, b"one")
        person.edit(A, b"mine")
        changed, placed = await tree.place([Placement(A, b"two", seen, RUN), Placement(C, b"c", None, RUN)])
        assert (changed.outcome, changed.stat, changed.sha256) == (PlaceOutcome.CHANGED, None, None)
        assert placed.outcome is PlaceOutcome.PLACED
        assert person.files() == {A: b"mine", C: b"c"}
        assert person.history() == {}

    async def test_a_file_that_appeared_or_vanished_meanwhile_is_a_change(
        self, tree: WorkingTree, person: Person
    ) -> None:
        seen = await put(tree, A, b"one")
        person.remove(A)
        person.edit(C, b"mine")
        results = await tree.place([Placement(A, b"two", seen, RUN), Placement(C, b"two", None, RUN)])
        assert [result.outcome for result in results] == [PlaceOutcome.CHANGED] * 2
        assert person.files() == {C: b"mine"}

    async def test_a_file_in_the_way_of_a_folder_is_left_alone_and_the_others_go_on(
        self, tree: WorkingTree, person: Person
    ) -> None:
        person.edit("images/x", b"mine")
        results = await tree.place([Placement(A, b"a", None, RUN), Placement(C, b"c", None, RUN)])
        assert [result.outcome for result in results] == [PlaceOutcome.CHANGED, PlaceOutcome.PLACED]
        assert person.files() == {"images/x": b"mine", C: b"c"}
        assert await tree.stat_many([A]) == [None]

    async def test_a_folder_in_the_way_of_a_file_is_left_alone(self, tree: WorkingTree, person: Person) -> None:
        await put(tree, A, b"a")
        (result,) = await tree.place([Placement("images/x", b"x", None, RUN)])
        assert result.outcome is PlaceOutcome.CHANGED
        assert person.files() == {A: b"a"}

    async def test_a_read_gives_bytes_and_stat_or_nothing(self, tree: WorkingTree) -> None:
        stat = await put(tree, B, b"12345")
        assert await tree.read(B, limit_bytes=5) == (b"12345", stat)
        assert await tree.read(C, limit_bytes=5) is None
        with pytest.raises(TooLarge):
            await tree.read(B, limit_bytes=4)

    async def test_hashes_come_with_the_stat_that_they_belong_to(self, tree: WorkingTree) -> None:
        stat = await put(tree, A, b"one")
        found, missing = await tree.hash_many([A, C])
        assert found is not None
        assert (found.stat, found.sha256) == (stat, hashlib.sha256(b"one").hexdigest())
        assert missing is None

    async def test_a_walk_shows_every_file_once(self, tree: WorkingTree, person: Person) -> None:
        assert await walked(tree) == []
        paths = [f"{top}/{number % 7}/{number}.x" for top in ("images", "annotations") for number in range(1100)]
        await tree.place([Placement(path, b"", None, RUN) for path in paths])
        person.edit("notes.txt", b"not the mirror's")
        assert await walked(tree) == sorted(paths)

    async def test_retired_files_are_in_the_trash(self, tree: WorkingTree, person: Person) -> None:
        stats = [await put(tree, path, path.encode()) for path in (A, C)]
        assert list(await tree.retire([(A, stats[0]), (B, stats[0]), (C, stats[1])], run=RUN)) == [True, True, True]
        assert person.files() == {}
        assert person.trash() == {(RUN, A): [A.encode()], (RUN, C): [C.encode()]}

    async def test_a_file_that_was_touched_is_not_retired(self, tree: WorkingTree, person: Person) -> None:
        stat = await put(tree, A, b"one")
        person.edit(A, b"mine")
        assert list(await tree.retire([(A, stat)], run=RUN)) == [False]
        assert person.files() == {A: b"mine"}

    async def test_a_file_retired_twice_in_one_run_is_in_the_trash_twice(
        self, tree: WorkingTree, person: Person
    ) -> None:
        for data in (b"one", b"two"):
            await tree.retire([(A, await put(tree, A, data))], run=RUN)
        assert person.trash() == {(RUN, A): [b"one", b"two"]}

    async def test_moves_happen_once_and_again_is_harmless(self, tree: WorkingTree, person: Person) -> None:
        await put(tree, A, b"one")
        pair = [(A, "images/y/z/b.jpg")]
        assert list(await tree.move(pair)) == [True]
        assert list(await tree.move(pair)) == [True]
        assert person.files() == {"images/y/z/b.jpg": b"one"}

    async def test_nothing_moves_onto_a_file_or_from_nowhere(self, tree: WorkingTree, person: Person) -> None:
        await put(tree, A, b"one")
        await put(tree, C, b"two")
        in_the_way = (A, f"{C}/below")
        assert list(await tree.move([(A, C), (B, "images/nowhere"), in_the_way])) == [False, False, False]
        assert person.files() == {A: b"one", C: b"two"}

    @pytest.mark.parametrize("size_bytes", [0, 10, 2**20 + 1, 3 * 2**20])
    async def test_a_partial_file_is_unseen_until_it_is_placed(
        self, tree: WorkingTree, person: Person, size_bytes: int
    ) -> None:
        await tree.write_marker(Marker("store", "m"))
        data = random.Random(size_bytes).randbytes(size_bytes)
        partial = await tree.partial(A)
        await partial.restart("v1")
        for start in range(0, size_bytes, 60_000):
            await partial.write(data[start : start + 60_000])
        assert (partial.size_bytes, partial.validator) == (size_bytes, "v1")
        assert await partial.head(100) == data[:100]
        assert await walked(tree) == []
        (placed,) = await tree.place([Placement(A, partial, None, RUN)])
        assert placed.sha256 == hashlib.sha256(data).hexdigest()
        assert person.files() == {A: data}
        assert (await tree.partial(A)).size_bytes == 0

    async def test_a_large_partial_file_is_resumed_by_the_next_run(self, tree: WorkingTree, person: Person) -> None:
        await tree.write_marker(Marker("store", "m"))
        partial = await tree.partial(A)
        await partial.restart("v1")
        await partial.write(b"a" * 2**21)
        await tree.drop_leftovers()
        again = await tree.partial(A)
        assert (again.size_bytes, again.validator) == (2**21, "v1")
        await again.write(b"b")
        await tree.place([Placement(A, again, None, RUN)])
        assert person.files() == {A: b"a" * 2**21 + b"b"}

    @pytest.mark.parametrize(("validator", "size_bytes"), [(None, 2**21), ("v1", 2**10)])
    async def test_what_cannot_be_resumed_is_dropped(
        self, tree: WorkingTree, validator: str | None, size_bytes: int
    ) -> None:
        await tree.write_marker(Marker("store", "m"))
        partial = await tree.partial(A)
        await partial.restart(validator)
        await partial.write(b"a" * size_bytes)
        await tree.drop_leftovers()
        again = await tree.partial(A)
        assert (again.size_bytes, again.validator) == (0, None)

    async def test_a_discarded_partial_file_begins_anew(self, tree: WorkingTree) -> None:
        await tree.write_marker(Marker("store", "m"))
        partial = await tree.partial(A)
        await partial.restart("v1")
        await partial.write(b"a" * 2**21)
        await partial.discard()
        assert (partial.size_bytes, partial.validator) == (0, None)
        await partial.write(b"b")
        assert await partial.head(5) == b"b"

    async def test_a_summary_comes_back_whole(self, tree: WorkingTree) -> None:
        assert await tree.read_summary() is None
        await tree.write_marker(Marker("store", "m"))
        head: JsonObject = {"name": "ü\ud800", "categories": []}
        await tree.write_summary(head, pages())
        assert await tree.read_summary() == {**head, "images": []}
        await tree.write_summary(head, pages([{"id": "1"}, {"id": "\udfff"}], [], [{"id": "é"}]))
        assert await tree.read_summary() == {**head, "images": [{"id": "1"}, {"id": "\udfff"}, {"id": "é"}]}

    async def test_the_head_of_a_summary_comes_without_its_images(self, tree: WorkingTree) -> None:
        assert await tree.read_summary_head() is None
        await tree.write_marker(Marker("store", "m"))
        head: JsonObject = {"name": "ü", "categories": [{"name": "images"}]}
        await tree.write_summary(head, pages([{"id": "1"}], [{"id": "2"}]))
        assert await tree.read_summary_head() == head

    async def test_pictures_tell_their_size_and_nothing_else_does(self, tree: WorkingTree, person: Person) -> None:
        await tree.write_marker(Marker("store", "m"))
        for path, form in ((A, "JPEG"), (C, "PNG")):
            file = io.BytesIO()
            Image.new("RGB", (7, 5)).save(file, form)
            person.edit(path, file.getvalue())
        person.edit(B, b"{}")
        person.edit("images/cut.jpg", b"\xff\xd8\xff\xe0")
        paths = [A, "images/none.png", C, B, "images/cut.jpg"]
        assert await tree.picture_sizes(paths) == [(7, 5), None, (7, 5), None, None]

    async def test_a_folder_laid_out_holds_exactly_what_was_given_last(self, tree: WorkingTree, person: Person) -> None:
        folder = ".labelmirror/held"
        await tree.lay_out(folder, {})
        await tree.lay_out(folder, {f"{folder}/a/b.json": b"one", f"{folder}/c.json": b"two"})
        assert await tree.read(f"{folder}/a/b.json", limit_bytes=10) is not None
        await tree.lay_out(folder, {f"{folder}/c.json": b"three"})
        found = await tree.read(f"{folder}/c.json", limit_bytes=10)
        assert found is not None
        assert found[0] == b"three"
        assert await tree.read(f"{folder}/a/b.json", limit_bytes=10) is None
        assert await walked(tree) == []
        assert person.files() == {}

    async def test_old_versions_are_dropped_by_the_age_of_their_run(self, tree: WorkingTree, person: Person) -> None:
        for data in (b"one", b"two"):
            await put(tree, A, data)
        await tree.retire([(C, await put(tree, C, b"c"))], run=RUN)
        await tree.drop_old(NEW_YEAR_S + 2 * DAY_S, history_s=3 * DAY_S, trash_s=3 * DAY_S)
        assert (len(person.history()), len(person.trash())) == (1, 1)
        await tree.drop_old(NEW_YEAR_S + 2 * DAY_S, history_s=DAY_S, trash_s=3 * DAY_S)
        assert (len(person.history()), len(person.trash())) == (0, 1)
        await tree.drop_old(NEW_YEAR_S + 2 * DAY_S, history_s=DAY_S, trash_s=DAY_S)
        assert (len(person.history()), len(person.trash())) == (0, 0)
        assert person.files() == {A: b"two"}
