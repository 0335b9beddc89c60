"""Signed links to the storage host, which expire."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

_FORMAT = "%Y%m%dT%H%M%SZ"


class LinkSigner:
    """Makes and checks links in the manner of Google Cloud Storage (X-Goog-Date, -Expires, -Signature)."""

    def __init__(self, origin: str, lifetime_s: int, secret: bytes) -> None:
        self.origin = origin
        self.lifetime_s = lifetime_s
        self._secret = secret
        self._era = 0

    def link(self, path: str, now_s: float) -> str:
        """An absolute URL for the unquoted storage path, good for the lifetime from now on."""
        date = datetime.fromtimestamp(now_s, UTC).strftime(_FORMAT)
        signature = self._signature(path, date, str(self.lifetime_s))
        query = f"X-Goog-Date={date}&X-Goog-Expires={self.lifetime_s}&X-Goog-Signature={signature}"
        return f"{self.origin}{quote(path)}?{query}"

    def holds(self, path: str, query: Mapping[str, str], now_s: float) -> bool:
        """Whether the query of a request proves a link for this path that has not expired."""
        date, lifetime = query.get("X-Goog-Date", ""), query.get("X-Goog-Expires", "")
        if not hmac.compare_digest(self._signature(path, date, lifetime), query.get("X-Goog-Signature", "")):
            return False
        signed_s = datetime.strptime(date, _FORMAT).replace(tzinfo=UTC).timestamp()
        return now_s < signed_s + int(lifetime)

    def expire(self) -> None:
        """Let every link that was handed out be expired from now on."""
        self._era += 1

    def _signature(self, path: str, date: str, lifetime: str) -> str:
        message = f"{self._era}\n{path}\n{date}\n{lifetime}".encode()
        return hmac.digest(self._secret, message, hashlib.sha256).hex()
