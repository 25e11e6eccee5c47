"""Decide what each event of the file system means: look at a file, or scan a directory."""

from __future__ import annotations

import logging
import os
from collections import Counter

from photoramd.clock import Monotonic, UnixTime
from photoramd.images.formats import RAW_SUFFIXES, suffix
from photoramd.metadata.sidecar import SIDECAR_SUFFIX
from photoramd.system import beneath
from photoramd.watch.reconciler import Reconciler
from photoramd.watch.stability import StabilityTracker
from photoramd.watch.watcher import EventBatch

log = logging.getLogger(__name__)

CROWD = 128
"""With more events than this in one directory, its whole subtree is scanned instead."""

PENDING_LIMIT = 512
"""If more files than this wait for their quiet period, everything is scanned once."""


class Triage:
    """Hands events to those who look at files and directories.

    Args:
        reconciler: Scans directories.
        stability: Looks at files.
    """

    def __init__(self, reconciler: Reconciler, stability: StabilityTracker) -> None:
        self._reconciler = reconciler
        self._stability = stability
        self._is_crowded = False

    def read(self, events: EventBatch, now: Monotonic, wall: UnixTime) -> bool:
        """Take note of events; return whether everything must be scanned."""
        if events.lost:
            log.warning("File system events were lost; scanning everything")
        for directory in events.directories:
            root = self._reconciler.root_of(directory)
            if root is not None and root.filter.enters(directory):
                self._reconciler.request(directory)
        # What was deleted is looked at one by one: a scan concludes nothing from one absence.
        gone = {path for path in events.files if not beneath.exists(path)}
        crowds = Counter(os.path.dirname(path) for path in events.files if path not in gone)
        for path in events.files:
            root = self._reconciler.root_of(path)
            if root is None:
                continue
            if root.vanished:
                self._reconciler.request(root.path)
            elif crowds[os.path.dirname(path)] > CROWD:
                self._reconciler.request(os.path.dirname(path))
            elif root.filter.wants(path):
                self._stability.notice(path, now)
            elif suffix(path) == SIDECAR_SUFFIX or suffix(path) in RAW_SUFFIXES:
                self._stability.notice_companion(path, now, wall)
        return events.lost or (bool(events.files) and self._is_newly_crowded())

    def _is_newly_crowded(self) -> bool:
        """Return, once, that very many files arrive: events are rarely complete then."""
        was_crowded, self._is_crowded = self._is_crowded, len(self._stability) > PENDING_LIMIT
        return self._is_crowded and not was_crowded and not self._reconciler.is_scanning
