"""What a kind of server is built on, and what building it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


def _nothing() -> None:
    """End nothing."""


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of server, ready to be served.

    `world` is whatever this kind holds. `files` is what its storage host serves, `login` how people get in where they
    need more than a key. Idle connections are closed after `keep_alive_s`. `close` ends what runs beside the server.
    """

    world: object
    dialect: Dialect
    files: tuple[Route, ...] = ()
    login: Login | None = None
    keep_alive_s: float = 3_600.0
    close: Callable[[], None] = _nothing
