"""The laws of SnapshotStore. A binding subclasses SnapshotContract and supplies `store`, empty, and `vandal`, who harms it."""

import hashlib
import random
from pathlib import Path
from typing import Protocol

import pytest

from labelmirror.errors import SnapshotDamaged
from labelmirror.model.document import ContentId, Digest, content_id
from labelmirror.model.keys import DocumentKey
from labelmirror.model.snapshot import SavedDocument, SavedImage, SavedStray, SnapshotHead, SnapshotPage
from labelmirror.ports.snapshots import References, SnapshotStore


class Vandal(Protocol):
    """What disks and people do to a store."""

    def flip(self, kind: str, name: str) -> None:
        """Change one byte of a content; `kind` is documents, pages, images or snapshots."""
        ...

    def lose(self, kind: str, name: str) -> None:
        """Remove one."""
        ...

    def held(self, kind: str) -> set[str]:
        """The names of what there is."""
        ...


def page(*numbers: int, content: str = "c") -> SnapshotPage:
    return SnapshotPage(
        tuple(
            SavedImage(
                f"i{number}",
                "a/b",
                f"\ud800{number}.jpg",
                f"images/a/b/{number}.jpg",
                7,
                content_id(f"{number}".encode()),
                included=False,
                documents=(
                    SavedDocument(
                        DocumentKey(f"i{number}", "set"),
                        f"annotations/a/b/{number}.jpg.json",
                        content_id(content.encode()),
                        Digest("d") if number % 2 else None,
                    ),
                ),
            )
            for number in numbers
        ),
        (SavedStray("annotations/mine.json", content_id(b"stray")),),
    )


def head(store: SnapshotStore, *pages: str, at_s: float = 1.5, mirror: str = "street") -> SnapshotHead:
    return SnapshotHead(store.id, mirror, "acme", "d1", "Street", at_s, 2, 2, False, 99, {"name": "x", "n": [1]}, pages)


def documents(*texts: str) -> dict[ContentId, bytes]:
    return {content_id(text.encode()): text.encode() for text in texts}


