"""The table of servers: which kinds there are, what each can be told, and who builds it.

A new provider is a folder beside this file and one line below. Settings are imported at once, because they decide what a
configuration may say; the provider itself only when one is opened, so that `--help` does not load an HTTP library.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Final

from labelmirror.providers.pictograph.settings import PictographSettings
from labelmirror.providers.settings import ServerSettings

Builder = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server. `module` holds its `build` function, which the composition root calls."""

    settings: type[ServerSettings]
    module: str

    def builder(self) -> Builder:
        """Import the provider and give the function that builds it."""
        build: Builder = import_module(self.module).build
        return build


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "pictograph": Kind(PictographSettings, "labelmirror.providers.pictograph.provider"),
    }
)
