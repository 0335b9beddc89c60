"""Keys and passwords: a value that does not show itself, and the forms in which settings say where one is kept."""

import hmac
from typing import Final, NoReturn

from pydantic import InstanceOf, model_validator

from labelmirror.providers.forms import Argv, FilePath, Table, Text, problem

SHOWN: Final = "***"


class Secret:
    """A key or password. Printing, formatting and logging it show `***`; it can be neither pickled nor hashed.

    Call `reveal` only where the value leaves for the server that it belongs to.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a hash in a log or a set order would tell about the value

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __repr__(self) -> str:
        return SHOWN

    def __reduce__(self) -> NoReturn:
        msg = "a secret is not pickled"
        raise TypeError(msg)


_FORMS: Final = 'must be { env = "NAME" }, { file = "PATH" }, { command = ["…"] } or { credential = "NAME" }'


class SecretSource(Table):
    """Where a secret is kept; exactly one of the fields is set. A plain string in the settings becomes `literal`."""

    #: Name of an environment variable.
    env: Text | None = None
    #: A file whose first and only line is the secret.
    file: FilePath | None = None
    #: A program that prints the secret.
    command: Argv | None = None
    #: Name of a credential that systemd hands over in $CREDENTIALS_DIRECTORY.
    credential: Text | None = None
    literal: InstanceOf[Secret] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, value: object) -> object:
        if isinstance(value, str) and value:
            return {"literal": Secret(value)}
        if (
            not isinstance(value, dict)
            or "literal" in value
            or (len(value) != 1 and value.keys() <= cls.model_fields.keys())
        ):
            raise problem(_FORMS)
        if isinstance(value.get("credential"), str) and (
            "/" in value["credential"] or value["credential"] in {".", ".."}
        ):
            sentence = "must name a credential, not a path"
            raise problem(sentence)
        return value
