"""The elements of one long JSON list, cut out of its text while that arrives. Pure."""

import json
from collections.abc import Iterator

from labelmirror.errors import ProtocolError, TooLarge
from labelmirror.model.document import JsonObject
from labelmirror.transport.answers import deeper_than

#: Characters of one element.
ELEMENT_MAX = 64 * 2**20

_SPACE = " \t\r\n"


class Elements:
    """Takes text piece by piece and gives the objects of the list, each with its own text. `where` begins every message."""

    def __init__(self, where: str, depth_max: int) -> None:
        self._where = where
        self._depth_max = depth_max
        self._decode = json.JSONDecoder(parse_constant=self._constant).raw_decode
        self._text = ""
        #: What may come next: "[" at first, then elements and commas by turns, "" after the end.
        self._next = "["

    def feed(self, text: str) -> Iterator[tuple[JsonObject, str]]:
        """The elements that end in this piece. Raises ProtocolError for what is no list of objects, TooLarge beyond bounds."""
        self._text += text
        at = 0
        while (at := self._past_space(at)) < len(self._text):
            letter = self._text[at]
            if self._next == "{":
                if letter == "]":
                    at, self._next = at + 1, ""
                    continue
                if letter != "{":
                    raise ProtocolError(f"{self._where}: the list has something else than objects")
                found, end = self._element(at)
                if found is None:
                    break
                yield found, self._text[at:end]
                at, self._next = end, ","
            elif letter == "[" == self._next:
                at, self._next = at + 1, "{"
            elif self._next == "," and letter in ",]":
                at, self._next = at + 1, "{" if letter == "," else ""
            else:
                raise self._broken(letter)
        self._text = self._text[at:]

    def end(self) -> None:
        """Say that no more text comes. Raises ProtocolError where the list is not ended."""
        if self._next:
            raise ProtocolError(f"{self._where} answered a list that is cut off, or broken JSON")

    def _element(self, at: int) -> tuple[JsonObject | None, int]:
        try:
            found, end = self._decode(self._text, at)
        except json.JSONDecodeError:
            if len(self._text) - at > ELEMENT_MAX:
                raise TooLarge(f"{self._where}: an element is larger than {ELEMENT_MAX} bytes, or is no JSON") from None
            return None, at  # its end has not come yet
        except RecursionError:
            raise self._too_deep() from None
        if deeper_than(found, self._depth_max, self._text.count("[", at, end) + self._text.count("{", at, end)):
            raise self._too_deep()
        return found, end

    def _past_space(self, at: int) -> int:
        while at < len(self._text) and self._text[at] in _SPACE:
            at += 1
        return at

    def _too_deep(self) -> TooLarge:
        return TooLarge(f"{self._where} answered JSON that is nested more than {self._depth_max} deep")

    def _broken(self, letter: str) -> ProtocolError:
        if letter == "<" and self._next == "[":
            return ProtocolError(
                f"{self._where} answered a web page (HTML) where JSON is expected",
                hint="Is the server's url right, and is no login page or proxy in between?",
            )
        return ProtocolError(f"{self._where}: the answer is no list, or broken JSON")

    def _constant(self, text: str) -> float:
        raise ProtocolError(f"{self._where}: {text} is no JSON number")
