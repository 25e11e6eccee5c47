"""Give pictures: from the cache, or made of the photo by a worker, once for all who ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import Monotonic, UnixTime, monotonic, unix_time
from photoramd.config.gallery import Gallery
from photoramd.contained.client import Contained
from photoramd.database.picture_keys import key_of_file
from photoramd.database.thumbnails import Thumbnails
from photoramd.errors import DecodeError, LostError
from photoramd.images.budget import MemoryRoom
from photoramd.images.renditions import Rendition
from photoramd.pictures.flights import Flights
from photoramd.pictures.subjects import Subject, is_watched
from photoramd.system.cpu import available_cores

TASK_SECONDS = 20.0
"""How long a worker may take for one picture."""

WAIT_SECONDS = 30.0
"""How long a request waits for others."""

_MOST_WAITING = 64
"""How many pictures may be made or wait for it at a time."""

LOST_SECONDS = 60.0
"""How long a photo that a worker was lost with is not tried again."""

_MOST_LOST = 1000

_BYTES_FOR_PIXEL = 8
"""All photos together may take as much memory as one of the largest ones that are allowed."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture.

    Attributes:
        content: Its bytes, in the format of its rendition.
        media_type: Of the bytes.
        tag: Another picture of the photo has another one: for HTTP's ``ETag``.
    """

    content: bytes
    media_type: str
    tag: str


class Pictures:
    """Gives pictures of photos; used from any thread.

    Args:
        cache: Where pictures are kept.
        contained: The workers that make them.
        roots: The watched directories; no picture is made of what is elsewhere.
        max_pixels: Photos with more are refused.
        now: The present time, and the time that has passed.
    """

    def __init__(
        self,
        cache: Thumbnails,
        contained: Contained,
        roots: Sequence[Path],
        max_pixels: int,
        now: Callable[[], tuple[UnixTime, Monotonic]] = lambda: (unix_time(), monotonic()),
    ) -> None:
        self._cache = cache
        self._contained = contained
        self._roots = tuple(roots)
        self._max_pixels = max_pixels
        self._now = now
        self._room = MemoryRoom()
        self._flights: Flights[Picture] = Flights(_MOST_WAITING, available_cores(), WAIT_SECONDS)
        self._lost_lock = threading.Lock()
        self._lost: dict[tuple[Path, bytes], tuple[Monotonic, str]] = {}

    def kept(self, subject: Subject, rendition: Rendition) -> Picture | None:
        """Return a picture that is kept, without a look at the file; None if there is none.

        The file may be on a disk that sleeps or is gone. The picture is what the database's tags
        are about.
        """
        content = self._cache.get(subject.key, rendition, self._now()[0])
        return None if content is None else _picture(content, rendition, subject.key)

    def get(self, subject: Subject, rendition: Rendition) -> Picture:
        """Return a picture of a photo: a kept one, or one that is made.

        One that is made is of the file as it is now, and is kept under what that file is.

        Args:
            subject: The photo.
            rendition: The kind of picture.

        Raises:
            DecodeError: It cannot be decoded, or is in no watched directory.
            ChangedError: It changed while it was read.
            LostError: The worker was lost with it, now or a moment ago.
            BusyError: Too many are being made.
            StoppedError: The workers were stopped.
            ToolError: No worker can be started.
        """
        kept = self.kept(subject, rendition)
        if kept is not None:
            return kept
        # By path, too: of equal photos, one may have changed since.
        name = (subject.path, subject.key, rendition.name)
        return self._flights.do(name, lambda: self._make(subject, rendition))

    def rest(self) -> None:
        """Give back the memory of workers, as nobody looks now."""
        self._contained.rest()

    def _make(self, subject: Subject, rendition: Rendition) -> Picture:
        kept = self.kept(subject, rendition)
        if kept is not None:  # another thread, or the daemon, was faster
            return kept
        path, most = subject.path, self._max_pixels
        if not is_watched(path, self._roots):
            raise DecodeError("it is in no watched directory", path=path)
        self._require_not_lost(subject)
        try:
            with self._room.share(_BYTES_FOR_PIXEL * most, self._contained.is_running) as reserve:
                content, found = self._contained.picture(path, rendition, most, reserve)
        except LostError as error:
            self._lose(subject, error)
            raise
        key = subject.key if found == subject.fingerprint else key_of_file(found)
        self._cache.put(key, rendition, content, self._now()[0])
        return _picture(content, rendition, key)

    def _require_not_lost(self, subject: Subject) -> None:
        with self._lost_lock:
            lost = self._lost.get((subject.path, subject.key))
        if lost is not None and self._now()[1] < lost[0] + LOST_SECONDS:
            raise LostError(lost[1], path=subject.path)

    def _lose(self, subject: Subject, error: LostError) -> None:
        with self._lost_lock:
            if len(self._lost) >= _MOST_LOST:
                del self._lost[next(iter(self._lost))]  # the first
            self._lost[subject.path, subject.key] = self._now()[1], error.message


@contextmanager
def opened(gallery: Gallery, roots: Sequence[Path], max_pixels: int) -> Iterator[Pictures]:
    """Return what gives pictures, until the end of a ``with`` block.

    Args:
        gallery: The section of the configuration.
        roots: The watched directories, as the configuration has them: without symbolic links.
        max_pixels: Photos with more are refused.
    """
    with (
        closing(Thumbnails(gallery.cache, gallery.cache_bytes)) as cache,
        Contained(seconds=TASK_SECONDS) as contained,
    ):
        yield Pictures(cache, contained, roots, max_pixels)


def _picture(content: bytes, rendition: Rendition, key: bytes) -> Picture:
    return Picture(content, rendition.media_type, f"{rendition.name}-{key.hex()}")
