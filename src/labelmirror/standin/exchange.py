"""One request and its answer, as the dialects see them: no HTTP library in sight."""

import json
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from labelmirror.standin.options import Role


class Origin(StrEnum):
    """Which of the two addresses of a stand-in a request went to."""

    API = "api"
    STORAGE = "storage"


class Refusal(Exception):
    """A request that the server will not serve. `code` is the server's own word for the reason."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


@dataclass(slots=True)
class Key:
    """An API key: what it may do, and whether it still works."""

    secret: str
    role: Role
    active: bool = True


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a form."""

    filename: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler is told. `params` are the parts of the path, decoded; `body` is the whole body.

    A multipart form comes as `form` and `files`, which have the names of their fields, and its `body` is empty.
    """

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Mapping[str, str]
    files: Sequence[tuple[str, Upload]]
    body: bytes
    key: Key | None

    def json(self) -> Any:
        """The body as JSON. Raises Refusal (422)."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refusal(422, "validation_error", f"The body is not JSON: {error}") from error


class Content(Protocol):
    """Bytes that can be sent in parts."""

    @property
    def size_bytes(self) -> int:
        """The length of the whole."""

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Content held in memory."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        """The length of the data."""
        return len(self.data)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The data in pieces that a socket takes at once."""
        for at in range(start, stop, 65_536):
            yield self.data[at : min(at + 65_536, stop)]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: `payload` is sent as JSON unless there is `content`.

    `start` and `stop` bound what is sent of the content (`stop` None: to its end). `chunked` leaves the length
    unannounced; `close` ends the connection.
    """

    payload: Any = None
    status: int = 200
    content: Content | None = None
    mime: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    start: int = 0
    stop: int | None = None
    chunked: bool = False
    close: bool = False


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: its name in fault plans and counters, where it is found, and the role that it needs.

    `pattern` is a path with `{part}` or `{part:regular expression}`; a slash at its end counts. An `open` operation
    is served to anybody, keys and quotas aside; its handler may look at the headers itself.
    """

    name: str
    method: str
    pattern: str
    handler: Handler
    role: Role | None = Role.VIEWER
    open: bool = False


class Dialect(Protocol):
    """How one kind of server speaks: its routes, its errors, and what it may get wrong in its own words."""

    def routes(self) -> tuple[Route, ...]:
        """The operations, the more specific ones first."""

    def secret(self, headers: Mapping[str, str]) -> str | None:
        """The key that a request carries, if any."""

    def mint(self, rng: random.Random) -> str:
        """A fresh secret for a key, in the form that this server gives its keys."""

    def refused(self, refusal: Refusal) -> Reply:
        """A refusal as this server words it."""

    def rows(self, payload: Any) -> list[Any] | None:
        """The list inside a listing (the very object, to be changed), or None if the payload is no listing."""

    def end_listing(self, payload: Any) -> None:
        """Make a listing say that no page follows."""

    def foreign_envelope(self, payload: Any) -> Any:
        """The listing as another generation of the server would wrap it."""
