"""The names that the gallery is reached by, and whether a request comes from its own pages.

A page of another site can have a name of its own lead to this machine (DNS rebinding), and it can
send forms to it. Its browser tells so by ``Host``, ``Origin`` and ``Sec-Fetch-Site``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers

from photoramd.config.addresses import split_host, usual

_OF_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
        *("fc00::/7", "fe80::/10"),
    )
)
"""RFC 1918, 3927, 6598 (used by some VPNs), 4193 and 4291."""

_PORTS = {"http": 80, "https": 443}


class Hosts:
    """The names that are answered to.

    Those of this machine alone, and the address that a connection was made to, are answered to
    with any port: tunnels and containers give others. An address cannot be another site's name.

    Args:
        further: Further names; one with a port only with that port.
        has_outer_address: Whether browsers reach it by an address that it cannot know, as in a
            container: then it answers to every address of private networks.
    """

    def __init__(self, further: Iterable[str], *, has_outer_address: bool = False) -> None:
        self._further = {split_host(each) for each in further}
        self._has_outer_address = has_outer_address

    def include(self, host: str, address: str | None) -> bool:
        """Return whether a host is answered to.

        Args:
            host: The value of ``Host``.
            address: The address that the connection was made to; None for a socket's file.
        """
        found = split_host(host)
        if found is None:
            return False
        name, _ = found
        own = {usual(address)} if address else set()
        return (
            name in _OF_THIS_MACHINE | own
            or (self._has_outer_address and _is_private(name))
            or not self._further.isdisjoint({found, (name, None)})
        )


def is_own(headers: Headers, host: str) -> bool:
    """Return whether a request that may change something does not come from another site's page.

    As in Go's http.CrossOriginProtection (https://pkg.go.dev/net/http): browsers that are not old
    send Sec-Fetch-Site, all others Origin; who sends neither is no browser.

    Args:
        headers: Of the request.
        host: The value of ``Host``.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    if origin is None:
        return True
    scheme, _, rest = origin.partition("://")
    port = _PORTS.get(scheme)
    return port is not None and _with_port(rest, port) == _with_port(host, port)


def is_embedded(headers: Headers) -> bool:
    """Return whether a page of another site wants a part for itself, not to lead a user here."""
    site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
    return site in ("cross-site", "same-site") and mode != "navigate"


def _is_private(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:  # a name, which may be anybody's
        return False
    return any(address in network for network in _PRIVATE_NETWORKS)


def _with_port(host: str, default: int) -> tuple[str, int] | None:
    found = split_host(host)
    return None if found is None else (found[0], found[1] or default)
