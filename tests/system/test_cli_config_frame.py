"""What all commands share: help, versions, the JSON envelope, errors, logs and signals."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import typer

from labelmirror import __version__
from labelmirror.__main__ import main
from labelmirror.cli.failure import report
from labelmirror.cli.main import app, run
from labelmirror.cli.output import printable
from labelmirror.errors import Locked, StateDamaged, Unavailable
from labelmirror.telemetry.logs import Masker, configure
from support.cli import environment, labelmirror

CANARY = "pk_live_canary0123456789canary01234567"


def commands() -> Iterator[list[str]]:
    """Every command and group, as it is typed."""

    def walk(command: object, typed: list[str]) -> Iterator[list[str]]:
        yield typed
        for name, inner in sorted(getattr(command, "commands", {}).items()):
            yield from walk(inner, [*typed, name])

    yield from walk(typer.main.get_command(app), [])


LEAVES = [typed for typed in commands() if typed and typed not in (["config"], ["conflicts"])]


@pytest.mark.parametrize("typed", list(commands()), ids=" ".join)
def test_every_command_has_help(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*typed, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"Usage: labelmirror {' '.join(typed)}".rstrip())
    assert shown.err == ""


@pytest.mark.parametrize("typed", LEAVES, ids=" ".join)
def test_every_command_takes_the_shared_options(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*typed, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--config", "--set", "--json", "--verbose", "--quiet"))


@pytest.mark.parametrize("typed", list(commands()), ids=" ".join)
def test_a_wrong_option_gives_the_json_error_and_exit_code_2(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*typed, "--no-such-option", "--json"]) == 2
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert (answer["ok"], answer["exit_code"], answer["error"]["code"]) == (False, 2, "usage")
    assert answer["error"]["hint"].startswith("see: labelmirror")
    assert shown.err == ""


@pytest.mark.parametrize("typed", [[], ["config"], ["no-such-command"], ["version", "extra"]], ids=" ".join)
def test_usage_errors_are_one_line_and_a_hint(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(typed) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    error, hint = shown.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: see: labelmirror")


def test_a_full_disk_behind_standard_output_is_an_error_of_its_own(tmp_path: Path) -> None:
    for arguments in (["version"], ["version", "--json"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "labelmirror", *arguments],
                env=environment(tmp_path),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 12
        assert done.stderr.startswith("error: standard output cannot be written: No space left on device\n")


def test_a_reader_that_leaves_early_causes_no_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for arguments in (["version"], ["version", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "labelmirror", *arguments],
            env=environment(tmp_path),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (1, "")
    os.close(writing)


def test_ctrl_c_before_a_command_heeds_it_causes_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labelmirror.cli.main.main", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


def test_a_closed_standard_output_stops_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>seen', "sh", sys.executable, "-m", "labelmirror", "version"],
        cwd=tmp_path,
        env=environment(tmp_path),
        check=False,
    )
    assert (done.returncode, (tmp_path / "seen").read_text()) == (0, "")


def test_what_an_encoding_lacks_is_spelled_out(tmp_path: Path) -> None:
    (tmp_path / "Möwe.toml").touch()
    done = labelmirror("config", "check", "--config", "Möwe.toml", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (done.exit_code, done.stdout) == (0, "M\\xf6we.toml: no errors (servers: 0, mirrors: 0)\n")


def test_a_path_that_the_system_refuses_is_no_defect_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    name = "x" * 300
    typed = ["init", "--config", name, "--kind", "pictograph", "--key-env", "K", "--dataset", "d", "--path", "p"]
    assert run([*typed, "--json"]) == 12
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["message"]) == ("disk", f"{name}: File name too long")


def test_help_loads_neither_pydantic_nor_aiohttp(tmp_path: Path) -> None:
    code = (
        "import sys; from labelmirror.cli.main import run; run(['--help']);"
        "print(sorted({'pydantic', 'aiohttp', 'PIL'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "[]\n"


def test_the_version_is_told_in_three_ways(tmp_path: Path) -> None:
    line = f"labelmirror {__version__}\n"
    assert labelmirror("--version", cwd=tmp_path).stdout == line
    assert labelmirror("version", cwd=tmp_path).stdout == line
    assert labelmirror("version", "--json", cwd=tmp_path).answer == {"ok": True, "exit_code": 0, "version": __version__}


def test_the_shell_can_complete_commands(tmp_path: Path) -> None:
    variables = {"_LABELMIRROR_COMPLETE": "complete_bash", "COMP_WORDS": "labelmirror con", "COMP_CWORD": "1"}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv[0] = 'labelmirror'; from labelmirror.cli.main import main; main()",
        ],
        env=environment(tmp_path, variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["config", "conflicts"]


def test_the_weightiest_error_of_a_group_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("tasks", [Unavailable("a"), ExceptionGroup("", [StateDamaged("b", hint="c")]), Locked("d")])
    assert report(group, Masker(), as_json=True) == 7
    assert json.loads(capsys.readouterr().out)["error"] == {"code": "state", "message": "b", "hint": "c"}


def test_an_unexpected_error_is_one_masked_line(capsys: pytest.CaptureFixture[str]) -> None:
    masker = Masker()
    masker.learn(CANARY)
    assert report(ValueError(f"no {CANARY}\nmore"), masker, as_json=False) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: unexpected ValueError: no ***"
    assert "--verbose" in hint


@pytest.fixture
def log() -> Iterator[tuple[io.StringIO, Masker]]:
    """The log as text, at debug level, with a masker that knows the canary."""
    stream, masker = io.StringIO(), Masker()
    masker.learn(CANARY)
    configure(stream, logging.DEBUG, masker)
    yield stream, masker
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers.clear()


def test_logs_are_json_lines_away_from_a_terminal(log: tuple[io.StringIO, Masker]) -> None:
    structlog.get_logger().info("pull.finished", images=3, path="a\nb")
    line = json.loads(log[0].getvalue())
    assert (line["event"], line["images"], line["level"], line["path"]) == ("pull.finished", 3, "info", "a\nb")
    assert "timestamp" in line


def test_no_way_of_logging_shows_a_key(log: tuple[io.StringIO, Masker]) -> None:
    logger = structlog.get_logger()
    logger.info(f"event {CANARY}", value=CANARY, nested={"a": [CANARY, (CANARY,)], CANARY: 1}, thing=ValueError(CANARY))
    logger.info("headers", headers={"X-API-Key": "other", "Authorization": "Bearer other"}, password="other")
    logger.info("url", url=f"https://u:{CANARY}@h/p?sig={CANARY}", encoded=f"https://h/?k={CANARY}%0A")
    logging.getLogger("library").warning("with %s", CANARY)
    try:
        raise RuntimeError(CANARY)
    except RuntimeError:
        secret_local = CANARY
        logger.exception("failed")
        logging.getLogger("library").exception("failed %s", secret_local)
    text = log[0].getvalue()
    assert CANARY not in text
    assert "other" not in text
    assert len(text.splitlines()) == 6


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://store.example/a.jpg?X-Sig=abc&e=1 failed", "GET https://store.example/a.jpg?*** failed"),
        ("GET /api/images?token=abc", "GET /api/images?***"),
        ("http://user:word@host/x", "http://***@host/x"),
        ("https://host/x?bare", "https://host/x?***"),
        ('did you mean "a"?', 'did you mean "a"?'),
        ("what? no = sign", "what? no = sign"),
    ],
)
def test_queries_of_addresses_are_masked(text: str, shown: str) -> None:
    assert Masker().clean(text) == shown


def test_a_secret_inside_a_longer_one_leaves_nothing_behind() -> None:
    masker = Masker()
    for secret in ("abc", "abcdef", "a/b c", ""):
        masker.learn(secret)
    assert masker.clean("abcdef abc a/b c a%2Fb%20c") == "*** *** *** ***"


def test_control_characters_of_a_server_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nç") == "a\\x1b[2Jb\\nç"


WORK = """
import sys, anyio
from labelmirror.cli.failure import report
from labelmirror.cli.signals import Stop, run_cancellable, run_stoppable
from labelmirror.errors import ExitCode
from labelmirror.telemetry.logs import Masker

