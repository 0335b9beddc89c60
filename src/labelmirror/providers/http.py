"""What every server's configuration says of its HTTP."""

from collections.abc import Mapping

from labelmirror.providers.settings import ServerSettings
from labelmirror.transport.api import ApiRules
from labelmirror.transport.body import BodyRules
from labelmirror.transport.http import HttpSettings, Timeouts
from labelmirror.transport.retry import Backoff


def http_settings(
    settings: ServerSettings,
    headers: Mapping[str, str],
    *,
    unsure: frozenset[int] = frozenset(),
    timeouts: Timeouts | None = None,
    backoff: Backoff | None = None,
) -> HttpSettings:
    """The settings for a server that announces its quota, with these headers for its API; `unsure` as in ApiRules."""
    caps = settings.caps
    return HttpSettings(
        url=settings.url,
        headers={"Accept": "application/json", **headers},
        connections=settings.connections,
        bandwidth=settings.bandwidth,
        rules=ApiRules(caps.json_size, caps.json_depth, caps.redirects, BodyRules(caps.image_size), unsure),
        timeouts=timeouts or Timeouts(),
        backoff=backoff or Backoff(),
    )
