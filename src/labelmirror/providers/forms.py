"""How people write durations, sizes, moments, places and addresses in settings.

Parsers are pure and raise ValueError with a sentence that starts with "must" and never repeats the input. The annotated
types below carry them into pydantic models. Relative paths need the folder of the configuration file, which a validation
hands over as `context={FOLDER: Path(...)}`.
"""

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

#: The key of the validation context that holds the folder from which relative paths are meant.
FOLDER: Final = "folder"

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_DURATION_MAX_S: Final = 100 * 365 * 86400

_BYTES: Final = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES_BINARY: Final = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)")


class Table(BaseModel):
    """A table of settings: frozen, exact about types and names. Its errors never repeat what was written."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


def problem(sentence: str) -> PydanticCustomError:
    """The error by which a validator says what is wrong; the sentence reads on after the name of the key."""
    return PydanticCustomError("form", "{sentence}", {"sentence": sentence})


def parse_duration(text: str) -> timedelta:
    """Read "250ms", "15m", "1h30m", "90d" or "2w". A number needs its unit."""
    parts = list(_DURATION_PART.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        msg = 'must be a duration with its unit, such as "30s", "15m", "24h" or "90d"'
        raise ValueError(msg)
    seconds = sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
    if seconds > _DURATION_MAX_S:
        msg = "must be a duration of at most 100 years"
        raise ValueError(msg)
    return timedelta(seconds=seconds)


def write_duration(duration: timedelta) -> str:
    """The shortest form that `parse_duration` reads back: 90 minutes give "1h30m"."""
    left_ms = round(duration / timedelta(milliseconds=1))
    written = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, left_ms = divmod(left_ms, round(_SECONDS[unit] * 1000))
        written += f"{count}{unit}" if count else ""
    return written or "0s"


def parse_size(text: str) -> int:
    """Read "512", "50MiB" or "1.5 GB" as bytes."""
    parts = _SIZE.fullmatch(text)
    factor = (_BYTES | _BYTES_BINARY).get(parts[2]) if parts else None
    if parts is None or factor is None:
        msg = 'must be a size such as "50MiB", "1GB" or "4096"'
        raise ValueError(msg)
    return round(float(parts[1]) * factor)


_SHORTHANDS: Final = frozenset({"hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly"})
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CALENDAR: Final = re.compile(
    r"(?:(?P<days>[A-Za-z.,]+) +)?(?:(?:(?P<year>[\d*.,/]+)-)?(?P<month>[\d*.,/]+)-(?P<day>[\d*.,/]+) +)?"
    r"(?P<hour>[\d*.,/]+):(?P<minute>[\d*.,/]+)(?::(?P<second>[\d*.,/]+))?"
)
_RANGES: Final = {
    "year": (1970, 2200),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
_FIELD: Final = re.compile(r"(?:\*|(\d+)(?:\.\.(\d+))?)(?:/(\d+))?")


def parse_calendar(text: str) -> str:
    """Check a moment that comes again, in the form of systemd.time(7): `[weekdays] [[year-]month-day] hour:minute[:second]`.

    Each part is a list of numbers, ranges `a..b`, `*` and steps `/n`; "daily" and its like are taken too. Returns the
    text as it was given.
    """
    if text in _SHORTHANDS:
        return text
    parts = _CALENDAR.fullmatch(text)
    if parts is None or not all(_in_range(parts[name], *_RANGES[name]) for name in _RANGES if parts[name]):
        msg = 'must be a calendar such as "daily", "*-*-* 03:00" or "Mon..Fri 06:30"'
        raise ValueError(msg)
    days = re.split(r",|\.\.", parts["days"].lower()) if parts["days"] else []
    if not all(day[:3] in _WEEKDAYS and _weekday_name(day[:3]).startswith(day) for day in days):
        msg = 'must name weekdays as in "Mon..Fri" or "Sat,Sun"'
        raise ValueError(msg)
    return text


def _weekday_name(short: str) -> str:
    return {"tue": "tuesday", "wed": "wednesday", "thu": "thursday", "sat": "saturday"}.get(short, f"{short}day")


def _in_range(written: str, least: int, most: int) -> bool:
    for item in written.split(","):
        match = _FIELD.fullmatch(item)
        if match is None or match[3] == "0":
            return False
        first, last = match[1], match[2] or match[1]
        if first is not None and not least <= int(first) <= int(last) <= most:
            return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host, by its name or address alone, is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_origin(text: str) -> str:
    """Check the address of a server: http or https, a host, perhaps a port, nothing else. A final "/" is dropped."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # urlsplit looks at the port only when it is asked for
    except ValueError as error:
        msg = "must be an address such as https://host or https://host:8443"
        raise ValueError(msg) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"\s", text):
        msg = "must be an address such as https://host or https://host:8443"
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = "must not hold a user or a password; they have settings of their own"
        raise ValueError(msg)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        msg = "must end after host and port"
        raise ValueError(msg)
    return f"{parts.scheme}://{parts.netloc}"


def parse_ping_url(text: str) -> str:
    """Check an http or https address that is called as it stands."""
    msg = "must be an http or https address"
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValueError(msg) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(msg)
    return text


def parse_listen(text: str) -> str:
    """Check a host and a port to listen on, such as "127.0.0.1:9464" or "[::1]:9464"."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        msg = 'must be a host and a port, such as "127.0.0.1:9464"'
        raise ValueError(msg)
    return text


def _written(parse: Callable[[str], object]) -> Callable[[object], object]:
    """A validator that reads text by this parser and leaves everything else to the type behind it."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse(value)
        except ValueError as error:
            raise problem(str(error)) from None

    return validate


def _duration(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        sentence = 'must be a duration with its unit, such as "30s", "15m", "24h" or "90d"'
        raise problem(sentence)
    return _written(parse_duration)(value)


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        sentence = "must be longer than 0s"
        raise problem(sentence)
    return value


def _path(value: object, info: ValidationInfo) -> object:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        sentence = "must be a path, as text"
        raise problem(sentence)
    folder: Path = (info.context or {})[FOLDER]
    try:
        return folder / Path(value).expanduser()
    except RuntimeError:
        sentence = "begins with the home folder of a user that this machine does not know"
        raise problem(sentence) from None


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _program(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if "/" not in value[0] or value[0].startswith("/"):
        return value
    return str(_path(value[0], info)), *value[1:]


Duration = Annotated[timedelta, BeforeValidator(_duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Size = Annotated[int, BeforeValidator(_written(parse_size)), Field(gt=0)]
Calendar = Annotated[str, BeforeValidator(_written(parse_calendar))]
FilePath = Annotated[Path, BeforeValidator(_path)]
Origin = Annotated[str, BeforeValidator(_written(parse_origin))]
PingUrl = Annotated[str, BeforeValidator(_written(parse_ping_url))]
Listen = Annotated[str, BeforeValidator(_written(parse_listen))]
Text = Annotated[str, Field(min_length=1)]
#: A program and its arguments, never a line for a shell. A program named by a relative path has one like all others.
Argv = Annotated[tuple[Text, ...], BeforeValidator(_tuple), Field(min_length=1), AfterValidator(_program)]
TextList = Annotated[tuple[Text, ...], BeforeValidator(_tuple), Field(min_length=1)]
