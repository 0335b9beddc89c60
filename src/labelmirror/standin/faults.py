"""What goes wrong on purpose: which answers are spoilt, and how.

A fault file is TOML: entries `[[fault]]` with `route` (a route's name such as `images.list`, or a path with
wildcards such as `/api/v1/developer/images/*`), `kind`, `nth` (the first matching request it hits, from 1) and
`times` (how many in a row).
"""

import difflib
import fnmatch
import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labelmirror.standin.errors import FaultPlanError


class FaultKind(StrEnum):
    """The ways in which an answer can be spoilt."""

    TIMEOUT = "timeout"  # no answer for as long as the server hangs, then a dropped connection
    RESET = "reset"  # dropped before anything happened
    RESET_AFTER = "reset_after"  # the effect happened, the answer is lost
    SHORT_BODY = "short_body"  # half of the announced body, then dropped
    WRONG_LENGTH = "wrong_length"  # Content-Length is too small, and so is the body
    WRONG_SIZE = "wrong_size"  # the file sizes in a listing are not those of the files
    LIMITED = "limited"  # 429 with Retry-After
    LIMITED_BARE = "limited_bare"  # 429 without it
    PAGE_400 = "page_400"  # the effect happened, the answer is a page for people, with 400
    PAGE_404 = "page_404"  # a page for people, with 404, as of a proxy that knows no such path
    STRANGER = "stranger"  # served as if it came without credentials
    ERROR_500_AFTER = "error_500_after"  # the effect happened, the answer is 500
    ERROR_500 = "error_500"
    ERROR_502 = "error_502"
    ERROR_503 = "error_503"
    ERROR_504 = "error_504"
    EXPIRED_LINK = "expired_link"  # the storage host's refusal
    HTML = "html"  # a page for people, with 200
    DUPLICATE_PAGE = "duplicate_page"  # the rows of the page before once more
    MISSING_PAGE = "missing_page"  # no rows and no more pages, the total unchanged
    SHORT_PAGE = "short_page"  # the last row of a page is left out
    WRONG_ENVELOPE = "wrong_envelope"  # a listing as another generation of the server wraps it
    MISSING_LIST = "missing_list"  # an answer without the lists that belong into it
    EMPTY_LIST = "empty_list"  # an answer whose lists are empty, with a total of nothing
    SLOW_DRIP = "slow_drip"  # the body a little at a time
    OVERSIZED = "oversized"  # a body much larger than anything sensible
    NOT_AN_IMAGE = "not_an_image"  # as many bytes, but no picture
    REDIRECT = "redirect"  # to another origin
    PRIVATE_LINK = "private_link"  # links into a private network


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One entry of a fault plan; `source` says where it was written, for complaints, and is no part of what it is."""

    route: str
    kind: FaultKind
    nth: int = 1
    times: int = 1
    source: str = field(default="", compare=False)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    route: Annotated[str, Field(min_length=1)]
    kind: FaultKind
    nth: Annotated[int, Field(ge=1)] = 1
    times: Annotated[int, Field(ge=1)] = 1


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fault: list[_Entry] = []


def load_faults(path: Path) -> tuple[Fault, ...]:
    """The faults of a TOML file, in its order.

    Raises FaultPlanError for a file that cannot be read, an unknown key or kind, or a number out of range. Names of
    routes are checked by the server that is started with them, which alone knows its routes.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FaultPlanError(f"{path}: {error}") from error
    try:
        entries = _Document.model_validate(document).fault
    except ValidationError as error:
        raise FaultPlanError("\n".join(f"{path}: {line}" for line in _complaints(error))) from error
    return tuple(
        Fault(**entry.model_dump(), source=f"{path}: fault {number}") for number, entry in enumerate(entries, 1)
    )


def _complaints(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False):
        location = problem["loc"]
        entry = f"fault {location[1] + 1}: " if len(location) > 1 and isinstance(location[1], int) else ""
        name = str(location[-1])
        if problem["type"] == "extra_forbidden":
            known = tuple(_Entry.model_fields) if entry else tuple(_Document.model_fields)
            lines.append(f"{entry}unknown key {name!r}{nearest(name, known)}")
        elif name == "kind" and problem["type"] == "enum":
            kinds = tuple(kind.value for kind in FaultKind)
            lines.append(f"{entry}unknown kind {problem['input']!r}{nearest(str(problem['input']), kinds)}")
        else:
            lines.append(f"{entry}{name}: {problem['msg']}")
    return lines


def nearest(word: str, known: tuple[str, ...]) -> str:
    """A tail for a complaint about `word`: the most similar of the known words, or all of them."""
    match = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {match[0]!r}?" if match else f"; known: {', '.join(sorted(known))}"


class FaultPlan:
    """Hands each request the fault that is due, counting the requests that each entry matches."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._faults: list[Fault] = []
        self._seen: list[int] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Let one more fault happen, counting from now on."""
        self._faults.append(fault)
        self._seen.append(0)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()
        self._seen.clear()

    def check(self, routes: tuple[str, ...]) -> None:
        """Raise FaultPlanError if an entry's route is neither a path nor one of `routes`."""
        for number, fault in enumerate(self._faults, 1):
            if "/" not in fault.route and not any(fnmatch.fnmatchcase(route, fault.route) for route in routes):
                source = fault.source or f"fault {number}"
                raise FaultPlanError(f"{source}: unknown route {fault.route!r}{nearest(fault.route, routes)}")

    def due(self, route: str, path: str) -> FaultKind | None:
        """What goes wrong with this request: the first entry that is due. All that match it are counted."""
        due: FaultKind | None = None
        for index, fault in enumerate(self._faults):
            if not (fnmatch.fnmatchcase(route, fault.route) or fnmatch.fnmatchcase(path, fault.route)):
                continue
            self._seen[index] += 1
            if due is None and fault.nth <= self._seen[index] < fault.nth + fault.times:
                due = fault.kind
        return due
