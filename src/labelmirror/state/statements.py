"""The SQL of the store, read from the files beside this module."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

_STATEMENT = re.compile(r"^-- (?P<name>\w+): .*\n(?P<sql>(?:(?!--).*\n)+)", re.MULTILINE)


def _read() -> Mapping[str, str]:
    text = (files("labelmirror.state") / "statements.sql").read_text("utf-8")
    return {found["name"]: found["sql"].strip().removesuffix(";") for found in _STATEMENT.finditer(text)}


#: Every statement by name.
SQL: Final[Mapping[str, str]] = _read()


def sides_of(keys: str) -> str:
    """The query for the three sides of documents whose keys the named query finds."""
    return f"WITH keys AS ({SQL[keys]}) {SQL['sides']}"


@cache
def migrations() -> Sequence[str]:
    """Scripts that each lead from one version of the schema to the next, the first from an empty database."""
    folder = files("labelmirror.state") / "migrations"
    scripts = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(script.read_text("utf-8") for script in scripts)