class SnapshotContract:
    async def test_an_empty_store_has_no_snapshots(self, store: SnapshotStore) -> None:
        listed = await store.snapshots()
        assert (list(listed.snapshots), list(listed.unusable)) == ([], [])

    async def test_a_document_is_given_back_and_stored_once(self, store: SnapshotStore) -> None:
        wanted = documents("one", "two", "")
        assert await store.add_documents(wanted) > 0
        assert await store.documents([*wanted, ContentId("0" * 64)]) == wanted
        assert await store.add_documents(wanted) == 0
        assert await store.add_documents({**wanted, **documents("three")}) > 0

    async def test_a_document_that_is_damaged_or_lost_is_left_out_and_mended_when_it_is_stored_again(
        self, store: SnapshotStore, vandal: Vandal
    ) -> None:
        wanted = documents("one", "two", "three")
        await store.add_documents(wanted)
        one, two, three = wanted
        vandal.flip("documents", one)
        vandal.lose("documents", two)
        assert await store.documents(list(wanted)) == {three: b"three"}
        assert await store.add_documents(wanted) > 0
        assert await store.documents(list(wanted)) == wanted

    async def test_a_page_is_given_back_and_stored_once(self, store: SnapshotStore) -> None:
        name, new = await store.add_page(page(1, 2))
        assert new > 0
        assert await store.add_page(page(1, 2)) == (name, 0)
        assert (await store.add_page(page(1, 2, content="e")))[0] != name
        assert await store.page(name) == page(1, 2)

    async def test_a_page_that_is_damaged_or_missing_says_so(self, store: SnapshotStore, vandal: Vandal) -> None:
        name, _ = await store.add_page(page(1))
        vandal.flip("pages", name)
        with pytest.raises(SnapshotDamaged):
            await store.page(name)
        with pytest.raises(SnapshotDamaged):
            await store.page("0" * 64)

    async def test_snapshots_are_listed_oldest_first_as_they_were_added(self, store: SnapshotStore) -> None:
        made = [await store.add_snapshot(head(store, "p" * 64, at_s=at_s)) for at_s in (3.25, 1.0, 2.000001)]
        assert [each.head for each in made] == [head(store, "p" * 64, at_s=at_s) for at_s in (3.25, 1.0, 2.000001)]
        assert list((await store.snapshots()).snapshots) == [made[1], made[2], made[0]]

    async def test_a_manifest_that_is_damaged_or_anothers_is_listed_apart(
        self, store: SnapshotStore, vandal: Vandal
    ) -> None:
        bad = await store.add_snapshot(head(store, at_s=1.0))
        good = await store.add_snapshot(head(store, at_s=2.0))
        vandal.flip("snapshots", bad.id)
        listed = await store.snapshots()
        assert list(listed.snapshots) == [good]
        assert [name for name, _ in listed.unusable] == [bad.id]

    async def test_a_removed_snapshot_is_gone_and_its_contents_stay(self, store: SnapshotStore, vandal: Vandal) -> None:
        await store.add_documents(documents("one"))
        made = [await store.add_snapshot(head(store, at_s=at_s)) for at_s in (1.0, 2.0)]
        await store.remove_snapshots({made[0].id, "0" * 64})
        assert list((await store.snapshots()).snapshots) == made[1:]
        assert vandal.held("documents") == set(documents("one"))

    async def test_an_image_is_stored_from_its_file_and_not_by_it(
        self, store: SnapshotStore, tmp_path: Path, vandal: Vandal, seed: int
    ) -> None:
        data = random.Random(seed).randbytes(3 * 2**20 + 17)
        file = tmp_path / "mirror" / "images" / "a.jpg"
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
        before = file.stat()
        added = await store.add_image(tmp_path / "mirror", "images/a.jpg")
        assert added is not None
        assert (added.content, added.size_bytes, added.bytes_new) == (
            hashlib.sha256(data).hexdigest(),
            len(data),
            len(data),
        )
        after = file.stat()
        assert (after.st_ctime_ns, after.st_nlink) == (before.st_ctime_ns, 1)
        assert await store.has_image(added.content, len(data))
        assert not await store.has_image(added.content, len(data) + 1)
        # Whoever changes the mirror's file in place does not change the snapshot.
        with file.open("r+b") as opened:
            opened.write(b"vandal")
        assert b"".join([chunk async for chunk in store.image(added.content)]) == data
        again = await store.add_image(tmp_path / "mirror", "images/a.jpg")
        assert again is not None
        assert again.content != added.content
        assert vandal.held("images") == {added.content, again.content}
        assert await store.add_image(tmp_path / "mirror", "images/none.jpg") is None

    async def test_a_damaged_image_says_so_and_is_mended_when_it_is_stored_again(
        self, store: SnapshotStore, tmp_path: Path, vandal: Vandal
    ) -> None:
        (tmp_path / "a.jpg").write_bytes(b"picture")
        added = await store.add_image(tmp_path, "a.jpg")
        assert added is not None
        vandal.flip("images", added.content)
        with pytest.raises(SnapshotDamaged):
            _ = [chunk async for chunk in store.image(added.content)]
        mended = await store.add_image(tmp_path, "a.jpg")
        assert mended is not None
        assert mended.bytes_new == 0
        assert [chunk async for chunk in store.image(added.content)] == [b"picture"]
        vandal.lose("images", added.content)
        with pytest.raises(SnapshotDamaged):
            _ = [chunk async for chunk in store.image(added.content)]

    async def test_a_sweep_removes_what_is_not_kept_and_nothing_else(
        self, store: SnapshotStore, tmp_path: Path, vandal: Vandal
    ) -> None:
        (tmp_path / "a.jpg").write_bytes(b"a")
        (tmp_path / "b.jpg").write_bytes(b"b")
        images = [await store.add_image(tmp_path, name) for name in ("a.jpg", "b.jpg")]
        assert all(images)
        wanted, doomed = documents("kept"), documents("gone", "gone too")
        await store.add_documents({**wanted, **doomed})
        kept_page, _ = await store.add_page(page(1))
        gone_page, _ = await store.add_page(page(2))
        made = await store.add_snapshot(head(store, kept_page))
        assert images[0] is not None
        swept = await store.sweep(References({kept_page}, set(wanted), {images[0].content}))
        assert swept.files == 4
        assert swept.size_bytes > 0
        assert (vandal.held("pages"), vandal.held("documents")) == ({kept_page}, set(wanted))
        assert vandal.held("images") == {images[0].content}
        assert list((await store.snapshots()).snapshots) == [made]
        assert gone_page not in vandal.held("pages")
        assert (await store.sweep(References({kept_page}, set(wanted), {images[0].content}))).files == 0
