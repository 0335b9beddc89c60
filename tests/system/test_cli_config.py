"""The commands that write, check and show a configuration, as processes."""

import json
import os
import pty
import select
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli import Ended, environment, labelmirror

CANARY = "pk_live_canary0123456789canary01234567"


def written(folder: Path, text: str = "", *, mode: int = 0o600) -> Path:
    file = folder / "labelmirror.toml"
    file.write_text(f'[servers.acme]\nkind = "pictograph"\nkey = "{CANARY}"\n{text}')
    file.chmod(mode)
    return file


def assert_no_canary(ended: Ended) -> None:
    assert CANARY not in ended.stdout + ended.stderr


def test_check_says_that_nothing_is_wrong(tmp_path: Path) -> None:
    written(tmp_path)
    ended = labelmirror("config", "check", cwd=tmp_path)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout == "labelmirror.toml: no errors (servers: 1, mirrors: 0)\n"


def test_check_answers_with_file_and_warnings(tmp_path: Path) -> None:
    file = written(tmp_path, 'url = "http://example.org"\n')
    ended = labelmirror("config", "check", "--json", "--config", str(file), cwd=tmp_path)
    warning = f"{file}:4: servers.acme.url: is plain http: the key and every document travel readable by others"
    assert ended.answer == {"ok": True, "exit_code": 0, "file": str(file), "warnings": [warning]}
    assert json.loads(ended.stderr)["event"] == "config.warning"


def test_check_lists_each_mistake_in_one_line(tmp_path: Path) -> None:
    written(tmp_path, "reserv = 1\nconnections = 0\n")
    ended = labelmirror("config", "check", cwd=tmp_path)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        'error: labelmirror.toml:4: servers.acme.reserv: unknown key; did you mean "reserve"?',
        "labelmirror.toml:5: servers.acme.connections: must be at least 1",
    ]


def test_a_mistake_is_an_error_object_in_json(tmp_path: Path) -> None:
    written(tmp_path, "reserv = 1\n")
    ended = labelmirror("config", "show", "--json", cwd=tmp_path)
    assert ended.exit_code == 2
    assert ended.answer == {
        "ok": False,
        "exit_code": 2,
        "error": {
            "code": "config",
            "message": 'labelmirror.toml:4: servers.acme.reserv: unknown key; did you mean "reserve"?',
            "hint": "",
        },
    }


def test_without_a_file_the_way_to_one_is_told(tmp_path: Path) -> None:
    ended = labelmirror("config", "check", cwd=tmp_path)
    assert ended.exit_code == 2
    assert "labelmirror init" in ended.stderr


def test_show_tells_each_value_and_its_origin(tmp_path: Path) -> None:
    written(tmp_path, "reserve = 0.2\n")
    variable = {"LABELMIRROR__SERVERS__ACME__SHARE": "0.3"}
    arguments = ("config", "show", "--origin", "--set", "servers.acme.connections=4")
    lines = [line.split(maxsplit=2) for line in labelmirror(*arguments, cwd=tmp_path, env=variable).stdout.splitlines()]
    shown = {line[0]: (line[1], line[2].strip()) for line in lines}
    assert shown["key"] == ("value", "origin")
    assert shown["servers.acme.reserve"] == ("0.2", "file labelmirror.toml:4")
    assert shown["servers.acme.share"] == ("0.3", "environment LABELMIRROR__SERVERS__ACME__SHARE")
    assert shown["servers.acme.connections"] == ("4", "flag --set servers.acme.connections")
    assert shown["servers.acme.bandwidth"] == ("-", "default")
    answer = labelmirror(*arguments, "--json", cwd=tmp_path, env=variable).answer
    assert {row["key"] for row in answer["settings"]} == set(shown) - {"key"}
    assert {"key": "servers.acme.key", "value": "***", "origin": "file labelmirror.toml:3"} in answer["settings"]


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("config", "show", "--origin", "-v"), ""),
        (("config", "show", "--json"), ""),
        (("config", "check", "-v"), "reserv = 1\n"),
        (("config", "check", "--json"), f"kind = '{CANARY}'\n"),
        (("config", "check"), f"reserve = '{CANARY}'\n"),
        (("config", "check"), f"url = 'https://u:{CANARY}@h'\n"),
        (("config", "show"), f"[daemon]\nping_url = 'https://u:p@h/{CANARY}?x={CANARY}'\n"),
        (("config", "check", "--set", f"servers.acme.key={CANARY}"), ""),
    ],
)
def test_no_output_shows_a_key(tmp_path: Path, arguments: tuple[str, ...], more: str) -> None:
    written(tmp_path, more)
    assert_no_canary(labelmirror(*arguments, cwd=tmp_path))


