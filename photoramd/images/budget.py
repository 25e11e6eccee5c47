"""Limit the memory that all photos together take while they are decoded.

A JPEG is reduced while it is decoded, but HEIC, PNG and TIFF are not: a photo of 48 million
pixels briefly takes nearly 400 MB, and eight at a time would take several times as much as all the
rest of photoramd.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from photoramd.errors import StoppedError

_LOOK_SECONDS = 0.25


class MemoryRoom:
    """A limit on the memory for photos; used from any thread."""

    def __init__(self) -> None:
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def share(
        self, limit: int, is_wanted: Callable[[], bool] = lambda: True
    ) -> Iterator[Callable[[int], None]]:
        """Take part; what was taken is given back at the end of the block.

        Args:
            limit: How many bytes all photos may take; one alone may take more.
            is_wanted: Asked several times a second while waiting: whether to go on.

        Yields:
            Takes room for a number of bytes and waits until there is enough. It raises a
            StoppedError if it is no longer wanted.
        """
        taken = 0

        def take(needed: int) -> None:
            nonlocal taken
            with self._changed:
                while self._used > taken and self._used + needed > limit:
                    if not is_wanted():
                        raise StoppedError("photoramd is stopping")
                    self._changed.wait(_LOOK_SECONDS)
                self._used += needed
                taken += needed

        try:
            yield take
        finally:
            with self._changed:
                self._used -= taken
                self._changed.notify_all()
