"""The table of servers: which kinds there are, what each can be told, and who builds it.

A new provider is a folder beside this file and one line below. Settings are imported at once, because they decide what a
configuration may say; the provider itself only when one is opened, so that `--help` does not load an HTTP library.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Final, cast

from labelmirror.ports.export import CocoForm
from labelmirror.ports.provider import DocumentFormat, Provider
from labelmirror.providers.coco_annotator.settings import CocoAnnotatorSettings
from labelmirror.providers.pictograph.settings import PictographSettings
from labelmirror.providers.remo.settings import RemoSettings
from labelmirror.providers.settings import ServerSettings

#: Opens a provider; the composition root knows what to hand in.
Builder = Callable[..., AbstractAsyncContextManager[Provider]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server. `provider`, `documents` and `coco` name, as "module:name", what opens it, its document format, and
    what puts its documents into COCO's words.
    """

    settings: type[ServerSettings]
    provider: str
    documents: str
    coco: str

    def builder(self) -> Builder:
        """Import the provider and give the function that opens it."""
        return cast("Builder", _named(self.provider))

    def coco_form(self) -> CocoForm:
        """What puts documents of this kind into COCO's words."""
        return cast("CocoForm", _named(self.coco))

    def format(self) -> DocumentFormat:
        """How documents of this kind look; needs no server."""
        return cast("Callable[[], DocumentFormat]", _named(self.documents))()


def _named(reference: str) -> object:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "pictograph": Kind(
            PictographSettings,
            provider="labelmirror.providers.pictograph.provider:build",
            documents="labelmirror.providers.pictograph.format:PictographFormat",
            coco="labelmirror.providers.pictograph.coco:coco",
        ),
        "coco-annotator": Kind(
            CocoAnnotatorSettings,
            provider="labelmirror.providers.coco_annotator.provider:build",
            documents="labelmirror.providers.coco_annotator.format:CocoAnnotatorFormat",
            coco="labelmirror.providers.coco_annotator.coco:coco",
        ),
        "remo": Kind(
            RemoSettings,
            provider="labelmirror.providers.remo.provider:build",
            documents="labelmirror.providers.remo.format:RemoFormat",
            coco="labelmirror.providers.remo.coco:coco",
        ),
    }
)
