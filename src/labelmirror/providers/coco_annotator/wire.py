"""COCO Annotator's JSON in its own words. Unknown fields are ignored here; what is demanded must have its type."""

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError

from labelmirror.errors import ProtocolError
from labelmirror.model.document import JsonObject, JsonValue

API = "/api"


def _id(value: object) -> int:
    """Ids are counted up from 1; SQLite and the server's database hold 63 bits of one."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise ValueError("a whole number above 0 is expected")
    return value


def _text(value: object) -> str:
    """A text that is not empty; lone surrogates, which JSON can spell, are for the map of places to deal with."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text is expected that is not empty")
    return value


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _table(value: object) -> object:
    return {} if value is None else value


def _list(value: object) -> object:
    return [] if value is None else value


Id = Annotated[int, PlainValidator(_id)]
Text = Annotated[str, PlainValidator(_text)]
#: Pixels; None where a row does not say, or not in a way that can be read.
Size = Annotated[int | None, PlainValidator(_size)]
Table = Annotated[dict[str, JsonValue], BeforeValidator(_table)]
Items = Annotated[list[JsonValue], BeforeValidator(_list)]


class Wire(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class DatasetRow(Wire):
    """A dataset of `GET /dataset/`. `categories` are ids."""

    id: Id
    name: Text
    directory: str = ""
    categories: list[Id] = Field(default_factory=list)


class CategoryRow(Wire):
    """A category of `GET /category/`, which shows deleted ones too."""

    id: Id
    name: Text
    deleted: bool = False


class ImagePage(Wire):
    """A page of `GET /image/`. The number of pages that it states is one too many when the total divides evenly."""

    total: Annotated[int, Field(ge=0)]
    images: list[JsonValue]


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
    annotating: Items = Field(default_factory=list)


class AnnotationRow(Wire):
    """What decides whether an annotation of `GET /annotation/` is seen. Orphans have no image, some no category."""

    id: Id
    image_id: int | None = None
    category_id: int | None = None
    deleted: bool = False


class Opened(Wire):
    """`GET /annotator/data/{image}`: an image as the editor opens it. `categories` are those of the dataset, with annotations."""

    image: dict[str, JsonValue]
    categories: list[JsonValue]
    dataset: dict[str, JsonValue] = Field(default_factory=dict)
    preferences: JsonValue = Field(default_factory=dict)


class CreatedRow(Wire):
    """What `POST /annotation/` answers, as far as the next steps need it."""

    id: Id
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


W = TypeVar("W", bound=Wire)


def read(model: type[W], value: JsonValue, *, where: str) -> W:
    """A part of an answer as a value. Raises ProtocolError naming the field that breaks the contract."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ProtocolError(f"{where}: the answer's {place} is not as agreed: {first['msg']}") from None


def items(value: JsonValue, *, where: str) -> Sequence[JsonValue]:
    """A list that an answer is. Raises ProtocolError for anything else: it is never taken for an empty one."""
    if not isinstance(value, list):
        raise ProtocolError(f"{where}: the answer is no list")
    return value


def table(value: JsonValue, *, where: str) -> JsonObject:
    """An object of an answer. Raises ProtocolError for anything else."""
    if not isinstance(value, Mapping):
        raise ProtocolError(f"{where}: the answer has something where an object is expected")
    return value
