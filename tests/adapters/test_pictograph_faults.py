"""Every fault on every request of one scenario: the result is true, or an error; never less than the truth in silence."""

import pytest

from labelmirror.errors import LabelmirrorError, RemoteError
from labelmirror.standin import Fault, FaultKind, Standin, StandinOptions, serve
from labelmirror.transport.http import Timeouts
from support.pictograph import HARBOUR, fetched, listed, provider_on, read_all

#: The requests of the scenario, by generation: what the stand-in calls their routes.
ROUTES = {
    "g2": (
        "datasets.list",
        "datasets.get",
        "datasets.download",
        "annotations.read",
        "exports.create",
        "exports.get",
        "exports.link",
        "exports.delete",
        "images.metadata",
        "images.bytes",
        "storage.image",
        "storage.export",
    ),
    "g0": ("datasets.list", "datasets.get", "datasets.download", "annotations.files", "annotations.file"),
}
#: Kinds that spoil nothing elsewhere.
ONLY = {
    FaultKind.EXPIRED_LINK: ("storage.",),
    FaultKind.NOT_AN_IMAGE: ("storage.image", "images.bytes"),
    FaultKind.WRONG_SIZE: ("datasets.",),
    FaultKind.DUPLICATE_PAGE: ("datasets.", "annotations.files"),
    FaultKind.MISSING_PAGE: ("datasets.", "annotations.files"),
    FaultKind.SHORT_PAGE: ("datasets.", "annotations.files"),
    # A document without annotations is one like any other.
    FaultKind.EMPTY_LIST: ("datasets.", "annotations.files"),
    FaultKind.WRONG_ENVELOPE: ("datasets.", "annotations.files", "exports.", "images.metadata"),
    FaultKind.PRIVATE_LINK: ("datasets.download", "exports.link", "annotations.files"),
}
#: Once everywhere; again and again where retries have to end.
LASTING = ("datasets.get", "annotations.read", "exports.get", "storage.image")
CELLS = [
    (generation, route, kind, times)
    for generation, routes in ROUTES.items()
    for route in routes
    for kind in FaultKind
    for times in ((1, 9) if generation == "g2" and route in LASTING else (1,))
    # What is hidden of a request's work is no matter where it only reads.
    if kind not in {FaultKind.ERROR_500_AFTER, FaultKind.PAGE_400} and route.startswith(ONLY.get(kind, ("",)))
]


async def _scenario(standin: Standin) -> list[LabelmirrorError]:
    """Go through all requests, and check that what came is true; the errors that were met."""
    errors: list[LabelmirrorError] = []
    truth = {image.id: image for image in standin.world.dataset("harbour").active}
    async with provider_on(standin, timeouts=Timeouts(connect_s=1, idle_s=0.05, total_s=0.3)) as provider:
        dataset = await provider.dataset(HARBOUR)
        rows, end = await listed(provider, dataset)
        proven = end.steady and end.announced == len({row.id for row in rows})
        assert {row.id for row in rows} <= truth.keys()
        assert not proven or {row.id for row in rows} == truth.keys()
        for way in await provider.read_ways(dataset):
            try:
                readings = await read_all(provider, dataset, way, rows[:6])
            except RemoteError as error:
                errors.append(error)
                continue
            for image, reading in readings.items():
                if reading.problem is None:
                    assert reading.data is not None
                    found = provider.format.annotations(provider.format.parse(reading.data))
                    assert {item["id"] for item in found} == {item["id"] for item in truth[image].annotations}
        for wanted in (rows[:3], rows[:1]):
            for row in wanted:
                try:
                    data = (await fetched(provider, dataset, [row, row] if wanted is not rows[:1] else [row]))[row.id]
                except RemoteError as error:
                    errors.append(error)
                    continue
                # Whoever stores it compares with the size in the listing and looks whether it is a picture.
                is_picture = data[:4] in {b"\x89PNG", b"\xff\xd8\xff\xe0"}
                assert data == truth[row.id].content or len(data) != row.size_bytes or not is_picture
        try:
            assert await provider.confirm_absent(dataset, [row.id for row in rows[:2]]) == frozenset()
        except RemoteError as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize(("generation", "route", "kind", "times"), CELLS)
async def test_a_fault_ends_in_truth_or_in_an_error(generation: str, route: str, kind: FaultKind, times: int) -> None:
    fault = Fault(route=route, kind=kind, times=times)
    options = StandinOptions(generation=generation, images=8, hang_s=0.2, oversized_bytes=2**20, faults=(fault,))
    async with serve(options) as standin:
        try:
            errors = await _scenario(standin)
        except LabelmirrorError as fatal:
            errors = [fatal]
        for error in errors:
            assert standin.key not in error.message + error.hint
            assert error.message
        standin.faults.clear()
        standin.world.annotate(next(iter(standin.world.dataset("harbour").active)))
        assert await _scenario(standin) == []
