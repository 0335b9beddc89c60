"""Answers whose content is wrong: pages out of order, lies about sizes, links into private networks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from labelmirror.standin.exchange import Dialect, Memory, Reply
from labelmirror.standin.faults import FaultKind

#: What the kinds of servers call the links and the file sizes in their answers.
_LINKS = ("image_url", "download_url", "upload_url", "original", "image", "url")
_SIZES = ("file_size", "size", "size_in_bytes")
_TOTALS = ("total", "count", "pages")
_TEXT = b"This is no picture. "


class Pages:
    """The two latest listings that each path answered: the next page has the same one."""

    def __init__(self) -> None:
        self._latest: dict[str, list[Any]] = {}
        self._before: dict[str, list[Any]] = {}

    def clear(self) -> None:
        """Forget them: a world that is put in the place of another one has no pages before."""
        self._latest.clear()
        self._before.clear()

    def turn(self, path: str, rows: list[Any]) -> None:
        """Note the rows of one more answer."""
        if path in self._latest:
            self._before[path] = self._latest[path]
        self._latest[path] = list(rows)

    def before(self, path: str) -> list[Any]:
        """The rows of the answer before the latest one; empty if there was none."""
        return self._before.get(path, [])


def distorted(reply: Reply, fault: FaultKind, dialect: Dialect, page_before: list[Any]) -> Reply:
    """The answer as the fault leaves its content. Faults of the sending leave it as it is.

    A second page of the same rows needs a first one: on a first page, DUPLICATE_PAGE repeats its first row.
    """
    rows = dialect.rows(reply.payload)
    match fault:
        case FaultKind.DUPLICATE_PAGE if rows:
            rows[:] = (page_before or rows[:1] * len(rows))[: len(rows)]
        case FaultKind.MISSING_PAGE if rows:
            rows.clear()
            dialect.end_listing(reply.payload)
        case FaultKind.SHORT_PAGE if rows:
            del rows[-1]
        case FaultKind.WRONG_ENVELOPE if rows is not None:
            return replace(reply, payload=dialect.foreign_envelope(reply.payload))
        case FaultKind.MISSING_LIST:
            return replace(reply, payload=_without_lists(reply.payload))
        case FaultKind.EMPTY_LIST:
            return replace(reply, payload=_with_nothing(reply.payload))
        case FaultKind.WRONG_SIZE:
            return replace(reply, payload=_everywhere(reply.payload, _lie_about_size))
        case FaultKind.PRIVATE_LINK:
            return replace(reply, payload=_everywhere(reply.payload, _link_to_private_network))
        case FaultKind.NOT_AN_IMAGE if reply.content is not None:
            size_bytes = reply.content.size_bytes
            return replace(reply, content=Memory((_TEXT * (size_bytes // len(_TEXT) + 1))[:size_bytes]))
        case _:
            pass
    return reply


def _without_lists(payload: Any) -> Any:
    """The payload without the lists in it; where it is one itself, an object with nothing in it."""
    if isinstance(payload, dict):
        return {name: value for name, value in payload.items() if not isinstance(value, list)}
    return {} if isinstance(payload, list) else payload


def _with_nothing(payload: Any) -> Any:
    """The payload with all its lists empty, and nothing counted."""
    if isinstance(payload, list):
        return []
    if not isinstance(payload, dict):
        return payload
    empty = {name: [] if isinstance(value, list) else value for name, value in payload.items()}
    return {name: 0 if name in _TOTALS and isinstance(value, int) else value for name, value in empty.items()}


def _everywhere(payload: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy of the payload with every object in it changed."""
    if isinstance(payload, dict):
        return change({name: _everywhere(value, change) for name, value in payload.items()})
    if isinstance(payload, list):
        return [_everywhere(value, change) for value in payload]
    return payload


def _lie_about_size(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value + 7 if name in _SIZES and isinstance(value, int) else value for name, value in entry.items()}


def _link_to_private_network(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: _private(value) if name in _LINKS else value for name, value in entry.items()}


def _private(link: Any) -> Any:
    """The same place in a private network; anything but a link stays as it is."""
    if not isinstance(link, str) or not link.startswith(("http", "/")):
        return link
    return urlsplit(link)._replace(scheme="http", netloc="10.0.0.1").geturl()
