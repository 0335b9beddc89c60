"""What the links in a batch tell about themselves. Pure."""

import re
from datetime import UTC, datetime

from yarl import URL

from labelmirror.providers.pictograph.dialect import API
from labelmirror.providers.pictograph.wire import LinkItem

_UUID = re.compile(r"/annotations/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?:/|$)")


def image_id(item: LinkItem) -> str | None:
    """The image that an item is about; older generations name it only in the path of its annotations."""
    if item.id:
        return item.id
    found = _UUID.search(item.annotation_url or "")
    return found[1].lower() if found else None


def leads_to_api(link: str, origin: URL) -> bool:
    """Whether a link is a path of the API itself, relative or at its origin: that takes the key, and counts as a request."""
    try:
        url = origin.join(URL(link, encoded=True))
        return (url.scheme, url.host, url.port) == (origin.scheme, origin.host, origin.port) and url.path.startswith(
            f"{API}/"
        )
    except ValueError:
        return False


def lifetime_s(link: str, now_s: float) -> float | None:
    """How long a signed link has left, as far as its query says; None if it says nothing, or nothing sensible.

    Google's and Amazon's fourth version state their length, so this host's clock does not matter; older ones state the
    moment, in seconds since 1970.
    """
    try:
        query = URL(link, encoded=True).query
    except ValueError:
        return None
    fields = {name.lower(): value for name, value in query.items()}
    for vendor in ("goog", "amz"):
        length_s = _number(fields.get(f"x-{vendor}-expires", ""))
        if length_s is not None:
            signed_s = _moment(fields.get(f"x-{vendor}-date", ""))
            # A link may have been signed before it was handed out.
            age_s = 0.0 if signed_s is None else min(max(0.0, now_s - signed_s), length_s / 2)
            return length_s - age_s
    expires_s = _number(fields.get("expires", ""))
    return expires_s - now_s if expires_s is not None and expires_s > now_s else None


def _number(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and 0 < len(text) < 12 and int(text) > 0 else None


def _moment(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
