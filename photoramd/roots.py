"""A watched directory's health: online, degraded or offline.

An unmounted share looks like an empty or missing directory. Nothing is ever concluded
from what is not there unless the root was online before and after the look.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from photoramd.database import Database
from photoramd.errors import PhotoramdError, printable
from photoramd.filters import Filter

log = logging.getLogger(__name__)

State = Literal["online", "degraded", "offline"]


@dataclass(frozen=True, slots=True)
class Health:
    """How a root is, why, and what the user can do about it."""

    state: State = "online"
    reason: str | None = None
    remedy: str | None = None


ONLINE = Health()


class Root:
    """A watched directory.

    Attributes:
        path: Absolute, without symbolic links.
        filter: Which paths below it count.
        watch_problem: Why the system reports no events for it, if so.
        scan_problem: What the last scan could not read below it, if anything.
    """

    def __init__(self, path: str, path_filter: Filter) -> None:
        self.path = path
        self.filter = path_filter
        self.watch_problem: PhotoramdError | None = None
        self.scan_problem: PhotoramdError | None = None
        self._identity: tuple[int, int] | None = None

    def contains(self, path: str) -> bool:
        """Whether a path is the root or below it."""
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")

    def check(self) -> Health:
        """Look at the directory itself: is it there, readable, and still the same one?"""
        try:
            status = os.stat(self.path)
        except OSError as error:
            return Health(
                "offline",
                f"not there ({error.strerror}); its photos keep their state",
                "mount the share or disk again, or remove the directory from the configuration",
            )
        if not stat.S_ISDIR(status.st_mode):
            return Health("offline", "not a directory", "correct its path in the configuration")
        if not os.access(self.path, os.R_OK | os.X_OK):
            return Health(
                "offline", "not readable", "give photoramd's user read and execute permission"
            )
        identity = (status.st_dev, status.st_ino)
        if self._identity is not None and identity != self._identity:
            return Health(
                "offline",
                "another directory is mounted in its place; its photos keep their state",
                "mount the original again, or restart photoramd to accept this one",
            )
        self._identity = identity
        problem = self.scan_problem or self.watch_problem
        return Health("degraded", problem.message, problem.remedy) if problem else ONLINE


class HealthBook:
    """The health of all roots in the database; a change is logged once."""

    def __init__(self, database: Database, roots: Collection[str]) -> None:
        self._database = database
        self._last: dict[str, Health] = {}
        with database.transaction() as db:
            for (path,) in db.execute("SELECT path FROM roots").fetchall():
                if os.fsdecode(path) not in roots:
                    db.execute("DELETE FROM roots WHERE path = ?", (path,))

    def record(self, path: str, health: Health, now: float) -> None:
        """Store a root's health (Unix seconds) and log it if it changed."""
        if self._last.get(path) == health:
            return
        level = logging.INFO if health.state == "online" else logging.WARNING
        details = "".join(f"; {text}" for text in (health.reason, health.remedy) if text)
        log.log(level, "%s is %s%s", printable(path), health.state, details)
        self._last[path] = health
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

    def scanned(self, path: str, now: float) -> None:
        """A scan of a root is complete (Unix seconds)."""
        with self._database.transaction() as db:
            db.execute("UPDATE roots SET scanned_at = ? WHERE path = ?", (now, os.fsencode(path)))
