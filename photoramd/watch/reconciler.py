"""Scan directories on request, one after the other, in small steps.

Scans make sure that nothing is missed; events only make it quicker. Requests are coalesced: a
directory that will be scanned anyway, by itself or with one above it, is not queued twice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import Monotonic, UnixTime, monotonic
from photoramd.database.photos import Photos
from photoramd.database.roots import HealthStore
from photoramd.errors import PhotoramdError, printable
from photoramd.photo import Photo
from photoramd.system import beneath
from photoramd.system.atomic import remove_temporary
from photoramd.watch.roots import Root
from photoramd.watch.scanner import Scan
from photoramd.watch.stability import StabilityTracker

log = logging.getLogger(__name__)

LEFTOVER_SECONDS = 60.0
"""How old a temporary must be to be a leftover; writing takes milliseconds."""

NOTE_SECONDS = 3.0
"""How often it is stored how far a scan is."""

STEP_SECONDS = 0.1
"""How long a scan goes on before events and finished photos are handled."""


@dataclass(frozen=True, slots=True)
class FinishedScan:
    """A scan of a root, or of a part of it, that has ended.

    Attributes:
        root: The root.
        scan: What was found.
        seconds: How long it took.
    """

    root: Root
    scan: Scan
    seconds: float

    @property
    def is_whole(self) -> bool:
        """Whether all of the root was scanned."""
        return self.scan.top == self.root.path


@dataclass(slots=True)
class _Walk:
    """A scan in progress."""

    root: Root
    scan: Scan
    steps: Iterator[list[Photo]]
    began: UnixTime
    noted: UnixTime
    seconds: float = 0.0


class Reconciler:
    """Compares the disk with the database."""

    def __init__(
        self,
        photos: Photos,
        stability: StabilityTracker,
        roots: Sequence[Root],
        health: HealthStore,
    ) -> None:
        self._photos = photos
        self._stability = stability
        self._roots = roots
        self._health = health
        self._requested: dict[str, None] = {}
        self._walk: _Walk | None = None
        self._seen = 0

    @property
    def is_scanning(self) -> bool:
        """Whether directories remain to be walked."""
        return self._walk is not None or bool(self._requested)

    @property
    def names(self) -> str:
        """The watched directories, for the log."""
        return ", ".join(printable(root.path) for root in self._roots)

    @property
    def roots(self) -> int:
        """How many directories are watched."""
        return len(self._roots)

    @property
    def can_advance(self) -> bool:
        """Whether `advance` would do something now."""
        return self.is_scanning and self._stability.has_room

    @property
    def seen(self) -> int:
        """How many photos all scans have seen, the present one included."""
        return self._seen + (self._walk.scan.present if self._walk else 0)

    def root_of(self, path: str) -> Root | None:
        """Return the watched directory that a path belongs to."""
        return next((root for root in self._roots if root.contains(path)), None)

    def request(self, top: str) -> None:
        """Queue a scan of a directory."""
        above = top
        while above not in self._requested:
            parent = os.path.dirname(above)
            if parent == above:
                self._requested[top] = None
                return
            above = parent

    def request_all(self) -> None:
        """Queue a scan of every root."""
        for root in self._roots:
            self.request(root.path)

    def advance(self, now: Monotonic, wall: UnixTime) -> FinishedScan | None:
        """Walk a few directories further, while there is room for what is found.

        Returns:
            The scan that ended with this step, if one did.
        """
        began = monotonic()
        while self._stability.has_room:
            self._walk = walk = self._walk or self._begin(wall)
            if walk is None:
                return None
            photos = next(walk.steps, None)
            elapsed = monotonic() - began
            if photos is None:
                self._walk = None
                self._seen += walk.scan.present
                walk.seconds += elapsed
                finished = FinishedScan(walk.root, walk.scan, walk.seconds)
                self._conclude(finished, wall)
                return finished
            self._stability.offer(photos, now)
            while walk.scan.sidecars:
                self._photos.read_sidecar(walk.scan.sidecars.pop(), None)
            if elapsed > STEP_SECONDS:
                walk.seconds += elapsed
                self._note(walk, wall)
                return None
        return None

    def _note(self, walk: _Walk, wall: UnixTime) -> None:
        """Store how far a long scan is, for those who ask."""
        if wall - walk.noted >= NOTE_SECONDS:
            walk.noted = wall
            self._health.record_progress(walk.root.path, walk.began, walk.scan.present)

    def _begin(self, wall: UnixTime) -> _Walk | None:
        while self._requested:
            top = next(iter(self._requested))
            del self._requested[top]
            root = self.root_of(top)
            if root is None:
                continue
            obstacle = root.look()
            if obstacle is None:
                scan = Scan(top, root.filter, self._photos, root.unmounted)
                return _Walk(root, scan, iter(scan), wall, wall)
            self._health.record(root.path, obstacle, wall)
        return None

    def _conclude(self, finished: FinishedScan, wall: UnixTime) -> None:
        """Act on a complete scan of a root; deletions come last and only if all is well."""
        root, scan = finished.root, finished.scan
        # A root that went away or was replaced while it was walked proves nothing.
        if not finished.is_whole or root.look() is not None or root.path not in scan.directories:
            return
        root.record_scan(scan)
        if scan.moves:
            self._photos.move_devices(root.path, scan.moved_wholly(), scan.moved_partly())
        if root.vanished:
            return
        gone = scan.gone()
        if gone:
            self._photos.missed(gone, wall)
        for temporary in scan.leftovers:
            _remove_leftover(temporary, wall)
        self._health.record_scan(root.path, wall, scan.left_out)
        log.debug(
            "%s: scanned, %d photos",
            printable(root.path),
            scan.present,
            extra={"ROOT": os.fsencode(root.path), "DURATION": f"{finished.seconds:.3f}"},
        )


def _remove_leftover(temporary: Path, wall: UnixTime) -> None:
    """Remove a temporary that a killed process left; a fresh one may be in use."""
    with suppress(OSError, PhotoramdError):
        if wall - beneath.look(temporary).st_ctime > LEFTOVER_SECONDS and remove_temporary(
            temporary
        ):
            log.info("Removed %s, left by an interrupted write", printable(temporary))
