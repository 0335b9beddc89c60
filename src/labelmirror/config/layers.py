"""What lies over the file: flags and environment variables, each value with where it came from.

A variable is LABELMIRROR__ and the key, parts joined by "__": LABELMIRROR__SERVERS__ACME__RESERVE. Case does not matter
and "_" stands for "-" too; what fits two keys is refused. Lists and tables are JSON, all else is the bare text.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from labelmirror.config.document import KeyPath, RawTable, dotted
from labelmirror.config.settings import Settings
from labelmirror.errors import ConfigError
from labelmirror.providers.registry import KINDS
from labelmirror.providers.settings import ServerSettings

PREFIX: Final = "labelmirror__"


class Layer(Enum):
    """What can decide a value; a later one covers those before it."""

    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: a layer, and the line, variable or flag in it. Never what the value is."""

    layer: Layer
    place: str

    def __str__(self) -> str:
        return f"{self.layer.value} {self.place}"


@dataclass(frozen=True, slots=True)
class Override:
    """One value from outside the file, under the key as it was written."""

    written: KeyPath
    text: str
    origin: Origin


def from_environment(environ: Mapping[str, str]) -> list[Override]:
    """The settings among environment variables. Raises ConfigError when two differ in nothing but case."""
    found: dict[KeyPath, str] = {}
    for name in sorted(environ):
        if not name.lower().startswith(PREFIX):
            continue
        key = tuple(_folded(part) for part in name[len(PREFIX) :].split("__"))
        if key in found:
            msg = f"environment: {found[key]} and {name} name the same setting"
            raise ConfigError(msg, hint="unset one of them")
        found[key] = name
    return [
        Override(tuple(name[len(PREFIX) :].split("__")), environ[name], Origin(Layer.ENVIRONMENT, name))
        for name in found.values()
    ]


def from_flags(assignments: Sequence[str]) -> list[Override]:
    """The settings given as `--set KEY=VALUE`. Raises ConfigError on another form."""
    return [_from_flag(assignment) for assignment in assignments]


def _from_flag(assignment: str) -> Override:
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        msg = "--set: must be KEY=VALUE, such as --set servers.acme.reserve=0.1"
        raise ConfigError(msg)
    return Override(tuple(key.split(".")), text, Origin(Layer.FLAG, f"--set {key}"))


def lay_over(tables: RawTable, overrides: Sequence[Override], context: Mapping[str, object]) -> dict[KeyPath, Origin]:
    """Write the overrides into the tables, and give the origin of each key that was written.

    Raises ConfigError when a name fits two keys, or a key lies inside something that is no table.
    """
    origins: dict[KeyPath, Origin] = {}
    # A server's kind decides which keys it has, so it comes first.
    for override in sorted(overrides, key=lambda item: _folded(item.written[-1]) != "kind"):
        path: KeyPath = ()
        table = tables
        for part in override.written[:-1]:
            path += (_settled(part, path, table, tables, override),)
            table = table.setdefault(path[-1], {})
            if not isinstance(table, dict):
                msg = f"{override.origin}: {dotted(path)} is not a table"
                raise ConfigError(msg)
        path += (_settled(override.written[-1], path, table, tables, override),)
        table[path[-1]] = _value(override.text, _field(path, tables), context)
        for key in [key for key in origins if key[: len(path)] == path]:
            del origins[key]
        origins[path] = override.origin
    return origins


def model_at(path: KeyPath, tables: RawTable) -> type[BaseModel] | None:
    """The model of the table at this key; None where names are free, or there is no table."""
    match path:
        case ():
            return Settings
        case ("servers", _):
            server = tables.get("servers", {}).get(path[1])
            kind = server.get("kind") if isinstance(server, dict) else None
            return KINDS[kind].settings if isinstance(kind, str) and kind in KINDS else ServerSettings
        case ("datasets", _):
            return _table_in(Settings.model_fields["datasets"])
        case _:
            field = _field(path, tables)
            return None if field is None or path in {("servers",), ("datasets",)} else _table_in(field)


def _field(path: KeyPath, tables: RawTable) -> FieldInfo | None:
    model = model_at(path[:-1], tables) if path else None
    return model.model_fields.get(path[-1]) if model else None


def _table_in(field: FieldInfo) -> type[BaseModel] | None:
    return next(
        (part for part in _leaves(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)), None
    )


def _leaves(annotation: object) -> Iterator[object]:
    if arguments := get_args(annotation):
        for argument in arguments[:1] if get_origin(annotation) is Annotated else arguments:
            yield from _leaves(argument)
    else:
        yield annotation


def _folded(part: str) -> str:
    return part.lower().replace("-", "_")


def _settled(part: str, path: KeyPath, table: RawTable, tables: RawTable, override: Override) -> str:
    """The key that a part of a variable's name means: one that is there, one that may be there, or a new name."""
    if override.origin.layer is Layer.FLAG:
        return part
    model = model_at(path, tables)
    known = table.keys() | (model.model_fields.keys() if model else set())
    fitting = sorted(key for key in known if _folded(key) == _folded(part))
    if len(fitting) > 1:
        msg = f"{override.origin}: fits {' and '.join(dotted((*path, key)) for key in fitting)}"
        raise ConfigError(msg, hint="names that differ in case only cannot be set through the environment")
    return fitting[0] if fitting else part.lower()


def _value(text: str, field: FieldInfo | None, context: Mapping[str, object]) -> Any:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(parsed, list | dict) or field is None:
        return parsed
    meant: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(meant)
    try:  # a name such as "2024" is text where text is meant
        adapter.validate_python(text, strict=True, context=dict(context))
    except ValidationError:
        return parsed
    return text
