"""Answers of servers, read once where they come in: what is demanded must be there and have its type.

Unknown fields are ignored. Hints are not demanded: one row with an odd number must not hide all others.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

from pydantic import (
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


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


Text = Annotated[str, PlainValidator(_text)]
Count = Annotated[int, Field(ge=0)]
#: What a row says besides its identity; None where it does not, or not in a way that can be read.
Hint = WrapValidator(_or_none)


class Wire(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


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
