"""What photoramd wrote: the ledger of added values, and replacements under way.

A replacement is recorded before the rename and finished after it, so that a process
that dies between the two leaves enough to tell which happened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from photoramd.database import Database, columns, fingerprint_of, path_of
from photoramd.photo import Fingerprint
from photoramd.store import RETRY_SECONDS, Job


@dataclass(frozen=True, slots=True)
class Write:
    """A sidecar replacement that is about to happen, and what it adds.

    ``after`` is the fingerprint the target will have once it is done.
    """

    photo_id: int
    photo: Path
    target: Path
    temporary: Path
    after: Fingerprint
    additions: tuple[str, ...]


class Ledger:
    """The ledger and the writes under way, in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def added(self, photo_id: int, field: str) -> tuple[str, ...]:
        """The values that photoramd added to a field and the user did not take out again."""
        return self._values(photo_id, field, "rejected_at IS NULL")

    def rejected(self, photo_id: int, field: str) -> tuple[str, ...]:
        """The values that photoramd added to a field and the user took out; never again."""
        return self._values(photo_id, field, "rejected_at IS NOT NULL")

    def reject(self, photo_id: int, field: str, values: Sequence[str], now: float) -> None:
        """The user took these values out of the file."""
        with self._database.transaction() as db:
            db.executemany(
                """UPDATE ledger SET rejected_at = ?
                   WHERE photo_id = ? AND field = ? AND value = ?""",
                [(now, photo_id, field, value) for value in values],
            )

    def begin(self, writes: Sequence[Write]) -> None:
        """Record what is about to be renamed into place, before it is."""
        with self._database.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        write.photo_id,
                        os.fsencode(write.target),
                        os.fsencode(write.temporary),
                        *columns(write.after),
                        json.dumps(write.additions),
                    )
                    for write in writes
                ],
            )

    def interrupted(self) -> list[Write]:
        """Replacements that were begun and not finished: a process died between the two."""
        rows = self._database.rows(
            """SELECT w.photo_id, d.path, p.name, w.target, w.temporary,
                      w.size, w.mtime_ns, w.device, w.inode, w.additions
               FROM writes w JOIN photos p ON p.id = w.photo_id
               JOIN directories d ON d.id = p.directory_id"""
        )
        return [
            Write(
                row[0],
                path_of(row[1], row[2]),
                Path(os.fsdecode(row[3])),
                Path(os.fsdecode(row[4])),
                fingerprint_of(row[5:9]),
                tuple(json.loads(row[9])),
            )
            for row in rows
        ]

    def finish(
        self, done: Sequence[tuple[int, Path | None, Sequence[str]]], field: str, now: float
    ) -> None:
        """These photos are written: (photo id, its sidecar if any, the values that were added)."""
        with self._database.transaction() as db:
            for photo_id, sidecar, additions in done:
                db.execute("DELETE FROM writes WHERE photo_id = ?", (photo_id,))
                db.executemany(
                    "INSERT OR IGNORE INTO ledger VALUES (?, ?, ?, ?, NULL)",
                    [(photo_id, field, value, now) for value in additions],
                )
                db.execute(
                    """UPDATE photos SET state = 'written', written_at = ?, sidecar = ?,
                           attempts = 0, next_attempt = 0, reason = NULL
                       WHERE id = ? AND state = 'tagged'""",
                    (now, None if sidecar is None else os.fsencode(sidecar), photo_id),
                )

    def abandon(self, photo_id: int) -> None:
        """A begun replacement did not happen."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM writes WHERE photo_id = ?", (photo_id,))

    def defer(self, job: Job, reason: str, now: float, *, seconds: float | None) -> None:
        """Writing failed; the result is kept and the write tried again.

        Args:
            job: The tagged photo.
            reason: Why it could not be written.
            now: Unix seconds.
            seconds: When to try again, without counting an attempt; None: the usual back-off.
        """
        delay = RETRY_SECONDS[min(job.attempts, len(RETRY_SECONDS) - 1)]
        with self._database.transaction() as db:
            db.execute("DELETE FROM writes WHERE photo_id = ?", (job.id,))
            db.execute(
                """UPDATE photos SET attempts = attempts + ?, reason = ?, next_attempt = ?
                   WHERE id = ? AND state = 'tagged'""",
                (
                    seconds is None,
                    reason,
                    now + (delay if seconds is None else seconds),
                    job.id,
                ),
            )

    def _values(self, photo_id: int, field: str, condition: str) -> tuple[str, ...]:
        rows = self._database.rows(
            f"SELECT value FROM ledger WHERE photo_id = ? AND field = ? AND {condition}",  # noqa: S608
            (photo_id, field),
        )
        return tuple(row[0] for row in rows)
