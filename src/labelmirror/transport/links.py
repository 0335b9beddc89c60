"""Where the links of a server may lead.

A link is judged twice: its spelling before it is used, and the address at the moment of connecting, so that a name which
resolves to something else the second time (DNS rebinding) gains nothing.
"""

import errno
import ipaddress
import re
import socket
from enum import Enum

from aiohttp.typedefs import StrOrURL
from yarl import URL

from labelmirror.errors import UnsafeLink

#: What a socket factory is told: family, type, protocol, canonical name, address.
AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]

#: What no URL may contain as it is; some libraries drop it in silence.
UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")

_SHARED = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598, carrier-grade NAT
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last four bytes


class Reach(Enum):
    """The kinds of network that an address can belong to."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    PRIVATE = "private"
    UNUSABLE = "reserved"


class AddressRefused(OSError):
    """A connection that was not made because of where it leads."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is loopback, link-local, private or reserved")


def reach_of(address: str) -> Reach:
    """The network of an address in its usual spelling; whatever is no such address is UNUSABLE.

    IPv4 addresses inside IPv6 ones (mapped, 6to4, NAT64) count as what they contain.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return Reach.UNUSABLE
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(ip.packed[-4:])
        ip = inner or ip
    if ip.is_unspecified or ip.is_multicast:
        return Reach.UNUSABLE
    if ip.is_loopback:
        return Reach.LOOPBACK
    if ip.is_link_local:
        return Reach.LINK_LOCAL
    if ip in _SHARED:
        return Reach.PRIVATE
    if ip.is_global:
        return Reach.PUBLIC
    return Reach.PRIVATE if ip.is_private and not ip.is_reserved else Reach.UNUSABLE


class Networks:
    """Makes the sockets for one server and for its links.

    Links may lead to public addresses, and to the kinds of network in which the server itself was met: a server on
    127.0.0.1 may keep its files on 127.0.0.2. `host` is the configured one; a name counts once it was connected to.
    """

    def __init__(self, host: str) -> None:
        self._allowed = {Reach.PUBLIC, reach_of(host)} - {Reach.UNUSABLE}

    def to_server(self, info: AddressInfo) -> socket.socket:
        """A socket for the configured server, wherever that is."""
        self._allowed |= {reach_of(str(info[4][0]))} - {Reach.UNUSABLE}
        return socket.socket(*info[:3])

    def to_link(self, info: AddressInfo) -> socket.socket:
        """A socket for a link's host. Raises AddressRefused where links must not lead."""
        if reach_of(str(info[4][0])) not in self._allowed:
            raise AddressRefused
        return socket.socket(*info[:3])


def check_link(link: StrOrURL, server: URL) -> URL:
    """The link as a URL, if a server at this address may hand it out. Raises UnsafeLink.

    Only http and https; only https where the server has it; no user or password; a host must be there.
    """
    try:
        url = link if isinstance(link, URL) else URL(link, encoded=True)
        host, port = url.host, url.port
    except ValueError:
        raise UnsafeLink("the server gave a link that is no URL") from None
    if url.scheme not in {"https", "http"} or (url.scheme == "http" and server.scheme == "https"):
        raise UnsafeLink(f"the server gave a link with the scheme {url.scheme[:20]!r}")
    if not host or not port:
        raise UnsafeLink("the server gave a link without a host")
    if url.user is not None or url.password is not None:
        raise UnsafeLink(f"the server gave a link to {host} with a user name in it")
    if UNPRINTABLE.search(str(link)):
        raise UnsafeLink(f"the server gave a link to {host} with control characters in it")
    return url


def redact(link: StrOrURL) -> str:
    """A link as it may be printed: without user, query and fragment, where secrets are."""
    try:
        url = URL(link, encoded=True) if isinstance(link, str) else link
    except ValueError:
        return "(no URL)"
    return f"{url.scheme}://{url.host_port_subcomponent}{url.raw_path}" if url.host else url.raw_path
