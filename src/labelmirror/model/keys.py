"""What names a thing: a dataset on a server, a document in a dataset."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class DocumentKey:
    """The unit that is read, saved and compared: all annotations of one image, on Remo of one annotation set of it.

    `image` is the server's id of the image, unique over the server; `set` the server's id of the annotation set, or
    "" on servers that have none.
    """

    image: str
    set: str = ""


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """How a configuration names a dataset: by exactly one of name and id."""

    name: str | None = None
    id: str | None = None

    def __str__(self) -> str:
        return self.name if self.name is not None else f"id {self.id}"
