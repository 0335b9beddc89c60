"""From file, environment and flags to one `Config`, or to one ConfigError that lists everything that is wrong."""

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from labelmirror.config import checks, layers, places
from labelmirror.config.document import Document, KeyPath, RawTable, dotted, read
from labelmirror.config.layers import Layer, Origin
from labelmirror.config.problems import Problem, from_validation, nearest, one_of
from labelmirror.config.settings import Settings
from labelmirror.errors import ConfigError
from labelmirror.providers.forms import FOLDER
from labelmirror.providers.registry import KINDS
from labelmirror.providers.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Config:
    """Settings in force. `origins` has an entry for each key that something other than a default decided.

    `warnings` are lines in the form of the errors: file, line, key, what about it.
    """

    file: Path
    settings: Settings
    origins: Mapping[KeyPath, Origin]
    warnings: tuple[str, ...]

    def origin(self, path: KeyPath) -> str:
        """Where a value comes from: `flag --set K`, `environment V`, `file F:LINE` or `default`.

        A value that was written as a table, such as a secret, comes from where the table's first key does.
        """
        within = (self.origins[key] for key in self.origins if key[: len(path)] == path)
        found = _origin(path, self.origins) or next(within, None)
        return str(found) if found else "default"


def load(flag: Path | None, environ: Mapping[str, str], assignments: Sequence[str] = ()) -> Config:
    """Find the file, lay environment and `--set` flags over it, and validate the whole.

    Raises ConfigError (exit 2) with one line for each problem. Resolves no secret and contacts no server.
    """
    return settle(read(places.config_file(flag, environ)), environ, assignments)


def settle(document: Document, environ: Mapping[str, str], assignments: Sequence[str] = ()) -> Config:
    """What `load` does, from a file that was read already."""
    folder = document.path.absolute().parent
    context = {FOLDER: folder}
    tables = deepcopy(document.tables)
    overrides = layers.from_environment(environ) + layers.from_flags(assignments)
    over = layers.lay_over(tables, overrides, context)
    origins = _file_origins(document, over) | over
    _add_defaults(tables, environ, folder)

    settings, problems = _validate(tables, context)
    if settings is not None:
        problems = [*checks.contradictions(settings), *_exposed_secrets(settings, document, origins)]
    if problems or settings is None:
        raise _error(problems, document, origins)
    _refuse_secret_flags(settings, origins)
    warnings = tuple(_line(problem, document, origins) for problem in checks.warnings(settings))
    return Config(document.path, settings, origins, warnings)


def _origin(path: KeyPath, origins: Mapping[KeyPath, Origin]) -> Origin | None:
    """What decided this key, or the table around it."""
    around = (path[:length] for length in range(len(path), 0, -1))
    return next((origins[key] for key in around if key in origins), None)


def _layer(path: KeyPath, origins: Mapping[KeyPath, Origin]) -> Layer | None:
    return origin.layer if (origin := _origin(path, origins)) else None


def _file_origins(document: Document, over: Mapping[KeyPath, Origin]) -> dict[KeyPath, Origin]:
    def leaves(table: RawTable, path: KeyPath) -> Iterator[KeyPath]:
        for key, value in table.items():
            if isinstance(value, dict):
                yield from leaves(value, (*path, key))
            else:
                yield (*path, key)

    return {
        path: Origin(Layer.FILE, f"{document.path}:{line}" if (line := document.line(path)) else str(document.path))
        for path in leaves(document.tables, ())
        if not any(path[: len(written)] == written for written in over)
    }


def _add_defaults(tables: RawTable, environ: Mapping[str, str], folder: Path) -> None:
    """Fill in what depends on the machine, so that models hold it like any other value."""
    home = places.state_home(environ)
    state = tables.setdefault("state", str(home))
    tables.setdefault("ledger", str(home / "ledger.db"))
    backup, daemon = tables.setdefault("backup", {}), tables.setdefault("daemon", {})
    if isinstance(backup, dict):
        backup.setdefault("path", "backups")
    if isinstance(daemon, dict):
        # Where `state` itself is no path, its own problem is the one to tell: nothing may fail here.
        known = folder / os.path.expanduser(state) if isinstance(state, str) else home  # noqa: PTH111
        daemon.setdefault("socket", str(places.default_socket(known, environ)))


def _validate(tables: RawTable, context: Mapping[str, object]) -> tuple[Settings | None, list[Problem]]:
    servers: dict[str, ServerSettings] = {}
    problems: list[Problem] = []
    written = tables.get("servers", {})
    for name, table in written.items() if isinstance(written, dict) else ():
        if problem := _kind_problem(("servers", name), table):
            problems.append(problem)
            continue
        model = KINDS[table["kind"]].settings
        given = {"url": model.default_url} | table if model.default_url else table
        try:
            servers[name] = model.model_validate(given, context=dict(context))
        except ValidationError as error:
            problems += from_validation(error, ("servers", name), tables)
    try:
        rest = tables | ({"servers": servers} if isinstance(written, dict) else {})
        settings = Settings.model_validate(rest, context=dict(context))
    except ValidationError as error:
        return None, problems + list(from_validation(error, (), tables))
    return (None if problems else settings), problems


def _kind_problem(path: KeyPath, table: object) -> Problem | None:
    if not isinstance(table, dict):
        return Problem(path, "must be a table")
    if "kind" not in table:
        return Problem(path, f"needs kind, which is {one_of(KINDS)}")
    kind = table["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        return Problem((*path, "kind"), f"must be {one_of(KINDS)}{nearest(kind, KINDS)}")
    return None


def _exposed_secrets(settings: Settings, document: Document, origins: Mapping[KeyPath, Origin]) -> Iterator[Problem]:
    for name, server in settings.servers.items():
        for field, source in server.secrets():
            path = ("servers", name, field)
            if source.literal is not None and _layer(path, origins) is Layer.FILE and document.open_to_others:
                yield Problem(path, "is written here, and others may read this file: chmod 600, or use { env = … }")


def _refuse_secret_flags(settings: Settings, origins: Mapping[KeyPath, Origin]) -> None:
    for name, server in settings.servers.items():
        for field, source in server.secrets():
            if source.literal is not None and _layer(("servers", name, field), origins) is Layer.FLAG:
                msg = f"--set: servers.{name}.{field} is a secret, and other users can read a command line"
                raise ConfigError(msg, hint="use { env = … }, { file = … }, { command = … } or { credential = … }")


def _error(problems: Sequence[Problem], document: Document, origins: Mapping[KeyPath, Origin]) -> ConfigError:
    ordered = sorted(problems, key=lambda problem: document.line(problem.path) or 0)
    return ConfigError("\n".join(_line(problem, document, origins) for problem in ordered))


def _line(problem: Problem, document: Document, origins: Mapping[KeyPath, Origin]) -> str:
    """`FILE:LINE: KEY: what is wrong`; for a value from elsewhere, that in the place of file and line."""
    within = [origins[key] for key in origins if key[: len(problem.path)] == problem.path]
    # A table of which nothing is in the file comes from what names a key in it.
    elsewhere = within[0] if within and all(origin.layer is not Layer.FILE for origin in within) else None
    origin = _origin(problem.path, origins) or elsewhere
    if origin is not None and origin.layer is not Layer.FILE:
        where = str(origin)
    else:
        line = document.line(problem.path)
        where = f"{document.path}:{line}" if line else str(document.path)
    return f"{where}: {dotted(problem.path)}: {problem.sentence}"
