"""Flags win over the environment, that over the file, that over the defaults; each value knows its origin."""

import random
from pathlib import Path

import pytest

from labelmirror.config import Config, load
from labelmirror.config.problems import one_of
from labelmirror.config.show import rows
from labelmirror.errors import ConfigError
from labelmirror.providers.registry import KINDS

TEXT = """\
[servers.acme]
kind = "pictograph"
key = { env = "K" }
reserve = 0.2
[datasets.Street-West]
server = "acme"
name = "Street"
path = "street"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "labelmirror.toml"
    path.write_text(TEXT)
    path.chmod(0o600)
    return path


def origin(config: Config, key: str) -> str:
    return next(row.origin for row in rows(config) if row.key == key)


def refusal(file: Path, environ: dict[str, str], *flags: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(file, environ, flags)
    return refused.value.message


def test_each_layer_covers_the_one_below_and_says_so(file: Path) -> None:
    name, flag = "LABELMIRROR__SERVERS__ACME__RESERVE", "servers.acme.reserve"
    for environ, flags, value, expected in (
        ({}, (), 0.2, f"file {file}:4"),
        ({name: "0.3"}, (), 0.3, f"environment {name}"),
        ({name: "0.3"}, (f"{flag}=0.4",), 0.4, f"flag --set {flag}"),
    ):
        config = load(file, environ, flags)
        assert config.settings.servers["acme"].reserve == value
        assert origin(config, flag) == expected
        assert origin(config, "servers.acme.share") == "default"


@pytest.mark.parametrize("seed", range(50))
def test_case_never_matters_in_the_environment(file: Path, seed: int) -> None:
    print(f"seed {seed}")
    source = random.Random(seed)
    name = "".join(source.choice([char.lower(), char.upper()]) for char in "labelmirror__datasets__street_west__push")
    config = load(file, {name: "true"})
    assert config.settings.datasets["Street-West"].push is True
    assert origin(config, "datasets.Street-West.push") == f"environment {name}"


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("SERVERS__ACME__CONNECTIONS", "4", "servers.acme.connections", 4),
        ("SERVERS__ACME__BANDWIDTH", "1MiB", "servers.acme.bandwidth", 2**20),
        ("SERVERS__ACME__BANDWIDTH", "4096", "servers.acme.bandwidth", 4096),
        ("SERVERS__ACME__CAPS__PAGES", "7", "servers.acme.caps.pages", 7),
        ("SERVERS__ACME__CAPS", '{"pages": 7}', "servers.acme.caps.pages", 7),
        ("SERVERS__ACME__KEY", '{"env": "OTHER"}', "servers.acme.key", "***"),
        ("SERVERS__ACME__KEY", "pk_live_canary", "servers.acme.key", "***"),
        ("DATASETS__STREET_WEST__NAME", "2024", "datasets.Street-West.name", "2024"),
        ("DATASETS__STREET_WEST__NAME", "true", "datasets.Street-West.name", "true"),
        ("DATASETS__STREET_WEST__EVERY", "1h", "datasets.Street-West.every", "1h"),
        ("DATASETS__STREET_WEST__SELECT__STATUS", '["new"]', "datasets.Street-West.select.status", ["new"]),
        ("DAEMON__ON_CHANGE", '["reindex", "-q"]', "daemon.on_change", ["reindex", "-q"]),
        ("RETENTION__HISTORY", "1d", "retention.history", "1d"),
        ("VERSION", "1", "version", 1),
    ],
)
def test_a_variable_reads_as_its_setting_is_meant(
    file: Path, variable: str, text: str, key: str, value: object
) -> None:
    config = load(file, {f"LABELMIRROR__{variable}": text})
    shown = next(row for row in rows(config) if row.key == key)
    assert shown.value == value
    assert shown.origin == f"environment LABELMIRROR__{variable}"


def test_a_server_and_a_mirror_can_come_from_the_environment_alone(tmp_path: Path) -> None:
    file = tmp_path / "labelmirror.toml"
    file.write_text("")
    prefix = "LABELMIRROR__"
    settings = load(
        file,
        {
            prefix + "SERVERS__ACME__CONNECTIONS": "3",
            prefix + "SERVERS__ACME__GENERATION": "g2",
            prefix + "SERVERS__ACME__KIND": "pictograph",
            prefix + "SERVERS__ACME__KEY": '{"env": "K"}',
            prefix + "DATASETS__STREET": '{"server": "acme", "name": "Street", "path": "street"}',
        },
    ).settings
    assert settings.servers["acme"].connections == 3
    assert settings.datasets["street"].path == tmp_path / "street"


def test_two_variables_for_one_setting_are_ambiguous(file: Path) -> None:
    one, other = "LABELMIRROR__STATE", "labelmirror__state"
    assert refusal(file, {one: "a", other: "b"}) == f"environment: {one} and {other} name the same setting"


def test_a_variable_that_fits_two_entries_is_ambiguous(file: Path) -> None:
    file.write_text(TEXT + TEXT.replace("acme", "ACME").replace("Street", "Other").replace('"street"', '"other"'))
    message = refusal(file, {"LABELMIRROR__SERVERS__ACME__RESERVE": "0.1"})
    assert message == "environment LABELMIRROR__SERVERS__ACME__RESERVE: fits servers.ACME and servers.acme"


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("SERVERS__ACME__RESERV", "1", 'servers.acme.reserv: unknown key; did you mean "reserve"?'),
        ("SERVERS__ACME__RESERVE", "much", "servers.acme.reserve: must be a number"),
        ("SERVERS__ACME__RESERVE", "", "servers.acme.reserve: must be a number"),
        ("DATASETS__STREET_WEST__PUSH", "yes", "datasets.Street-West.push: must be true or false"),
        ("DATASETS__STREET_WEST__SELECT__STATUS", "new", "datasets.Street-West.select.status: must be a list"),
        ("SERVERS__ACNE__RESERVE", "0.1", f"servers.acne: needs kind, which is {one_of(KINDS)}"),
        ("SERVERS__ACME__CONNECTIONS__MAX", "4", "servers.acme.connections: must be a whole number"),
        ("STATE__X", "1", "state is not a table"),
        ("SATE", "1", 'sate: unknown key; did you mean "state"?'),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(file: Path, variable: str, text: str, problem: str) -> None:
    file.write_text('state = "state"\n' + TEXT)
    assert refusal(file, {f"LABELMIRROR__{variable}": text}) == f"environment LABELMIRROR__{variable}: {problem}"


@pytest.mark.parametrize("flag", ["", "x", "=1", "a..b=1", "servers."])
def test_a_flag_is_a_key_and_a_value(file: Path, flag: str) -> None:
    assert refusal(file, {}, flag).startswith("--set: must be KEY=VALUE")


def test_a_mistake_in_a_flag_names_the_flag(file: Path) -> None:
    message = refusal(file, {}, "servers.acme.reserv=1")
    assert message == 'flag --set servers.acme.reserv: servers.acme.reserv: unknown key; did you mean "reserve"?'
    message = refusal(file, {}, "SERVERS.acme.reserve=1")
    assert message == 'flag --set SERVERS.acme.reserve: SERVERS: unknown key; did you mean "servers"?'


def test_other_variables_with_a_similar_name_are_not_settings(file: Path) -> None:
    load(file, {"LABELMIRROR_CONFIG": "x", "LABELMIRROR_X": "1", "XLABELMIRROR__STATE": "1"})
