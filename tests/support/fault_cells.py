"""The cells of a fault matrix: each request of a scenario, met by each kind of fault."""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from labelmirror.standin import FaultKind

LASTING = 10**6


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault on one request: the `nth` of its route in this phase, or from that one on."""

    phase: str
    route: str
    nth: int
    kind: FaultKind
    times: int

    def __str__(self) -> str:
        often = "once" if self.times == 1 else "lasting"
        return f"{self.phase} {self.route}#{self.nth} {self.kind.value} {often}"


def all_cells(
    requests: Mapping[str, Counter[str]],
    kinds: Collection[FaultKind],
    only: Mapping[FaultKind, tuple[str, ...]],
) -> Iterator[Cell]:
    """Every cell; `requests` counts those of each route by phase, `only` names the routes that a kind can spoil."""
    for phase, routes in requests.items():
        for route, count in sorted(routes.items()):
            for kind in kinds:
                if route.startswith(only.get(kind, ("",))):
                    for nth in range(1, count + 1):
                        for times in (1, LASTING):
                            yield Cell(phase, route, nth, kind, times)


def drawn(cells: Iterable[Cell], seed: int) -> list[Cell]:
    """One cell for every other pair of a route and a kind."""
    chance = random.Random(seed)
    groups: dict[tuple[str, FaultKind], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.route, cell.kind), []).append(cell)
    return [chance.choice(group) for group in chance.sample(list(groups.values()), -(-len(groups) // 2))]


def printed(cells: Iterable[Cell], broken: Collection[str]) -> str:
    """The matrix: cells that held and all that were tried, by request and kind."""
    tried: dict[str, Counter[FaultKind]] = {}
    failed: dict[str, Counter[FaultKind]] = {}
    for cell in cells:
        row = f"{cell.phase:8}{cell.route}"
        tried.setdefault(row, Counter())[cell.kind] += 1
        failed.setdefault(row, Counter())[cell.kind] += str(cell) in broken
    lines = ["held/tried, the kinds being " + ", ".join(f"{n} {kind.value}" for n, kind in enumerate(FaultKind, 1))]
    lines.append(f"{'':28}" + "".join(f"{number:>7}" for number in range(1, len(FaultKind) + 1)))
    for row, counts in sorted(tried.items()):
        held = (f"{counts[kind] - failed[row][kind]}/{counts[kind]}" if counts[kind] else "-" for kind in FaultKind)
        lines.append(f"{row:28}" + "".join(f"{text:>7}" for text in held))
    return "\n".join(lines)
