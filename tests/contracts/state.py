"""The laws of MirrorState. A binding subclasses StateContract and supplies the `state` fixture, empty with store id "s"."""

from dataclasses import replace

import pytest

from labelmirror.model.actions import Refusal
from labelmirror.model.document import ContentId, Digest, content_id
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import ListedDocument, ListedImage, Reading, Token
from labelmirror.model.rows import (
    Base,
    FileStat,
    ImageCondition,
    ImageRecord,
    ImageRow,
    ListedFile,
    LocalFile,
    MirrorFacts,
    Move,
    RemoteSeen,
    SetRecord,
    Unplaced,
)
from labelmirror.model.saving import SaveOutcome, SaveRecord
from labelmirror.model.trouble import Failed, Held, HoldReason, Stage, Trouble
from labelmirror.planning import places
from labelmirror.ports.state import DocumentRecorded, MirrorState

HOSTILE = "a\ud800\x00'\";--/é"
TOKEN = Token("t 1", strong=True)


def listed(id_: str, name: str = "", directory: str = "", *sets: str, token: Token | None = TOKEN) -> ListedImage:
    documents = tuple(ListedDocument(set_, token) for set_ in sets or ("",))
    return ListedImage(id_, directory, name or f"{id_}.jpg", "new", 10, 2, 3, "md5", 1, documents)


def record(id_: str, place: str = "") -> ImageRecord:
    return ImageRecord(id_, "", f"{id_}.jpg", place or f"{id_}.jpg".encode(errors="replace").decode())


def stat(number: int = 1) -> FileStat:
    return FileStat(number, number + 10**18, number + 2 * 10**18, 2**64 - number)


def reading(id_: str, data: bytes = b"{}", set_: str = "") -> Reading:
    return Reading(DocumentKey(id_, set_), data, Digest(f"digest of {data!r}"), {"car": 2})


def base_of(read: Reading, at_s: float = 5.0) -> Base:
    assert read.data is not None
    assert read.digest is not None
    return Base(read.digest, content_id(read.data), read.counts, TOKEN, at_s)


async def list_all(state: MirrorState, *images: ListedImage) -> None:
    await begin_to_list(state, *images)
    await state.end_listing()


async def begin_to_list(state: MirrorState, *images: ListedImage) -> None:
    await state.begin_listing()
    await state.add_listed(images, [places.fold(image.directory, image.name) for image in images])


async def settle(state: MirrorState, id_: str, data: bytes = b"{}") -> DocumentRecorded:
    """Bring one document in step, as a run does."""
    read = reading(id_, data)
    await state.record_images([record(id_)])
    await state.add_readings([(read, TOKEN)], 5.0)
    done = DocumentRecorded(read.key, base_of(read), LocalFile(stat(), read.digest, read.counts))
    await state.record_documents([done])
    return done


def save(id_: str, image: str = "a", run: str = "r", at_s: float = 1.0) -> SaveRecord:
    before, body = content_id(b"before"), content_id(b"body")
    return SaveRecord(
        id_, run, DocumentKey(image), "a.jpg", at_s, None, before, Digest("d1"), body, Digest("d2"), f"key {id_}", 2, 3
    )


