"""Hints of the system that files were touched, and what happens without them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog
from structlog.testing import capture_logs

from labelmirror.daemon import watch
from labelmirror.daemon.watch import Watcher


@dataclass(slots=True)
class Yard:
    """Folders under watch, and what was heard of them."""

    folders: dict[str, Path]
    heard: set[tuple[str, str]] = field(default_factory=set)
    lost: list[list[str]] = field(default_factory=list)

    def note(self, found: Mapping[str, frozenset[str]]) -> None:
        self.heard |= {(name, path) for name, paths in found.items() for path in paths}

    def lose(self, names: Iterable[str]) -> None:
        self.lost.append(sorted(names))

    def present(self) -> Mapping[str, Path]:
        return {name: folder for name, folder in self.folders.items() if folder.is_dir()}


@asynccontextmanager
async def watching(yard: Yard) -> AsyncIterator[Watcher]:
    watcher = Watcher(yard.present, yard.note, yard.lose)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watcher.run)
        with anyio.fail_after(20):
            while yard.present() and not yard.lost:
                await anyio.sleep(0.01)
        yield watcher
        tasks.cancel_scope.cancel()


async def heard(yard: Yard, *expected: tuple[str, str]) -> None:
    with anyio.fail_after(20):
        while not yard.heard >= set(expected):
            await anyio.sleep(0.01)


def folder(path: Path) -> Path:
    (path / "annotations" / "a").mkdir(parents=True)
    return path / "annotations"


async def test_touched_documents_are_named_with_their_mirror_and_other_files_are_not(tmp_path: Path) -> None:
    yard = Yard({"one": folder(tmp_path / "1"), "two": folder(tmp_path / "2")})
    async with watching(yard):
        (yard.folders["one"] / "a" / ".labelmirror-0123.json").write_text("{}")
        (yard.folders["one"] / "a" / "notes.txt").write_text("")
        (yard.folders["one"] / "a" / "x.jpg.json").write_text("{}")
        (tmp_path / "draft.json").write_text("{}")
        (tmp_path / "draft.json").rename(yard.folders["two"] / "y.jpg.json")
        await heard(yard, ("one", "annotations/a/x.jpg.json"), ("two", "annotations/y.jpg.json"))
        assert len(yard.heard) == 2
    assert yard.lost == [["one", "two"]]


async def test_a_folder_that_comes_later_or_is_replaced_is_watched_and_looked_at(tmp_path: Path) -> None:
    yard = Yard({"one": tmp_path / "1" / "annotations"})
    async with watching(yard) as watcher:
        assert (watcher.watching, yard.lost) == (False, [])
        folder(tmp_path / "1")
        watcher.look_again()
        with anyio.fail_after(20):
            while yard.lost != [["one"]]:
                await anyio.sleep(0.01)
        watcher.look_again()
        (tmp_path / "1").rename(tmp_path / "old")
        folder(tmp_path / "1")
        watcher.look_again()
        with anyio.fail_after(20):
            while yard.lost != [["one"], ["one"]]:
                await anyio.sleep(0.01)
        (yard.folders["one"] / "a" / "x.json").write_text("{}")
        await heard(yard, ("one", "annotations/a/x.json"))


async def test_after_a_folder_came_all_is_watched_anew_as_the_system_may_have_left_it_out(tmp_path: Path) -> None:
    yard = Yard({"one": folder(tmp_path / "1")})
    async with watching(yard) as watcher:
        watcher.look_again()
        (yard.folders["one"] / "b").mkdir()
        with anyio.fail_after(20):
            while yard.lost != [["one"], ["one"]]:
                watcher.look_again()
                await anyio.sleep(0.01)
        (yard.folders["one"] / "b" / "x.json").write_text("{}")
        await heard(yard, ("one", "annotations/b/x.json"))


@pytest.mark.parametrize("error", [OSError, RuntimeError])
async def test_where_the_system_cannot_watch_that_is_said_once_and_everything_is_to_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*_paths: str, **_options: Any) -> None:
        raise error("OS file watch limit reached.")

    monkeypatch.setattr(watch, "awatch", refuse)
    structlog.reset_defaults()
    yard = Yard({"one": folder(tmp_path / "1")})
    with capture_logs() as logs:
        async with watching(yard) as watcher:
            watcher.look_again()
            await anyio.sleep(0.05)
            assert not watcher.watching
    assert yard.lost == [["one"]]
    (entry,) = logs
    assert (entry["event"], entry["reason"]) == ("watch.impossible", "OS file watch limit reached.")
