"""What a configuration says about a Pictograph server."""

from typing import ClassVar, Literal

from labelmirror.providers.secrets import SecretSource
from labelmirror.providers.settings import ServerSettings


class PictographSettings(ServerSettings):
    """A `[servers.NAME]` entry with `kind = "pictograph"`.

    `key` is an API key, sent only to the origin of `url`. `generation` names the dialect that the server speaks, oldest
    first; "auto" finds it out with one or two requests.
    """

    default_url: ClassVar[str | None] = "https://api.pictograph.io"
    statuses: ClassVar[tuple[str, ...]] = ("new", "annotate", "review", "complete")

    kind: Literal["pictograph"]
    key: SecretSource
    generation: Literal["auto", "g0", "g1", "g1b", "g2"] = "auto"
