"""Copy the database once a day."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from photoramd.database.backups import copies, copy, new_name
from photoramd.errors import StoreError

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0


FIRST_SECONDS = 60.0
"""A database without any copy gets its first one this soon after the start."""


class DailyBackup:
    """Copies the database once a day, in a thread of its own with its own connection."""

    def __init__(self, database: Path, keep: int) -> None:
        """Make a plan; ``keep`` copies stay, 0 means that none are made."""
        self._database = database
        self._keep = keep
        self._thread: threading.Thread | None = None
        self._next: float | None = None

    def step(self, now: float, wall: float) -> None:
        """Begin a copy if one is due. Times: monotonic and Unix seconds."""
        if self._keep == 0:
            return
        if self._next is None:
            self._next = now + self._first_delay(wall)
        if now >= self._next and (self._thread is None or not self._thread.is_alive()):
            self._next = now + DAY_SECONDS
            self._thread = threading.Thread(target=self._run, name="backup")
            self._thread.start()

    def close(self) -> None:
        """Wait for a copy under way: a few seconds for a million photos."""
        if self._thread is not None:
            self._thread.join()

    def _first_delay(self, wall: float) -> float:
        """A daemon that is restarted every few hours still makes one copy a day."""
        try:
            age = wall - copies(self._database)[0].stat().st_mtime
        except (IndexError, OSError):
            return FIRST_SECONDS
        return max(FIRST_SECONDS, min(DAY_SECONDS, DAY_SECONDS - age))

    def _run(self) -> None:
        target = new_name(self._database)
        began = time.monotonic()
        try:
            copy(self._database, target)
            for old in copies(self._database)[self._keep :]:
                old.unlink(missing_ok=True)
        except (StoreError, OSError) as error:
            log.warning("The daily copy of the database failed: %s", error)
        else:
            log.info("Copied the database to %s in %.1f s", target, time.monotonic() - began)
