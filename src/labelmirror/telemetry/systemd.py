"""Telling systemd how the daemon does: sd_notify(3), which is one datagram for each message."""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends messages to the service manager that started this process; without one it keeps silent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        #: The service manager ends a process that has not sent WATCHDOG=1 for so long; None: it does not.
        self.watchdog_s = int(environ.get("WATCHDOG_USEC", "0")) / 1e6 or None if watched else None

    def announce(self, *lines: str) -> None:
        """Send assignments such as "READY=1". A manager that cannot be reached changes nothing for the work."""
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            try:
                channel.sendto("\n".join(lines).encode(), name)
            except OSError:
                # It notices silence by itself, and acts on it.
                return
