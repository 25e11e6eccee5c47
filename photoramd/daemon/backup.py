"""Copy the database once a day."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path

from photoramd.clock import Monotonic, UnixTime
from photoramd.database.backups import copies, copy, new_name
from photoramd.errors import StoreError
from photoramd.system.files import make_private

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0

FIRST_SECONDS = 60.0
"""How soon after the start a database without a copy gets its first one."""


class DailyBackup:
    """Copies the database once a day, in a thread of its own with its own connection.

    Args:
        database: The database.
        keep: How many copies are kept; 0 makes none.
    """

    def __init__(self, database: Path, keep: int) -> None:
        self._database = database
        self._keep = keep
        self._thread: threading.Thread | None = None
        self._next: Monotonic | None = None
        for each in copies(database):  # earlier versions left their modes to the umask
            with suppress(OSError):
                make_private(each)

    def step(self, now: Monotonic, wall: UnixTime) -> None:
        """Begin a copy if one is due."""
        if self._keep == 0:
            return
        if self._next is None:
            self._next = Monotonic(now + self._first_delay(wall))
        if now >= self._next and (self._thread is None or not self._thread.is_alive()):
            self._next = Monotonic(now + DAY_SECONDS)
            self._thread = threading.Thread(target=self._run, name="backup")
            self._thread.start()

    def close(self) -> None:
        """Wait for a copy in progress: a few seconds for a million photos."""
        if self._thread is not None:
            self._thread.join()

    def _first_delay(self, wall: UnixTime) -> float:
        """Return when the first copy is due, counted from the last one of an earlier process."""
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
