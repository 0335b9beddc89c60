"""What single rows need: evidence, filters, and the exceptions around the table."""

import dataclasses

import pytest

from labelmirror.model.actions import ImageAction
from labelmirror.model.document import ContentId, Counts, Digest
from labelmirror.model.keys import DocumentKey
from labelmirror.model.policy import Content, MirrorPolicy, OnRemoteDelete
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
    RemoteSeen,
)
from labelmirror.model.trouble import HoldReason
from labelmirror.planning.classify import Outcome, Void
from labelmirror.planning.plan import Look, distrust_before_s, plan_document, plan_image, remote_view

A, B = Digest("a"), Digest("b")
STAT = FileStat(10, 1, 1, 1)
WEAK, STRONG = Token("3", strong=False), Token("v7", strong=True)
LOOK = Look(started_s=1000.0, complete=True, confirmed_absent=frozenset(), distrust_before_s=0.0)
FULL = dataclasses.replace(LOOK, distrust_before_s=900.0)
PULL_ONLY, PUSHING = MirrorPolicy(), MirrorPolicy(push=True)


def base(digest: Digest = A, token: Token | None = WEAK, checked_at_s: float = 100.0, **counts: int) -> Base:
    return Base(digest, ContentId(digest), counts, token, checked_at_s)


def local(digest: Digest | None = A) -> LocalFile:
    return LocalFile(STAT, digest, {}, None if digest else "no JSON")


def seen(token: Token | None = WEAK) -> RemoteSeen:
    return RemoteSeen(token, empty=False)


def read(
    digest: Digest,
    token: Token | None = WEAK,
    at_s: float = 1001.0,
    now: Token | None = WEAK,
    counts: Counts | None = None,
) -> RemoteSeen:
    return RemoteSeen(now, False, digest, ContentId(digest), counts or {}, token, at_s)


def row(
    base: Base | None = None,
    local: LocalFile | None = None,
    remote: RemoteSeen | None = None,
    *,
    listed: bool = True,
    status: str = "complete",
) -> DocumentRow:
    return DocumentRow(DocumentKey("i"), "i.jpg", "annotations/i.jpg.json", base, local, remote, listed, status)


def test_an_equal_weak_token_stands_for_base_between_full_checks() -> None:
    view = remote_view(row(base(), local(), seen()), LOOK)
    assert (view.side, view.read, view.needs_reading) == (A, False, False)


def test_a_full_check_reads_what_only_a_weak_token_vouches_for() -> None:
    assert remote_view(row(base(), local(), seen()), FULL).needs_reading


def test_a_full_check_does_not_read_again_what_it_read_before_it_was_stopped() -> None:
    assert not remote_view(row(base(checked_at_s=950.0), local(), seen()), FULL).needs_reading


def test_a_strong_token_vouches_even_in_a_full_check() -> None:
    assert not remote_view(row(base(token=STRONG), local(), seen(STRONG)), FULL).needs_reading


@pytest.mark.parametrize("token", [None, Token("4", strong=False), Token("3", strong=True)])
def test_a_token_that_is_not_the_same_makes_the_document_be_read(token: Token | None) -> None:
    assert remote_view(row(base(), local(), seen(token)), LOOK).needs_reading


def test_two_missing_tokens_are_not_equal() -> None:
    assert remote_view(row(base(token=None), local(), seen(None)), LOOK).needs_reading


def test_a_reading_of_this_run_decides_whatever_the_token_says() -> None:
    view = remote_view(row(base(), local(), read(B, token=None)), LOOK)
    assert (view.side, view.read) == (B, True)


def test_a_reading_of_an_earlier_run_is_used_while_its_token_stands() -> None:
    assert remote_view(row(base(), local(), read(B, at_s=500.0)), LOOK).side == B


def test_a_reading_of_an_earlier_run_is_dropped_when_the_listing_moved() -> None:
    view = remote_view(row(base(), local(), read(B, at_s=500.0, now=Token("9", strong=False))), LOOK)
    assert view.needs_reading


def test_an_unlisted_document_is_absent_only_when_that_was_confirmed() -> None:
    gone = row(base(), local(), None, listed=False)
    confirmed = dataclasses.replace(LOOK, confirmed_absent=frozenset({"i"}))
    assert remote_view(gone, LOOK).side is Void.UNKNOWN
    assert remote_view(gone, dataclasses.replace(confirmed, complete=False)).side is Void.UNKNOWN
    assert remote_view(gone, confirmed).side is Void.ABSENT


def test_both_edited_is_held_where_nothing_is_pushed_and_merged_where_it_is() -> None:
    edited = row(base(), local(B), read(Digest("c")))
    assert plan_document(edited, LOOK, PULL_ONLY).verdict.reason is HoldReason.BOTH_EDITED
    assert plan_document(edited, LOOK, PUSHING).outcome is Outcome.MERGE


