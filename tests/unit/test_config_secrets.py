"""Secrets: fetched late, from one of four places, and never shown."""

import copy
import pickle
import sys
import traceback
from pathlib import Path

import pytest

from labelmirror.config import load
from labelmirror.config.secrets import resolve
from labelmirror.config.show import rows
from labelmirror.errors import ConfigError
from labelmirror.providers.secrets import Secret, SecretSource

CANARY = "pk_live_canary0123456789canary01234567"
NAME = "servers.acme.key"


def written(tmp_path: Path, key: str, *, mode: int = 0o600, more: str = "") -> Path:
    file = tmp_path / "labelmirror.toml"
    file.write_text(f'[servers.acme]\nkind = "pictograph"\nkey = {key}\n{more}')
    file.chmod(mode)
    return file


def refusal(source: SecretSource, environ: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        resolve(source, NAME, environ or {})
    shown = "".join(traceback.format_exception(refused.value))
    assert CANARY not in shown
    assert NAME in refused.value.message
    return refused.value


@pytest.mark.parametrize("show", [str, repr, "{}".format, "%s".__mod__, ascii])
def test_a_secret_never_shows_itself(show: object) -> None:
    assert callable(show)
    assert show(Secret(CANARY)) == "***"
    assert CANARY not in show(SecretSource.model_validate(CANARY))
    assert CANARY not in show({"key": [Secret(CANARY)]}) if show is not "%s".__mod__ else True


def test_a_secret_is_neither_pickled_copied_nor_hashed() -> None:
    for attempt in (pickle.dumps, copy.copy, hash):
        with pytest.raises(TypeError):
            attempt(Secret(CANARY))


def test_secrets_are_equal_by_value() -> None:
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY


def test_a_literal_key_is_accepted_in_a_file_that_only_the_owner_reads(tmp_path: Path) -> None:
    config = load(written(tmp_path, f'"{CANARY}"'), {})
    [(field, source)] = config.settings.servers["acme"].secrets()
    assert field == "key"
    assert resolve(source, NAME, {}).reveal() == CANARY
    assert CANARY not in repr(config) + str(list(rows(config)))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o660])
def test_a_literal_key_is_refused_in_a_file_that_others_reach(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match=r":3: servers\.acme\.key: is written here, and others may read") as refused:
        load(written(tmp_path, f'"{CANARY}"', mode=mode), {})
    assert CANARY not in refused.value.message


def test_a_key_that_is_kept_elsewhere_is_fine_in_a_public_file(tmp_path: Path) -> None:
    load(written(tmp_path, '{ env = "K" }', mode=0o644), {})
    load(written(tmp_path, '{ env = "K" }', mode=0o644), {"LABELMIRROR__SERVERS__ACME__KEY": CANARY})


@pytest.mark.parametrize(
    "flag", ["servers.acme.key={canary}", 'servers.acme={{"kind": "pictograph", "key": "{canary}"}}']
)
def test_a_key_on_the_command_line_is_refused(tmp_path: Path, flag: str) -> None:
    with pytest.raises(ConfigError, match=r"--set: servers\.acme\.key is a secret") as refused:
        load(written(tmp_path, '{ env = "K" }'), {}, [flag.format(canary=CANARY)])
    assert CANARY not in refused.value.message


def test_a_key_may_come_inside_a_server_from_the_environment(tmp_path: Path) -> None:
    server = f'{{"kind": "pictograph", "key": "{CANARY}"}}'
    config = load(written(tmp_path, '{ env = "K" }', mode=0o644), {"LABELMIRROR__SERVERS__OTHER": server})
    [(_, source)] = config.settings.servers["other"].secrets()
    assert resolve(source, NAME, {}).reveal() == CANARY


@pytest.mark.parametrize(
    "mistake",
    [
        "reserv = 1",
        "key = 3",
        "url = 'https://u:{canary}@h'",
        "reserve = '{canary}'",
        "kind = '{canary}'",
        "generation = '{canary}'",
        "[datasets.x]\nserver = '{canary}'\npath = 'x'",
        "bandwidth = '{canary}'",
        "key = '{canary}",
    ],
)
def test_no_error_of_a_configuration_repeats_a_value(tmp_path: Path, mistake: str) -> None:
    file = written(tmp_path, f'"{CANARY}"', more=mistake.format(canary=CANARY) + "\n")
    with pytest.raises(ConfigError) as refused:
        load(file, {})
    assert CANARY not in "".join(traceback.format_exception(refused.value))


def test_a_key_comes_from_the_environment() -> None:
    assert resolve(SecretSource(env="K"), NAME, {"K": CANARY}).reveal() == CANARY


def test_a_missing_variable_is_named_with_the_way_to_set_it() -> None:
    error = refusal(SecretSource(env="PICTOGRAPH_API_KEY"))
    assert "the environment variable PICTOGRAPH_API_KEY is not set" in error.message
    assert "export PICTOGRAPH_API_KEY" in error.hint


def test_a_key_comes_from_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(CANARY + "\n")
    file.chmod(0o600)
    assert resolve(SecretSource(file=file), NAME, {}).reveal() == CANARY
    file.unlink()
    assert "cannot be read: No such file" in refusal(SecretSource(file=file)).message


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o644, True)])
def test_a_key_file_that_others_may_read_gives_a_warning(tmp_path: Path, mode: int, warned: bool) -> None:
    file = tmp_path / "acme.key"
    file.write_text(CANARY + "\n")
    file.chmod(mode)
    warnings = load(written(tmp_path, '{ file = "acme.key" }'), {}).warnings
    assert [f"may be read by others (mode {mode:04o}); chmod 600 {file}" in line for line in warnings] == [
        True
    ] * warned


def test_a_relative_key_file_is_meant_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    config = load(written(tmp_path, '{ file = "acme.key" }'), {})
    [(_, source)] = config.settings.servers["acme"].secrets()
    assert source.file == tmp_path / "acme.key"


def test_a_key_comes_from_a_command(tmp_path: Path) -> None:
    program = (sys.executable, "-c", f"print({CANARY!r})")
    assert resolve(SecretSource(command=program), NAME, {}).reveal() == CANARY
    failing = (sys.executable, "-c", f"print({CANARY!r}); raise SystemExit(3)")
    assert "ended with exit code 3" in refusal(SecretSource(command=failing)).message
    missing = refusal(SecretSource(command=(str(tmp_path / "missing"),)))
    assert "cannot be started" in missing.message


def test_a_key_comes_from_a_credential_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "acme").write_text(CANARY)
    source = SecretSource(credential="acme")
    assert resolve(source, NAME, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).reveal() == CANARY
    assert "LoadCredential=acme:PATH" in refusal(source).hint
    missing = refusal(SecretSource(credential="other"), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "cannot be read" in missing.message


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is not set"),
        ("  ", "is empty"),
        (f"{CANARY}\nX-Evil: 1", "single line"),
        (f"{CANARY}\x00", "single line"),
        ("k" * 70_000, "single line"),
        (f"{CANARY}\udcff", "single line"),
    ],
)
def test_what_cannot_be_a_key_is_refused(value: str, problem: str) -> None:
    assert problem in refusal(SecretSource(env="K"), {"K": value}).message
