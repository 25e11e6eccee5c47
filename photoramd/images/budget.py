"""A bound on the pixels that all decoding threads hold together.

A JPEG is reduced while it is decoded, but HEIC, PNG and TIFF are not: a photo of 48 million
pixels takes nearly 400 MB for a moment, and eight threads with one each more than the whole
rest of photoramd many times over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from photoramd.system.memory import trim_memory

LARGE_PIXELS = 4_000_000
"""A picture from this size on leaves so much free memory behind that giving it back pays."""


class PixelRoom:
    """A bound on the pixels in memory; used from any thread."""

    def __init__(self) -> None:
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def share(self, limit: int) -> Iterator[Callable[[int], None]]:
        """Take part; what was taken is given back at the end.

        Args:
            limit: How many pixels all threads may hold; one photo alone may be larger.

        Yields:
            Takes room for a number of pixels, once, and waits until there is enough. When the
            picture is done with, the memory of a large one goes back to the system.
        """
        taken = 0

        def take(pixels: int) -> None:
            nonlocal taken
            with self._changed:
                self._changed.wait_for(lambda: not self._used or self._used + pixels <= limit)
                self._used += pixels
            taken = pixels

        try:
            yield take
        finally:
            if taken >= LARGE_PIXELS:
                trim_memory()
            with self._changed:
                self._used -= taken
                self._changed.notify_all()
