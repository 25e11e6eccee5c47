"""Decide whether thumbnails are made as photos are tagged, and where they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from photoramd.config.gallery import Gallery
from photoramd.database.thumbnails import Thumbnails


@contextmanager
def kept_thumbnails(gallery: Gallery) -> Iterator[Thumbnails | None]:
    """Return where thumbnails are kept until the end of a ``with`` block; None if none are made."""
    if not gallery.thumbnails:
        yield None
        return
    with closing(Thumbnails(gallery.cache, gallery.cache_bytes)) as thumbnails:
        yield thumbnails
