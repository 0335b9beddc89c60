"""What a configuration says about a COCO Annotator server."""

from typing import Annotated, Literal

from pydantic import Field

from labelmirror.providers.forms import Text
from labelmirror.providers.secrets import SecretSource
from labelmirror.providers.settings import ServerSettings


class CocoAnnotatorSettings(ServerSettings):
    """A `[servers.NAME]` entry with `kind = "coco-annotator"`.

    `user` and `password` go with every request, to the origin of `url` alone. One worker answers all of a server's users,
    so few connections are used at one time.
    """

    kind: Literal["coco-annotator"]
    user: Text
    password: SecretSource
    connections: Annotated[int, Field(ge=1, le=256)] = 8
