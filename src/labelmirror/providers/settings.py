"""What every kind of server can be told in `[servers.NAME]`; each provider's settings add what is its own."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from labelmirror.providers.forms import Origin, Size, Table
from labelmirror.providers.secrets import SecretSource


class CapSettings(Table):
    """Bounds on what a server may send. Passing one is an error of that answer, never a cut."""

    #: Bytes of one JSON answer or document, unpacked.
    json_size: Size = 256 * 2**20
    #: Lists and tables inside one another.
    json_depth: Annotated[int, Field(ge=8, le=200)] = 64
    #: Pages of one listing.
    pages: Annotated[int, Field(ge=1)] = 100_000
    #: Bytes of one image.
    image_size: Size = 2**30
    #: Bytes of one archive of documents.
    archive_size: Size = 64 * 2**30
    #: Redirects that one request follows.
    redirects: Annotated[int, Field(ge=0, le=20)] = 5
    #: Files in one archive.
    archive_members: Annotated[int, Field(ge=1)] = 2_000_000
    #: Bytes that one byte of an archive may become.
    inflation: Annotated[int, Field(ge=2)] = 200


class ServerSettings(Table):
    """One `[servers.NAME]` entry. `url` is scheme and host, without a final "/"."""

    #: Where servers of this kind usually are; None when each has an address of its own.
    default_url: ClassVar[str | None] = None
    #: The stages that an image can have on servers of this kind; empty where they are free.
    statuses: ClassVar[tuple[str, ...]] = ()

    kind: str
    url: Origin
    #: Share of every rate window left to people and other programs; decays towards the window's end.
    reserve: Annotated[float, Field(ge=0, lt=1)] = 0.05
    #: Share of every rate window that this program insists on when others want all of it.
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    #: Requests per hour that others are expected to send before their demand has been seen; None: a tenth of the limit.
    others_per_hour: Annotated[int, Field(ge=0)] | None = None
    #: Ceiling on requests per hour where the server announces none.
    requests_per_hour: Annotated[int, Field(ge=1)] | None = None
    #: Most connections at one time; the program adapts below it.
    connections: Annotated[int, Field(ge=1, le=256)] = 16
    #: Most bytes per second; None: no bound.
    bandwidth: Size | None = None
    caps: CapSettings = CapSettings()

    def secrets(self) -> Iterator[tuple[str, SecretSource]]:
        """The fields that hold a key or a password, by name."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretSource):
                yield name, value
