"""What a kind of server is built on, and what building it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labelmirror.standin.clock import ServerClock
from labelmirror.standin.exchange import Dialect, Key
from labelmirror.standin.links import LinkSigner
from labelmirror.standin.options import StandinOptions
from labelmirror.standin.storage import Storage
from labelmirror.standin.world import World


@dataclass(frozen=True, slots=True)
class Ground:
    """What is there before a kind is built: addresses, time, keys, and a folder that goes with the stand-in."""

    options: StandinOptions
    clock: ServerClock
    api_url: str
    signer: LinkSigner
    keys: list[Key]
    folder: Path


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of server, ready to be served. `close` ends what runs beside it."""

    world: World
    dialect: Dialect
    storage: Storage
    close: Callable[[], None]
