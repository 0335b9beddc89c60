"""What every server's configuration says of its HTTP."""

from collections.abc import Mapping
from typing import Final

from labelmirror.providers.settings import ServerSettings
from labelmirror.transport.api import ApiRules
from labelmirror.transport.body import BodyRules
from labelmirror.transport.http import HttpSettings, Timeouts
from labelmirror.transport.retry import Backoff

#: These servers refuse in JSON. A page with this status is a proxy's, or comes of a server that lost its way between
#: sessions, and does not say what became of the request.
UNSURE: Final = frozenset({400})


def http_settings(
    settings: ServerSettings,
    headers: Mapping[str, str],
    *,
    timeouts: Timeouts | None = None,
    backoff: Backoff | None = None,
) -> HttpSettings:
    """The settings for a server that announces its quota, with these headers for its API."""
    caps = settings.caps
    return HttpSettings(
        url=settings.url,
        headers={"Accept": "application/json", **headers},
        connections=settings.connections,
        bandwidth=settings.bandwidth,
        rules=ApiRules(caps.json_size, caps.json_depth, caps.redirects, BodyRules(caps.image_size), UNSURE),
        timeouts=timeouts or Timeouts(),
        backoff=backoff or Backoff(),
    )
