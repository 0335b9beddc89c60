"""All figures in one run: `python -m bench`, or only those that are named, as in `python -m bench requests transfers`."""

import sys
from collections.abc import Callable, Sequence

from bench import backups, durability, pacing, pushing, requests, scale, transfers
from bench.machine import Figure, describe, show


def _pacing() -> Sequence[Figure]:
    return [
        Figure(
            f"{_kind(row.case)} windows of {row.case.window_s:g} s, {row.requests} requests",
            f"{row.time_s:.2f} s for a lower bound of {row.case.bound_s:.1f} s, {row.refused} refused",
            f"≤ 1.02 × + {pacing.ALLOWED_PER_WINDOW_S} s per window, none refused",
            row.holds,
        )
        for row in pacing.run()
    ]


def _kind(case: pacing.Case) -> str:
    return ("sliding" if case.sliding else "fixed") + (", Reset rounded down," if case.round_down else "")


FIGURES: dict[str, tuple[str, Callable[[], Sequence[Figure]]]] = {
    "requests": (f"API requests, {requests.IMAGES} annotated images", requests.run),
    "scale": ("Scale", scale.run),
    "transfers": (f"Transfers, {transfers.IMAGES} images of 40 to 80 kB", transfers.run),
    "durability": ("Durability, on a disk", durability.run),
    "backups": (f"Snapshots, {backups.DOCUMENTS} documents", backups.run),
    "pushing": (f"Pushing, {pushing.IMAGES} documents", pushing.run),
    "pacing": ("Pacing against real windows, two processes", _pacing),
}


def main() -> int:
    """Measure and print; 1 if a goal was missed, 2 for a name that is no figure."""
    names = sys.argv[1:] or list(FIGURES)
    if unknown := [name for name in names if name not in FIGURES]:
        print(f"no such figure: {', '.join(unknown)}; there are {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    print(describe())
    missed = 0
    for name in names:
        title, measure = FIGURES[name]
        figures = measure()
        show(title, figures)
        missed += sum(figure.held is False for figure in figures)
    print(f"\n{missed} goals missed" if missed else "\nall goals held")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
