"""What is wrong with a configuration, one line each: file, line, key, problem, the nearest valid name.

A line never repeats a value, because a value may be a key or a password.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from labelmirror.config.document import KeyPath, RawTable
from labelmirror.config.layers import model_at


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `sentence` reads on after the name of the key."""

    path: KeyPath
    sentence: str


def nearest(name: object, valid: Iterable[str]) -> str:
    """`; did you mean "…"?` for the most similar valid name, or nothing when none is similar."""
    folded = {item.lower(): item for item in sorted(valid)}
    close = difflib.get_close_matches(name.lower(), folded, 1) if isinstance(name, str) else []
    return f'; did you mean "{folded[close[0]]}"?' if close else ""


def one_of(names: Iterable[str]) -> str:
    """`"a", "b" or "c"`."""
    *others, last = [f'"{name}"' for name in names]
    return f"{', '.join(others)} or {last}" if others else last


_TYPES = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "path_type": "must be text",
    "is_instance_of": "must be a table",
    "time_delta_type": 'must be a duration with its unit, such as "15m"',
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "missing": "is required",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
_BOUNDS = {"gt": "must be greater than", "ge": "must be at least", "lt": "must be less than", "le": "must be at most"}


def from_validation(error: ValidationError, prefix: KeyPath, tables: RawTable) -> Iterator[Problem]:
    """The problems that a model found in the table at `prefix` of the settings as they were written."""
    for detail in error.errors(include_url=False, include_context=True):
        path = prefix + tuple(str(part) for part in detail["loc"])
        yield Problem(path, _sentence(detail, path, tables))


def _sentence(detail: ErrorDetails, path: KeyPath, tables: RawTable) -> str:
    context = detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        model = model_at(path[:-1], tables)
        return "unknown key" + nearest(path[-1], model.model_fields if model else ())
    if detail["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        if not allowed:
            return f"must be {context['expected']}"
        return f"must be {one_of(allowed)}" + nearest(detail["input"], allowed)
    for name, words in _BOUNDS.items():
        if name in context:
            return f"{words} {context[name]}"
    return _TYPES.get(detail["type"], detail["msg"])
