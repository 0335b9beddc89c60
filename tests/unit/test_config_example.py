"""config.example.toml loads, and shows every setting there is with the default that is in force."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from labelmirror.config import load
from labelmirror.config.layers import model_at
from labelmirror.config.show import rows
from labelmirror.providers.registry import KINDS
from labelmirror.providers.settings import ServerSettings

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
TABLES = {"servers": {"acme": {"kind": "pictograph"}}}
COMMENTED = re.compile(r"# ((\w+) = .*)")


def fields(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    """Every key that may be written, with the example's names for server and mirror."""
    for name in model.model_fields:
        within = (
            (*path, name, {"servers": "acme", "datasets": "street"}[name]) if name in TABLES_OF_NAMES else (*path, name)
        )
        inner = model_at(within, dict(TABLES)) if name != "key" else None
        if inner is None:
            yield ".".join(within)
        else:
            yield from fields(inner, within)


TABLES_OF_NAMES = ("servers", "datasets")


def test_every_kind_of_server_is_shown_with_what_is_its_own(everything: Path) -> None:
    config = load(everything, {})
    written = {row.key for row in rows(config) if row.origin != "default"}
    shown = {server.kind: name for name, server in config.settings.servers.items()}
    assert shown.keys() == KINDS.keys()
    for kind, name in shown.items():
        own = KINDS[kind].settings.model_fields.keys() - ServerSettings.model_fields.keys()
        assert {f"servers.{name}.{field}" for field in own} <= written


def uncommented() -> str:
    """The example with each setting that is shown as a comment switched on."""
    return "\n".join(
        found[1] if (found := COMMENTED.fullmatch(line)) else line for line in EXAMPLE.read_text().splitlines()
    )


def test_the_example_loads_as_it_is() -> None:
    config = load(EXAMPLE, {})
    assert config.warnings == ()
    assert config.settings.state == EXAMPLE.parent / "state"
    assert config.settings.datasets["street"].select.status == ("complete",)


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """The example with all settings on, less those that exclude another."""
    file = tmp_path / "labelmirror.toml"
    lines = uncommented().splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith(("id =", "calendar ="))))
    return file


def test_every_setting_appears_in_the_example(everything: Path) -> None:
    root = model_at((), {})
    assert root is not None
    config = load(everything, {})
    written = {row.key for row in rows(config) if row.origin != "default"}
    excluded = {"datasets.street.id", "datasets.street.calendar"}
    assert set(fields(root, ())) - written == excluded
    assert 'id = "' in uncommented()
    assert 'calendar = "' in uncommented()


def test_what_the_example_shows_as_a_default_is_the_default(everything: Path) -> None:
    shown = {row.key: row.value for row in rows(load(everything, {}))}
    defaults = {row.key: row.value for row in rows(load(EXAMPLE, {})) if row.origin == "default"}
    # These have no default, or one that depends on the machine: the example shows a likely value.
    examples = {key for key, value in defaults.items() if value is None} | {"ledger", "daemon.socket", "backup.path"}
    assert {key: shown[key] for key in defaults if key not in examples} == {
        key: value for key, value in defaults.items() if key not in examples
    }
    assert len(defaults) - len(examples) > 15