class StateContract:
    # --- the mirror as a whole -----------------------------------------------------------------------------------------

    async def test_a_new_mirror_knows_its_store_id_and_nothing_else(self, state: MirrorState) -> None:
        assert await state.facts() == MirrorFacts("s")
        assert await state.image_rows(None, 10) == []
        assert await state.document_rows(None, 10) == []
        assert await state.troubles() in ([], ())

    async def test_facts_are_kept_whole(self, state: MirrorState) -> None:
        refusal = Refusal("images gone on the server", 37, 20, 100, (HOSTILE,), "--allow-deletes 37")
        facts = replace(
            await state.facts(), dataset_name=HOSTILE, last_sync_s=1.5, claimed=True, refused=refusal, refused_s=2.5
        )
        await state.set_facts(facts)
        assert await state.facts() == facts

    async def test_a_provider_finds_what_it_put_until_it_forgets_it(self, state: MirrorState) -> None:
        await state.memory.put("a", {"x": [1, HOSTILE]})
        await state.memory.put("a", {"y": None})
        assert await state.memory.get("a") == {"y": None}
        await state.memory.put("a", None)
        assert await state.memory.get("a") is None

    async def test_a_reset_leaves_nothing_but_the_new_store_id(self, state: MirrorState) -> None:
        await list_all(state, listed("a"))
        await settle(state, "a")
        await state.memory.put("x", 1)
        await state.reset("new")
        assert await state.facts() == MirrorFacts("new")
        assert await state.memory.get("x") is None
        assert await state.listed_count() == 0
        assert await state.image_rows(None, 10) == []
        assert await state.document_rows(None, 10) == []

    # --- listings ------------------------------------------------------------------------------------------------------

    async def test_a_listed_row_comes_back_whole(self, state: MirrorState) -> None:
        image = replace(listed(HOSTILE, HOSTILE, HOSTILE, "", HOSTILE), status=HOSTILE)
        bare = ListedImage("b", "", "b", None, None, None, None, None, None, ())
        await list_all(state, image, bare)
        assert await state.listed(["b", "unknown", HOSTILE]) == [bare, image]

    async def test_a_row_may_come_twice_and_counts_once(self, state: MirrorState) -> None:
        await list_all(state, listed("a"), listed("b"))
        await state.add_listed([listed("a", "new.jpg")], ["new.jpg"])
        assert await state.listed_count() == 2
        assert [image.name for image in await state.listed(["a"])] == ["new.jpg"]

    async def test_a_new_listing_unlists_what_it_does_not_show(self, state: MirrorState) -> None:
        await list_all(state, listed("a"), listed("b"))
        await settle(state, "a")
        await settle(state, "b")
        await list_all(state, listed("b"))
        assert list(await state.unlisted()) == ["a"]
        assert await state.listed(["a", "b"]) == [listed("b")]
        assert await state.image_rows(None, 10) == [
            ImageRow("a", record("a"), None),
            ImageRow("b", record("b"), ListedFile("new", 10)),
        ]
        assert [(row.key.image, row.listed, row.status) for row in await state.document_rows(None, 10)] == [
            ("a", False, None),
            ("b", True, "new"),
        ]

    async def test_a_listing_that_did_not_end_adds_and_renews_rows_and_takes_nothing_away(
        self, state: MirrorState
    ) -> None:
        await list_all(state, listed("a"), listed("b"))
        for id_ in "ab":
            await settle(state, id_)
        await begin_to_list(state, listed("b", "new.jpg"), listed("c"))
        assert (await state.listed_count(), list(await state.unlisted())) == (2, [])
        assert await state.listed(["a", "b", "c"]) == [listed("a"), listed("b", "new.jpg"), listed("c")]
        assert [(row.key.image, row.listed) for row in await state.document_rows(None, 10)] == [
            ("a", True),
            ("b", True),
        ]
        assert [row.id for row in await state.image_rows(None, 10)] == ["a", "b", "c"]
        # Another one takes its place, and shows nothing of what that had shown.
        await begin_to_list(state, listed("b"))
        assert (await state.listed_count(), await state.listed(["a", "c"])) == (1, [listed("a"), listed("c")])
        await state.end_listing()
        assert (await state.listed_count(), list(await state.unlisted())) == (1, ["a"])
        assert await state.listed(["a", "b", "c"]) == [listed("b")]

    async def test_a_document_that_its_image_no_longer_shows_is_unlisted(self, state: MirrorState) -> None:
        await list_all(state, listed("a", "", "", "s1", "s2"))
        await state.record_images([record("a")])
        await list_all(state, listed("a", "", "", "s2", "s3"))
        assert [row.key.set for row in await state.document_rows(None, 10)] == ["s2", "s3"]

    async def test_only_an_image_with_a_place_has_documents(self, state: MirrorState) -> None:
        await list_all(state, listed("a"), listed("b"), listed("c"))
        await state.record_images([record("c")])
        assert [row.key.image for row in await state.document_rows(None, 1)] == ["c"]

    # --- readings ------------------------------------------------------------------------------------------------------

    async def test_a_reading_outlives_the_listing_that_it_was_made_in(self, state: MirrorState) -> None:
        await list_all(state, listed("a"))
        await state.record_images([record("a")])
        await state.add_readings([(reading("a"), TOKEN)], 7.0)
        await list_all(state, listed("a", token=None))
        (row,) = await state.document_rows(None, 10)
        assert row.remote == RemoteSeen(
            None, empty=False, read_digest=reading("a").digest, read_content=content_id(b"{}"), read_counts={"car": 2},
            read_token=TOKEN, read_at_s=7.0,
        )  # fmt: skip

    async def test_what_a_run_that_died_may_have_written_is_found_without_any_listing(self, state: MirrorState) -> None:
        await state.record_images([record("a"), record("b")])
        await state.add_readings([(reading("a"), TOKEN), (reading("b"), None), (reading("placeless"), None)], 7.0)
        await state.begin_listing()
        first = await state.unrecorded(None, 1)
        assert [row.key.image for row in [*first, *await state.unrecorded(first[-1].key, 10)]] == ["a", "b"]
        assert not first[0].listed
        assert first[0].remote is not None
        assert first[0].remote.read_token == TOKEN

    async def test_recording_a_document_makes_it_base_and_drops_its_reading(self, state: MirrorState) -> None:
        await list_all(state, listed("a"))
        done = await settle(state, "a")
        (row,) = await state.rows_of_images(["a"])
        assert (row.base, row.local, row.remote) == (done.base, done.local, RemoteSeen(TOKEN, empty=False))
        assert (row.path, row.place) == ("annotations/a.jpg.json", "a.jpg")

    async def test_a_base_is_refused_whose_content_is_nowhere(self, state: MirrorState) -> None:
        await state.record_images([record("a")])
        unknown = DocumentRecorded(DocumentKey("a"), base_of(reading("a")), LocalFile(stat(), None, {}))
        with pytest.raises(AssertionError):
            await state.record_documents([unknown])
        assert await state.document_rows(None, 10) == []

    async def test_a_check_renews_token_and_time_of_base(self, state: MirrorState) -> None:
        done = await settle(state, "a")
        await state.add_readings([(reading("a"), None)], 9.0)
        await state.record_checked([(DocumentKey("a"), None, 9.0)])
        (row,) = await state.document_rows(None, 10)
        assert row.base == replace(done.base, token=None, checked_at_s=9.0)
        assert row.remote is None

    async def test_what_was_read_in_the_future_counts_as_read_at_no_known_time(self, state: MirrorState) -> None:
        await list_all(state, listed("a"), listed("b"))
        await settle(state, "a")
        await state.record_images([record("b")])
        await state.add_readings([(reading("b"), TOKEN)], 50.0)
        await state.record_checked([(DocumentKey("a"), TOKEN, 50.0)])
        await state.forget_future(50.0)
        first, second = await state.document_rows(None, 10)
        assert first.base is not None
        assert second.remote is not None
        assert (first.base.checked_at_s, second.remote.read_at_s) == (50.0, 50.0)
        await state.forget_future(49.0)
        first, second = await state.document_rows(None, 10)
        assert first.base is not None
        assert second.remote is not None
        assert (first.base.checked_at_s, second.remote.read_at_s) == (0.0, 0.0)

    # --- saves -------------------------------------------------------------------------------------------------------

    async def test_a_save_is_on_record_with_its_contents_until_it_is_closed(self, state: MirrorState) -> None:
        journal, first, second = state.journal, save("1", at_s=1.0), save("2", HOSTILE, at_s=2.0)
        await journal.open_saves([first, second], {first.before: b"before", first.body: b"body"})
        assert await journal.open_records() == [second, first]
        await state.compact()
        assert await state.contents([first.before, first.body]) == {first.before: b"before", first.body: b"body"}
        await journal.close_save("1", SaveOutcome.SAVED, 3)
        ended = replace(first, outcome=SaveOutcome.SAVED, previous_count=3)
        assert await journal.open_records() == [second]
        assert await journal.saves() == [second, ended]

    async def test_saves_are_found_by_document_run_and_time(self, state: MirrorState) -> None:
        saves = [save("1", "a", "x", 1.0), save("2", "b", "x", 2.0), save("3", "a", "y", 3.0)]
        await state.journal.open_saves(saves, {})
        assert [found.id for found in await state.journal.saves(key=DocumentKey("a"))] == ["3", "1"]
        assert [found.id for found in await state.journal.saves(run="x")] == ["2", "1"]
        assert [found.id for found in await state.journal.saves(since_s=2.0)] == ["3", "2"]

    async def test_an_alarm_stays_until_it_is_cleared(self, state: MirrorState) -> None:
        await state.journal.set_alarm(DocumentKey(HOSTILE))
        await state.journal.set_alarm(DocumentKey(HOSTILE))
        assert await state.journal.alarms() == {DocumentKey(HOSTILE)}
        await state.journal.clear_alarm(DocumentKey(HOSTILE))
        assert await state.journal.alarms() == frozenset()

    async def test_saves_and_alarms_outlive_a_reset(self, state: MirrorState) -> None:
        await state.journal.open_saves([save("1")], {})
        await state.journal.set_alarm(DocumentKey("a"))
        await state.reset("other")
        assert [found.id for found in await state.journal.saves()] == ["1"]
        assert await state.journal.alarms() == {DocumentKey("a")}

    # --- contents ------------------------------------------------------------------------------------------------------

    async def test_contents_stay_while_base_or_a_reading_needs_them(self, state: MirrorState) -> None:
        await settle(state, "a", b"old")
        await state.add_readings([(reading("a", b"new"), None)], 6.0)
        old, new, none = content_id(b"old"), content_id(b"new"), ContentId("none")
        await state.compact()
        assert await state.contents([old, new, none]) == {old: b"old", new: b"new"}
        await state.record_checked([(DocumentKey("a"), None, 6.0)])
        await state.compact()
        assert await state.contents([old, new]) == {old: b"old"}
        await state.forget_documents([DocumentKey("a")])
        await state.compact()
        assert await state.contents([old, new]) == {}

    async def test_compacting_changes_nothing_that_is_listed_or_on_record(self, state: MirrorState) -> None:
        await list_all(state, listed("a"), listed("b"))
        await settle(state, "a")
        await list_all(state, listed("c"))
        before = await state.image_rows(None, 10), await state.document_rows(None, 10)
        await state.compact()
        assert (await state.image_rows(None, 10), await state.document_rows(None, 10)) == before

    # --- rows ----------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    async def test_pages_of_any_size_show_every_row_once_and_in_order(self, state: MirrorState, size: int) -> None:
        ids = ["a", "b", "B", "é", "\ud800", "\U0001f600", "10", "9"]
        await list_all(state, *(listed(id_, "", "", "", "x") for id_ in ids[:5]))
        for id_ in ids[2:]:
            await settle(state, id_)
        images: list[ImageRow] = []
        while page := await state.image_rows(images[-1].id if images else None, size):
            images += page
        assert [row.id for row in images] == sorted(ids)
        keys: list[DocumentKey] = []
        while rows := await state.document_rows(keys[-1] if keys else None, size):
            keys += [row.key for row in rows]
        listed_keys = {DocumentKey(id_, set_) for id_ in ids[2:5] for set_ in ("", "x")}
        assert keys == sorted(listed_keys | {DocumentKey(id_) for id_ in ids[2:]})

    async def test_a_missing_file_without_base_leaves_no_row(self, state: MirrorState) -> None:
        await state.record_images([record("a")])
        local = LocalFile(stat(), None, {}, HOSTILE)
        await state.record_local([(DocumentKey("a"), local)])
        assert [row.local for row in await state.document_rows(None, 10)] == [local]
        await state.record_local([(DocumentKey("a"), None)])
        assert await state.document_rows(None, 10) == []

    async def test_a_missing_file_with_base_keeps_base(self, state: MirrorState) -> None:
        done = await settle(state, "a")
        await state.record_local([(DocumentKey("a"), None)])
        (row,) = await state.document_rows(None, 10)
        assert (row.base, row.local) == (done.base, None)

    async def test_an_image_is_recorded_whole_and_replaced_whole(self, state: MirrorState) -> None:
        full = ImageRecord(HOSTILE, HOSTILE, HOSTILE, "p/q.jpg", 5, "sha", stat(), ImageCondition.DAMAGED)
        await state.record_images([full])
        assert await state.image_rows(None, 10) == [ImageRow(HOSTILE, full, None)]
        bare = ImageRecord(HOSTILE, "", "x", "y")
        await state.record_images([bare])
        assert await state.image_rows(None, 10) == [ImageRow(HOSTILE, bare, None)]

    async def test_an_image_row_shows_status_and_size_where_the_listing_does(self, state: MirrorState) -> None:
        bare = replace(listed("b"), status=None, size_bytes=None)
        await list_all(state, replace(listed("a"), status=HOSTILE, size_bytes=2**40), bare)
        shown = [row.listed for row in await state.image_rows(None, 10)]
        assert shown == [ListedFile(HOSTILE, 2**40), ListedFile(None, None)]

    async def test_a_document_follows_its_image(self, state: MirrorState) -> None:
        await settle(state, "a")
        await state.record_images([record("a", "moved/b.jpg")])
        assert [row.path for row in await state.document_rows(None, 10)] == ["annotations/moved/b.jpg.json"]

    async def test_a_forgotten_image_leaves_nothing(self, state: MirrorState) -> None:
        await settle(state, "a")
        await settle(state, "b")
        await state.add_readings([(reading("a", b"other"), None)], 1.0)
        await state.forget_images(["a"])
        await state.record_images([record("a")])
        assert [row.key.image for row in await state.document_rows(None, 10)] == ["b"]
        assert await state.unrecorded(None, 10) == []

    # --- places --------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    async def test_groups_of_twins_are_never_torn(self, state: MirrorState, size: int) -> None:
        names = ["b.jpg", "a.jpg", "A.jpg", "B.JPG", "c.jpg", "b.JPG"]
        images = [listed(str(number), name) for number, name in enumerate(names)]
        await list_all(state, *images)
        seen: list[Unplaced] = []
        after = None
        while page := await state.unplaced(after, size):
            seen += page
            after = places.fold("", page[-1].image.name), page[-1].image.id
            assert sum(entry.group == len(page) for entry in page) >= 1 or size > 1
        assert [(entry.image.id, entry.group, entry.taken) for entry in seen] == [
            ("1", 2, False), ("2", 2, False), ("0", 3, False), ("3", 3, False), ("5", 3, False), ("4", 1, False),
        ]  # fmt: skip

    async def test_an_image_with_another_name_than_recorded_needs_a_place(self, state: MirrorState) -> None:
        await list_all(state, listed("a"), listed("b"))
        await state.record_images([record("a"), ImageRecord("b", "", "old.jpg", "old.jpg")])
        assert list(await state.unplaced(None, 10)) == [
            Unplaced(listed("b"), ImageRecord("b", "", "old.jpg", "old.jpg"), 1, taken=False)
        ]

    async def test_a_recorded_twin_takes_a_place_but_an_image_does_not_take_its_own(self, state: MirrorState) -> None:
        await list_all(state, listed("new", "É.jpg"), listed("own", "X.jpg"))
        await state.record_images([record("old", "e\u0301.JPG"), ImageRecord("own", "", "x.jpg", "x.jpg")])
        assert [(entry.image.id, entry.taken) for entry in await state.unplaced(None, 10)] == [
            ("own", False),
            ("new", True),
        ]

    async def test_files_and_folders_are_told_apart(self, state: MirrorState) -> None:
        await state.record_images([record("1", "A/B.jpg/é.jpg"), record("2", "a-b/c.jpg")])
        asked = ["a", "a/b.jpg", "a/b.jpg/é.jpg", "a-b", "a-b/c.jpg", "a/b", "nothing", ""]
        files, folders = await state.occupied(asked)
        assert files == {"a/b.jpg/é.jpg", "a-b/c.jpg"}
        assert folders == {"a", "a/b.jpg", "a-b"}

    async def test_paths_of_images_and_documents_are_known(self, state: MirrorState) -> None:
        await state.record_images([record("1", "a/b.jpg")])
        strange = ["images/a/c.jpg", "annotations/a/b.jpg", "a/b.jpg", "images/a", "images/\udcff"]
        paths = ["images/a/b.jpg", "annotations/a/b.jpg.json"]
        assert await state.known_paths([*paths, *strange]) == set(paths)

    async def test_a_document_lies_in_the_folder_of_its_annotation_set(self, state: MirrorState) -> None:
        await state.record_sets([SetRecord("s1", HOSTILE, "boxes"), SetRecord("s2", "Outlines", "Outlines")])
        await list_all(state, listed("i", "", "", "s1", "s2"))
        await state.record_images([record("i", "a/i.jpg")])
        paths = ["annotations/boxes/a/i.jpg.json", "annotations/Outlines/a/i.jpg.json"]
        assert [row.path for row in await state.document_rows(None, 10)] == paths
        assert [row.path for row in await state.rows_of_images(["i"])] == paths
        others = ["annotations/a/i.jpg.json", "annotations/other/a/i.jpg.json", "images/boxes/a/i.jpg"]
        assert await state.known_paths([*paths, *others]) == frozenset(paths)
        assert await state.sets() == [SetRecord("s1", HOSTILE, "boxes"), SetRecord("s2", "Outlines", "Outlines")]

    async def test_the_folder_of_an_annotation_set_is_kept_until_no_document_is_left(self, state: MirrorState) -> None:
        await state.record_sets([SetRecord("s1", "boxes", "boxes"), SetRecord("s2", "gone", "gone")])
        await state.record_sets([SetRecord("s1", "renamed", "renamed")])
        await list_all(state, listed("i", "", "", "s1"))
        await state.compact()
        assert await state.sets() == [SetRecord("s1", "boxes", "boxes")]

    async def test_a_move_is_unfinished_until_it_is_ended_whatever_is_recorded_of_the_image(
        self, state: MirrorState
    ) -> None:
        old = ImageRecord("a", "", "a.jpg", "a.jpg", 5, "sha", stat(), ImageCondition.INTACT)
        new = replace(old, directory="x", name=HOSTILE, place="x/_.jpg")
        await state.record_images([old, record("b")])
        await state.begin_moves([Move(old, new)])
        assert list(await state.unfinished_moves()) == [Move(old, new)]
        assert [row.record for row in await state.image_rows(None, 1)] == [old]
        lost = replace(old, condition=ImageCondition.MISSING)
        await state.record_images([lost])
        assert list(await state.unfinished_moves()) == [Move(lost, replace(new, condition=ImageCondition.MISSING))], (
            "a scan in between forgets no move"
        )
        await state.end_moves([new])
        assert list(await state.unfinished_moves()) == []
        assert [row.record for row in await state.image_rows(None, 1)] == [new]

    # --- what went wrong -----------------------------------------------------------------------------------------------

    async def test_the_newest_troubles_replace_the_old_ones_in_their_order(self, state: MirrorState) -> None:
        await state.set_troubles([Failed("x", "", "", Stage.LIST, "c", "m")])
        troubles: list[Trouble] = [
            Held("b", "s", HOSTILE, HoldReason.BOTH_EDITED),
            *(Failed("a", "", "p", stage, "code", HOSTILE) for stage in Stage),
        ]
        await state.set_troubles(troubles)
        assert list(await state.troubles()) == troubles
