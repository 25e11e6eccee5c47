"""Queue files once they are stable.

A file is stable when nothing happened to it for the quiet period and two looks at it, that far
apart, agree in everything ``stat`` can tell. How long the quiet period is, the configuration says
(``quiet_seconds``); `debouncer` measures it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from photoramd.clock import Monotonic, UnixTime
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.photo import Fingerprint, Photo, PhotoState
from photoramd.system import beneath
from photoramd.watch.debouncer import Debouncer, group_of

CAPACITY = 10_000
"""How many files may wait for their quiet period; scans pause above it."""

PATIENCE = 3
"""How many quiet periods a one-shot scan waits for a file that keeps changing."""


_Directory = tuple[int, int]
"""Device and inode of a directory."""


class StabilityTracker:
    """Holds files until they are stable, then queues them, or follows a rename."""

    def __init__(
        self,
        photos: Photos,
        queue: Queue,
        debouncer: Debouncer,
        is_online: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._photos = photos
        self._queue = queue
        self._debouncer = debouncer
        self._is_online = is_online
        # Of a file that was deleted, what directory is left above it.
        self._first_look: dict[str, Fingerprint | _Directory] = {}
        # How often a file was found changed at the end of its quiet period.
        self._restless: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._debouncer)

    @property
    def has_room(self) -> bool:
        """Whether a scan may go on."""
        return len(self._debouncer) < CAPACITY

    @property
    def is_settled(self) -> bool:
        """Whether only files that keep changing wait."""
        return all(self._restless.get(path, 0) >= PATIENCE for path in self._first_look)

    def notice(self, path: str, now: Monotonic) -> None:
        """Take note of an event about a photo; ignore it if the file is as the database has it."""
        fingerprint = beneath.fingerprint(path)
        known = self._photos.find(path)
        if fingerprint is None:
            # Another file may take its place in a moment.
            is_known = known is not None and known.state != PhotoState.MISSING
            if is_known and self._is_online(path):
                self._wait(path, _directory_above(path), now)
            return
        if known is None or known.fingerprint != fingerprint or known.state == PhotoState.MISSING:
            self._wait(path, fingerprint, now)
        elif known.missed_scans:
            # A scan in progress may have passed its place before it came back.
            self._photos.seen([known.id])

    def notice_companion(self, path: str, now: Monotonic, wall: UnixTime) -> None:
        """Take note of an event about a sidecar or a RAW.

        Files that arrive together are handled together. A sidecar that could not be written may
        have been repaired, and the user may have taken keywords out of it.
        """
        self._debouncer.disturb(path, now)
        self._queue.retry_writes(*group_of(path))
        self._photos.read_sidecar(path, UnixTime(wall + self._debouncer.quiet_seconds))

    def offer(self, photos: Sequence[Photo], now: Monotonic) -> None:
        """Take note of photos that a scan found to differ from the database."""
        for photo in photos:
            path = os.fspath(photo.path)
            if path not in self._first_look:
                self._wait(path, photo.fingerprint, now)

    def deadline(self, now: Monotonic) -> Monotonic | None:
        """Return when `settle` may next have something to do, or None."""
        return self._debouncer.deadline(now)

    def settle(self, now: Monotonic, wall: UnixTime) -> int:
        """Queue the files that have become stable; return how many."""
        stable = []
        for path in self._debouncer.ready(now):
            before = self._first_look.pop(path)
            fingerprint = beneath.fingerprint(path)
            if fingerprint is None:
                self._restless.pop(path, None)
                if not isinstance(before, Fingerprint):
                    self._lose(path, before, wall)
                continue
            if not isinstance(before, Fingerprint):
                self.notice(path, now)  # it is back
                continue
            if not fingerprint.is_stable_since(before):
                self._restless[path] = self._restless.get(path, 0) + 1
                self._wait(path, fingerprint, now)
                continue
            self._restless.pop(path, None)
            stable.append(Photo(Path(path), fingerprint))
        new = [photo for photo in stable if not self._moved(photo, wall)]
        if new:
            self._queue.enqueue(new, wall)
        return len(stable)

    def _lose(self, path: str, above: _Directory, wall: UnixTime) -> None:
        """Record that a photo was deleted, after a look at the disk.

        A directory that was itself replaced or unmounted meanwhile proves nothing.
        """
        known = self._photos.find(path)
        is_same = self._is_online(path) and _directory_above(path) == above
        if known is not None and is_same and not beneath.exists(path):
            self._photos.lose(known.id, wall)

    def _wait(self, path: str, found: Fingerprint | _Directory, now: Monotonic) -> None:
        self._first_look[path] = found
        self._debouncer.add(path, now)

    def _moved(self, photo: Photo, wall: UnixTime) -> bool:
        """Return whether this is a known file under a new name; then its row follows it."""
        if self._photos.find(os.fspath(photo.path)) is not None:
            return False
        for photo_id, old in self._photos.same_file(photo.fingerprint):
            if not beneath.exists(old):
                self._photos.relocate(photo_id, photo.path, wall)
                return True
        return False


def _directory_above(path: str) -> _Directory:
    """Return the nearest directory above a path that is there."""
    above = os.path.dirname(path)
    while True:
        try:
            status = beneath.look(above)
        except OSError:
            above = os.path.dirname(above)
        else:
            return status.st_dev, status.st_ino
