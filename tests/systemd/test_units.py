"""The shipped units as systemd-analyze sees them: nothing to complain of, and little that they may do."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.systemd

UNITS = Path(__file__).parents[2] / "systemd"
PROGRAM = "/opt/labelmirror/bin/labelmirror"
EXPOSURE_MAX = 3.0


def analyze(*arguments: str) -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("make test-systemd needs systemd-analyze, which comes with systemd")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or "security" in arguments, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_units_are_those_that_are_documented() -> None:
    assert sorted(path.name for path in UNITS.iterdir()) == [
        "labelmirror-backup.service",
        "labelmirror-backup.timer",
        "labelmirror-drill@.service",
        "labelmirror-drill@.timer",
        "labelmirror-sync@.service",
        "labelmirror-sync@.timer",
        "labelmirror.service",
    ]


def test_systemd_has_nothing_to_complain_of(tmp_path: Path) -> None:
    program = tmp_path / "labelmirror"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS.iterdir():
        # Only what is installed is there to be executed.
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, str(program)))
    names = [str(tmp_path / name.replace("@.", "@street.")) for name in sorted(path.name for path in UNITS.iterdir())]
    said = analyze("verify", "--man=no", *names)
    ours = [line for line in said.splitlines() if "labelmirror" in line]
    assert ours == []


@pytest.mark.parametrize(
    "name",
    ["labelmirror.service", "labelmirror-sync@.service", "labelmirror-backup.service", "labelmirror-drill@.service"],
)
def test_a_service_may_do_little(name: str, record_property: Callable[[str, object], None]) -> None:
    said = analyze("security", "--offline=true", "--no-pager", str(UNITS / name))
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert match is not None, said
    record_property("shown", f"exposure {match[1]}")
    assert float(match[1]) <= EXPOSURE_MAX
    assert "RequiresMountsFor=/srv/labelmirror\n" in (UNITS / name).read_text()


@pytest.mark.parametrize("calendar", ["*:0/15", "*-*-* 02:30", "Sun *-*-* 04:30"])
def test_the_timers_come_again(calendar: str) -> None:
    assert any(f"OnCalendar={calendar}" in unit.read_text() for unit in UNITS.glob("*.timer"))
    assert "Next elapse" in analyze("calendar", calendar)