def test_no_output_shows_a_key_from_the_environment(tmp_path: Path) -> None:
    written(tmp_path)
    for name in ("LABELMIRROR__SERVERS__ACME__KEY", "LABELMIRROR__SERVERS__ACME__RESERVE", "LABELMIRROR__X"):
        for arguments in (("config", "show", "--json"), ("config", "show", "--origin", "-v")):
            assert_no_canary(labelmirror(*arguments, cwd=tmp_path, env={name: CANARY}))


def test_a_literal_key_in_a_public_file_is_refused(tmp_path: Path) -> None:
    written(tmp_path, mode=0o644)
    ended = labelmirror("config", "check", cwd=tmp_path)
    assert ended.exit_code == 2
    assert (
        "labelmirror.toml:3: servers.acme.key: is written here, and others may read this file: chmod 600"
        in ended.stderr
    )
    assert_no_canary(ended)


def test_init_writes_a_private_file_that_loads(tmp_path: Path) -> None:
    flags = ("--kind", "pictograph", "--url", "https://api.example", "--key-env", "ACME_KEY")
    dataset = 'Straße "7"\\\x7f'
    ended = labelmirror("init", *flags, "--dataset", dataset, "--path", "data", "--json", cwd=tmp_path)
    assert ended.answer == {"ok": True, "exit_code": 0, "config": "labelmirror.toml"}
    assert stat.S_IMODE((tmp_path / "labelmirror.toml").stat().st_mode) == 0o600
    shown = labelmirror("config", "show", "--json", cwd=tmp_path).answer["settings"]
    values = {row["key"]: row["value"] for row in shown}
    assert values["servers.pictograph.url"] == "https://api.example"
    assert values["datasets.data.name"] == dataset
    assert values["datasets.data.path"] == str(tmp_path / "data")
    assert 'key = { env = "ACME_KEY" }' in (tmp_path / "labelmirror.toml").read_text()


def test_init_never_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "there.toml"
    file.write_text("mine")
    ended = labelmirror("init", "--dataset", "x", "--config", str(file), cwd=tmp_path)
    assert ended.exit_code == 2
    assert "is there already and is left as it is" in ended.stderr
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ((), "--dataset is missing, and there is no terminal to ask at"),
        (("--kind", "pictogram", "--dataset", "x"), 'did you mean "pictograph"?'),
        (("--user", "me", "--dataset", "x"), "--user: a pictograph server has no user"),
        (("--password-env", "P", "--dataset", "x"), "--password-env: a pictograph server has no password"),
        (
            ("--key-env", "pk_live_7gBnEr1pXqT0aZ", "--dataset", "x"),
            "--key-env: this is no name of an environment variable",
        ),
        (("--url", "example.org", "--dataset", "x"), "servers.pictograph.url: must be an address"),
        (("--dataset", "x", "--set", "version=1"), "--set: init writes a file and overrides nothing"),
        (("--dataset", "x", "--config", "no/where.toml"), "no/where.toml: there is no such folder"),
    ],
)
def test_init_refuses_what_would_not_load(tmp_path: Path, flags: tuple[str, ...], problem: str) -> None:
    ended = labelmirror("init", *flags, cwd=tmp_path)
    assert ended.exit_code == 2
    assert problem in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_init_asks_on_a_terminal_for_what_is_missing_only(tmp_path: Path) -> None:
    here, there = pty.openpty()
    program = [sys.executable, "-m", "labelmirror", "init", "--url", "https://api.example", "--json"]
    with subprocess.Popen(
        program, cwd=tmp_path, env=environment(tmp_path), stdin=there, stderr=there, stdout=subprocess.PIPE, text=True
    ) as process:
        os.close(there)
        asked = ""
        for question, answer in (
            ("Kind of server", ""),
            ("API key", "ACME_KEY"),
            ("Name of the dataset", "Street Scenes"),
            ("Folder of the mirror", ""),
        ):
            asked += _read_until(here, question)
            os.write(here, f"{answer}\n".encode())
        stdout, _ = process.communicate(timeout=30)
    os.close(here)
    assert process.returncode == 0
    assert "Address" not in asked
    assert json.loads(stdout) == {"ok": True, "exit_code": 0, "config": "labelmirror.toml"}
    assert 'path = "street-scenes"' in (tmp_path / "labelmirror.toml").read_text()


def _read_until(terminal: int, text: str) -> str:
    seen = ""
    while text not in seen or not seen.rstrip().endswith(":"):
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, f"no question about {text!r} in {seen!r}"
        seen += os.read(terminal, 4096).decode()
    return seen
