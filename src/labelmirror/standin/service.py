"""What a kind of server is built on, and what building it gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from labelmirror.standin.clock import ServerClock
from labelmirror.standin.exchange import Dialect, Key, Route
from labelmirror.standin.links import LinkSigner
from labelmirror.standin.options import StandinOptions


@dataclass(frozen=True, slots=True)
class Ground:
    """What is there before a kind is built: addresses, time, and a folder that goes with the stand-in.

    `keys` is filled once the kind is built, with secrets that its dialect mints.
    """

    options: StandinOptions
    clock: ServerClock
    api_url: str
    signer: LinkSigner
    keys: list[Key]
    folder: Path


@dataclass(frozen=True, slots=True)
class Login:
    """What a person types to log in to a server that knows people rather than keys."""

    user: str
    password: str


class Colleague(Protocol):
    """Somebody else at work on the sample dataset of a server, for demonstrations.

    Images and annotation sets are named by their ids as text; a server without annotation sets takes any for one.
    """

    @property
    def dataset(self) -> str:
        """The name of the sample dataset."""

    def image_count(self) -> int:
        """How many images it has."""

    def annotation_count(self, image: str, annotation_set: str) -> int:
        """How many annotations the server holds of an image."""

    def move_geometry(self, image: str, annotation_set: str) -> None:
        """Shift an annotation of an image a little to the right, where there is one."""


@dataclass(frozen=True, slots=True)
class BlankSet:
    """An annotation set of a dataset that is to be made, with the ids and words of the server that it was on."""

    id: str
    name: str
    task: str


@dataclass(frozen=True, slots=True)
class Blank:
    """A dataset that is to be made, with the ids and words of the server that it was on. `categories` are its objects."""

    id: str
    name: str
    categories: Sequence[Mapping[str, Any]]
    sets: Sequence[BlankSet]


class Filling(Protocol):
    """A new dataset of a server, while it gets its images."""

    def add_image(self, image: str, directory: str, name: str, size: tuple[int, int] | None) -> None:
        """Take in an image without annotations, under its id. `size` in pixels; None: any.

        Raises ValueError where the server cannot have it beside those that it has.
        """


def _nothing() -> None:
    """End nothing."""


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of server, ready to be served.

    `world` is whatever this kind holds, `colleague` who else works on it, `begin` makes a dataset and gives what fills it.
    `files` is what its storage host serves, `login` how people get in where they need more than a key. Idle connections
    are closed after `keep_alive_s`. `close` ends what runs beside the server.
    """

    world: object
    dialect: Dialect
    colleague: Colleague
    begin: Callable[[Blank], Filling]
    files: tuple[Route, ...] = ()
    login: Login | None = None
    keep_alive_s: float = 3_600.0
    close: Callable[[], None] = _nothing
