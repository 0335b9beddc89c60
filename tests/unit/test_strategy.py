"""The cheapest way of reading, and forecasts."""

import random

import pytest

from labelmirror.model.actions import ImageAction
from labelmirror.model.remote import Quota, ReadWay
from labelmirror.planning.strategy import choose_way, fetches_ahead, forecast

SINGLE = ReadWay("single", 0, 1)
FILES = ReadWay("files", 1, 1, fidelity=1)
BULK = ReadWay("bulk", 0, 50)
EXPORT = ReadWay("export", 9, 1, covers_all=True, fidelity=2)


def chosen(ways: list[ReadWay], documents: int) -> str | None:
    way = choose_way(ways, documents)
    return way.name if way is not None else None


@pytest.mark.parametrize(("documents", "first"), [(1, "single"), (8, "single"), (9, "export"), (10_000, "export")])
def test_single_reads_win_until_an_export_is_cheaper(documents: int, first: str) -> None:
    assert chosen([SINGLE, EXPORT], documents) == first


@pytest.mark.parametrize(("documents", "first"), [(10, "single"), (20, "files")])
def test_the_servers_own_files_may_cost_five_percent_more(documents: int, first: str) -> None:
    assert chosen([SINGLE, FILES], documents) == first


def test_where_a_way_is_refused_the_best_of_the_others_is_taken() -> None:
    ways, order = [SINGLE, FILES, BULK, EXPORT], []
    while (way := choose_way(ways, 1000)) is not None:
        ways.remove(way)
        order.append(way.name)
    assert order == ["export", "bulk", "files", "single"]


def test_nothing_to_read_needs_no_way() -> None:
    assert choose_way([SINGLE, EXPORT], 0) is None
    assert choose_way([], 5) is None


def test_no_way_costs_more_than_five_percent_above_the_cheapest(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(10_000):
        ways = [
            ReadWay(
                f"w{n}",
                rng.randrange(20),
                rng.choice([1, 1, 10, 200]),
                covers_all=rng.random() < 0.3,
                fidelity=rng.randrange(3),
            )
            for n in range(rng.randrange(1, 5))
        ]
        documents = rng.randrange(1, 20_000)
        way = choose_way(ways, documents)
        assert way is not None
        assert way.requests(documents) <= 1.05 * min(way.requests(documents) for way in ways)


def test_links_for_many_images_are_forecast_as_one_request_for_each_batch() -> None:
    assert forecast(images=10_001, image_bytes=7, image_batch=10_000, quota=Quota()).requests == 2
    assert forecast(images=3, image_bytes=7, image_batch=0, quota=Quota()).requests == 3


def test_a_push_is_forecast_with_its_reads_before_and_after_and_its_share_of_a_save() -> None:
    assert forecast(images=0, image_bytes=0, image_batch=0, quota=Quota(), pushes=500, save_batch=200).requests == 1003


def test_a_push_where_a_document_is_read_by_two_requests_is_forecast_with_five() -> None:
    cost = forecast(images=0, image_bytes=0, image_batch=0, quota=Quota(), pushes=7, reread_requests=2)
    assert cost.requests == 35


def test_a_plan_that_does_not_fit_the_window_says_when_it_will_end() -> None:
    quota = Quota(usable=10, remaining=15, limit=100, window_s=60.0, resets_in_s=20.0)
    fits = forecast(images=10, image_bytes=0, image_batch=0, quota=quota)
    assert (fits.fits, fits.eta_s, fits.window_remaining) == (True, 0.0, 15)
    later = forecast(images=211, image_bytes=0, image_batch=0, quota=quota)
    assert (later.fits, later.eta_s) == (False, 20.0 + 2 * 60.0)


@pytest.mark.parametrize(
    ("missing", "images", "image_batch", "ahead"),
    [(5, 100, 100, True), (5, 101, 100, False), (5, 100, 0, False), (1, 100, 100, False), (5, None, 100, False)],
)
def test_images_come_before_documents_only_where_one_request_has_all_their_links(
    missing: int, images: int | None, image_batch: int, ahead: bool
) -> None:
    assert fetches_ahead({ImageAction.PULL: missing}, images, image_batch) == ahead
