"""The health of the watched directories in the database."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.health import Health, RootState
from photoramd.errors import printable
from photoramd.images.formats import RAW_REMEDY

log = logging.getLogger(__name__)


class HealthStore:
    """The health of all roots in the database.

    It also logs changes, each once: it alone knows what was recorded before.
    """

    def __init__(self, database: Database, roots: Collection[str]) -> None:
        """Forget the roots in the database that are no longer watched.

        Args:
            database: The database.
            roots: The paths of the watched directories.

        Raises:
            StoreError: The database failed.
        """
        self._database = database
        self._roots = frozenset(roots)
        self._last: dict[str, Health] = {}
        self._raw_reported: set[str] = set()
        self._stored = {
            os.fsdecode(path): state
            for path, state in database.rows("SELECT path, health FROM roots")
        }
        with database.transaction() as db:
            for (path,) in db.execute("SELECT path FROM roots").fetchall():
                if os.fsdecode(path) not in roots:
                    db.execute("DELETE FROM roots WHERE path = ?", (path,))

    def was_offline(self, path: str) -> bool:
        """Return whether a root was offline when last recorded, by an earlier process too."""
        last = self._last.get(path)
        return (self._stored.get(path) if last is None else last.state) == RootState.OFFLINE

    def record(self, path: str, health: Health, now: UnixTime) -> None:
        """Store a root's health and log it if it changed."""
        last = self._last.get(path)
        if last == health:
            return
        level = logging.INFO if health.state == RootState.ONLINE else logging.WARNING
        if last is not None and last.state == health.state:
            level = logging.DEBUG  # only the details changed, and status shows them
        details = "".join(f"; {text}" for text in (health.reason, health.remedy) if text)
        extra = {"ROOT": os.fsencode(path)}
        log.log(level, "%s is %s%s", printable(path), health.state, details, extra=extra)
        self._last[path] = health
        if path not in self._roots:
            return  # scanned once, not watched
        with self._database.transaction() as db:
            db.execute(
                """INSERT INTO roots (path, health, reason, remedy, since) VALUES (?, ?, ?, ?, ?)
                   ON CONFLICT (path) DO UPDATE SET
                       since = CASE WHEN health = excluded.health THEN since
                                    ELSE excluded.since END,
                       health = excluded.health, reason = excluded.reason,
                       remedy = excluded.remedy""",
                (os.fsencode(path), health.state, health.reason, health.remedy, now),
            )

    def unhealthy(self) -> dict[str, Health]:
        """Return the health of the roots that were not online when last recorded."""
        return {
            path: health for path, health in self._last.items() if health.state != RootState.ONLINE
        }

    def record_progress(self, path: str, since: UnixTime, photos: int) -> None:
        """Store how many photos of a root the present scan has seen."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE roots SET scanning_since = ?, scanned_photos = ? WHERE path = ?",
                (since, photos, os.fsencode(path)),
            )

    def record_scan(self, path: str, now: UnixTime, raw_left_out: int = 0) -> None:
        """Store that a scan of a root is complete.

        Args:
            path: The root.
            now: The present time.
            raw_left_out: How many RAW files there cannot be decoded; logged once for each root.
        """
        if raw_left_out and path not in self._raw_reported:
            self._raw_reported.add(path)
            text = "%s: camera RAW files that are not tagged: %d; to have them tagged, %s"
            log.warning(text, printable(path), raw_left_out, RAW_REMEDY)
        with self._database.transaction() as db:
            db.execute(
                """UPDATE roots SET scanned_at = ?, raw_left_out = ?, scanning_since = NULL,
                       scanned_photos = NULL WHERE path = ?""",
                (now, raw_left_out, os.fsencode(path)),
            )
