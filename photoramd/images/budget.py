"""Limit the pixels that all decoding threads hold together.

A JPEG is reduced while it is decoded, but HEIC, PNG and TIFF are not: a photo of 48 million
pixels briefly takes nearly 400 MB, and eight threads with one each would take several times as
much as all the rest of photoramd.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from photoramd.system.memory import trim_memory

LARGE_PIXELS = 4_000_000
"""An image of at least this size leaves so much free memory behind that giving it back pays."""


class PixelRoom:
    """A limit on the pixels in memory; used from any thread."""

    def __init__(self) -> None:
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def share(self, limit: int) -> Iterator[Callable[[int], None]]:
        """Take part; what was taken is given back at the end of the block.

        Args:
            limit: How many pixels all threads may hold; one photo alone may be larger.

        Yields:
            Takes room for a number of pixels, once, and waits until there is enough. At the end
            of the block, the memory of a large image goes back to the system.
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