@pytest.mark.parametrize(
    ("had", "has", "held"), [(20, 10, True), (20, 11, False), (10, 0, True), (9, 0, False), (100, 60, False)]
)
def test_a_document_that_shrinks_by_half_and_ten_is_held_by_itself(had: int, has: int, held: bool) -> None:
    shrunk = row(base(car=had), local(), read(B, counts={"car": has}))
    expected = Outcome.HOLD if held else Outcome.PULL
    assert plan_document(shrunk, LOOK, PULL_ONLY).outcome is expected


def test_a_lost_file_is_restored_however_much_the_document_shrank() -> None:
    lost = row(base(car=40), None, read(B, counts={}))
    assert plan_document(lost, LOOK, PULL_ONLY).outcome is Outcome.PULL


def test_an_image_outside_the_filter_is_left_alone() -> None:
    policy = MirrorPolicy(statuses=frozenset({"complete"}))
    outside = plan_document(row(base(), local(), read(B), status="new"), LOOK, policy)
    assert not outside.selected
    assert outside.outcome is Outcome.IN_STEP


def test_an_image_that_left_the_server_is_retired_though_no_filter_can_be_asked() -> None:
    policy = MirrorPolicy(statuses=frozenset({"complete"}))
    confirmed = dataclasses.replace(LOOK, confirmed_absent=frozenset({"i"}))
    gone = dataclasses.replace(row(base(), local(), None, listed=False), status=None)
    assert plan_document(gone, confirmed, policy).outcome is Outcome.RETIRE


def test_keeping_what_the_server_deleted_forgets_it_instead() -> None:
    confirmed = dataclasses.replace(LOOK, confirmed_absent=frozenset({"i"}))
    policy = MirrorPolicy(on_remote_delete=OnRemoteDelete.KEEP)
    assert plan_document(row(base(), local(), None, listed=False), confirmed, policy).outcome is Outcome.FORGET


def test_between_full_checks_any_age_of_a_reading_will_do() -> None:
    assert distrust_before_s(now_s=1000.0, full_check=False, last_end_s=None, every_s=10.0) == 0.0


def test_a_full_check_trusts_what_was_read_since_the_last_finished_run_and_not_what_is_older_than_its_period() -> None:
    assert distrust_before_s(now_s=1000.0, full_check=True, last_end_s=995.0, every_s=10.0) == 995.0
    assert distrust_before_s(now_s=1000.0, full_check=True, last_end_s=500.0, every_s=10.0) == 990.0
    assert distrust_before_s(now_s=1000.0, full_check=True, last_end_s=None, every_s=10.0) == 990.0


# --- images ------------------------------------------------------------------------------------------------------


def listed(size_bytes: int | None = 10, status: str = "complete") -> ListedFile:
    return ListedFile(status, size_bytes)


def record(condition: ImageCondition = ImageCondition.INTACT) -> ImageRecord:
    return ImageRecord("i", "", "i.jpg", "i.jpg", 10, "00", STAT, condition)


@pytest.mark.parametrize(
    ("condition", "action"),
    [
        (ImageCondition.INTACT, ImageAction.NOTHING),
        (ImageCondition.MISSING, ImageAction.PULL),
        (ImageCondition.DAMAGED, ImageAction.REPLACE),
    ],
)
def test_an_image_is_fetched_when_its_file_is_missing_or_damaged(
    condition: ImageCondition, action: ImageAction
) -> None:
    assert plan_image(ImageRow("i", record(condition), listed()), LOOK, PULL_ONLY).action is action


def test_an_image_of_another_size_on_the_server_is_replaced() -> None:
    assert plan_image(ImageRow("i", record(), listed(11)), LOOK, PULL_ONLY).action is ImageAction.REPLACE


def test_a_listing_without_sizes_replaces_nothing() -> None:
    assert plan_image(ImageRow("i", record(), listed(None)), LOOK, PULL_ONLY).action is ImageAction.NOTHING


def test_images_are_not_fetched_where_only_annotations_are_wanted() -> None:
    policy = MirrorPolicy(content=Content.ANNOTATIONS)
    assert (
        plan_image(ImageRow("i", record(ImageCondition.MISSING), listed()), LOOK, policy).action is ImageAction.NOTHING
    )


@pytest.mark.parametrize(
    ("complete", "confirmed", "action"),
    [(True, True, ImageAction.RETIRE), (True, False, ImageAction.UNKNOWN), (False, True, ImageAction.UNKNOWN)],
)
def test_an_image_is_retired_only_on_proof(complete: bool, confirmed: bool, action: ImageAction) -> None:
    look = dataclasses.replace(LOOK, complete=complete, confirmed_absent=frozenset({"i"} if confirmed else ()))
    assert plan_image(ImageRow("i", record(), None), look, PULL_ONLY).action is action
