"""Lets a server of 2021 run on Python 3.11, and keeps it on loopback. Every process of it, uploads' too, loads this."""

import contextlib
import gettext
import ipaddress
import sys
from datetime import timedelta
from typing import Any

_translation: Any = gettext.translation


def _translation_without_codeset(*args: Any, **named: Any) -> Any:
    """Django 2.2 still passes an argument that Python 3.11 took away."""
    named.pop("codeset", None)
    return _translation(*args, **named)


gettext.translation = _translation_without_codeset

with contextlib.suppress(ImportError):
    import django.db.backends.postgresql.utils as pg_utils  # type: ignore[import-not-found]
    from django.utils.timezone import utc  # type: ignore[import-not-found]

    def _utc_only(offset: int | timedelta) -> Any:
        """Newer drivers hand the offset over as a timedelta, which Django 2.2 compares with 0."""
        assert offset in (0, timedelta(0)), "the database is not set to UTC"
        return utc

    pg_utils.utc_tzinfo_factory = _utc_only


def _is_loopback(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name in {None, "", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(str(name).split("%", maxsplit=1)[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _loopback_only(event: str, args: tuple[Any, ...]) -> None:
    host = None
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    elif event == "socket.getaddrinfo":
        host = args[0]
    if not _is_loopback(host):
        raise ConnectionRefusedError(f"loopback only: {host!r}")


sys.addaudithook(_loopback_only)
