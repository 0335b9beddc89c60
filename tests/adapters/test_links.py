import socket

import pytest
from aiohttp import web
from yarl import URL

from labelmirror.errors import UnsafeLink
from labelmirror.transport.links import (
    AddressInfo,
    AddressRefused,
    Networks,
    Reach,
    check_link,
    reach_of,
    redact,
)
from support.web import http_to, site

HTTPS = URL("https://api.example.com")
HTTP = URL("http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("2606:4700::1111", Reach.PUBLIC),
        ("127.0.0.1", Reach.LOOPBACK),
        ("127.8.9.1", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("::ffff:127.0.0.1", Reach.LOOPBACK),
        ("64:ff9b::7f00:1", Reach.LOOPBACK),
        ("2002:7f00:1::", Reach.LOOPBACK),
        ("169.254.169.254", Reach.LINK_LOCAL),
        ("fe80::1%eth0", Reach.LINK_LOCAL),
        ("10.0.0.1", Reach.PRIVATE),
        ("172.16.3.4", Reach.PRIVATE),
        ("192.168.1.1", Reach.PRIVATE),
        ("::ffff:10.0.0.1", Reach.PRIVATE),
        ("fd00::1", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("0.0.0.0", Reach.UNUSABLE),
        ("::", Reach.UNUSABLE),
        ("224.0.0.1", Reach.UNUSABLE),
        ("ff02::1", Reach.UNUSABLE),
        ("240.0.0.1", Reach.UNUSABLE),
        ("255.255.255.255", Reach.UNUSABLE),
        ("2130706433", Reach.UNUSABLE),
        ("127.1", Reach.UNUSABLE),
        ("0x7f.0.0.1", Reach.UNUSABLE),
        ("localhost", Reach.UNUSABLE),
    ],
)
def test_every_address_belongs_to_one_kind_of_network(address: str, reach: Reach) -> None:
    assert reach_of(address) is reach


def info(address: str) -> AddressInfo:
    return socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 80)


@pytest.mark.parametrize("host", ["8.8.8.8", "api.example.com"])
@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "0.0.0.0", "127.0.0.1", "2130706433"])
def test_a_public_server_cannot_send_us_to_networks_that_are_not(host: str, address: str) -> None:
    networks = Networks(host)
    networks.to_server(info("8.8.8.8")).close()
    with pytest.raises(AddressRefused):
        networks.to_link(info(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_on_loopback_may_link_to_loopback_and_no_other_private_network(host: str) -> None:
    networks = Networks(host)
    networks.to_server(info("127.0.0.1")).close()
    networks.to_link(info("127.0.0.2")).close()
    with pytest.raises(AddressRefused):
        networks.to_link(info("10.0.0.1"))


@pytest.mark.parametrize(
    "link",
    [
        "file:///etc/passwd",
        "ftp://storage.example.com/a",
        "gopher://storage.example.com/a",
        "http://storage.example.com/a",
        "https://user:password@storage.example.com/a",
        "https://user@storage.example.com/a",
        "//storage.example.com/a",
        "/a",
        "",
        "https:///a",
        "https://storage.example.com/a\r\nX-Evil: 1",
        "https://storage.example.com:99999/a",
        "https://[::1/a",
    ],
)
def test_links_that_are_no_plain_https_links_are_refused(link: str) -> None:
    with pytest.raises(UnsafeLink):
        check_link(link, HTTPS)


def test_plain_links_are_taken_as_they_were_spelled() -> None:
    link = "https://storage.example.com/a%2Fb/c.jpg?X-Sig=a%2Bb%3D&e=1"
    assert str(check_link(link, HTTPS)) == link
    assert check_link("http://127.0.0.2:9/a", HTTP).port == 9


def test_what_may_be_printed_of_a_link_has_no_secret() -> None:
    assert redact("https://user:pw@host/a/b.jpg?sig=canary#canary") == "https://host/a/b.jpg"
    assert redact("https://[broken") == "(no URL)"


@pytest.mark.parametrize(
    "link", ["http://10.0.0.1/a.jpg?sig=canary", "http://[::ffff:169.254.169.254]/a", "http://127.1/a"]
)
async def test_a_link_into_a_private_network_is_never_followed(link: str) -> None:
    async with http_to("http://127.0.0.1:1") as http:
        with pytest.raises(Exception) as refused:
            async with http.storage.open(link):
                pass
    assert type(refused.value).__name__ in {"UnsafeLink", "ProtocolError"}
    assert "canary" not in str(refused.value)


async def test_a_redirect_into_a_private_network_is_not_followed() -> None:
    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://10.0.0.1/a?sig=canary")

    async with site(redirect) as server, http_to(server.url) as http:
        with pytest.raises(UnsafeLink) as refused:
            async with http.storage.open(f"{server.url}/a"):
                pass
    assert "canary" not in refused.value.message
