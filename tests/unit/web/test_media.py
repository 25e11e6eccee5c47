"""Workers that make pictures rest when nobody looks, whatever came of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from photoramd.config.gallery import Gallery
from photoramd.contained.client import Contained
from photoramd.database.picture_keys import key_of_file
from photoramd.database.thumbnails import Thumbnails
from photoramd.errors import DecodeError
from photoramd.images.renditions import THUMBNAIL
from photoramd.photo import Fingerprint
from photoramd.pictures.provider import Pictures
from photoramd.pictures.subjects import Subject
from photoramd.web import media
from photoramd.web.media import Studio
from tests.support.loops import run


class Resting(Pictures):
    """It tells when it is to rest."""

    def __init__(self, cache: Thumbnails, contained: Contained, rested: asyncio.Event) -> None:
        super().__init__(cache, contained, [], 1)
        self._rested = rested

    def rest(self) -> None:
        super().rest()
        self._rested.set()


def test_workers_rest_after_a_picture_that_could_not_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "_REST_SECONDS", 0)
    fingerprint = Fingerprint(1, 1, 1, 1)
    subject = Subject(tmp_path / "a.jpg", fingerprint, key_of_file(fingerprint))

    async def scene(contained: Contained) -> None:
        rested = asyncio.Event()
        cache = Thumbnails(tmp_path / "cache", Gallery().cache_bytes)
        studio = Studio(Resting(cache, contained, rested))
        with pytest.raises(DecodeError):
            await studio.picture(subject, THUMBNAIL)
        async with asyncio.timeout(10):
            await rested.wait()
        cache.close()

    with Contained() as contained:
        run(lambda: scene(contained))
