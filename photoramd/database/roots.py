"""The health of the watched directories, as it is stored."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from photoramd.database.connection import Database
from photoramd.errors import printable
from photoramd.images.formats import RAW_REMEDY

log = logging.getLogger(__name__)

State = Literal["online", "degraded", "offline"]


@dataclass(frozen=True, slots=True)
class Health:
    """How a root is, why, and what the user can do about it."""

    state: State = "online"
    reason: str | None = None
    remedy: str | None = None


ONLINE = Health()


class HealthStore:
    """The health of all roots in the database; a change is logged once."""

    def __init__(self, database: Database, roots: Collection[str]) -> None:
        self._database = database
        self._roots = frozenset(roots)
        self._last: dict[str, Health] = {}
        self._told: set[str] = set()
        self._before = {
            os.fsdecode(path): state
            for path, state in database.rows("SELECT path, health FROM roots")
        }
        with database.transaction() as db:
            for (path,) in db.execute("SELECT path FROM roots").fetchall():
                if os.fsdecode(path) not in roots:
                    db.execute("DELETE FROM roots WHERE path = ?", (path,))

    def was_offline(self, path: str) -> bool:
        """Whether a root was offline when it was last recorded, by a process before this too."""
        last = self._last.get(path)
        return (self._before.get(path) if last is None else last.state) == "offline"

    def record(self, path: str, health: Health, now: float) -> None:
        """Store a root's health (Unix seconds) and log it if it changed."""
        if self._last.get(path) == health:
            return
        last = self._last.get(path)
        level = logging.INFO if health.state == "online" else logging.WARNING
        if last is not None and last.state == health.state:
            level = logging.DEBUG  # the details change: status has them
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

    def troubles(self) -> dict[str, Health]:
        """What was last recorded of the roots that are not online."""
        return {path: health for path, health in self._last.items() if health.state != "online"}

    def scanned(self, path: str, now: float, raw_left_out: int = 0) -> None:
        """A scan of a root is complete (Unix seconds); RAW files left out are named once."""
        if raw_left_out and path not in self._told:
            self._told.add(path)
            text = "%s: camera RAW files that are not tagged: %d; to have them tagged, %s"
            log.warning(text, printable(path), raw_left_out, RAW_REMEDY)
        with self._database.transaction() as db:
            db.execute(
                "UPDATE roots SET scanned_at = ?, raw_left_out = ? WHERE path = ?",
                (now, raw_left_out, os.fsencode(path)),
            )
