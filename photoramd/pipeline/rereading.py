"""Read again what photos and sidecars say, where it is not known or has changed.

Photos that an earlier version tagged, and those whose sidecar another program has written, are
read without inference whenever nothing else is to be done.
"""

from __future__ import annotations

import logging

from photoramd.clock import UnixTime
from photoramd.contained.client import Contained
from photoramd.database.readings import Readings
from photoramd.errors import ChangedError, PhotoramdError, StoppedError, printable
from photoramd.system import beneath

log = logging.getLogger(__name__)

TOGETHER = 16
"""Photos that are read in a step, which takes a few milliseconds for each."""

REST_SECONDS = 60.0
"""When photos that could not be read now, as their disk is away, are tried again."""


class Rereader:
    """Reads photos whose looks and keywords are not known.

    Args:
        readings: Which those are, and where it is stored.
        contained: What looks into the files.
        max_pixels: Photos with more are refused.

    Attributes:
        left: How many photos are yet to be read, about.
    """

    def __init__(self, readings: Readings, contained: Contained, max_pixels: int) -> None:
        self._readings = readings
        self._contained = contained
        self._max_pixels = max_pixels
        self._after = 0
        self._rests_until = UnixTime(0)
        self.left = 0

    def step(self, now: UnixTime) -> bool:
        """Read some photos; return whether there may be more.

        Raises:
            StoreError: The database failed.
        """
        if now < self._rests_until:
            return False
        if not self._after:
            self.left = self._readings.count_unread()
        jobs = self._readings.unread(self._after, TOGETHER)
        self.left = max(0, self.left - len(jobs))
        for job in jobs:
            if not self._contained.is_wanted():
                return False
            self._after = job.id
            path = job.photo.path
            if beneath.fingerprint(path) != job.photo.fingerprint:
                continue  # moved, changed or its disk is away: a scan or an event will tell
            try:
                reading = self._contained.read(path, self._max_pixels)
            except StoppedError:
                return False
            except ChangedError:
                continue
            except PhotoramdError as error:
                log.debug("%s: cannot be read again: %s", printable(path), error.message)
                self._readings.give_up(job.id)
            else:
                self._readings.save(job.id, reading)
        if jobs:
            return True
        self._after = 0
        self._rests_until = UnixTime(now + REST_SECONDS)
        return False

    def wake(self) -> None:
        """Look at once whether a photo is to be read."""
        self._rests_until = UnixTime(0)
