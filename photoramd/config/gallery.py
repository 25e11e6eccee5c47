"""The section ``[gallery]``: its keys, and what they must be."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from photoramd.config.section import Section, Text
from photoramd.errors import printable

UNIX = "unix:"
"""What begins the address of a socket that is a file."""

_NAME = re.compile(r"([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.I)
_MOST_CHARACTERS = 255 + len(":65535")
_SEGMENTS = re.compile(r"(/[A-Za-z0-9._~-]+)*")


class Gallery(Section, frozen=True, kw_only=True):
    """Showing photos in a browser: what `photoramd serve` does."""

    listen: Annotated[
        str,
        Meta(
            description="Where the server waits for browsers. Whatever is not of this machine "
            "alone needs a token.",
            extra={
                "allowed": 'an address and a port, such as "127.0.0.1:8700" or "[::]:8700", or '
                '"unix:" and the absolute path of a socket'
            },
        ),
    ] = "127.0.0.1:8700"
    token_file: Annotated[
        str,
        Meta(
            description="A file with the token that browsers and programs must show. "
            "`photoramd serve --new-token FILE` makes one. Empty: no token is asked for.",
            extra={"allowed": "an absolute path, or one below ~"},
        ),
    ] = ""
    hosts: Annotated[
        tuple[Text, ...],
        Meta(
            description='Further names that the gallery is reached by, such as "photos.lan", or '
            '"nas.lan:8443" for this port only. Requests for other names are refused.'
        ),
    ] = ()
    base_path: Annotated[
        str,
        Meta(
            description='The path below which a proxy shows the gallery, such as "/photos"; '
            "empty: at the top.",
            extra={"allowed": "a path that begins with / and does not end with it, or nothing"},
        ),
    ] = ""
    trusted_proxies: Annotated[
        tuple[Text, ...],
        Meta(
            description="Addresses or networks of proxies whose X-Forwarded-For and "
            'X-Forwarded-Proto are believed, or "unix" for those that come through the socket.'
        ),
    ] = ()


def problems(gallery: Gallery) -> Iterator[str]:
    """Yield what is wrong with the form of the gallery's values."""
    try:
        address_of(gallery.listen)
    except ValueError as error:
        yield f"gallery.listen: {error}"
    for host in gallery.hosts:
        if split_host(host) is None:
            yield (
                f"gallery.hosts: {printable(host)} is not allowed; allowed: a name or an address, "
                "with a port or without, such as photos.lan or [fd00::1]:8443"
            )
    base = gallery.base_path
    if not _SEGMENTS.fullmatch(base) or {".", ".."} & set(base.split("/")):
        yield (
            f"gallery.base_path: {printable(base)} is not allowed; allowed: a path such as "
            "/photos, without a / at its end, or nothing"
        )
    for proxy in gallery.trusted_proxies:
        if proxy != "unix" and not _is_network(proxy):
            yield (
                f"gallery.trusted_proxies: {printable(proxy)} is not allowed; allowed: addresses, "
                'networks such as 10.0.0.0/8, and "unix"'
            )


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


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
