"""A mirror's `calendar` means what the same words mean to systemd."""

import random
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from labelmirror.daemon.calendar import next_after, read_calendar
from labelmirror.providers.forms import parse_calendar

pytestmark = pytest.mark.systemd

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOMENTS = 3


#: systemd wants steps to begin somewhere and to lead to a second value; ours need not.
def numbers(draw: random.Random, least: int, most: int) -> str:
    first = draw.randint(least, most - 1)
    last = draw.randint(first, most)
    return draw.choice(
        [
            "*",
            f"{first}..{last}" if last > first else str(first),
            f"{first}/{draw.randint(1, most - first)}",
            ",".join(str(draw.randint(least, most)) for _ in range(3)),
        ]
    )


def calendar(draw: random.Random) -> str:
    first = draw.randint(0, 6)
    last = draw.randint(first, 6)
    days = draw.choice(["", f"{DAYS[first]} ", f"{DAYS[first]}..{DAYS[last]} " if last > first else ""])
    date = draw.choice(["", f"*-{numbers(draw, 1, 12)}-{numbers(draw, 1, 28)} "])
    seconds = draw.choice(["", f":{numbers(draw, 0, 59)}"])
    return f"{days}{date}{numbers(draw, 0, 23)}:{numbers(draw, 0, 59)}{seconds}"


def of_systemd(text: str, base: datetime) -> list[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("make test-systemd needs systemd-analyze, which comes with systemd")
    said = subprocess.run(
        [program, "calendar", f"--iterations={MOMENTS}", f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC", text],
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "LC_ALL": "C"},
        timeout=60,
        check=True,
    ).stdout
    lines = [line.strip().partition(":") for line in said.splitlines()]
    return [moment.strip() for name, _, moment in lines if name == "Next elapse" or name.startswith("Iter")]


@pytest.mark.parametrize("seed", range(60))
def test_moments_come_when_systemd_says(seed: int) -> None:
    draw = random.Random(seed)
    text = calendar(draw)
    base = datetime(
        2026, draw.randint(1, 12), draw.randint(1, 28), draw.randint(0, 23), draw.randint(0, 59), tzinfo=UTC
    )
    ours: list[str] = []
    at_s: float | None = base.timestamp()
    for _ in range(MOMENTS):
        at_s = next_after(read_calendar(parse_calendar(text)), at_s, UTC)
        assert at_s is not None, f"{text} after {base}"
        ours.append(datetime.fromtimestamp(at_s, UTC).strftime("%a %Y-%m-%d %H:%M:%S UTC"))
    assert ours == of_systemd(text, base), f"{text} after {base}"
