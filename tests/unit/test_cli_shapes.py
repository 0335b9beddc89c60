"""The published JSON shapes, key by key, and what people are told of the same values."""

import io
import json
from collections import Counter

import pytest
from rich.console import Console, RenderableType

from labelmirror.cli import shapes, telling
from labelmirror.engine.status import ImageStanding, MirrorStanding, Standing
from labelmirror.engine.verify import Damage, VerifyReport
from labelmirror.errors import ExitCode
from labelmirror.model.actions import Forecast, PlanItem, Refusal
from labelmirror.model.document import JsonObject
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset, Traffic
from labelmirror.model.report import DocumentCounts, ImageCounts, MirrorOutcome, MirrorReport, PlanReport, RunError
from labelmirror.model.rows import MirrorFacts
from labelmirror.model.trouble import Failed, Held, HoldReason, Stage

FAILED = Failed("1", "", "images/a/b.jpg", Stage.PULL, "size_mismatch", "3 bytes came, 4 were announced")
HELD = Held("2", "set-7", "images/a/c.jpg", HoldReason.BOTH_EDITED)
REFUSAL = Refusal("images gone on the server", 37, 20, 100, ("images/x.jpg",), "--allow-deletes 37")
ERROR = RunError("locked", "street: another run works on this mirror", "Let it finish.", 5)


def plain(shape: JsonObject) -> object:
    """As a program reads it."""
    return json.loads(json.dumps(shape))


def shown(answer: RenderableType) -> str:
    file = io.StringIO()
    Console(file=file, width=500, markup=False, highlight=False, emoji=False).print(answer)
    return file.getvalue()


def test_a_run() -> None:
    report = MirrorReport(
        "street",
        "20260101T000000.000000Z",
        MirrorOutcome.HELD,
        ImageCounts(100, 3, 123, 1),
        DocumentCounts(pulled=5, held=1),
        [FAILED, HELD],
        Traffic(7, 3, 1, 0.25),
        1.23456,
    )
    assert plain(shapes.run_shape(report)) == {
        "name": "street",
        "run": "20260101T000000.000000Z",
        "outcome": "held",
        "images": {"total": 100, "pulled": 3, "bytes": 123, "retired": 1},
        "documents": {"pulled": 5, "pushed": 0, "merged": 0, "adopted": 0, "held": 1, "retired": 0, "ahead": 0},
        "failed": [
            {
                "id": "1",
                "image": "images/a/b.jpg",
                "stage": "pull",
                "code": "size_mismatch",
                "message": "3 bytes came, 4 were announced",
            }
        ],
        "held": [{"id": "2", "set": "set-7", "image": "images/a/c.jpg", "reason": "both_edited"}],
        "requests": {"api": 7, "storage": 3, "limited": 1},
        "waited_s": 0.25,
        "duration_s": 1.235,
        "refused": None,
        "error": None,
    }


def test_a_refusal_carries_its_numbers_and_the_consent() -> None:
    shape = plain(shapes.run_shape(MirrorReport("street", refused=REFUSAL)))
    assert isinstance(shape, dict)
    assert shape["refused"] == {
        "rule": "images gone on the server",
        "count": 37,
        "limit": 20,
        "base": 100,
        "examples": ["images/x.jpg"],
        "override": "--allow-deletes 37",
        "message": REFUSAL.message,
    }


def test_a_plan() -> None:
    items = [
        PlanItem(DocumentKey("1"), "images/a.jpg", "pull"),
        PlanItem(DocumentKey("1", "set-7"), "annotations/a.jpg.json", "pull"),
    ]
    report = PlanReport("street", 1, 1, items=items, forecast=Forecast(2, 123, None, True, None), requests_spent=9)
    assert plain(shapes.plan_shape(report)) == {
        "name": "street",
        "actions": {"pull_images": 1, "pull_documents": 1, "push": 0, "merge": 0, "hold": 0, "retire": 0, "ahead": 0},
        "forecast": {"requests": 2, "bytes": 123, "window_remaining": None, "fits": True, "eta_s": None},
        "strategy": "listing",
        "items": [
            {"id": "1", "set": None, "document_path": None, "image_path": "images/a.jpg", "action": "pull"},
            {
                "id": "1",
                "set": "set-7",
                "document_path": "annotations/a.jpg.json",
                "image_path": None,
                "action": "pull",
            },
        ],
        "requests_spent": 9,
        "failed": [],
        "refused": None,
        "error": None,
    }


