"""The shipped units under a systemd that was booted for it, in a container over a copy of this machine's own root."""

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.boot

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_S = 300
#: Only what a service needs is started, whatever else this machine would.
TARGET = """[Unit]
Requires=basic.target dbus.service
After=basic.target dbus.service
Wants=drive.service
AllowIsolate=yes
"""
DRIVE = """[Unit]
After=basic.target dbus.service
[Service]
ExecStart=/opt/labelmirror/bin/python /opt/labelmirror/inside.py /seen.json
"""


def run(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"


@contextmanager
def copied_root(folder: Path) -> Iterator[Path]:
    """This machine's root, of which nothing is changed: what is written lands in `folder`."""
    upper, work, root = (folder / name for name in ("upper", "work", "root"))
    for each in (upper, work, root):
        each.mkdir()
    with ExitStack() as stack:
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", str(root))
        stack.callback(run, "umount", str(root))
        yield root


def install(root: Path) -> None:
    """The program as /opt/labelmirror with the system's own Python, the units, and the script that drives them."""
    home = root / "opt" / "labelmirror"
    run("/usr/bin/python3", "-m", "venv", "--without-pip", str(home))
    (packages,) = home.glob("lib/python3*/site-packages")
    shutil.copytree(sysconfig.get_path("purelib"), packages, dirs_exist_ok=True)
    for editable in packages.glob("*labelmirror*"):
        shutil.rmtree(editable) if editable.is_dir() else editable.unlink()
    shutil.copytree(REPOSITORY / "src" / "labelmirror", packages / "labelmirror")
    program = home / "bin" / "labelmirror"
    program.write_text("#!/opt/labelmirror/bin/python\nfrom labelmirror.__main__ import main\n\nmain()\n")
    program.chmod(0o755)
    run("chmod", "-R", "go+rX", str(home))
    shutil.copy(Path(__file__).with_name("inside.py"), home / "inside.py")
    units = root / "etc" / "systemd" / "system"
    for unit in (REPOSITORY / "systemd").iterdir():
        shutil.copy(unit, units)
    (units / "drive.target").write_text(TARGET)
    (units / "drive.service").write_text(DRIVE)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None or not Path("/usr/bin/python3").exists():
        pytest.fail(
            "make test-boot needs root, systemd-nspawn (Debian: systemd-container) and /usr/bin/python3 >= 3.11"
        )
    folder = tmp_path_factory.mktemp("boot")
    with copied_root(folder) as root:
        install(root)
        console = subprocess.run(
            [
                *(
                    "systemd-nspawn",
                    f"--directory={root}",
                    "--boot",
                    "--register=no",
                    "--keep-unit",
                    "--private-network",
                ),
                *("--machine=labelmirror-test", "--", "systemd.unit=drive.target"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        result = root / "seen.json"
        assert result.exists(), console.stdout.decode(errors="replace")[-4000:]
        found: dict[str, Any] = json.loads(result.read_text())
    assert "error" not in found, f"{found.pop('error')}\n" + "\n".join(found.pop("journal")[-60:]) + f"\n{found}"
    return found


def test_the_daemon_starts_once_it_is_ready_mirrors_and_pushes(seen: dict[str, Any]) -> None:
    assert seen["started"] == {"Type": "notify", "ActiveState": "active", "NRestarts": "0"}
    assert "next: street in" in seen["status_text"]
    assert seen["save"] == "saved"
    assert seen["next_due"] is not None


def test_a_reload_leaves_it_running_and_a_stop_ends_it_well(
    seen: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    assert seen["reloaded"] == {"ActiveState": "active", "SubState": "running"}
    assert seen["stopped"] == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    record_property("shown", f"stopped after {seen['stopped_after_s']:.1f} s")


def test_the_one_shot_units_do_their_work_and_the_timers_wait(seen: dict[str, Any]) -> None:
    assert seen["sync"] == seen["backup"] == seen["drill"] == {"Result": "success", "ExecMainStatus": "0"}
    assert seen["snapshots"] == 1
    for timer in ("labelmirror-sync@street.timer", "labelmirror-backup.timer", "labelmirror-drill@street.timer"):
        assert seen[timer] == {"ActiveState": "active", "Persistent": "yes"}


def test_the_watchdog_leaves_a_daemon_alone_that_lives_and_restarts_one_that_hangs(seen: dict[str, Any]) -> None:
    assert seen["watched"] == {"ActiveState": "active", "NRestarts": "0"}
    assert seen["restarted"] == {"ActiveState": "active", "NRestarts": "1"}


def test_the_journal_has_a_line_for_each_cycle_and_no_key(seen: dict[str, Any]) -> None:
    entries = [json.loads(line) for line in seen["journal"] if line.startswith("{")]
    assert any(entry["event"] == "cycle.finished" and entry["outcome"] == "synced" for entry in entries)
    assert not seen["key_in_journal"]
