"""The section ``[gallery]``: its keys, and what they must be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from photoramd.config.addresses import address_of, is_network, split_host
from photoramd.config.section import Section, Text
from photoramd.errors import printable

_SIZE = re.compile(r"([1-9][0-9]{0,5}) ?([MGT])B")
_SEGMENTS = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_BYTES = {"M": 10**6, "G": 10**9, "T": 10**12}


class Gallery(Section, frozen=True, kw_only=True):
    """Showing photos in a browser: what `photoramd serve` does."""

    thumbnails: Annotated[
        bool,
        Meta(
            description="Whether thumbnails are made as photos are tagged, a tenth slower; "
            "otherwise when they are first looked at."
        ),
    ] = False
    cache: Annotated[
        Path,
        Meta(
            description="The directory in which thumbnails are kept, on a disk of this machine; it "
            "may be deleted at any time. Without this key it is /var/cache/photoramd for a system "
            "service and ~/.cache/photoramd for a user.",
            extra={"allowed": "an absolute path, or one below ~"},
        ),
    ] = Path("/var/cache/photoramd")
    cache_size: Annotated[
        str,
        Meta(
            pattern=rf"^{_SIZE.pattern}\Z",
            description="How much of the disk the kept thumbnails may take. Those that were not "
            "looked at for longest make room.",
            extra={"allowed": 'a size such as "500 MB" or "2 GB"'},
        ),
    ] = "2 GB"

    listen: Annotated[
        str,
        Meta(
            description="Where the server waits for browsers. An address that other machines "
            "can reach needs a token.",
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

    @property
    def cache_bytes(self) -> int:
        """How many bytes the kept thumbnails may take."""
        found = _SIZE.fullmatch(self.cache_size)
        if found is None:
            raise ValueError(self.cache_size)
        return int(found[1]) * _BYTES[found[2]]


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
        if proxy != "unix" and not is_network(proxy):
            yield (
                f"gallery.trusted_proxies: {printable(proxy)} is not allowed; allowed: addresses, "
                'networks such as 10.0.0.0/8, and "unix"'
            )
