"""Documents, their canonical digests, and the JSON they are made of."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring
from typing import NewType

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
JsonObject = Mapping[str, JsonValue]

#: A document as parsed: the annotation list under "annotations", everything else carried along untouched.
Document = JsonObject

#: Hex SHA-256 of a document's canonical form: equal digests mean that people see the same annotations.
Digest = NewType("Digest", str)

#: How many annotations of each category a document has: small enough to keep in every row, enough for the guards.
Counts = Mapping[str, int]

#: Hex SHA-256 of bytes as they lie on disk: names a stored content.
ContentId = NewType("ContentId", str)


def content_id(data: bytes) -> ContentId:
    """Name these bytes."""
    return ContentId(hashlib.sha256(data).hexdigest())


_PLAIN = frozenset({str, int, bool})
_NO_NUMBER = "NaN and infinity are no JSON numbers"
_CONSTANTS = {None: "null", True: "true", False: "false"}
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: JsonValue) -> JsonValue:
    """The same value with every number in one spelling: 1.0 becomes 1, -0.0 becomes 0. Raises ValueError on NaN."""
    # What json.loads gives, by exact type: an abstract isinstance costs ten times as much, and this is asked millions of times.
    if value is None or type(value) in _PLAIN:
        return value
    if type(value) is dict:
        return {key: item if type(item) in _PLAIN else canonical(item) for key, item in value.items()}
    if type(value) is list:
        return [item if type(item) in _PLAIN else canonical(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(_NO_NUMBER)
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [canonical(item) for item in value]
    return value


def digest_of(value: JsonValue) -> Digest:
    """Hash a value by its canonical JSON: sorted keys, no spaces, one spelling for each number."""
    text = _CANONICAL.encode(canonical(value))
    return Digest(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def render(document: Document) -> bytes:
    """A document as it lies in the mirror: two-space indent, keys in the order they came, UTF-8, a final newline."""
    return (_spelled(document, "\n") + "\n").encode("utf-8", "surrogatepass")


def _spelled(value: JsonValue, line: str) -> str:
    """JSON as json.dumps(indent=2) spells it; `line` begins a line of the value's own depth.

    The library's C code cannot indent, and its Python code takes three times as long: a first mirror spells every document.
    """
    # What json.loads gives, the commonest first.
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(_NO_NUMBER)
        return float.__repr__(value)
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, int):
        return int.__repr__(value)
    deeper = f"{line}  "
    if isinstance(value, dict):
        items = [f"{encode_basestring(key)}: {_spelled(item, deeper)}" for key, item in value.items()]
        return f"{{{deeper}{f',{deeper}'.join(items)}{line}}}" if items else "{}"
    if isinstance(value, list | tuple):
        items = [_spelled(item, deeper) for item in value]
        return f"[{deeper}{f',{deeper}'.join(items)}{line}]" if items else "[]"
    raise TypeError(f"{type(value).__name__} is not in JSON")
