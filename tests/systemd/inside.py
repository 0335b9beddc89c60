"""What is done inside a booted system: install, run, edit, reload, stop, one-shot units, a daemon that hangs.

Runs as root with the Python of /opt/labelmirror, and leaves what it saw in the file that is its argument.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = "/opt/labelmirror/bin/labelmirror"
CONFIG = """
version = 1
state = "/var/lib/labelmirror"
ledger = "/var/lib/labelmirror/ledger.db"
[servers.acme]
kind = "pictograph"
url = "{url}"
key = {{ credential = "acme" }}
[datasets.street]
server = "acme"
name = "harbour"
path = "/srv/labelmirror/street"
push = true
every = "1h"
[backup]
path = "/srv/labelmirror/backups"
[daemon]
settle = "300ms"
socket = "/run/labelmirror/control.sock"
"""
MIRROR = Path("/srv/labelmirror/street")
AS_USER = ("runuser", "-u", "labelmirror", "--")


def call(*arguments: str) -> str:
    """The output of a program that has to succeed."""
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        msg = f"{arguments}: exit code {done.returncode}: {done.stdout} {done.stderr}"
        raise RuntimeError(msg)
    return done.stdout


def show(unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit."""
    pairs = (
        line.partition("=") for line in call("systemctl", "show", unit, *(f"-p{name}" for name in names)).splitlines()
    )
    return {name: value for name, _, value in pairs}


def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait until something is true; it."""
    for _ in range(600):
        if found := holds():
            return found
        time.sleep(0.1)
    msg = f"waited in vain for {what}"
    raise RuntimeError(msg)


def steer(*arguments: str) -> dict[str, Any]:
    """The answer of a command that is given as the user of the service."""
    answer: dict[str, Any] = json.loads(
        call(*AS_USER, PROGRAM, *arguments, "--json", "--config", "/etc/labelmirror/labelmirror.toml")
    )
    return answer


def go(seen: dict[str, Any]) -> None:
    standin = subprocess.Popen([PROGRAM, "serve-standin", "--json"], stdout=subprocess.PIPE, text=True)
    assert standin.stdout is not None
    access = json.loads(standin.stdout.readline())
    call("useradd", "--system", "--home-dir", "/var/lib/labelmirror", "labelmirror")
    call("install", "-d", "-o", "labelmirror", "-g", "labelmirror", "/srv/labelmirror")
    etc = Path("/etc/labelmirror")
    etc.mkdir()
    (etc / "labelmirror.toml").write_text(CONFIG.format(url=access["url"]))
    (etc / "acme.key").write_text(access["key"])
    (etc / "acme.key").chmod(0o600)
    call("systemctl", "daemon-reload")

    call("systemctl", "start", "labelmirror")
    seen["started"] = show("labelmirror", "ActiveState", "NRestarts", "Type")
    until(lambda: len(list(MIRROR.glob("images/**/*.*"))) >= 24, "the mirror")
    until(lambda: show("labelmirror", "StatusText")["StatusText"].startswith("at work: none"), "the first cycle's end")
    seen["status_text"] = show("labelmirror", "StatusText")["StatusText"]

    document = next(
        path for path in sorted(MIRROR.glob("annotations/**/*.json")) if json.loads(path.read_text())["annotations"]
    )
    held = json.loads(document.read_text())
    del held["annotations"][-1]
    document.write_text(json.dumps(held, indent=2))
    saves = until(lambda: steer("history")["saves"], "the push")
    seen["save"] = saves[0]["outcome"]
    seen["next_due"] = steer("status")["mirrors"][0]["next_due"]

    call("systemctl", "reload", "labelmirror")
    seen["reloaded"] = show("labelmirror", "ActiveState", "SubState")
    begun_s = time.monotonic()
    call("systemctl", "stop", "labelmirror")
    seen["stopped"] = show("labelmirror", "ActiveState", "Result", "ExecMainStatus")
    seen["stopped_after_s"] = time.monotonic() - begun_s

    call("systemctl", "start", "labelmirror-sync@street")
    seen["sync"] = show("labelmirror-sync@street", "Result", "ExecMainStatus")
    call("systemctl", "start", "labelmirror-backup")
    seen["backup"] = show("labelmirror-backup", "Result", "ExecMainStatus")
    call("systemctl", "start", "labelmirror-drill@street")
    seen["drill"] = show("labelmirror-drill@street", "Result", "ExecMainStatus")
    seen["snapshots"] = len(steer("snapshots")["snapshots"])
    for timer in ("labelmirror-sync@street.timer", "labelmirror-backup.timer", "labelmirror-drill@street.timer"):
        call("systemctl", "start", timer)
        seen[timer] = show(timer, "ActiveState", "Persistent")

    drop_in = Path("/etc/systemd/system/labelmirror.service.d")
    drop_in.mkdir()
    (drop_in / "hasty.conf").write_text("[Service]\nWatchdogSec=2\nRestartSec=1\nTimeoutAbortSec=2\n")
    call("systemctl", "daemon-reload")
    call("systemctl", "start", "labelmirror")
    time.sleep(6)
    seen["watched"] = show("labelmirror", "ActiveState", "NRestarts")
    os.kill(int(show("labelmirror", "MainPID")["MainPID"]), signal.SIGSTOP)
    until(lambda: show("labelmirror", "NRestarts")["NRestarts"] == "1", "the restart by the watchdog")
    until(lambda: show("labelmirror", "ActiveState")["ActiveState"] == "active", "the daemon after it")
    seen["restarted"] = show("labelmirror", "ActiveState", "NRestarts")
    seen["journal"] = call("journalctl", "-u", "labelmirror", "-o", "cat", "--no-pager").splitlines()
    seen["key_in_journal"] = access["key"] in call("journalctl", "--no-pager")


def main() -> None:
    seen: dict[str, Any] = {}
    try:
        go(seen)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told outside
        seen["error"] = f"{type(error).__name__}: {error}"
        seen["journal"] = subprocess.run(
            ["journalctl", "-n200", "-o", "cat", "--no-pager"], capture_output=True, text=True, check=False
        ).stdout.splitlines()
    finally:
        Path(sys.argv[1]).write_text(json.dumps(seen))
        subprocess.run(["systemctl", "poweroff", "--no-block"], check=False)


if __name__ == "__main__":
    main()
