"""The settings in force as rows of key, value and origin, in the order of config.example.toml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel

from labelmirror.config.document import KeyPath, dotted
from labelmirror.config.load import Config
from labelmirror.providers.forms import write_duration
from labelmirror.providers.secrets import SHOWN, SecretSource

#: A value as JSON can show it.
Shown = None | bool | int | float | str | list[str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One value in force; durations and paths as text, sizes in bytes, secrets as `***`."""

    key: str
    value: Shown
    origin: str


def rows(config: Config) -> Iterator[Setting]:
    """Every setting that the configuration has, those left at their defaults included."""
    for path, value in _leaves(config.settings, ()):
        yield Setting(dotted(path), _shown(path, value), config.origin(path))


def _leaves(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(value, BaseModel) and not isinstance(value, SecretSource):
        for name in type(value).model_fields:
            yield from _leaves(getattr(value, name), (*path, name))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    else:
        yield path, value


def _shown(path: KeyPath, value: object) -> Shown:
    match value:
        case SecretSource():
            return SHOWN
        case timedelta():
            return write_duration(value)
        case tuple():
            return [str(item) for item in value]
        case str() if path[-1] == "ping_url":  # who knows the whole address may call it
            parts = urlsplit(value)
            return f"{parts.scheme}://{parts.hostname}/{SHOWN}"
        case None | bool() | int() | float() | str():
            return value
        case Path():
            return str(value)
        case _:
            msg = f"no way to show a {type(value).__name__}"
            raise TypeError(msg)
