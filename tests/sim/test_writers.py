"""Writers that get into each other's way: some on the server, some in the files, and pushes between them.

Every edit is one of a kind, so that it can be asked for at the end: what nobody who saw it undid or went on from is on the
server, or in the files, or was overwritten in the window that no client can close, and that was seen to happen. `make
test` draws some of these worlds; with EXHAUSTIVE=1 in the environment (`make test-writers`) it is 5 000 interleavings and
twenty months. Replay a seed with: python -m pytest tests/sim/test_writers.py --seed N
"""

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest

from labelmirror.model.trouble import Held
from sim.many import lived
from sim.world import World, check_peace, failure_in
from support.virtual_loop import run_virtual

EXHAUSTIVE = os.environ.get("EXHAUSTIVE") == "1"
INTERLEAVINGS = 5000 if EXHAUSTIVE else 200
MONTHS = 20 if EXHAUSTIVE else 1

HOUR_S = 3600.0


def interleaving(seed: int) -> Counter[str]:
    """Two to five writers on a few images, at least one on each side, while the program runs four times."""
    world = World(seed, pushes=True, images=range(2, 5))
    world.rest_s = world.rng.choice([20.0, 60.0, 200.0])
    sides = [world.edit_remotely, world.edit_locally]
    world.writers = [*sides, *world.rng.choices(sides, k=world.rng.randrange(4))]

    async def live() -> None:
        for _ in range(6):
            await world.eventful_run()
            await anyio.sleep(world.rng.expovariate(1 / 60))

    return settled(world, live) + Counter({f"worlds with {len(world.writers)} writers": 1})


def month(seed: int) -> Counter[str]:
    """One person on the server, one in the files, and a script, on one dataset for thirty days; a run each hour."""
    world = World(seed, pushes=True, images=range(30, 31))
    world.rest_s = 600.0
    people = [world.edit_remotely, world.edit_locally]

    def script() -> None:
        act = world.rng.choice(people)
        for _ in range(10):
            act()

    async def live() -> None:
        for hour in range(30 * 24):
            working = 8 <= hour % 24 < 18 and hour // 24 % 7 < 5
            world.writers = people if working else [script] if hour % 24 == 2 else []
            await world.eventful_run()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(world.people)
                await anyio.sleep(HOUR_S)
                tasks.cancel_scope.cancel()

    return settled(world, live)


def settled(world: World, live: Callable[[], Awaitable[None]]) -> Counter[str]:
    """Let it happen, then let everybody rest, and ask for every edit; what there was to count."""
    held = 0

    async def whole() -> None:
        nonlocal held
        await live()
        report = await world.peace()
        held = sum(isinstance(trouble, Held) for trouble in report.troubles)
        check_peace(world, report)

    try:
        run_virtual(whole())
    except ExceptionGroup as group:
        raise failure_in(group) from group
    return Counter(
        {
            "worlds": 1,
            "runs": world.outcomes.total() + world.crashes.total(),
            "deaths": world.crashes.total(),
            "faults": world.faults.total(),
            "edits": len(world.made),
            "edits left behind by somebody who saw them": len(world.made & world.taken),
            "saves": world.saves["saves"],
            "foreign saves overwritten in the window": world.saves["foreign saves overwritten"],
            "edits lost in the window": len(world.lost_in_window - world.taken),
            "documents held at the end": held,
        }
    )


def interleavings(seeds: Sequence[int]) -> Counter[str]:
    return sum(map(interleaving, seeds), Counter())


def months(seeds: Sequence[int]) -> Counter[str]:
    return sum(map(month, seeds), Counter())


@pytest.mark.parametrize(
    ("worlds", "number", "at_once"), [(interleavings, INTERLEAVINGS, 25), (months, MONTHS, 1)], ids=["hours", "months"]
)
def test_no_edit_is_lost_outside_the_window(
    worlds: Callable[[Sequence[int]], Counter[str]],
    number: int,
    at_once: int,
    seed: int,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    if request.config.getoption("--seed") is not None:
        worlds([seed])
        return
    counts = sum(lived(worlds, range(seed, seed + number), at_once=at_once), Counter[str]())
    lines = [
        f"seeds {seed} to {seed + number - 1}",
        *(f"{count:9}  {name}" for name, count in sorted(counts.items())),
    ]
    record_property("shown", "\n".join(lines))
    assert counts["worlds"] == number
    assert counts["saves"] > number // 2
