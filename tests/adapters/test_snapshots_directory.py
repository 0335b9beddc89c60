"""The store in a folder keeps the laws, and says clearly what is not its own."""

import gzip
import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from contracts.snapshots import SnapshotContract, Vandal, documents, head, page
from labelmirror.errors import DiskError, SnapshotDamaged, UsageError
from labelmirror.model.snapshot import Access
from labelmirror.ports.snapshots import References, SnapshotStore
from labelmirror.snapshots.directory import DirectoryStore, open_store


class Files:
    """A vandal with a file manager."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, kind: str, name: str) -> Path:
        (found,) = (self.root / kind).rglob(f"{name}*")
        return found

    def flip(self, kind: str, name: str) -> None:
        file = self.file(kind, name)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        os.chmod(file, 0o644)  # noqa: PTH101
        file.write_bytes(data)

    def lose(self, kind: str, name: str) -> None:
        self.file(kind, name).unlink()

    def held(self, kind: str) -> set[str]:
        return {file.name.partition(".")[0] for file in (self.root / kind).rglob("*") if file.is_file()}


class TestDirectoryStore(SnapshotContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> SnapshotStore:
        return await opened(tmp_path / "backups")

    @pytest.fixture
    def vandal(self, tmp_path: Path) -> Vandal:
        return Files(tmp_path / "backups")


async def opened(root: Path) -> DirectoryStore:
    root.mkdir(exist_ok=True)
    return await open_store(root, Access.CREATE)


async def test_a_store_is_made_once_and_known_again(tmp_path: Path) -> None:
    first = await opened(tmp_path / "backups")
    assert (await opened(tmp_path / "backups")).id == first.id
    assert (await open_store(tmp_path / "backups", Access.READ)).id == first.id


async def test_reading_needs_a_store_and_making_one_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no snapshots"):
        await open_store(tmp_path / "none", Access.READ)
    assert not (tmp_path / "none").exists()
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"not empty \(there is 'letters.txt'\)"):
        await open_store(tmp_path, Access.CREATE)
    assert os.listdir(tmp_path) == ["letters.txt"]  # noqa: PTH208


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "id": "x"}', "{"])
async def test_a_store_of_another_version_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.json").write_text(text)
    for access in Access:
        with pytest.raises(SnapshotDamaged, match="another version"):
            await open_store(tmp_path, access)
    assert (tmp_path / "store.json").read_text() == text


async def test_a_snapshot_of_another_store_is_named_as_such(tmp_path: Path) -> None:
    mine, other = await opened(tmp_path / "mine"), await opened(tmp_path / "other")
    made = await other.add_snapshot(head(other))
    (tmp_path / "mine" / "snapshots").mkdir()
    shutil.copy(tmp_path / "other" / "snapshots" / f"{made.id}.json", tmp_path / "mine" / "snapshots")
    assert list((await mine.snapshots()).unusable) == [(made.id, f"belongs to another store ({other.id[:8]})")]


async def test_what_died_half_written_is_swept(tmp_path: Path) -> None:
    store = await opened(tmp_path / "backups")
    await store.add_documents(documents("one"))
    await store.add_snapshot(head(store))
    for folder in ("passing", "snapshots", "."):
        (tmp_path / "backups" / folder / ".labelmirror-left").write_text("half")
    assert (await store.sweep(References(documents=set(documents("one"))))).files == 3
    assert await store.documents(list(documents("one"))) == documents("one")


async def test_contents_are_compressed_files_that_other_programs_read_and_nobody_writes(tmp_path: Path) -> None:
    store = await opened(tmp_path / "backups")
    text = json.dumps({"annotations": ["box"] * 1000})
    (content,) = documents(text)
    taken = await store.add_documents(documents(text))
    file = tmp_path / "backups" / "documents" / content[:2] / f"{content}.json.gz"
    assert file.stat().st_size == taken < len(text) / 10
    assert gzip.decompress(file.read_bytes()).decode() == text
    assert stat.S_IMODE(file.stat().st_mode) & 0o222 == 0


async def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    store = await opened(tmp_path / "backups")
    (tmp_path / "backups" / "documents").write_text("in the way")
    with pytest.raises(DiskError, match="is no folder"):
        await store.add_documents(documents("one"))
    (tmp_path / "backups" / "pages").symlink_to(tmp_path)
    with pytest.raises(DiskError, match="symbolic link"):
        await store.add_page(page(1))