def standing() -> MirrorStanding:
    facts = MirrorFacts("store", dataset_id="d1", last_sync_s=86_400.0, last_full_check_s=0.0, safety_level=1)
    image = ImageStanding("1", "", "a", "b.jpg", "images/a/b.jpg", "", Standing.BEHIND, "image missing")
    return MirrorStanding("street", facts, Standing.BEHIND, Counter(images=1, behind=1), [image])


def test_a_status() -> None:
    shape = shapes.status_shape(standing(), server="acme", full_check_every_s=3600, with_images=True, error=None)
    assert plain(shape) == {
        "name": "street",
        "server": "acme",
        "dataset_id": "d1",
        "state": "behind",
        "counts": {"images": 1, "documents": 0, "ahead": 0, "behind": 1, "held": 0, "failed": 0, "local_only": 0},
        "last_sync": "1970-01-02T00:00:00Z",
        "refused": None,
        "last_full_check": "1970-01-01T00:00:00Z",
        "next_due": None,
        "paused": None,
        "working": None,
        "last_cycle": None,
        "blind_until": "1970-01-01T01:00:00Z",
        "safety_level": 1,
        "window_s": {"last": None, "max": None},
        "error": None,
        "images": [
            {
                "id": "1",
                "directory": "a",
                "name": "b.jpg",
                "image_path": "images/a/b.jpg",
                "document_path": None,
                "state": "behind",
                "reason": "image missing",
            }
        ],
    }
    never = MirrorStanding("street", MirrorFacts("store"))
    shape = shapes.status_shape(never, server="acme", full_check_every_s=3600, with_images=False, error=ERROR)
    assert (shape["state"], shape["blind_until"], "images" in shape) == ("failed", None, False)


def test_a_status_tells_of_the_refusal_that_the_newest_run_met_and_of_the_consent() -> None:
    facts = MirrorFacts("store", last_sync_s=0.0, refused=REFUSAL, refused_s=86_400.0)
    refused = MirrorStanding("street", facts, Standing.IN_STEP)
    shape = plain(shapes.status_shape(refused, server="a", full_check_every_s=1, with_images=False, error=None))
    assert isinstance(shape, dict)
    assert (shape["state"], shape["refused"]["override"]) == ("in_step", "--allow-deletes 37")
    text = shown(telling.standings([telling.Told(refused, "a", 1, None)], with_images=False))
    assert f"street: the sync at 1970-01-02T00:00:00Z was refused: {REFUSAL.message}" in text
    assert "in_step" not in text


def test_edits_that_are_not_sent_are_told_with_what_would_send_them() -> None:
    text = shown(telling.runs([MirrorReport("street", documents=DocumentCounts(ahead=1))]))
    assert "street: 1 document edited here, kept and not sent; push = true in [datasets.street] sends it" in text
    text = shown(telling.plans([PlanReport("street", ahead=2)], following="labelmirror sync"))
    assert "street: 2 documents edited here, kept and not sent; push = true in [datasets.street] sends them" in text
    assert "nothing to do" in text


def test_a_bad_document_is_to_be_mended_before_anything_else() -> None:
    bad = Failed("1", "", "images/a.jpg", Stage.VALIDATE, "invalid_document", "no such class")
    failed = MirrorReport("street", outcome=MirrorOutcome.PARTIAL, troubles=[bad])
    assert "next: mend the documents named above, then labelmirror sync" in shown(telling.runs([failed]))
    invalid = PlanItem(DocumentKey("1"), "annotations/a.jpg.json", "invalid", waits=True)
    push = PlanItem(DocumentKey("2"), "annotations/b.jpg.json", "push")
    plans = [PlanReport("street", items=items, troubles=[bad]) for items in ([invalid], [invalid, push])]
    nothing, some = (shown(telling.plans([report], following="labelmirror apply p")) for report in plans)
    assert "next: mend the documents named above, and plan again" in nothing
    assert "next: labelmirror apply p; the documents named above stay as they are until they are mended" in some


