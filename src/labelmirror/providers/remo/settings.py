"""What a configuration says about a Remo server."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from labelmirror.providers.forms import Text
from labelmirror.providers.secrets import SecretSource
from labelmirror.providers.settings import ServerSettings


class RemoSettings(ServerSettings):
    """A `[servers.NAME]` entry with `kind = "remo"`.

    `user` is the e-mail address of the account; the password is sent only to the origin of `url`.
    """

    default_url: ClassVar[str | None] = "http://localhost:8123"
    statuses: ClassVar[tuple[str, ...]] = ("not_annotated", "skipped", "done")

    kind: Literal["remo"]
    user: Text
    password: SecretSource
    #: The server works on three requests at a time; more only queue.
    connections: Annotated[int, Field(ge=1, le=256)] = 4
