"""Photos as pictures and as files. They are named by their ids in the database only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from threading import BoundedSemaphore, Thread

from anyio import CapacityLimiter, fail_after, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from photoramd.errors import BusyError, ChangedError, DecodeError, LostError, StoppedError
from photoramd.images.renditions import PREVIEW, THUMBNAIL, Rendition
from photoramd.pictures import provider
from photoramd.pictures.provider import Picture, Pictures
from photoramd.pictures.subjects import Subject, find_subject
from photoramd.web.originals import OpenOriginal, SentFile, open_original
from photoramd.web.picture_versions import is_known, version_of
from photoramd.web.site import Site, site_of

FOR_EVER = "private, max-age=31536000, immutable"
_MOST_ID = 2**63 - 1

_OPEN_SECONDS = 10.0
"""A disk may have to spin up; a share that is gone never answers."""

_MOST_PICTURES = 64
"""Requests for pictures at a time; how many are made of them at a time `Pictures` knows."""

_MOST_KEPT = 8
"""Requests for pictures that are kept: they wait for none that is made."""

_MOST_FILES = 16
"""Disks that do not answer hold up so many requests for files."""

_REST_SECONDS = 60.0


class Studio:
    """What gives pictures and files, a bounded number at a time.

    Args:
        pictures: Gives pictures.
    """

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._for_pictures = CapacityLimiter(_MOST_PICTURES)
        self._for_kept = CapacityLimiter(_MOST_KEPT)
        self.for_files = CapacityLimiter(_MOST_FILES)
        self._opening = BoundedSemaphore(_MOST_FILES)
        self._resting: asyncio.TimerHandle | None = None

    async def picture(self, subject: Subject, rendition: Rendition) -> Picture:
        """Return a picture; see `Pictures.get`."""
        look = partial(self._pictures.kept, subject, rendition)
        kept = await to_thread.run_sync(look, limiter=self._for_kept)
        if kept is not None:
            return kept
        give = partial(self._pictures.get, subject, rendition)
        try:
            return await to_thread.run_sync(give, limiter=self._for_pictures)
        finally:
            # A worker that could not decode a photo takes memory, too.
            self._rest_later(asyncio.get_running_loop().call_later)

    async def file(self, open_it: Callable[[], OpenOriginal]) -> OpenOriginal:
        """Return an opened file.

        Raises:
            TimeoutError: The disk does not answer.
        """
        if not self._opening.acquire(blocking=False):
            raise TimeoutError
        opening: Future[OpenOriginal] = Future()
        # A thread that no disk answers is left behind, and the process may end all the same.
        Thread(target=self._open, args=(open_it, opening), daemon=True).start()
        try:
            with fail_after(_OPEN_SECONDS):
                return await asyncio.shield(asyncio.wrap_future(opening))
        except BaseException:
            opening.add_done_callback(_close)
            raise

    def _open(self, open_it: Callable[[], OpenOriginal], opening: Future[OpenOriginal]) -> None:
        try:
            opening.set_result(open_it())
        except BaseException as error:
            opening.set_exception(error)
        finally:
            self._opening.release()

    def close(self) -> None:
        """Let nothing be done later."""
        if self._resting is not None:
            self._resting.cancel()

    def _rest_later(self, call_later: Callable[..., asyncio.TimerHandle]) -> None:
        """Have workers give back their memory when nobody has looked for a while."""
        self.close()
        self._resting = call_later(_REST_SECONDS, self._pictures.rest)


def _close(opening: Future[OpenOriginal]) -> None:
    """Close what was opened too late."""
    if opening.exception() is None:
        opening.result().file.close()


@contextmanager
def opened(site: Site) -> Iterator[Studio]:
    """Return what gives a site's pictures and files, until the end of a ``with`` block."""
    config = site.config
    roots = [watch.path for watch in config.watch]
    with provider.opened(config.gallery, roots, config.decode.max_pixels) as pictures:
        studio = Studio(pictures)
        try:
            yield studio
        finally:
            studio.close()


async def thumbnail(request: Request) -> Response:
    """Send a photo's thumbnail."""
    return await _picture(request, THUMBNAIL)


async def preview(request: Request) -> Response:
    """Send a photo's preview."""
    return await _picture(request, PREVIEW)


async def original(request: Request) -> Response:
    """Send a photo's file to be saved."""
    subject = await _subject(request)
    studio: Studio = request.app.state.studio
    roots = [watch.path for watch in site_of(request).config.watch]
    try:
        opened = await studio.file(partial(open_original, subject.path, roots))
    except TimeoutError as error:
        raise HTTPException(504, "the disk of the photo does not answer") from error
    return SentFile(request, opened, studio.for_files)


async def _picture(request: Request, rendition: Rendition) -> Response:
    subject = await _subject(request)
    studio: Studio = request.app.state.studio
    try:
        picture = await studio.picture(subject, rendition)
    except (DecodeError, LostError) as error:
        raise HTTPException(422, error.message) from error
    except ChangedError as error:
        raise HTTPException(503, error.message, {"Retry-After": "10"}) from error
    except (BusyError, StoppedError) as error:
        raise HTTPException(503, error.message, {"Retry-After": "2"}) from error
    tag = f'"{picture.tag}"'
    is_asked_for = request.query_params.get("v") == version_of(subject.fingerprint)
    # What was made of a file that the database does not know yet is not kept under this address.
    is_current = picture.tag.endswith(subject.key.hex())
    headers = {"ETag": tag}
    if is_asked_for and is_current:
        headers["Cache-Control"] = FOR_EVER
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(picture.content, media_type=picture.media_type, headers=headers)


async def _subject(request: Request) -> Subject:
    photo_id: int = request.path_params["photo_id"]
    subject = None
    if photo_id <= _MOST_ID:
        readers = site_of(request).readers
        subject = await readers.ask(lambda reader: find_subject(reader.connection, photo_id))
    if subject is None:
        raise HTTPException(404, "there is no such photo")
    return subject


ROUTES = [
    Route(f"/api/v1/photos/{{photo_id:int}}/{each.__name__}", each)
    for each in (thumbnail, preview, original)
]
