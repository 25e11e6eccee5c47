"""The section ``[gallery]``: its keys, and what they must be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from photoramd.config.section import Section

_SIZE = re.compile(r"([1-9][0-9]{0,5}) ?([MGT])B")
_BYTES = {"M": 10**6, "G": 10**9, "T": 10**12}


class Gallery(Section, frozen=True, kw_only=True):
    """Showing photos in a browser."""

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

    @property
    def cache_bytes(self) -> int:
        """How many bytes the kept thumbnails may take."""
        found = _SIZE.fullmatch(self.cache_size)
        if found is None:
            raise ValueError(self.cache_size)
        return int(found[1]) * _BYTES[found[2]]
