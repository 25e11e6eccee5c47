"""The durable queue: which photos wait for the model or to be written, and when they are due.

The row of a photo is its entry, so whatever ends the process, the next one continues from the
rows. Every method is one transaction.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence

from photoramd.clock import UnixTime
from photoramd.database.columns import columns, printable_unless_utf8
from photoramd.database.conditions import ORPHANED, PHOTOS_WITHIN, QUEUED, bounds
from photoramd.database.connection import Database
from photoramd.database.photos import Job, select_jobs
from photoramd.photo import Photo, PhotoState

RETRY_SECONDS = (60, 300, 1800, 7200, 28_800, 86_400)
"""Back-off after a failure; after the last one a photo stays failed until it changes."""

_DEADLY = "photoramd ended twice while it looked at this photo, the second time at no other"

WITH_INFERENCE = (PhotoState.PENDING, PhotoState.FAILED)
"""The states that wait for the model."""

WITHOUT_INFERENCE = (PhotoState.TAGGED,)
"""The states that wait to be written."""


class Queue:
    """The photos that wait, and when their turn comes.

    It has more than 12 methods because each is one statement on the same rows, and they share
    the condition of one index.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(
        self, photos: Iterable[Photo], now: UnixTime, *, not_before: UnixTime | None = None
    ) -> None:
        """Make photos pending: new ones, and those that changed.

        Args:
            photos: The files as they are now.
            now: The present time, when they were found.
            not_before: When they are due; None: at once.
        """
        with self._database.transaction() as db:
            for photo in photos:
                db.execute(
                    """INSERT INTO photos (directory_id, name, size, mtime_ns, device, inode,
                                           state, next_attempt, found_at, printable)
                       VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?)
                       ON CONFLICT (directory_id, name) DO UPDATE SET
                           size = excluded.size, mtime_ns = excluded.mtime_ns,
                           device = excluded.device, inode = excluded.inode,
                           state = 'pending', attempts = 0, reason = NULL, missed_scans = 0,
                           next_attempt = excluded.next_attempt, found_at = excluded.found_at,
                           begun = 0""",
                    (
                        *self._database.file_key(photo.path),
                        *columns(photo.fingerprint),
                        not_before or 0,
                        now,
                        printable_unless_utf8(photo.path.name),
                    ),
                )

    def due(self, now: UnixTime, limit: int, *, skip: Collection[int] = ()) -> list[Job]:
        """Return photos to decode and tag now: new ones, the newest first, then retries."""
        jobs = self._due(PhotoState.PENDING, now, limit, skip)
        if len(jobs) < limit:
            jobs += self._due(PhotoState.FAILED, now, limit - len(jobs), skip)
        return jobs

    def due_writes(self, now: UnixTime, limit: int) -> list[Job]:
        """Return tagged photos with metadata to write now, the newest first."""
        return self._due(PhotoState.TAGGED, now, limit, ())

    def orphans(self, now: UnixTime, limit: int) -> list[Job]:
        """Return photos that are gone and whose sidecar, which we made, may be left behind."""
        return select_jobs(self._database, f"{ORPHANED} AND next_attempt <= ?", (now,), limit)

    def _due(
        self, state: PhotoState, now: UnixTime, limit: int, skip: Collection[int]
    ) -> list[Job]:
        """Return photos in a state that are due, the newest first."""
        first = self.next_due((state,))
        if first is None or first > now:
            return []  # a long queue of postponed photos costs nothing
        jobs = select_jobs(
            self._database,
            f"{QUEUED} AND p.state = ? AND p.begun = 0 AND +p.next_attempt <= ?"
            " ORDER BY p.found_at DESC, p.id DESC",
            (state, now),
            limit + len(skip),
        )
        return [job for job in jobs if job.id not in skip][:limit]

    def next_due(
        self, states: Sequence[PhotoState] = (*WITH_INFERENCE, *WITHOUT_INFERENCE)
    ) -> UnixTime | None:
        """Return when the first photo in one of these states is due; None if none waits."""
        # One lookup in the index for each state, where a list of states would read all of it.
        moments = [
            self._database.rows(
                f"SELECT min(next_attempt) FROM photos p WHERE {QUEUED} AND p.state = ?",  # noqa: S608
                (state,),
            )
            for state in states
        ]
        return min(
            (UnixTime(rows[0][0]) for rows in moments if rows[0][0] is not None), default=None
        )

    def waiting(self) -> int:
        """Return how many photos are pending or tagged."""
        rows = self._database.rows(
            f"SELECT count(*) FROM photos p WHERE {QUEUED} AND p.state IN ('pending', 'tagged')"  # noqa: S608
        )
        return int(rows[0][0])

    def begin(self, jobs: Iterable[Job]) -> None:
        """Record that work on photos begins; if this process dies of one, the next one knows."""
        with self._database.transaction() as db:
            db.executemany(
                "UPDATE photos SET begun = begun + 1 WHERE id = ?", [(job.id,) for job in jobs]
            )

    def abandon(self, ids: Iterable[int]) -> None:
        """Record that work on photos was given up, for no reason of theirs."""
        with self._database.transaction() as db:
            db.executemany(
                "UPDATE photos SET begun = max(0, begun - 1) WHERE id = ?", [(id_,) for id_ in ids]
            )

    def suspect(self, now: UnixTime) -> Job | None:
        """Return a due photo that was begun when a process died, to be tried alone, or None."""
        found = select_jobs(
            self._database,
            "p.begun > 0 AND p.state IN ('pending', 'failed') AND p.next_attempt <= ?"
            " ORDER BY p.next_attempt, p.id",
            (now,),
            1,
        )
        return found[0] if found else None

    def convict(self, now: UnixTime) -> list[Job]:
        """Fail photos that were begun, alone, when a process died for the second time.

        They are tried again with back-off, alone; the next death then counts at once.
        """
        guilty = select_jobs(self._database, "p.begun > 1", ())
        for job in guilty:
            self.fail(job, _DEADLY, now, is_suspect=True)
        return guilty

    def postpone(self, job: Job, until: UnixTime, *, is_suspect: bool = False) -> None:
        """Try a photo again later, without counting an attempt.

        Args:
            job: The photo.
            until: When.
            is_suspect: Whether it is then tried alone, as `suspect` returns it.
        """
        with self._database.transaction() as db:
            db.execute(
                "UPDATE photos SET next_attempt = ?, begun = ? WHERE id = ?",
                (until, is_suspect, job.id),
            )

    def fail(self, job: Job, reason: str, now: UnixTime, *, is_suspect: bool = False) -> None:
        """Record that a photo could not be decoded or tagged; it is retried with back-off.

        Args:
            job: The photo.
            reason: Why.
            now: The present time.
            is_suspect: Whether it is always tried alone from now on.
        """
        delay = RETRY_SECONDS[job.attempts] if job.attempts < len(RETRY_SECONDS) else None
        # Taking back what was written needs no picture.
        is_undo = "undone_at > 0 AND EXISTS (SELECT 1 FROM ledger WHERE photo_id = photos.id)"
        with self._database.transaction() as db:
            db.execute(
                f"""UPDATE photos SET attempts = attempts + 1, reason = ?, begun = ?,
                        state = iif({is_undo}, 'tagged', 'failed'),
                        result_id = iif({is_undo}, NULL, result_id),
                        next_attempt = iif({is_undo}, 0, ?) WHERE id = ?""",  # noqa: S608
                (reason, is_suspect, None if delay is None else now + delay, job.id),
            )

    def retry_writes(self, directory: str, stem: str) -> None:
        """Make photos with a stem due at once if writing them failed."""
        rows = self._database.rows(
            f"""SELECT p.id, p.name FROM photos p WHERE {QUEUED} AND p.state = 'tagged'
                AND p.reason IS NOT NULL
                AND +p.directory_id = (SELECT id FROM directories WHERE path = ?)""",  # noqa: S608
            (os.fsencode(directory),),
        )
        ids = [(row[0],) for row in rows if os.path.splitext(os.fsdecode(row[1]))[0] == stem]
        if ids:
            with self._database.transaction() as db:
                db.executemany("UPDATE photos SET next_attempt = 0 WHERE id = ?", ids)

    def clamp_retries(self, now: UnixTime, *, back: float = 0) -> None:
        """Let no retry lie more than a day ahead: the clock may have been wrong.

        Args:
            now: The present time.
            back: The seconds by which the clock was just set back; retries move with it.
        """
        with self._database.transaction() as db:
            db.execute(
                f"""UPDATE photos SET next_attempt = min(next_attempt - ?, ?)
                    WHERE {QUEUED} AND next_attempt > 0""",  # noqa: S608
                (back, now + RETRY_SECONDS[-1]),
            )

    def hold(self, top: str, until: UnixTime) -> None:
        """Postpone all photos at and below a path: it is offline."""
        with self._database.transaction() as db:
            db.execute(
                f"""UPDATE photos SET next_attempt = ?
                    WHERE {QUEUED} AND next_attempt < ? AND {PHOTOS_WITHIN}""",  # noqa: S608
                (until, until, *bounds(top)),
            )

    def release(self, top: str) -> None:
        """Make the photos at and below a path due at once: it is online again."""
        with self._database.transaction() as db:
            db.execute(
                f"""UPDATE photos SET next_attempt = 0
                    WHERE {QUEUED} AND state IN ('pending', 'tagged') AND next_attempt > 0
                    AND {PHOTOS_WITHIN}""",  # noqa: S608
                bounds(top),
            )

    def leave_out(self, is_watched: Callable[[str], bool]) -> None:
        """Keep photos out of the queue while their directories are not watched.

        The directories are put into the temporary table ``unwatched`` of this connection.
        """
        with self._database.transaction() as db:
            db.execute("CREATE TEMP TABLE IF NOT EXISTS unwatched (id INTEGER PRIMARY KEY)")
            db.execute("DELETE FROM unwatched")
            db.executemany(
                "INSERT INTO unwatched VALUES (?)",
                [
                    (number,)
                    for number, path in db.execute("SELECT id, path FROM directories")
                    if not is_watched(os.fsdecode(path))
                ],
            )
        rows = self._database.rows(
            f"""SELECT DISTINCT d.id, d.path FROM photos p
                JOIN directories d ON d.id = p.directory_id WHERE {QUEUED}"""  # noqa: S608
        )
        with self._database.transaction() as db:
            for number, path in rows:
                if is_watched(os.fsdecode(path)):
                    db.execute(
                        """UPDATE photos SET next_attempt = 0 WHERE directory_id = ?
                           AND state IN ('pending', 'tagged') AND next_attempt IS NULL""",
                        (number,),
                    )
                else:
                    db.execute(
                        f"""UPDATE photos SET next_attempt = NULL, attempts = 0, state =
                                CASE state WHEN 'failed' THEN 'pending' ELSE state END
                            WHERE directory_id = ? AND {QUEUED}""",  # noqa: S608
                        (number,),
                    )
