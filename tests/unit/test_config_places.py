"""Where the file is looked for, and where state, ledger and socket are when nobody says."""

from pathlib import Path

import pytest

from labelmirror.config import load
from labelmirror.config.places import config_file
from labelmirror.config.settings import DaemonSettings
from labelmirror.errors import ConfigError
from labelmirror.providers.forms import FOLDER


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with XDG folders below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
    return tmp_path


def test_the_file_is_looked_for_in_the_order_of_the_manual(home: Path) -> None:
    xdg = home / "xdg-config" / "labelmirror" / "labelmirror.toml"
    xdg.parent.mkdir(parents=True)
    for name in ("flag.toml", "variable.toml", "labelmirror.toml", str(xdg)):
        (home / name).touch()
    environ = {"LABELMIRROR_CONFIG": "variable.toml"}
    assert config_file(Path("flag.toml"), environ) == Path("flag.toml")
    assert config_file(None, environ) == Path("variable.toml")
    assert config_file(None, {}) == Path("labelmirror.toml")
    (home / "labelmirror.toml").unlink()
    assert config_file(None, {}) == xdg


def test_a_named_file_that_is_missing_is_not_replaced_by_another(home: Path) -> None:
    (home / "labelmirror.toml").touch()
    with pytest.raises(ConfigError, match=r"flag\.toml: no such file \(--config names it\)"):
        config_file(Path("flag.toml"), {})
    with pytest.raises(ConfigError, match=r"x\.toml: no such file \(LABELMIRROR_CONFIG names it\)"):
        config_file(None, {"LABELMIRROR_CONFIG": "x.toml"})
    with pytest.raises(ConfigError, match=r"x: cannot be read: File name too long \(--config names it\)"):
        config_file(Path("x" * 300), {})


@pytest.mark.usefixtures("home")
def test_without_any_file_the_error_says_where_it_looked() -> None:
    with pytest.raises(ConfigError, match=r"neither \./labelmirror\.toml nor .*xdg-config") as refused:
        config_file(None, {})
    assert "labelmirror init" in refused.value.hint


def test_relative_paths_are_meant_from_the_folder_of_the_file(home: Path) -> None:
    (home / "conf").mkdir()
    (home / "conf" / "c.toml").write_text('state = "../s"\nledger = "l.db"\nbackup.path = "/b"\n')
    settings = load(Path("conf/c.toml"), {}).settings
    assert settings.state == home / "conf" / ".." / "s"
    assert settings.ledger == home / "conf" / "l.db"
    assert settings.backup.path == Path("/b")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("./hook", "/f/hook"),
        ("bin/hook", "/f/bin/hook"),
        ("~/hook", "/home/someone/hook"),
        ("hook", "hook"),
        ("/h", "/h"),
    ],
)
def test_a_program_named_by_a_relative_path_is_found_from_the_folder_of_the_file(
    monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    settings = DaemonSettings.model_validate({"socket": "s", "on_held": [written, "./x"]}, context={FOLDER: Path("/f")})
    assert settings.on_held == (meant, "./x")


def test_a_tilde_is_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    (home / "c.toml").write_text('state = "~/s"\n')
    assert load(Path("c.toml"), {}).settings.state == Path("/home/someone/s")


def test_the_state_lies_where_systemd_says_else_in_the_xdg_folder(home: Path) -> None:
    (home / "c.toml").touch()
    plain = load(Path("c.toml"), {}).settings
    assert plain.state == home / "xdg-state" / "labelmirror"
    assert plain.ledger == plain.state / "ledger.db"
    unit = load(Path("c.toml"), {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}).settings
    assert unit.state == Path("/var/lib/a")
    assert unit.ledger == Path("/var/lib/a/ledger.db")


def test_the_ledger_is_shared_by_configurations_with_their_own_state(home: Path) -> None:
    (home / "a.toml").write_text('state = "a"\n')
    (home / "b.toml").write_text('state = "b"\n')
    assert load(Path("a.toml"), {}).settings.ledger == load(Path("b.toml"), {}).settings.ledger


def test_the_socket_lies_in_the_runtime_folder_if_there_is_one(home: Path) -> None:
    (home / "a.toml").write_text('state = "a"\n')
    (home / "b.toml").write_text('state = "b"\n')
    a, b = Path("a.toml"), Path("b.toml")
    assert load(a, {}).settings.daemon.socket == home / "a" / "control.sock"
    assert load(a, {"RUNTIME_DIRECTORY": "/run/x:/run/y"}).settings.daemon.socket == Path("/run/x/control.sock")
    user = {"XDG_RUNTIME_DIR": "/run/user/7"}
    sockets = {load(file, user).settings.daemon.socket for file in (a, b)}
    assert len(sockets) == 2
    assert {socket.parent for socket in sockets} == {Path("/run/user/7/labelmirror")}
