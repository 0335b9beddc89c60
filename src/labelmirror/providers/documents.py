"""Working documents as people leave them: strict JSON, and for everything wrong in it the place where it stands. Pure."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Document, JsonObject, JsonValue
from labelmirror.providers.places import Path, Place, lines, places, pointer
from labelmirror.transport.answers import deeper_than

#: Lists and tables inside one another: more than a server may send, and less than what code that goes down by calling itself can.
DEPTH_MAX = 300
_TOO_DEEP = "the document is nested too deeply"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that the server would refuse, or not keep: where it stands, what is wrong, and what is allowed."""

    path: Path
    message: str
    allowed: str = ""


def sentence(problem: Problem) -> str:
    """A problem with the pointer to its place."""
    return f"{pointer(problem.path)}: {problem.message}. {problem.allowed}".strip()


def located(data: bytes, problems: Sequence[Problem]) -> Sequence[InvalidDocument]:
    """The problems of a document with the lines of its file."""
    if not problems:
        return []
    at = lines(data.decode("utf-8-sig"), [problem.path for problem in problems])
    return [
        InvalidDocument(problem.message, pointer=pointer(problem.path), line=at[problem.path], hint=problem.allowed)
        for problem in problems
    ]


def parse_document(data: bytes) -> Document:
    """Read a document: UTF-8 JSON (a byte order mark is skipped), an object with a list "annotations" of objects.

    Raises InvalidDocument with pointer and line for anything else, and where a key stands twice in one object.
    """
    text = _decoded(data)
    document = _load(text)
    if not isinstance(document, Mapping):
        raise InvalidDocument(f"the document is {kind(document)}, an object is expected")
    annotations = document.get("annotations")
    if not isinstance(annotations, list):
        raise _misplaced("a list of annotations is expected", text, ("annotations",))
    for index, annotation in enumerate(annotations):
        if not isinstance(annotation, Mapping):
            said = f"an annotation is {kind(annotation)}, an object is expected"
            raise _misplaced(said, text, ("annotations", index))
    return document


def kind(value: JsonValue) -> str:
    """What a person would call the value's kind."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case _:
            return "a list"


def _misplaced(message: str, text: str, path: Path) -> InvalidDocument:
    return InvalidDocument(message, pointer=pointer(path), line=lines(text, [path])[path])


def is_number(value: JsonValue) -> TypeGuard[int | float]:
    """Whether it is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no floating-point number comes near
        return False


def shown(value: JsonValue) -> str:
    """A value as a message may show it: JSON in one printable line, long ones cut."""
    text = json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= 60 else f"{text[:60]}…"
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidDocument("the document is not UTF-8 text", line=line, hint="Save the file as UTF-8.") from error


def _load(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_number, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise InvalidDocument(f"this is not JSON: {error.msg}, column {error.colno}", line=error.lineno) from error
    except RecursionError as error:
        raise InvalidDocument(_TOO_DEEP) from error
    except _Refused as error:
        place = next(place for place in places(text) if error.means(place))
        raise InvalidDocument(str(error), pointer=pointer(place.path), line=place.line) from None
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidDocument("a number in the document is too long") from error
    if deeper_than(value, DEPTH_MAX, text.count("[") + text.count("{")):
        raise InvalidDocument(_TOO_DEEP)
    return value


class _Refused(Exception):
    """JSON that Python reads and a document may not have. `means` tells its place in the text from others."""

    def __init__(self, message: str, means: Callable[[Place], bool]) -> None:
        super().__init__(message)
        self.means = means


def _unique(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        seen: set[Path] = set()

        def is_second(place: Place) -> bool:
            again = place.path in seen
            seen.add(place.path)
            return again and place.path[-1] == twice

        raise _Refused(f"the key {json.dumps(twice)} stands twice in one object", is_second)
    return table


def _refuse_number(text: str) -> float:
    raise _Refused(f"{text} is no JSON number", lambda place: place.text == text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Refused(f"the number {text[:20]} is too large", lambda place: place.text == text)
    return number
