"""The guards at their thresholds, and the consents that lift them."""

import pytest

from labelmirror.model.actions import ImageAction
from labelmirror.model.document import ContentId, Counts, Digest
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Consent
from labelmirror.model.remote import Token
from labelmirror.model.rows import (
    Base,
    DocumentRow,
    FileStat,
    ImageCondition,
    ImageRecord,
    ImageRow,
    ListedFile,
    LocalFile,
)
from labelmirror.planning.classify import Outcome, Verdict
from labelmirror.planning.guard import Tally, check
from labelmirror.planning.plan import DocumentPlan, ImagePlan, RemoteView

STAT = FileStat(10, 1, 1, 1)
NO_CONSENT = Consent()


def add_images(
    tally: Tally, count: int, action: ImageAction, condition: ImageCondition = ImageCondition.INTACT
) -> None:
    for number in range(count):
        record = ImageRecord(f"{action.value}{number}", "", "i.jpg", f"{number}.jpg", 10, "00", STAT, condition)
        gone = action in {ImageAction.RETIRE, ImageAction.KEEP}
        listed = None if gone else ListedFile(None, 10)
        tally.add_image(ImagePlan(ImageRow(record.id, record, listed), action, selected=not gone))


def add_documents(tally: Tally, count: int, before: Counts, after: Counts | None, *, edited_here: bool = False) -> None:
    """So many documents with base counts `before`; `after` is what the server holds now, None for no change."""
    for number in range(count):
        base = Base(Digest("a"), ContentId("a"), before, Token("1", strong=False), 0.0)
        local = LocalFile(STAT, Digest("l" if edited_here else "a"), before)
        row = DocumentRow(DocumentKey(f"d{number}"), "d", f"annotations/{number}.json", base, local, None, True, None)
        outcome = Outcome.PULL if after is not None else Outcome.PUSH if edited_here else Outcome.IN_STEP
        side = Digest("b") if after is not None else Digest("a")
        view = RemoteView(side, before if after is None else after, read=True, needs_reading=False)
        tally.add_document(DocumentPlan(row, Verdict(outcome), view, selected=True))


@pytest.mark.parametrize(
    ("base", "gone", "trips"), [(100, 20, False), (100, 21, True), (1000, 100, False), (1000, 101, True)]
)
def test_removals_above_twenty_and_a_tenth_need_consent(base: int, gone: int, trips: bool) -> None:
    tally = Tally()
    add_images(tally, base - gone, ImageAction.NOTHING)
    add_images(tally, gone, ImageAction.RETIRE)
    refusal = check(tally, NO_CONSENT)
    assert (refusal is not None) is trips
    if refusal is not None:
        assert refusal.override == f"--allow-deletes {gone}"
        assert (refusal.count, refusal.base, len(refusal.examples)) == (gone, base, 5)


def test_a_server_that_lists_nothing_any_more_is_never_followed_without_consent() -> None:
    tally = Tally()
    add_images(tally, 3, ImageAction.RETIRE)
    refusal = check(tally, NO_CONSENT)
    assert refusal is not None
    assert refusal.override == "--allow-deletes 3"
    assert check(tally, Consent(deletes=3)) is None


def test_consent_to_fewer_deletes_than_planned_refuses_again_and_names_the_number() -> None:
    tally = Tally()
    add_images(tally, 100, ImageAction.NOTHING)
    add_images(tally, 5, ImageAction.RETIRE)
    refusal = check(tally, Consent(deletes=4))
    assert refusal is not None
    assert "--allow-deletes 5" in refusal.message


def test_a_directory_whose_files_are_all_gone_is_reported() -> None:
    tally = Tally()
    add_images(tally, 3, ImageAction.PULL, ImageCondition.MISSING)
    refusal = check(tally, NO_CONSENT)
    assert refusal is not None
    assert (refusal.rule, len(refusal.examples)) == ("files missing here", 3)


def test_one_file_left_is_no_alarm() -> None:
    tally = Tally()
    add_images(tally, 3, ImageAction.PULL, ImageCondition.MISSING)
    add_images(tally, 1, ImageAction.NOTHING)
    assert check(tally, NO_CONSENT) is None


def test_both_sides_empty_and_a_first_run_are_no_alarm() -> None:
    assert check(Tally(), NO_CONSENT) is None


@pytest.mark.parametrize(("lost_each", "trips"), [(5, False), (6, True)])
def test_vanishing_annotations_above_fifty_need_consent(lost_each: int, trips: bool) -> None:
    tally = Tally()
    add_documents(tally, 10, {"car": 8}, {"car": 8 - lost_each})
    add_documents(tally, 20, {"car": 8}, None)
    refusal = check(tally, NO_CONSENT)
    assert (refusal is not None) is trips
    if refusal is not None:
        assert refusal.rule == "annotations to vanish"
        assert check(tally, Consent(changes=10)) is None
        assert check(tally, Consent(changes=9)) is not None


@pytest.mark.parametrize(("had", "trips"), [(19, False), (20, True)])
def test_a_category_of_twenty_that_vanishes_needs_consent(had: int, trips: bool) -> None:
    tally = Tally()
    add_documents(tally, had, {"bus": 1, "car": 50}, {"car": 51})
    add_documents(tally, 60, {"car": 50}, None)
    refusal = check(tally, NO_CONSENT)
    assert (refusal is not None) is trips
    if refusal is not None:
        assert "'bus'" in refusal.rule


def test_a_category_that_only_shrinks_is_no_alarm() -> None:
    tally = Tally()
    add_documents(tally, 30, {"bus": 1, "car": 50}, {"car": 51})
    add_documents(tally, 60, {"bus": 1, "car": 50}, None)
    assert check(tally, NO_CONSENT) is None


@pytest.mark.parametrize(("total", "changed", "trips"), [(50, 45, True), (50, 44, False), (49, 49, False)])
@pytest.mark.parametrize("edited_here", [False, True])
def test_nine_of_ten_documents_changed_on_one_side_need_consent(
    total: int, changed: int, trips: bool, edited_here: bool
) -> None:
    tally = Tally()
    add_documents(tally, changed, {"car": 1}, None if edited_here else {"car": 2}, edited_here=edited_here)
    add_documents(tally, total - changed, {"car": 1}, None)
    refusal = check(tally, NO_CONSENT)
    assert (refusal is not None) is trips
    if refusal is not None:
        assert len(refusal.examples) == 5


def test_the_bytes_to_fetch_are_not_known_once_the_size_of_one_image_is_not() -> None:
    tally = Tally()
    add_images(tally, 3, ImageAction.PULL, ImageCondition.MISSING)
    assert tally.image_bytes == 30
    unsized = ImageRow("x", None, ListedFile(None, None))
    tally.add_image(ImagePlan(unsized, ImageAction.NOTHING, selected=True))
    assert tally.image_bytes == 30
    tally.add_image(ImagePlan(unsized, ImageAction.PULL, selected=True))
    add_images(tally, 1, ImageAction.PULL, ImageCondition.MISSING)
    assert tally.image_bytes is None
