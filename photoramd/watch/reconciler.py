"""Scans on request, one after the other, a few directories at a time.

This is what nothing is lost by: events only make it quicker. Requests are coalesced: a
directory that is already to be scanned, by itself or with one above it, is not noted twice.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.photos import Photos
from photoramd.database.roots import HealthStore
from photoramd.errors import PhotoramdError, printable
from photoramd.photo import Photo
from photoramd.system.atomic import remove_temporary
from photoramd.watch.roots import Root
from photoramd.watch.scanner import Scan
from photoramd.watch.stability import StabilityTracker
from photoramd.watch.supervisor import Supervisor

log = logging.getLogger(__name__)

LEFTOVER_SECONDS = 60.0
"""How old a temporary must be to be a leftover; writing takes milliseconds."""

STEP_SECONDS = 0.1
"""How long a scan goes on before events and finished photos get their turn."""


@dataclass(slots=True)
class _Walk:
    """A scan under way."""

    root: Root
    scan: Scan
    steps: Iterator[list[Photo]]
    seconds: float = 0.0

    @property
    def is_whole(self) -> bool:
        return self.scan.top == self.root.path


class Reconciler:
    """Compares the disk with the database. Times: monotonic ``now``, Unix ``wall``, seconds."""

    def __init__(
        self, photos: Photos, intake: StabilityTracker, roots: Sequence[Root], book: HealthStore
    ) -> None:
        self._photos = photos
        self._intake = intake
        self._roots = roots
        self._book = book
        self._requested: dict[str, None] = {}
        self._walk: _Walk | None = None
        self._seen = 0

    @property
    def is_scanning(self) -> bool:
        """Whether directories remain to be walked."""
        return self._walk is not None or bool(self._requested)

    @property
    def names(self) -> str:
        """What is watched, for a log."""
        return ", ".join(printable(root.path) for root in self._roots)

    @property
    def roots(self) -> int:
        """How many directories are looked after."""
        return len(self._roots)

    @property
    def can_advance(self) -> bool:
        """Whether `advance` would do something now."""
        return self.is_scanning and self._intake.has_room

    @property
    def seen(self) -> int:
        """Photos that all scans have seen, the one under way included."""
        return self._seen + (self._walk.scan.present if self._walk else 0)

    def root_of(self, path: str) -> Root | None:
        """The watched directory that a path belongs to."""
        return next((root for root in self._roots if root.contains(path)), None)

    def request(self, top: str) -> None:
        """Have a directory scanned."""
        above = top
        while above not in self._requested:
            parent = os.path.dirname(above)
            if parent == above:
                self._requested[top] = None
                return
            above = parent

    def request_all(self) -> None:
        """Have everything scanned."""
        for root in self._roots:
            self.request(root.path)

    def advance(self, patrol: Supervisor, now: float, wall: UnixTime) -> None:
        """Walk a few directories further, as long as the intake takes what is found."""
        began = time.monotonic()
        while self._intake.has_room:
            self._walk = walk = self._walk or self._begin(patrol, wall)
            if walk is None:
                return
            photos = next(walk.steps, None)
            elapsed = time.monotonic() - began
            if photos is None:
                self._walk = None
                self._seen += walk.scan.present
                walk.seconds += elapsed
                self._end(walk, wall)
                patrol.walked(walk.root, walk.scan, walk.seconds, now, wall)
                return
            self._intake.offer(photos, now)
            if elapsed > STEP_SECONDS:
                walk.seconds += elapsed
                return

    def _begin(self, patrol: Supervisor, wall: UnixTime) -> _Walk | None:
        while self._requested:
            top = next(iter(self._requested))
            del self._requested[top]
            root = self.root_of(top)
            if root is not None and patrol.may_walk(root, wall):
                scan = Scan(top, root.filter, self._photos, root.unmounted)
                return _Walk(root, scan, iter(scan))
        return None

    def _end(self, walk: _Walk, wall: UnixTime) -> None:
        """Draw the conclusions of a whole scan; deletions come last and only if all is well."""
        root, scan = walk.root, walk.scan
        # Gone or replaced while it was walked: nothing was learnt.
        if not walk.is_whole or root.look() is not None or root.path not in scan.directories:
            return
        root.scan_problem = _complaint(scan)
        root.unreadable = tuple(scan.unreadable)
        if scan.moves:
            self._photos.move_devices(root.path, scan.moved_wholly(), scan.moved_partly())
        absent = sum(map(len, scan.absent.values()))
        root.vanished = 0 if scan.present else absent
        if root.vanished:
            return
        gone = scan.gone()
        if gone:
            self._photos.missed(gone, wall)
        for temporary in scan.leftovers:
            _sweep(temporary, wall)
        self._book.record_scan(root.path, wall, scan.left_out)
        log.debug(
            "%s: scanned, %d photos",
            printable(root.path),
            scan.present,
            extra={"ROOT": os.fsencode(root.path), "DURATION": f"{walk.seconds:.3f}"},
        )


def _sweep(temporary: Path, wall: UnixTime) -> None:
    """Remove a temporary that a killed process left; a fresh one may be in use."""
    with suppress(OSError, PhotoramdError):
        if wall - temporary.lstat().st_ctime > LEFTOVER_SECONDS and remove_temporary(temporary):
            log.info("Removed %s, left by an interrupted write", printable(temporary))


def _complaint(scan: Scan) -> PhotoramdError | None:
    """What a scan could not see, as one complaint."""
    if scan.unreadable:
        first, reason = next(iter(scan.unreadable.items()))
        more = f" and {len(scan.unreadable) - 1} more" if len(scan.unreadable) > 1 else ""
        return PhotoramdError(
            f"cannot read {printable(first)}{more}: {reason}",
            path=first,
            remedy="give photoramd's user permission to read it, or exclude it",
        )
    if unmounted := scan.unmounted():
        return PhotoramdError(
            f"a file system with {unmounted} photos below it is not mounted, or another hides it;"
            " they keep their state",
            path=scan.top,
            remedy="mount it again, or take away what hides it",
        )
    return None
