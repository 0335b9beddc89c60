"""COCO Annotator's JSON in its own words."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from labelmirror.errors import ProtocolError
from labelmirror.model.document import JsonValue
from labelmirror.providers.answers import Count, Text, Wire

API = "/api"


def _id(value: object) -> int:
    """Ids are counted up from 1; SQLite and the server's database hold 63 bits of one."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise ValueError("a whole number above 0 is expected")
    return value


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _table(value: object) -> object:
    if value is not None and not isinstance(value, Mapping):
        raise ValueError("an object is expected")
    return value or {}


def _items(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError("a list is expected")  # noqa: TRY004 - what pydantic takes for a refusal
    return value


Id = Annotated[int, PlainValidator(_id)]
#: Pixels; None where a row does not say, or not in a way that can be read.
Size = Annotated[int | None, PlainValidator(_size)]
#: Objects and lists of which nothing is demanded here; a type that contains itself is more than pydantic can take.
Table = Annotated[Any, PlainValidator(_table)]
Items = Annotated[Any, PlainValidator(_items)]


class DatasetRow(Wire):
    """A dataset of `GET /dataset/`. `categories` are ids. The server takes empty names of datasets and categories."""

    id: Id
    name: str
    directory: str = ""
    categories: list[Id] = Field(default_factory=list)


class CategoryRow(Wire):
    """A category of `GET /category/`, which shows deleted ones too."""

    id: Id
    name: str
    deleted: bool = False


class ImagePage(Wire):
    """A page of `GET /image/`. The number of pages that it states is one too many when the total divides evenly."""

    total: Count
    images: Items


class ImageRow(Wire):
    """An image. `path` is the server's own, and what a client once sent: it may lead anywhere."""

    id: Id
    dataset_id: int | None = None
    file_name: Text
    path: Text
    width: Size = None
    height: Size = None
    metadata: Table = Field(default_factory=dict)
    deleted: bool = False
    annotating: Any = None


class AnnotationRow(Wire):
    """What decides whether an annotation of `GET /annotation/` is seen. Orphans have no image, some no category."""

    id: Id
    image_id: int | None = None
    category_id: int | None = None
    deleted: bool = False


class Opened(Wire):
    """`GET /annotator/data/{image}`: an image as the editor opens it. `categories` are those of the dataset, with annotations."""

    image: Table
    categories: Items
    dataset: Table = Field(default_factory=dict)
    preferences: Table = Field(default_factory=dict)


class StoredRow(Wire):
    """What of an annotation a data save of it needs: its own sizes are those that its path is relative to.

    They are the image's when it was made; of an image that has none, or by an old server, it has none either.
    """

    id: Id
    width: Size = None
    height: Size = None


class Done(Wire):
    """The answer to what changes something; some refusals come with 200."""

    success: Literal[True]


class Build(Wire):
    """What the server was built from."""

    tag: str = ""


class Info(Wire):
    """`GET /info/`, as far as it is of use."""

    git: Build = Field(default_factory=Build)
    login_enabled: bool = True


def rows(answer: JsonValue, *, where: str) -> Sequence[JsonValue]:
    """An answer that must be a list: anything else is never taken for an empty one."""
    if not isinstance(answer, list):
        raise ProtocolError(f"{where}: the answer is no list")
    return answer
