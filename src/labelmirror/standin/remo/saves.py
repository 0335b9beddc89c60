"""What the body of a save says, judged by the rules that the real server has (contract, section 5.2).

Its serializers look at some fields and let others pass, which then break the code behind them. Both are copied: the
first gives 400 with a complaint for each entry, the second 500. Nothing is changed by either, but for a mark that only
the database refuses: what comes before it is stored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labelmirror.standin.remo.door import Malformed, broken
from labelmirror.standin.remo.model import Mark, Points, Sketch, Status, Task

NAME_MAX = 255
_BOOLEANS = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a save asks for. `status` None: as it is."""

    objects: tuple[Sketch, ...] = ()
    marks: tuple[Mark, ...] = ()
    status: Status | None = None
    new_classes: bool = True


def wanted(body: Any, task: Task) -> Wanted:
    """What the body of a save asks for. Raises Refusal (400 or 500)."""
    if not isinstance(body, dict):
        raise broken()
    status = _status(body)
    new_classes = not body.get("skip_new_classes", False)
    entries = body.get("objects", [])
    if not isinstance(entries, list | dict | str):
        raise broken()
    if task is Task.CLASSIFICATION:
        given = body.get("classes", [])
        errors = _class_errors(given)
        if errors:
            raise Malformed(errors)
        marks = tuple(_mark(entry, scored=True) for entry in given)
        return Wanted(marks=marks, status=status or Status.NOT_ANNOTATED, new_classes=new_classes)
    objects = [entry for entry in entries if isinstance(entry, dict)]
    if len(objects) != len(entries):
        raise broken()
    complaints = [_object_errors(entry) for entry in objects]
    if any(complaints):
        raise Malformed(complaints)
    return Wanted(objects=tuple(_sketch(entry) for entry in objects), new_classes=new_classes)


def _status(body: dict[str, Any]) -> Status | None:
    if "status" not in body:
        return None
    try:
        return Status.of(body["status"])
    except ValueError as error:
        raise broken() from error


def _object_errors(entry: dict[str, Any]) -> dict[str, Any]:
    errors = _complaints(entry, "name", _text_error)
    if "coordinates" not in entry:
        errors["coordinates"] = ["This field is required."]
    if "classes" not in entry:
        errors["classes"] = ["This field is required."]
    elif entry["classes"] is None:
        errors["classes"] = ["This field may not be null."]
    elif complaint := _class_errors(entry["classes"]):
        errors["classes"] = complaint
    if "auto_created" in entry and entry["auto_created"] is None:
        errors["auto_created"] = ["This field may not be null."]
    elif "auto_created" in entry and str(entry["auto_created"]).lower() not in _BOOLEANS:
        errors["auto_created"] = ["Must be a valid boolean."]
    return errors


def _class_errors(entries: Any) -> Any:
    """The complaint about a list of classes; nothing if there is none to make."""
    if entries is None:
        return {"non_field_errors": ["No data provided"]}
    if not isinstance(entries, list):
        return {"non_field_errors": [f'Expected a list of items but got type "{type(entries).__name__}".']}
    complaints = [
        _complaints(entry, "name", lambda value: _text_error(value, longest=None))
        if isinstance(entry, dict)
        else ["This field may not be null."]
        if entry is None
        else {"non_field_errors": [f"Invalid data. Expected a dictionary, but got {type(entry).__name__}."]}
        for entry in entries
    ]
    return complaints if any(complaints) else None


def _complaints(entry: dict[str, Any], name: str, judge: Callable[[Any], str | None]) -> dict[str, Any]:
    if name not in entry:
        return {name: ["This field is required."]}
    complaint = "This field may not be null." if entry[name] is None else judge(entry[name])
    return {} if complaint is None else {name: [complaint]}


def _text_error(value: Any, longest: int | None = NAME_MAX) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return "Not a valid string."
    text = str(value).strip()
    if not text:
        return "This field may not be blank."
    if longest is not None and len(text) > longest:
        return f"Ensure this field has no more than {longest} characters."
    return None


def _sketch(entry: dict[str, Any]) -> Sketch:
    return Sketch(
        name=str(entry["name"]),
        points=_points(entry["coordinates"]),
        marks=tuple(_mark(each, scored=False) for each in entry["classes"]),
        auto_created=_BOOLEANS[str(entry.get("auto_created", False)).lower()],
    )


def _mark(entry: dict[str, Any], *, scored: bool) -> Mark:
    name, questionable = str(entry["name"]), entry.get("questionable", False)
    try:
        score = float(entry["score"]) if scored and entry.get("score") is not None else None
    except (TypeError, ValueError):
        return Mark(name, storable=False)
    storable = len(name) <= NAME_MAX and isinstance(questionable, int)
    return Mark(name, questionable=bool(questionable), score=score, storable=storable)


def _points(value: Any) -> Points:
    """Whole pixels: fractions are cut towards zero."""
    try:
        return tuple((int(point["x"]), int(point["y"])) for point in value)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise broken() from error
