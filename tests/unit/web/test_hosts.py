"""Names that are answered to, and requests of other sites' pages."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from photoramd.web.hosts import Hosts, is_embedded, is_own

HOSTS = Hosts(["photos.lan", "nas:8443", "[fd00::1]"])


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:9000", "LocalHost:8700", "127.0.0.1:8700", "[::1]:8700",
     "[0:0:0:0:0:0:0:1]", "10.0.0.5:8700", "10.0.0.5", "photos.lan", "photos.lan:443",
     "PHOTOS.LAN", "nas:8443", "[fd00:0::1]:1"],
)  # fmt: skip
def test_own_names(host: str) -> None:
    assert HOSTS.include(host, "10.0.0.5")
    assert HOSTS.include(host, "::ffff:10.0.0.5")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "photos.lan.evil.example", "evilphotos.lan", "nas", "nas:8700", "10.0.0.6",
     "localhost.evil.example", "localhost.", "127.0.0.1.evil.example", "127.0.0.2", "127.1",
     "2130706433", "0x7f000001", "[::2]", "[::1].evil.example", "user@localhost",
     "localhost:8700@evil.example", "localhost,evil.example", "localhost evil", "", ":8700", "*"],
)  # fmt: skip
def test_other_names(host: str) -> None:
    assert not HOSTS.include(host, "10.0.0.5")


IN_A_CONTAINER = Hosts(["photos.lan"], has_outer_address=True)


@pytest.mark.parametrize(
    "host",
    ["192.168.1.20:8700", "10.0.0.6", "172.31.0.1:80", "100.64.3.2", "169.254.1.1", "[fd00::2]:1",
     "[fe80::1]", "[::ffff:192.168.1.20]", "photos.lan", "localhost", "172.17.0.2"],
)  # fmt: skip
def test_in_a_container_addresses_of_private_networks_are_its_own(host: str) -> None:
    assert IN_A_CONTAINER.include(host, "172.17.0.2")
    assert IN_A_CONTAINER.include(host, None)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "192.168.1.20.evil.example", "192.168.1", "192.168.1.20.", "3232235796",
     "0xc0a80114", "0300.0250.1.24", "192.168.01.20", "8.8.8.8", "172.32.0.1", "100.128.0.1",
     "[2001:db8::1]", "[::ffff:8.8.8.8]", "[fe80::1%25eth0]", "nas", "nas.local"],
)  # fmt: skip
def test_in_a_container_names_and_all_other_addresses_stay_others(host: str) -> None:
    assert not IN_A_CONTAINER.include(host, "172.18.0.2")


def test_a_sockets_file_has_no_address() -> None:
    assert HOSTS.include("localhost", None)
    assert not HOSTS.include("10.0.0.5", None)


HOST = "nas.lan:8700"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),  # no browser
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"origin": f"http://{HOST}"}, True),
        ({"origin": f"https://{HOST}"}, True),
        ({"origin": "http://NAS.lan:8700"}, True),
        ({"origin": "http://nas.lan"}, False),
        ({"origin": "http://nas.lan:8701"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://nas.lan:8700.evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "file://"}, False),
        ({"origin": f"chrome-extension://{HOST}"}, False),
        ({"origin": "http://"}, False),
    ],
)
def test_changes_come_from_own_pages_or_no_browser(given: dict[str, str], expected: bool) -> None:
    assert is_own(Headers(given), HOST) is expected


def test_the_usual_port_need_not_be_named() -> None:
    assert is_own(Headers({"origin": "https://photos.lan"}), "photos.lan")
    assert is_own(Headers({"origin": "https://photos.lan:443"}), "photos.lan")
    assert is_own(Headers({"origin": "http://photos.lan"}), "photos.lan:80")
    assert not is_own(Headers({"origin": "http://photos.lan"}), "photos.lan:443")


@pytest.mark.parametrize(
    ("site", "mode", "expected"),
    [
        ("cross-site", "no-cors", True),
        ("same-site", "cors", True),
        ("cross-site", None, True),
        ("cross-site", "navigate", False),  # a link or a bookmark of another site
        ("same-origin", "cors", False),
        ("none", "navigate", False),
        (None, None, False),
    ],
)
def test_parts_for_other_sites(site: str | None, mode: str | None, expected: bool) -> None:
    given = {"sec-fetch-site": site, "sec-fetch-mode": mode}
    headers = Headers({name: value for name, value in given.items() if value is not None})
    assert is_embedded(headers) is expected