def test_a_check_of_files() -> None:
    reports = [VerifyReport("a", 3, [Damage("images/x.jpg", "size", True)]), VerifyReport("b", 4, error=ERROR)]
    assert plain(shapes.verify_shape(reports)) == {
        "checked": 7,
        "damaged": [{"mirror": "a", "path": "images/x.jpg", "problem": "size", "repaired": True}],
        "errors": [{"mirror": "b", "code": "locked", "message": ERROR.message, "hint": "Let it finish."}],
    }


def test_a_dataset_and_the_error_of_an_answer() -> None:
    dataset = Dataset("d1", "Street", 5, None)
    assert shapes.dataset_shape(dataset) == {"id": "d1", "name": "Street", "images": 5, "annotations": None}
    assert shapes.speaking_shape([None, ERROR], ExitCode.LOCKED)["error"] == shapes.error_shape(ERROR)
    assert shapes.speaking_shape([None, ERROR], ExitCode.SOME_FAILED) == {}


def test_people_are_told_what_is_left_and_what_to_do_next() -> None:
    held = MirrorReport("street", outcome=MirrorOutcome.HELD, troubles=[FAILED, HELD])
    text = shown(telling.runs([held]))
    assert "street: held: images/a/c.jpg (set set-7): edited here and changed on the server (both_edited)" in text
    assert "street: failed: images/a/b.jpg: 3 bytes came, 4 were announced (size_mismatch)" in text
    assert "next: labelmirror conflicts list" in text
    refused = MirrorReport("street", outcome=MirrorOutcome.REFUSED, refused=REFUSAL)
    assert "if that is meant: --allow-deletes 37" in shown(telling.runs([refused]))
    partial = MirrorReport("street", outcome=MirrorOutcome.PARTIAL, troubles=[FAILED] * 30)
    assert "and 10 more; --json has all" in shown(telling.runs([partial]))
    assert "next:" not in shown(telling.runs([MirrorReport("street")]))


def test_people_are_told_what_a_plan_will_cost() -> None:
    items = [PlanItem(DocumentKey(str(number)), f"images/{number}.jpg", "pull") for number in range(50)]
    plan = PlanReport("street", 50, items=items, forecast=Forecast(9000, 2**21, 12, False, 5400.0))
    text = shown(telling.plans([plan], following="labelmirror sync"))
    assert "2.0 MiB" in text
    assert "more requests than the server allows now, done in about 1.5 h" in text
    assert "and 30 more" in text
    assert "next: labelmirror sync" in text
    unknown = PlanReport("street", 50, items=items, forecast=Forecast(50, None, None, True, None))
    assert " B " not in shown(telling.plans([unknown], following="labelmirror sync"))
    assert "nothing to do" in shown(telling.plans([PlanReport("street")], following="x"))
    assert "nothing to do" not in shown(telling.plans([PlanReport("street", error=ERROR)], following="x"))


def test_people_are_told_until_when_an_edit_may_be_unseen() -> None:
    told = telling.Told(standing(), "acme", 3600.0, None)
    text = shown(telling.standings([told], with_images=True))
    assert "may be unseen until the next full check at 1970-01-01T01:00:00Z" in text
    assert "images/a/b.jpg" in text
    never = telling.Told(MirrorStanding("street", MirrorFacts("store")), "acme", 3600.0, None)
    assert "was never synced; next: labelmirror sync street" in shown(telling.standings([never], with_images=False))


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 2**29, "1.5 GiB"), (2**50, "1024.0 TiB")],
)
def test_sizes_are_readable(size_bytes: int, text: str) -> None:
    assert telling.size(size_bytes) == text
