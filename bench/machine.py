"""What a figure was measured on, and how it is printed."""

import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from labelmirror import __version__

PARTS = ("aiohttp", "anyio", "pydantic")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number beside its goal. `held` None: there is no goal, or it cannot be judged here."""

    what: str
    measured: str
    goal: str = ""
    held: bool | None = None


def describe() -> str:
    """The machine, the versions and the day, in a few lines."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = ", ".join(f"{name} {version(name)}" for name in PARTS)
    load = os.getloadavg()[0]
    return "\n".join(
        (
            f"{datetime.now(UTC):%Y-%m-%d}, labelmirror {__version__}",
            f"{_processor()}, {os.cpu_count()} CPUs, {memory_gib:.0f} GiB, Linux {platform.release()}, load {load:.1f}",
            f"Python {sys.version.split()[0]}, {parts}, SQLite {sqlite3.sqlite_version}",
        )
    )


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print figures as a table."""
    print(f"\n### {title}\n\n| what | measured | goal | held |\n| --- | --- | --- | --- |")
    for figure in figures:
        held = {True: "yes", False: "**no**", None: ""}[figure.held]
        print(f"| {figure.what} | {figure.measured} | {figure.goal} | {held} |", flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
