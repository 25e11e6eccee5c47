"""Addresses to listen on, and names of hosts as they stand in requests."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from photoramd.errors import printable

UNIX = "unix:"
"""What begins the address of a socket that is a file."""

_NAME = re.compile(r"([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.I)
_MOST_CHARACTERS = 255 + len(":65535")


def address_of(listen: str) -> Path | tuple[str, int]:
    """Return where to listen: the path of a socket, or an address and a port.

    Raises:
        ValueError: It is neither; the text says what is allowed.
    """
    if listen.startswith(UNIX):
        path = Path(listen.removeprefix(UNIX))
        # sun_path of sockaddr_un has 108 bytes, with a zero at the end.
        if path.is_absolute() and "\0" not in listen and len(bytes(path)) < 108:
            return path
        raise ValueError(
            f"{printable(listen)} is not allowed; allowed: unix: and the absolute path of a "
            "socket, of at most 107 bytes"
        )
    parts = split_host(listen)
    name, port = parts or ("", None)
    name = "127.0.0.1" if name == "localhost" else name
    if port is None or not _is_address(name):
        raise ValueError(
            f"{printable(listen)} is not allowed; allowed: an address and a port, such as "
            "127.0.0.1:8700 or [::]:8700, or unix:/run/photoramd/gallery.sock"
        )
    return name, port


def split_host(text: str) -> tuple[str, int | None] | None:
    """Return name and port of a ``Host``; None if it is malformed (RFC 9110, 7.2; RFC 3986, 3.2.2).

    The name is in lower case, an address in its usual form, an IPv6 address without brackets, and
    an IPv4 address in IPv6's form as the former.
    """
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", text)
    if found is None or len(text) > _MOST_CHARACTERS or (found[2] and int(found[2]) > 65535):
        return None
    name, port = found[1], int(found[2]) if found[2] else None
    if name.startswith("["):
        if not _is_address(name[1:-1]):
            return None
        return usual(name[1:-1]), port
    return (usual(name), port) if _NAME.fullmatch(name) else None


def usual(name: str) -> str:
    """Return the usual form of an address, or a name in lower case."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.lower()
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_network(text: str) -> bool:
    """Return whether a text is an address, or a network such as 10.0.0.0/8."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
