"""Pictograph's JSON in Pictograph's words. Unknown fields are ignored here; what is demanded must have its type.

Hints are not demanded: one row with an odd number must not hide all others, so an unreadable hint is none. Names that changed between the generations of the server are aliases of one field, the newest name first.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from labelmirror.errors import ProtocolError
from labelmirror.model.document import JsonObject, JsonValue


def _text(value: object) -> str:
    """A text that is not empty; lone surrogates, which JSON can spell, are for the map of places to deal with."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text is expected that is not empty")
    return value


def _directory(value: object) -> str | None:
    """A directory decides where files lie, so it is no hint; it may be absent."""
    if value is not None and not isinstance(value, str):
        raise ValueError("a text is expected")
    return value


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


Text = Annotated[str, PlainValidator(_text)]
Count = Annotated[int, Field(ge=0)]
#: What a row says besides its identity; None where it does not, or not in a way that can be read.
Hint = WrapValidator(_or_none)
CountHint = Annotated[Count | None, Hint]
TextHint = Annotated[str | None, Hint]


class Wire(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class DatasetRow(Wire):
    """A dataset, as lists and single answers show it."""

    id: Text
    name: Text
    image_count: Count | None = None
    annotation_count: Count | None = None
    storage_class: str | None = None


class ImageRow(Wire):
    """An image in a listing."""

    id: Text
    filename: Text
    status: TextHint = None
    file_size: CountHint = None
    annotation_count: CountHint = None
    width: CountHint = Field(None, validation_alias=AliasChoices("width", "image_width"))
    height: CountHint = Field(None, validation_alias=AliasChoices("height", "image_height"))
    directory: Annotated[str | None, PlainValidator(_directory)] = Field(
        None, validation_alias=AliasChoices("directory_path", "virtual_folder_path", "folder_path", "image_path")
    )


class ImageFacts(Wire):
    """An image asked for by its id."""

    id: Text
    dataset_id: str | None = None
    is_archived: bool = False


class Pagination(Wire):
    """What a page of a list says about the list."""

    total: Count | None = None
    has_more: bool | None = None


class LinkItem(Wire):
    """One image of a batch download."""

    id: str | None = None
    filename: str | None = None
    image_url: str | None = None
    annotation_url: str | None = None


class FileItem(Wire):
    """One document of the oldest generation's list of annotation files."""

    image_id: Text
    url: Text


class ExportRow(Wire):
    """An export: "pending", "processing", "completed" or "failed"."""

    status: Text
    error_message: str | None = None
    file_size: Count | None = None


class ExportLink(Wire):
    """Where a finished export lies."""

    download_url: Text


class SavedRow(Wire):
    """What the server says about one save that it did."""

    image_id: Text
    previous_count: Count | None = None


class FailedRow(Wire):
    """What it says about one save of many that it did not do."""

    image_id: Text
    error: str = ""


class BulkAnswer(Wire):
    """The answer to a bulk save."""

    saved: tuple[SavedRow, ...]
    failed: tuple[FailedRow, ...]


M = TypeVar("M", bound=Wire)


def read(model: type[M], value: JsonValue, *, where: str) -> M:
    """One object of an answer. Raises ProtocolError naming the field that is missing or of another type."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ProtocolError(f"{where}: {field or 'an item'}: {first['msg']}") from None


def table(value: JsonValue, *, where: str) -> JsonObject:
    """An answer that must be an object."""
    if not isinstance(value, Mapping):
        raise ProtocolError(f"{where}: an object is expected")
    return value


def items(value: JsonValue, key: str, *, where: str) -> Sequence[JsonValue]:
    """A list that must be there: a missing one is never an empty one."""
    found = table(value, where=where).get(key)
    if not isinstance(found, list):
        raise ProtocolError(
            f'{where}: the list "{key}" is missing', hint="Does the server speak another generation of its API?"
        )
    return found
