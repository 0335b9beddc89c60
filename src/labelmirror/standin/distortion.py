"""Answers whose content is wrong: pages out of order, lies about sizes, links into private networks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from labelmirror.standin.exchange import Dialect, Memory, Reply
from labelmirror.standin.faults import FaultKind

_LINKS = ("image_url", "download_url", "upload_url")
_TEXT = b"This is no picture. "


class Pages:
    """The two latest listings that each route answered."""

    def __init__(self) -> None:
        self._latest: dict[str, list[Any]] = {}
        self._before: dict[str, list[Any]] = {}

    def clear(self) -> None:
        """Forget them: a world that is put in the place of another one has no pages before."""
        self._latest.clear()
        self._before.clear()

    def turn(self, route: str, rows: list[Any]) -> None:
        """Note the rows of one more answer."""
        if route in self._latest:
            self._before[route] = self._latest[route]
        self._latest[route] = list(rows)

    def before(self, route: str) -> list[Any]:
        """The rows of the answer before the latest one; empty if there was none."""
        return self._before.get(route, [])


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


def _everywhere(payload: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy of the payload with every object in it changed."""
    if isinstance(payload, dict):
        return change({name: _everywhere(value, change) for name, value in payload.items()})
    if isinstance(payload, list):
        return [_everywhere(value, change) for value in payload]
    return payload


def _lie_about_size(entry: dict[str, Any]) -> dict[str, Any]:
    size_bytes = entry.get("file_size")
    return {**entry, "file_size": size_bytes + 7} if isinstance(size_bytes, int) else entry


def _link_to_private_network(entry: dict[str, Any]) -> dict[str, Any]:
    links = {
        name: f"http://10.0.0.1/{entry[name].split('/', 3)[3]}"
        for name in _LINKS
        if isinstance(entry.get(name), str) and entry[name].startswith("http")
    }
    return {**entry, **links}
