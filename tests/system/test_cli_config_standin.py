"""`serve-standin` as a process: one line when it listens, and an orderly end."""

import json
import re
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from support.cli import environment, labelmirror

DATASETS = "/api/v1/developer/datasets/"


@contextmanager
def serving(folder: Path, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [sys.executable, "-m", "labelmirror", "serve-standin", *arguments],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def datasets(url: str, key: str) -> dict[str, Any]:
    with urlopen(Request(url + DATASETS, headers={"X-API-Key": key}), timeout=30) as answer:
        listed: dict[str, Any] = json.load(answer)
    return listed


def test_its_one_line_holds_an_address_and_a_key_that_work(tmp_path: Path) -> None:
    with serving(tmp_path, "--images", "3") as process:
        line = first_line(process)
        found = re.search(r"(http://127\.0\.0\.1:\d+).*(pk_live_\w{32})\b", line)
        assert found, line
        assert datasets(found[1], found[2])["data"]
        with pytest.raises(HTTPError, match="401"):
            datasets(found[1], "pk_live_wrong")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_its_json_object_is_all_it_prints_until_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path, "--json", "--generation", "g0", "--images", "2", "--limit", "3", "--window", "9") as process:
        answer = json.loads(first_line(process))
        assert (answer["ok"], answer["exit_code"], answer["kind"]) == (True, 0, "pictograph")
        assert datasets(answer["url"], answer["key"])["datasets"]
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
        assert (process.returncode, stdout, stderr) == (0, "", "")


def test_a_remo_is_opened_with_user_and_password(tmp_path: Path) -> None:
    with serving(tmp_path, "--kind", "remo", "--images", "2") as process:
        line = first_line(process)
        found = re.search(r"remo stand-in at (http://\S+) with user (\S+), password (\S+)$", line)
        assert found, line
        login = json.dumps({"email": found[2], "password": found[3]}).encode()
        request = Request(f"{found[1]}/api/rest-auth/login/", login, {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as answer:
            assert json.load(answer)["key"]


def test_a_coco_annotator_is_opened_with_user_and_password(tmp_path: Path) -> None:
    with serving(tmp_path, "--json", "--kind", "coco-annotator", "--images", "2") as process:
        answer = json.loads(first_line(process))
        assert set(answer) == {"ok", "exit_code", "url", "kind", "user", "password"}
        proof = b64encode(f"{answer['user']}:{answer['password']}".encode()).decode()
        request = Request(f"{answer['url']}/api/dataset/", headers={"Authorization": f"Basic {proof}"})
        with urlopen(request, timeout=30) as listed:
            assert [row["name"] for row in json.load(listed)] == ["harbour", "meadow & shore"]


def test_the_rate_limit_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path, "--json", "--limit", "2", "--window", "60", "--window-kind", "fixed") as process:
        answer = json.loads(first_line(process))
        for _ in range(2):
            datasets(answer["url"], answer["key"])
        with pytest.raises(HTTPError, match="429"):
            datasets(answer["url"], answer["key"])


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = labelmirror("serve-standin", "--port", str(port), "--json", cwd=tmp_path)
    assert ended.exit_code == 2
    assert ended.answer["error"]["message"].startswith(f"port {port} cannot be served")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[fault]]\nrout = 'x'\n", "rout"),
        ("[[fault]]\nroute = '/x'\nkind = 'tmeout'\n", "tmeout"),
        (None, "No such file"),
    ],
)
def test_a_mistake_in_the_fault_file_is_named(tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "faults.toml"
    if text is not None:
        file.write_text(text)
    ended = labelmirror("serve-standin", "--faults", str(file), cwd=tmp_path)
    assert ended.exit_code == 2
    assert str(file) in ended.stderr
    assert problem in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--kind", "pictogram"),
        ("--port", "70000"),
        ("--generation", "g9"),
        ("--window-kind", "round"),
        ("--limit", "0"),
    ],
)
def test_options_out_of_range_are_usage_errors(tmp_path: Path, arguments: tuple[str, str]) -> None:
    ended = labelmirror("serve-standin", *arguments, "--json", cwd=tmp_path)
    assert (ended.exit_code, ended.answer["error"]["code"]) == (2, "usage")
