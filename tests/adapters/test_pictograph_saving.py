"""What is particular about saving to Pictograph: routes, bulk saves, refusals, and answers that never come."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import pytest

from labelmirror.errors import KeyRefused, Rejected, RoleRefused, Unavailable
from labelmirror.model.document import JsonValue
from labelmirror.model.pacing import Priority
from labelmirror.model.remote import Dataset, ListedImage
from labelmirror.model.saving import Save, SaveAnswer
from labelmirror.providers.pictograph.dialect import API, Dialect
from labelmirror.providers.pictograph.provider import EXPORT, PictographProvider
from labelmirror.standin import Fault, FaultKind, Role, Standin, StandinOptions, serve
from labelmirror.transport.api import Api
from labelmirror.transport.http import Timeouts
from support.pictograph import HARBOUR, listed, provider_on, read_all
from support.quick_clock import QuickClock
from support.saves import annotations_of, read_one, save_of
from support.web import QUICK

GENERATIONS = ("g0", "g1", "g1b", "g2")
WITH_BULK = GENERATIONS[1:]
SINGLE, BULK = "annotations.save", "annotations.bulk-save"
#: Of this class the server knows nothing any more, and the program not yet.
VANISHED = "vanished"


@dataclass(slots=True)
class Scene:
    """A provider on a stand-in, with annotated images of one dataset, read just now."""

    standin: Standin
    provider: PictographProvider
    dataset: Dataset
    rows: Sequence[ListedImage]
    clock: QuickClock

    async def saves(self, count: int, *, bad: Sequence[int] = ()) -> list[Save]:
        """Saves that drop the last annotation of so many documents; those at `bad` name a class that vanished."""
        made = []
        way = EXPORT if count > 10 else (await self.provider.read_ways(self.dataset))[0]
        readings = await read_all(self.provider, self.dataset, way, self.rows[:count])
        for index, row in enumerate(self.rows[:count]):
            reading = readings[row.id]
            annotations = [*annotations_of(self.provider, reading)[:-1]]
            if index in bad:
                annotations[0] = {**annotations[0], "name": VANISHED}
            made.append(save_of(self.provider, reading, row, annotations))
        self.standin.requests.clear()
        return made

    def revisions(self, saves: Sequence[Save]) -> list[int]:
        """How often the server overwrote each of these documents."""
        return [self.standin.world.image(save.key.image).revision for save in saves]

    def stands(self, save: Save) -> bool:
        """Whether the server holds exactly what was wanted."""
        held = {str(item["id"]) for item in self.standin.world.image(save.key.image).annotations}
        return held == {str(item["id"]) for item in self.provider.format.annotations(save.wanted)}

    @property
    def asked(self) -> tuple[int, int]:
        """Requests for single and for bulk saves."""
        return self.standin.requests.by_route[SINGLE], self.standin.requests.by_route[BULK]


@asynccontextmanager
async def scene(generation: str, *, timeouts: Timeouts = QUICK, **options: Any) -> AsyncIterator[Scene]:
    made = StandinOptions(**{"images": 30, "unannotated_every": 0, "generation": generation, **options})
    clock = QuickClock()
    async with serve(made) as standin, provider_on(standin, clock=clock, timeouts=timeouts) as provider:
        dataset = await provider.dataset(HARBOUR)
        classes = dataset.categories and (*dataset.categories, {"name": VANISHED})
        rows, _ = await listed(provider, dataset)
        yield Scene(standin, provider, replace(dataset, categories=classes), rows, clock)


@dataclass(slots=True)
class Sent:
    """The saves that go to `Api.send`, and on."""

    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    priorities: set[Priority] = field(default_factory=set)


@asynccontextmanager
async def watched() -> AsyncIterator[Sent]:
    sent = Sent()
    send = Api.send

    async def noting(
        self: Api,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: JsonValue = None,
        *,
        headers: Mapping[str, str] | None = None,
        priority: Priority = Priority.PULL,
    ) -> JsonValue:
        if isinstance(body, Mapping) and headers is not None:
            sent.bodies.append(body)
            sent.paths.append(path)
            sent.keys.append(headers["Idempotency-Key"])
            sent.priorities.add(priority)
        return await send(self, method, path, query, body, headers=headers, priority=priority)

    with patch.object(Api, "send", noting):
        yield sent


@asynccontextmanager
async def answering(answer: JsonValue | Exception) -> AsyncIterator[list[str]]:
    """Let every save get this answer; the paths that were asked."""
    asked: list[str] = []

    async def send(_self: Api, _method: str, path: str, **_: object) -> JsonValue:
        asked.append(path)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with patch.object(Api, "send", send):
        yield asked


# --- routes and bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_one_document_is_one_request_with_its_own_key_ahead_of_all_others(generation: str) -> None:
    async with scene(generation) as at, watched() as sent:
        (save,) = await at.saves(1)
        (result,) = await at.provider.save_many(at.dataset, [save])
        assert result.answer is SaveAnswer.CLAIMED
        assert result.previous_count == sum(save.expected.counts.values())
        assert at.asked == (1, 0)
        assert sent.keys == [save.idempotency_key]
        assert sent.priorities == {Priority.PUSH}
        assert sent.paths[0].startswith(f"{API}/annotations/{at.dataset.id if generation == 'g2' else save.key.image}")
        assert set(sent.bodies[0]) == ({"annotations"} if generation == "g2" else {"annotations", "image_id"})


@pytest.mark.parametrize("generation", WITH_BULK)
async def test_many_documents_are_saved_two_hundred_at_a_time(generation: str) -> None:
    async with scene(generation, images=450) as at, watched() as sent:
        saves = await at.saves(410)
        results = await at.provider.save_many(at.dataset, saves)
        assert {result.answer for result in results} == {SaveAnswer.CLAIMED}
        assert at.asked == (0, 3)
        assert [len(body["saves"]) for body in sent.bodies] == [200, 200, 10]
        assert len(set(sent.keys)) == 3
        assert set(at.revisions(saves)) == {1}
        assert all(map(at.stands, saves))


async def test_without_bulk_saves_each_document_is_a_request() -> None:
    async with scene("g0") as at:
        saves = await at.saves(20)
        results = await at.provider.save_many(at.dataset, saves)
        assert {result.answer for result in results} == {SaveAnswer.CLAIMED}
        assert at.asked == (20, 0)
        assert all(map(at.stands, saves))


async def test_images_whose_names_survive_in_no_path_are_saved_by_their_ids() -> None:
    async with scene("g2", hostile_names=True, images=40) as at:
        saves = [
            save_of(at.provider, reading, row, annotations_of(at.provider, reading)[:-1])
            for row in at.rows
            for reading in [await read_one(at.provider, at.dataset, row)]
        ]
        for save in saves:
            (result,) = await at.provider.save_many(at.dataset, [save])
            assert result.answer is SaveAnswer.CLAIMED
        single, bulk = at.asked
        assert single + bulk == len(saves)
        assert single
        assert bulk
        assert all(map(at.stands, saves))


async def test_annotations_are_sent_as_they_stand_in_the_document() -> None:
    async with scene("g2") as at, watched() as sent:
        for row in at.rows[:10]:
            reading = await read_one(at.provider, at.dataset, row)
            annotations = annotations_of(at.provider, reading)
            await at.provider.save_many(at.dataset, [save_of(at.provider, reading, row, annotations)])
            derived = {"polygon", "polyline"}
            expected = [
                {key: item[key] for key in item if key != "bounding_box" or item["type"] not in derived}
                for item in annotations
            ]
            assert repr(sent.bodies[-1]["annotations"]) == repr(expected)


@pytest.mark.parametrize("generation", ["g1", "g1b"])
async def test_a_server_that_has_no_bulk_save_yet_gets_one_document_at_a_time(generation: str) -> None:
    async with scene(generation) as at:
        saves = await at.saves(5)
        with patch.object(Dialect, "bulk_save", f"{API}/annotations-of-tomorrow"):
            results = await at.provider.save_many(at.dataset, saves)
        assert {result.answer for result in results} == {SaveAnswer.CLAIMED}
        assert at.asked == (5, 0)


async def test_nothing_to_save_asks_nothing() -> None:
    async with scene("g2") as at:
        at.standin.requests.clear()
        assert await at.provider.save_many(at.dataset, []) == []
        assert at.standin.requests.api == 0


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", WITH_BULK)
@pytest.mark.parametrize("bad", [(0,), (8,), (3, 4), (0, 8), tuple(range(9))])
async def test_a_refused_batch_is_halved_until_the_bad_documents_are_alone(generation: str, bad: Sequence[int]) -> None:
    async with scene(generation) as at, watched() as sent:
        saves = await at.saves(9, bad=bad)
        results = await at.provider.save_many(at.dataset, saves)
        for index, (save, result) in enumerate(zip(saves, results, strict=True)):
            if index in bad:
                assert result.answer is SaveAnswer.REFUSED
                assert VANISHED in result.message
            else:
                assert result.answer is SaveAnswer.CLAIMED
                assert at.stands(save)
        assert at.revisions(saves) == [int(index not in bad) for index in range(9)]
        assert len(set(sent.keys)) == len(sent.keys) <= 1 + 2 * 4 * len(bad)


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_what_the_program_refuses_itself_is_not_sent(generation: str) -> None:
    async with scene(generation) as at:
        good, bad = await at.saves(2)
        broken = [{**item, "id": ""} for item in at.provider.format.annotations(bad.wanted)]
        bad = replace(bad, wanted={**bad.wanted, "annotations": broken})
        results = await at.provider.save_many(at.dataset, [bad, good])
        assert [result.answer for result in results] == [SaveAnswer.REFUSED, SaveAnswer.CLAIMED]
        assert "blank" in results[0].message
        assert at.asked == (1, 0)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("count", [1, 20])
async def test_a_role_that_may_not_save_is_told_at_once(generation: str, count: int) -> None:
    async with scene(generation) as at:
        saves = await at.saves(count)
        at.standin.role = Role.VIEWER
        with pytest.raises(RoleRefused):
            await at.provider.save_many(at.dataset, saves)
        assert set(at.revisions(saves)) == {0}
        assert sum(at.asked) <= 8  # as many as were under way at once


async def test_a_refused_key_is_told_at_once() -> None:
    async with scene("g2") as at:
        saves = await at.saves(3)
        at.standin.revoke_key()
        with pytest.raises(KeyRefused):
            await at.provider.save_many(at.dataset, saves)
        assert set(at.revisions(saves)) == {0}


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_role_that_ends_in_the_middle_leaves_nothing_untold(generation: str) -> None:
    async with scene(generation, images=260) as at:
        saves = await at.saves(230)
        save = at.standin.world.save

        def last(*args: Any) -> None:
            save(*args)
            at.standin.role = Role.VIEWER

        with patch.object(at.standin.world, "save", last):
            results = await at.provider.save_many(at.dataset, saves)
        answers = [result.answer for result in results]
        assert set(answers) == {SaveAnswer.CLAIMED, SaveAnswer.UNKNOWN}
        assert at.revisions(saves) == [int(answer is SaveAnswer.CLAIMED) for answer in answers]
        assert all("not sent" in result.message for result in results if result.answer is SaveAnswer.UNKNOWN)


async def test_a_refusal_that_is_about_the_account_is_not_asked_for_again() -> None:
    async with scene("g2") as at:
        saves = await at.saves(8)
        async with answering(Rejected("no credits", status=402)) as asked:
            results = await at.provider.save_many(at.dataset, saves)
        assert len(asked) == 1
        assert {(result.answer, result.message) for result in results} == {(SaveAnswer.REFUSED, "no credits")}


async def test_a_server_that_cannot_be_reached_is_an_error_and_no_answer() -> None:
    async with AsyncExitStack() as stack:
        standin = await stack.enter_async_context(serve(StandinOptions()))
        async with provider_on(standin) as provider:
            dataset = await provider.dataset(HARBOUR)
            rows, _ = await listed(provider, dataset)
            reading = await read_one(provider, dataset, rows[0])
            await stack.aclose()
            with pytest.raises(Unavailable):
                await provider.save_many(dataset, [save_of(provider, reading, rows[0], [])])


# --- answers that say nothing ------------------------------------------------------------------------------------


async def test_another_image_in_the_place_of_the_one_that_was_read_is_noticed() -> None:
    async with scene("g2") as at:
        (save,) = await at.saves(1)
        world = at.standin.world
        old = world.image(save.key.image)
        place = old.place
        world.remove_image(old)
        new = world.add_image(world.dataset("harbour"), place[1], place[0])
        (result,) = await at.provider.save_many(at.dataset, [save])
        assert result.answer is SaveAnswer.UNKNOWN
        assert new.id in result.message


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        [],
        "saved",
        {"saved": []},
        {"saved": [], "failed": []},
        {"saved": [{"image_id": "other"}], "failed": []},
        {"saved": [{"previous_count": 1}], "failed": []},
        {"saved": [{"image_id": "FIRST", "previous_count": -1}], "failed": []},
        {"saved": [{"image_id": "FIRST"}], "failed": [{"image_id": "FIRST", "error": "but"}]},
    ],
)
async def test_an_answer_that_does_not_name_a_save_leaves_it_unknown(answer: Any) -> None:
    async with scene("g2") as at:
        saves = await at.saves(2)
        if isinstance(answer, dict):
            for row in (*answer.get("saved", ()), *answer.get("failed", ())):
                if row.get("image_id") == "FIRST":
                    row["image_id"] = saves[0].key.image
        async with answering(answer) as asked:
            results = await at.provider.save_many(at.dataset, saves)
        assert [result.answer for result in results] == [SaveAnswer.UNKNOWN] * 2
        assert all(result.message for result in results)
        assert len(asked) == 1


async def test_what_a_server_says_about_a_failed_save_is_shown_in_one_line() -> None:
    async with scene("g2") as at:
        saves = await at.saves(2)
        failed = [
            {"image_id": save.key.image, "error": "gone\n\x1b[2J https://a/b?sig=1 " + "x" * 999} for save in saves
        ]
        async with answering({"saved": [], "failed": failed}):
            results = await at.provider.save_many(at.dataset, saves)
        for result in results:
            assert result.answer is SaveAnswer.GONE
            assert result.message.isprintable()
            assert "sig=1" not in result.message
            assert len(result.message) < 400


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("kind", [FaultKind.LIMITED, FaultKind.LIMITED_BARE])
async def test_a_save_that_met_a_spent_quota_waits_and_is_sent_again(
    generation: str, count: int, kind: FaultKind
) -> None:
    async with scene(generation) as at:
        saves = await at.saves(count)
        for route in (SINGLE, BULK)[: 1 if generation == "g0" else 2]:
            at.standin.faults.add(Fault(route=route, kind=kind, times=2))
        results = await at.provider.save_many(at.dataset, saves)
        assert {result.answer for result in results} == {SaveAnswer.CLAIMED}
        assert set(at.revisions(saves)) == {1}
        assert sum(at.clock.slept_s) >= 1


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("count", [1, 4])
# A refused login is raised. An expired link is a refusal of storage hosts; from the API it would be a role that may not save.
@pytest.mark.parametrize("kind", sorted(set(FaultKind) - {FaultKind.STRANGER, FaultKind.EXPIRED_LINK}))
async def test_no_fault_makes_a_save_happen_twice_or_an_answer_untrue(
    generation: str, count: int, kind: FaultKind
) -> None:
    quick = Timeouts(connect_s=1, idle_s=0.1, total_s=0.4)
    async with scene(generation, timeouts=quick, hang_s=0.3, oversized_bytes=2**20) as at:
        saves = await at.saves(count)
        route = BULK if count > 1 and generation != "g0" else SINGLE
        at.standin.faults.add(Fault(route=route, kind=kind))
        results = await at.provider.save_many(at.dataset, saves)
        assert max(at.revisions(saves)) <= 1
        for save, result in zip(saves, results, strict=True):
            assert result.answer in {SaveAnswer.CLAIMED, SaveAnswer.UNKNOWN}
            assert result.answer is SaveAnswer.UNKNOWN or at.stands(save)
            assert at.standin.key not in result.message
        if kind in {FaultKind.RESET_AFTER, FaultKind.SHORT_BODY}:
            assert all(map(at.stands, saves))
        if kind in {FaultKind.RESET, FaultKind.RESET_AFTER, FaultKind.TIMEOUT, FaultKind.ERROR_503, FaultKind.HTML}:
            struck = [result for result in results if result.answer is SaveAnswer.UNKNOWN]
            assert len(struck) == (1 if route == SINGLE else count)
            assert sum(at.asked) == (count if route == SINGLE else 1)
