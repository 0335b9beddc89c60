"""The demonstration as a process: it tells the truth, can be told again, and leaves strangers' folders alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labelmirror.standin import KINDS
from support.cli import environment, labelmirror


@pytest.mark.parametrize(("kind", "runs"), [(kind, 1 + (kind == "pictograph")) for kind in KINDS])
def test_it_mirrors_pushes_an_edit_finds_the_other_one_and_can_be_run_again(
    tmp_path: Path, kind: str, runs: int
) -> None:
    for _ in range(runs):
        ended = labelmirror("demo", "--kind", kind, "--images", "10", "--json", cwd=tmp_path)
        assert ended.exit_code == 0, ended
        (mirror,) = ended.answer["mirrors"]
        assert mirror["outcome"] == "synced"
        assert (mirror["images"]["total"], mirror["documents"]["pulled"]) == (10, 1)
        assert len(ended.stdout.splitlines()) == 1
        status = labelmirror("status", "--json", "--config", "demo-mirror/labelmirror.toml", cwd=tmp_path)
        (standing,) = status.answer["mirrors"]
        assert (standing["state"], standing["counts"]["ahead"]) == ("in_step", 0)
        history = labelmirror("history", "--json", "--config", "demo-mirror/labelmirror.toml", cwd=tmp_path)
        (save,) = history.answer["saves"]
        assert (save["outcome"], save["previous_count"] - save["new_count"]) == ("saved", 1)
    kept = tmp_path / "demo-mirror" / "harbour" / ".labelmirror" / "history"
    (old,) = kept.rglob("*.json")
    assert json.loads(old.read_bytes())["annotations"]


def test_it_says_in_words_what_happens(tmp_path: Path) -> None:
    ended = labelmirror("demo", "--dir", "shown", cwd=tmp_path)
    assert ended.exit_code == 0, ended
    assert ended.stderr == ""
    titles = [line for line in ended.stdout.splitlines() if line[:1].isdigit()]
    assert [title.partition(". ")[0] for title in titles[:6]] == ["1", "2", "3", "4", "5", "6"]
    assert "and pushed 1 document:" in ended.stdout
    assert "1 edit of yours on the server" in ended.stdout
    assert "labelmirror status --images --config shown/labelmirror.toml" in ended.stdout


def test_it_leaves_a_folder_alone_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "harbour").write_text("mine")
    (tmp_path / "precious" / "labelmirror.toml").write_text("version = 1\n")
    ended = labelmirror("demo", "--dir", "precious", "--json", cwd=tmp_path)
    assert (ended.exit_code, ended.answer["error"]["code"]) == (2, "usage")
    assert (tmp_path / "precious" / "harbour").read_text() == "mine"


def test_a_reader_that_leaves_early_ends_it_without_a_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "labelmirror", "demo", "--images", "2"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
