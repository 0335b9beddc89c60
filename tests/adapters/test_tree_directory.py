"""The directory keeps the laws of the tree, and those of a disk that is full, hostile, or without hard links."""

import errno
import json
import os
import random
import stat as stat_module
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.tree import RUN, A, B, C, TreeContract, pages, put, walked
from labelmirror.errors import DiskError, MarkerMismatch, Unreadable
from labelmirror.ports.tree import Marker, Placement, PlaceOutcome, WorkingTree
from labelmirror.tree import files as batches
from labelmirror.tree.directory import DirectoryTree
from labelmirror.tree.names import TEMPORARY


class Owner:
    """A person with a file manager."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def edit(self, path: str, data: bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for top in ("annotations", "images")
            for path in sorted((self.root / top).rglob("*"))
            if path.is_file()
        }

    def history(self) -> dict[tuple[str, str], list[bytes]]:
        return self._versions("history")

    def trash(self) -> dict[tuple[str, str], list[bytes]]:
        return self._versions("trash")

    def _versions(self, store: str) -> dict[tuple[str, str], list[bytes]]:
        found: dict[tuple[str, str], list[bytes]] = {}
        top = self.root / ".labelmirror" / store
        for path in sorted(top.rglob("*")):
            if path.is_file():
                run, *parts = path.relative_to(top).parts
                found.setdefault((run, "/".join(parts).partition("~")[0]), []).append(path.read_bytes())
        return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "mirror"
    path.mkdir()
    return path


@pytest.fixture
def tree(root: Path) -> WorkingTree:
    return DirectoryTree(root)


@pytest.fixture
def person(root: Path) -> Owner:
    return Owner(root)


class TestDirectoryTree(TreeContract):
    pass


class TestDirectoryTreeWithoutHardLinks(TreeContract):
    @pytest.fixture(autouse=True)
    def no_links(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "link", refusing(errno.EPERM))


class TestDirectoryTreeBehindALink(TreeContract):
    @pytest.fixture
    def tree(self, root: Path, tmp_path: Path) -> WorkingTree:
        (tmp_path / "link").symlink_to(root)
        return DirectoryTree(tmp_path / "link")


def refusing(code: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


async def test_a_directory_that_is_missing_is_empty_and_made_by_claiming_it(tmp_path: Path) -> None:
    tree = DirectoryTree(tmp_path / "a" / "b")
    assert await tree.marker() is None
    assert await tree.stat_many([A]) == [None]
    assert await walked(tree) == []
    with pytest.raises(DiskError, match="missing"):
        await tree.place([Placement(A, b"", None, RUN)])
    await tree.write_marker(Marker("s", "m"))
    assert await tree.marker() == Marker("s", "m")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"store_id": 1}', "\udcff"])
async def test_an_unreadable_marker_is_a_mismatch(tree: WorkingTree, person: Owner, text: str) -> None:
    person.edit(".labelmirror/marker.json", text.encode("utf-8", "surrogateescape"))
    with pytest.raises(MarkerMismatch, match=r"marker\.json"):
        await tree.marker()


async def test_nothing_is_read_through_a_symbolic_link(tree: WorkingTree, root: Path, tmp_path: Path) -> None:
    outside = Owner(tmp_path / "outside")
    outside.edit("a.jpg", b"theirs")
    (root / "images").mkdir()
    (root / "images" / "x").symlink_to(outside.root)
    (root / "images" / "c.jpg").symlink_to(outside.root / "a.jpg")
    assert await tree.stat_many([A, C]) == [None, None]
    assert await tree.read(A, limit_bytes=9) is None
    assert list(await tree.hash_many([A, C])) == [None, None]
    assert await walked(tree) == []


async def test_nothing_is_written_or_moved_through_a_symbolic_link(
    tree: WorkingTree, root: Path, tmp_path: Path
) -> None:
    outside = Owner(tmp_path / "outside")
    outside.edit("a.jpg", b"theirs")
    (root / "images").mkdir()
    (root / "images" / "x").symlink_to(outside.root)
    (root / "images" / "c.jpg").symlink_to(outside.root / "a.jpg")
    with pytest.raises(DiskError, match="symbolic link"):
        await tree.place([Placement("images/x/new.jpg", b"ours", None, RUN)])
    (result,) = await tree.place([Placement(C, b"ours", None, RUN)])
    assert result.outcome is PlaceOutcome.CHANGED
    await tree.place([Placement("images/d.jpg", b"d", None, RUN)])
    with pytest.raises(DiskError, match="symbolic link"):
        await tree.move([("images/d.jpg", "images/x/d.jpg")])
    assert sorted(path.name for path in outside.root.iterdir()) == ["a.jpg"]
    assert (outside.root / "a.jpg").read_bytes() == b"theirs"


async def test_a_pipe_is_no_file_and_nobody_waits_for_it(tree: WorkingTree, root: Path) -> None:
    (root / "images").mkdir()
    os.mkfifo(root / C)
    assert await tree.stat_many([C]) == [None]
    assert await tree.read(C, limit_bytes=9) is None
    assert await walked(tree) == []


async def test_a_file_that_may_not_be_read_is_named_and_a_folder_too(
    tree: WorkingTree, person: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.edit("annotations/a/x.json", b"{}")
    opened = os.open

    def refuse(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path) == refused:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    refused = "x.json"
    with pytest.raises(Unreadable, match=r"^annotations/a/x\.json: Permission denied$"):
        await tree.read("annotations/a/x.json", limit_bytes=100)
    refused = "a"
    with pytest.raises(DiskError, match=r": a: Permission denied$"):
        await tree.stat_many(["annotations/a/x.json"])


async def test_names_of_255_bytes_and_deep_folders_work(tree: WorkingTree, person: Owner) -> None:
    path = f"images/{'d' * 255}/{'/'.join('x' for _ in range(200))}/{'ü' * 127}a"
    stat = await put(tree, path, b"one")
    assert await tree.stat_many([path, f"images/{'n' * 256}"]) == [stat, None]
    assert person.files() == {path: b"one"}


async def test_a_file_moves_between_folders_deeper_than_descriptors_are_kept(tree: WorkingTree, person: Owner) -> None:
    here, there = (f"images/{'/'.join(name for _ in range(150))}/a.jpg" for name in "xy")
    await put(tree, here, b"one")
    assert list(await tree.move([(here, there)])) == [True]
    assert person.files() == {there: b"one"}
    (stat,) = await tree.stat_many([there])
    (placed,) = await tree.place([Placement(there, b"two", stat, RUN)])
    assert placed.outcome is PlaceOutcome.PLACED
    assert person.history() == {(RUN, there): [b"one"]}


async def test_files_have_ordinary_modes(tree: WorkingTree, root: Path) -> None:
    before = os.umask(0o027)
    try:
        await put(tree, A, b"one")
        await tree.write_summary({}, pages())
    finally:
        os.umask(before)
    modes = [stat_module.S_IMODE((root / path).stat().st_mode) for path in (A, "images", "dataset.json")]
    assert modes == [0o640, 0o750, 0o640]


async def test_what_every_run_lays_out_anew_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(_: int) -> None:
        pytest.fail("waited for the disk")

    tree = DirectoryTree(tmp_path)
    monkeypatch.setattr(os, "fsync", wait)
    await tree.lay_out(".labelmirror/conflicts", {".labelmirror/conflicts/a/b.json": b"one"})
    assert (tmp_path / ".labelmirror/conflicts/a/b.json").read_bytes() == b"one"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM])
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "open", "mkdir"])
async def test_a_disk_that_refuses_is_reported_and_leaves_nothing_half_done(
    tree: WorkingTree, root: Path, person: Owner, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    await put(tree, A, b"one")
    (seen,) = await tree.stat_many([A])
    before = person.files()
    with monkeypatch.context() as broken:
        broken.setattr(os, call, refusing(code))
        with pytest.raises(DiskError) as caught:
            await tree.place([Placement(A, b"two", seen, RUN), Placement("images/new/b.jpg", b"b", None, RUN)])
    assert caught.value.hint
    assert os.strerror(code) in caught.value.message
    assert person.files() == before
    assert [path.name for path in root.rglob(f"{TEMPORARY}*")] == []


async def test_what_was_placed_before_the_disk_filled_stays(
    tree: WorkingTree, person: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = batches.GROUP_FILES
    placements = [Placement(f"images/{number:04}", b"x", None, RUN) for number in range(count + 5)]
    real = os.write
    written = 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal written
        written += 1
        return real(descriptor, data) if written <= count + 2 else refusing(errno.ENOSPC)()

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(DiskError, match="images/0130"):
        await tree.place(placements)
    monkeypatch.undo()
    assert sorted(person.files()) == [placement.path for placement in placements[:count]]
    assert await walked(tree) == sorted(person.files())


@pytest.mark.parametrize("after", ["link", "fsync"])
async def test_an_edit_between_looks_survives(
    tree: WorkingTree, root: Path, person: Owner, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    seen = await put(tree, A, b"one")
    real = getattr(os, after)

    def edit_then(*args: object, **kwargs: object) -> object:
        (root / A).write_bytes(b"mine!")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, after, edit_then)
    (result,) = await tree.place([Placement(A, b"two", seen, RUN)])
    monkeypatch.undo()
    assert result.outcome is PlaceOutcome.CHANGED
    assert person.files() == {A: b"mine!"}


@pytest.mark.parametrize("seed", range(40))
async def test_a_death_at_any_call_leaves_whole_files_and_the_old_version(
    tree: WorkingTree, root: Path, person: Owner, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    old = {path: f"old {path}".encode() * 100 for path in (A, B)}
    for path, data in old.items():
        await put(tree, path, data)
    stats = await tree.stat_many([A, B, C])
    calls = rng.randrange(25)

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls -= 1
            if calls < 0:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as mortal:
        for name in ("write", "rename", "link", "fsync", "mkdir", "unlink"):
            mortal.setattr(os, name, dying(getattr(os, name)))
        try:
            batch = [Placement(path, b"new", stat, RUN) for path, stat in zip((A, B, C), stats, strict=True)]
            await tree.place(batch)
        except KeyboardInterrupt:
            pass
    await tree.drop_leftovers()
    now = person.files()
    assert all(now[path] in {data, b"new"} for path, data in old.items()), f"{seed=}"
    assert now.get(C, b"new") == b"new", f"{seed=}"
    assert set(now) <= {A, B, C}, f"{seed=}"
    replaced = {path for path in old if now[path] == b"new"}
    assert all(person.history()[RUN, path] == [old[path]] for path in replaced), f"{seed=}"
    assert [path.name for path in root.rglob(f"{TEMPORARY}*")] == [], f"{seed=}"


async def test_an_unchanged_summary_is_not_written_again(tree: WorkingTree, root: Path) -> None:
    await tree.write_summary({"name": "x"}, pages([{"id": "1"}]))
    before = (root / "dataset.json").stat()
    await tree.write_summary({"name": "x"}, pages([{"id": "1"}]))
    assert (root / "dataset.json").stat() == before
    assert json.loads((root / "dataset.json").read_bytes()) == {"name": "x", "images": [{"id": "1"}]}
    assert [path.name for path in root.iterdir()] == ["dataset.json"]


async def test_a_summary_that_breaks_off_leaves_the_old_one(tree: WorkingTree, root: Path) -> None:
    async def broken() -> Any:
        yield [{"id": "1"}]
        raise LookupError

    await tree.write_summary({"name": "x"}, pages())
    with pytest.raises(LookupError):
        await tree.write_summary({"name": "y"}, broken())
    assert await tree.read_summary() == {"name": "x", "images": []}
    assert [path.name for path in root.iterdir()] == ["dataset.json"]


@pytest.mark.parametrize("text", ["", "[1]", "{", "\udcff"])
async def test_an_unreadable_summary_is_none(tree: WorkingTree, person: Owner, text: str) -> None:
    person.edit("dataset.json", text.encode("utf-8", "surrogateescape"))
    assert await tree.read_summary() is None


async def test_emptied_folders_go_and_others_stay(tree: WorkingTree, root: Path, person: Owner) -> None:
    stat = await put(tree, "images/deep/er/a.jpg", b"a")
    person.edit("images/deep/mine.txt", b"mine")
    await tree.retire([("images/deep/er/a.jpg", stat)], run=RUN)
    assert sorted(str(path.relative_to(root)) for path in (root / "images").rglob("*")) == [
        "images/deep",
        "images/deep/mine.txt",
    ]


async def test_only_folders_named_like_runs_are_dropped(tree: WorkingTree, root: Path, person: Owner) -> None:
    person.edit(".labelmirror/history/mine/a", b"")
    person.edit(f".labelmirror/history/{RUN}/a", b"")
    (root / ".labelmirror/history/20200101T000000Z").symlink_to(root.parent)
    await tree.drop_old(4e9, history_s=0, trash_s=0)
    names = sorted(path.name for path in (root / ".labelmirror/history").iterdir())
    assert names == ["20200101T000000Z", "mine"]
