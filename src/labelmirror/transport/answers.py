"""What an answer means: JSON or not, and which error a status is. Pure; nothing a server sends is printed unchecked."""

import json
import math
import re
from collections.abc import Mapping, Sequence

from labelmirror.errors import (
    KeyRefused,
    Limited,
    NotFound,
    OutcomeUnknown,
    ProtocolError,
    Rejected,
    RemoteError,
    RoleRefused,
    TooLarge,
    Unavailable,
)
from labelmirror.model.document import JsonValue

#: A server's sentence is repeated up to this many characters.
SENTENCE_MAX = 300

_CHECK_LOGIN = "Check the key, or the user and the password, in the configuration: it may be wrong or expired."

#: Statuses of which a second try of a read may be answered better.
TRANSIENT = frozenset({408, 500, 502, 503, 504})

_QUERY = re.compile(r"(https?://[^\s?\"'<>]*)\?[^\s\"'<>]*", re.IGNORECASE)


def parse_json(data: bytes, *, depth_max: int, where: str) -> JsonValue:
    """A server's JSON. Raises ProtocolError for anything else, and TooLarge where it is nested too deeply."""
    try:
        value: JsonValue = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise TooLarge(f"{where} answered JSON that is nested more than {depth_max} deep") from None
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "not UTF-8, or a number out of range"
        raise ProtocolError(f"{where} answered broken JSON: {reason}") from None
    if deeper_than(value, depth_max, data.count(b"[") + data.count(b"{")):
        raise TooLarge(f"{where} answered JSON that is nested more than {depth_max} deep")
    return value


def expect_json(content_type: str, *, where: str) -> None:
    """Raises ProtocolError for an answer that does not call itself JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return
    said = "a web page (HTML)" if "html" in kind else f"{kind[:60]!r}" if kind else "something without a content type"
    raise ProtocolError(
        f"{where} answered {said} where JSON is expected",
        hint="Is the server's url right, and is no login page or proxy in between?",
    )


def failure(status: int, body: bytes, *, where: str, write: bool = False, retry_after_s: float = 0.0) -> RemoteError:
    """The error that a status of 300 or more is. A write that met 408 or 5xx may have been applied all the same."""
    said = sentence(body)
    message = f"{where} answered {status}" + (f": {said}" if said else "")
    match status:
        case 401:
            return KeyRefused(message, hint=_CHECK_LOGIN, status=status)
        case 402:
            return Rejected(message, status=status)
        case 403:
            return RoleRefused(message, hint="The key's role does not allow this.", status=status)
        case 404 | 410:
            return NotFound(message, status=status)
        case 429:
            return Limited(message, retry_after_s=retry_after_s)
        case _ if status in TRANSIENT or status >= 500:
            return (OutcomeUnknown if write else Unavailable)(message, status=status)
        case _ if 300 <= status < 400:
            return ProtocolError(f"{message} (a redirect to another server, which is not followed)", status=status)
        case _:
            return Rejected(message, status=status)


def sentence(body: bytes) -> str:
    """What an error body says, in one printable line without URL queries; "" when it says nothing readable.

    In the order of Pictograph's generations: `error.message`, `detail`, `error` and `message` as texts,
    `detail.message`, and the first of a list of field errors.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(value, Mapping):
        return ""
    error, detail = value.get("error"), value.get("detail")
    candidates: list[object] = []
    if isinstance(error, Mapping):
        candidates += [error.get("message"), error.get("code")]
    candidates += [detail, value.get("message"), error]
    if isinstance(detail, Mapping):
        candidates.append(detail.get("message"))
    if isinstance(detail, list) and detail and isinstance(detail[0], Mapping):
        candidates.append(_field_error(detail[0]))
    text = next((item for item in candidates if isinstance(item, str) and item.strip()), "")
    return repeatable(text)


def repeatable(text: str) -> str:
    """A server's text as it may be shown: one printable line of bounded length, without URL queries."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return _QUERY.sub(r"\1?…", printable.strip())[:SENTENCE_MAX]


def _field_error(item: Mapping[str, object]) -> str:
    place = item.get("loc")
    path = ".".join(str(part) for part in place) if isinstance(place, Sequence) and not isinstance(place, str) else ""
    return f"{path}: {item.get('msg', '')}".strip(": ")


def deeper_than(value: JsonValue, depth_max: int, brackets: int) -> bool:
    """Whether lists and tables stand more than `depth_max` deep in a value whose text has so many opening brackets."""
    if brackets <= depth_max:  # counting is far quicker than walking, and nearly always enough
        return False
    level: list[JsonValue] = [value]
    for _ in range(depth_max + 1):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _refuse(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