async def cancellable():
    try:
        print("ready", flush=True)
        await anyio.sleep_forever()
    finally:
        print("recorded", flush=True)

async def stoppable(stop):
    print("ready", flush=True)
    await stop.requested.wait()
    print("recorded", flush=True)
    return stop.exit_code

async def stubborn():
    with anyio.CancelScope(shield=True):
        print("ready", flush=True)
        await anyio.sleep_forever()

async def quick():
    print("recorded", flush=True)
    return ExitCode.HELD

try:
    work = globals()[sys.argv[1]]
    sys.exit(run_stoppable(work) if work is stoppable else run_cancellable(work))
except Exception as error:
    sys.exit(report(error, Masker(), as_json=True))
"""


def start(work: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WORK, work],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "exit_code", "code"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_the_first_signal_lets_work_record_and_leave(
    tmp_path: Path, number: signal.Signals, exit_code: int, code: str
) -> None:
    for work in ("cancellable", "stoppable"):
        with start(work, tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr) == (exit_code, "")
        recorded, *answer = stdout.splitlines()
        assert recorded == "recorded"
        if work == "cancellable":
            assert json.loads(answer[0])["error"]["code"] == code


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_ends_at_once(tmp_path: Path, number: signal.Signals, exit_code: int) -> None:
    with start("stubborn", tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while process.poll() is None:  # two that come together count as one
            process.send_signal(number)
            try:
                process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
    assert process.returncode == exit_code


def test_work_that_ends_by_itself_keeps_its_exit_code(tmp_path: Path) -> None:
    with start("quick", tmp_path) as process:
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (3, "recorded\n", "")
