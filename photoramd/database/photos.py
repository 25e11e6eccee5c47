"""Photo states and their transitions: the durable queue.

    pending -> tagged -> written        failed: tried again at next_attempt
                                        missing: not on disk in two healthy scans

A row is the queue entry: whatever kills the process, the next one goes on from the
rows. Every method is one transaction. All times are Unix seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from photoramd.database.columns import columns, fingerprint_of, path_of, signed
from photoramd.database.conditions import (
    PHOTOS_AT,
    PHOTOS_WITHIN,
    QUEUED,
    bounds,
    places,
    within,
)
from photoramd.database.connection import Database
from photoramd.photo import Fingerprint, Photo

RETRY_SECONDS = (60, 300, 1800, 7200, 28_800, 86_400)
"""Back-off after a failure; after the last one a photo stays failed until it changes."""


WITH_INFERENCE = ("pending", "failed")
WITHOUT_INFERENCE = ("tagged",)
"""The states that wait for the model, and those that do not."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of a file in a directory."""

    id: int
    fingerprint: Fingerprint
    state: str
    missed_scans: int


@dataclass(frozen=True, slots=True)
class Job:
    """A photo that waits for its next step."""

    id: int
    photo: Photo
    attempts: int


class Store:
    """The photos and their states."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listing(self, directory: str) -> dict[str, Known]:
        """The known files of one directory, by name."""
        rows = self._database.rows(
            """SELECT p.name, p.id, p.size, p.mtime_ns, p.device, p.inode, p.state, p.missed_scans
               FROM directories d JOIN photos p ON p.directory_id = d.id WHERE d.path = ?""",
            (os.fsencode(directory),),
        )
        return {
            os.fsdecode(row[0]): Known(row[1], fingerprint_of(row[2:6]), row[6], row[7])
            for row in rows
        }

    def find(self, path: str) -> Known | None:
        """What is known of one file."""
        directory, name = os.path.split(path)
        rows = self._database.rows(
            """SELECT p.id, p.size, p.mtime_ns, p.device, p.inode, p.state, p.missed_scans
               FROM directories d JOIN photos p ON p.directory_id = d.id
               WHERE d.path = ? AND p.name = ?""",
            (os.fsencode(directory), os.fsencode(name)),
        )
        return Known(rows[0][0], fingerprint_of(rows[0][1:5]), *rows[0][5:]) if rows else None

    def directories_under(self, root: str) -> list[str]:
        """The known directories at and below a path."""
        rows = self._database.rows(
            f"SELECT path FROM directories WHERE {within('path')}",  # noqa: S608
            bounds(root),
        )
        return [os.fsdecode(row[0]) for row in rows]

    def same_file(self, fingerprint: Fingerprint) -> list[tuple[int, Path]]:
        """Known photos with this very fingerprint: the same file, under an older name or two."""
        rows = self._database.rows(
            """SELECT p.id, d.path, p.name FROM photos p JOIN directories d ON d.id = p.directory_id
               WHERE p.size = ? AND p.mtime_ns = ? AND p.device = ? AND p.inode = ?""",
            columns(fingerprint),
        )
        return [(row[0], path_of(row[1], row[2])) for row in rows]

    def enqueue(self, photos: Iterable[Photo], now: float, *, not_before: float = 0) -> None:
        """Make photos pending: new ones, and those that changed."""
        with self._database.transaction() as db:
            for photo in photos:
                db.execute(
                    """INSERT INTO photos (directory_id, name, size, mtime_ns, device, inode,
                                           state, next_attempt, found_at)
                       VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?)
                       ON CONFLICT (directory_id, name) DO UPDATE SET
                           size = excluded.size, mtime_ns = excluded.mtime_ns,
                           device = excluded.device, inode = excluded.inode,
                           state = 'pending', attempts = 0, reason = NULL, missed_scans = 0,
                           next_attempt = excluded.next_attempt, found_at = excluded.found_at""",
                    (
                        *self._database.place(photo.path),
                        *columns(photo.fingerprint),
                        not_before,
                        now,
                    ),
                )

    def relocate(self, photo_id: int, path: Path, now: float) -> None:
        """The same file has a new name: keep its keywords and ledger, look at its sidecar again."""
        with self._database.transaction() as db:
            db.execute(
                """UPDATE photos SET directory_id = ?, name = ?, sidecar = NULL, found_at = ?,
                       missed_scans = 0, reason = NULL, attempts = 0, next_attempt = 0,
                       state = CASE WHEN result_id IS NULL THEN 'pending' ELSE 'tagged' END
                   WHERE id = ?""",
                (*self._database.place(path), now, photo_id),
            )

    def seen(self, ids: Collection[int]) -> None:
        """Photos that a scan missed earlier, or that were missing, are there again, unchanged."""
        with self._database.transaction() as db:
            db.executemany(
                """UPDATE photos SET missed_scans = 0, missing_since = NULL, next_attempt = 0,
                       state = CASE
                       WHEN state <> 'missing' THEN state
                       WHEN result_id IS NULL THEN 'pending' ELSE 'tagged' END
                   WHERE id = ?""",
                [(photo_id,) for photo_id in ids],
            )

    def missed(self, ids: Collection[int], now: float) -> None:
        """A healthy scan did not see these; after the second one they are missing."""
        with self._database.transaction() as db:
            db.executemany(
                """UPDATE photos SET missed_scans = missed_scans + 1,
                       state = CASE WHEN missed_scans >= 1 THEN 'missing' ELSE state END,
                       missing_since = CASE WHEN missed_scans = 1 THEN ? ELSE missing_since END
                   WHERE id = ?""",
                [(now, photo_id) for photo_id in ids],
            )

    def due(self, now: float, limit: int, *, skip: Collection[int] = ()) -> list[Job]:
        """Photos to decode and tag now: new ones first, the newest first, then retries."""
        jobs = self._due("pending", now, limit, skip)
        if len(jobs) < limit:
            jobs += self._due("failed", now, limit - len(jobs), skip)
        return jobs

    def due_writes(self, now: float, limit: int) -> list[Job]:
        """Tagged photos whose metadata is to be written now."""
        return self._due("tagged", now, limit, ())

    def _due(self, state: str, now: float, limit: int, skip: Collection[int]) -> list[Job]:
        """Photos in a state that are due, the newest first."""
        first = self.next_due((state,))
        if first is None or first > now:
            return []  # a long queue of photos that are put off costs nothing
        return self._jobs(
            f"{QUEUED} AND p.state = ? AND +p.next_attempt <= ?"
            " ORDER BY p.found_at DESC, p.id DESC",
            (state, now),
            limit,
            skip,
        )

    def under(self, path: Path) -> list[Job]:
        """The photos at or below a path that are not missing, by directory and name."""
        return self._jobs(
            f"""p.state <> 'missing' AND ({within("d.path")} OR p.name = ? AND d.path = ?)
                ORDER BY d.path, p.name""",
            places(os.fspath(path)),
            -1,
            (),
        )

    def next_due(
        self, states: Sequence[str] = (*WITH_INFERENCE, *WITHOUT_INFERENCE)
    ) -> float | None:
        """When the earliest photo that waits in one of these states is due, or None."""
        # One lookup in the index for each state, where a list of states would read all of
        # it.
        moments = [
            self._database.rows(
                f"SELECT min(next_attempt) FROM photos p WHERE {QUEUED} AND p.state = ?",  # noqa: S608
                (state,),
            )
            for state in states
        ]
        return min((rows[0][0] for rows in moments if rows[0][0] is not None), default=None)

    def waiting(self) -> int:
        """How many photos are pending or tagged."""
        rows = self._database.rows(
            f"SELECT count(*) FROM photos p WHERE {QUEUED} AND p.state IN ('pending', 'tagged')"  # noqa: S608
        )
        return int(rows[0][0])

    def clamp_retries(self, now: float, *, back: float = 0) -> None:
        """No retry lies further ahead than a day: the clock may have been wrong.

        If it was just set back by so many seconds, retries are moved with it.
        """
        with self._database.transaction() as db:
            db.execute(
                f"""UPDATE photos SET next_attempt = min(next_attempt - ?, ?)
                    WHERE {QUEUED} AND next_attempt > 0""",  # noqa: S608
                (back, now + RETRY_SECONDS[-1]),
            )

    def retag(self, path: str, *, only_failed: bool) -> int:
        """Have the keywords of photos chosen and written anew, undone ones too; how many.

        Stored scores are used where there are some, so that the model runs only for
        pictures that it has not seen. The pipeline does it (`Pipeline.choose_again`).

        Args:
            path: A photo, or a directory with all below it.
            only_failed: Only photos that failed.
        """
        condition = "state = 'failed'" if only_failed else "state <> 'missing'"
        with self._database.transaction() as db:
            return db.execute(
                f"""UPDATE photos SET undone_at = NULL, settings = NULL, attempts = 0,
                        next_attempt = 0, reason = NULL,
                        state = CASE WHEN state = 'failed' OR result_id IS NULL
                                     THEN 'pending' ELSE state END
                    WHERE {condition} AND {PHOTOS_AT}""",  # noqa: S608
                places(path),
            ).rowcount

    def undo(self, path: str, now: float) -> None:
        """Have the tags of photos taken back, by the writer when their turn comes.

        Args:
            path: A photo, or a directory with all below it.
            now: Unix seconds.
        """
        chosen = f"state <> 'missing' AND {PHOTOS_AT}"
        with self._database.transaction() as db:
            db.execute(
                f"DELETE FROM keywords WHERE photo_id IN (SELECT id FROM photos WHERE {chosen})",  # noqa: S608
                places(path),
            )
            db.execute(
                f"""UPDATE photos SET undone_at = ?, attempts = 0, next_attempt = 0, reason = NULL,
                        state = CASE WHEN EXISTS (SELECT 1 FROM ledger WHERE photo_id = photos.id)
                                     THEN 'tagged' ELSE state END
                    WHERE {chosen}""",  # noqa: S608
                (now, *places(path)),
            )

    def retry_writes(self, directory: str, stem: str) -> None:
        """Try photos at once whose writing failed, if they have this stem."""
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

    def note_modes(self, modes: Mapping[str, str]) -> None:
        """Where a root's write mode is another than before, its photos are written anew."""
        known = dict(self._database.rows("SELECT root, mode FROM modes"))
        with self._database.transaction() as db:
            for root, mode in modes.items():
                if known.get(os.fsencode(root), mode) != mode:
                    db.execute(
                        f"""UPDATE photos SET settings = NULL WHERE {PHOTOS_WITHIN}""",  # noqa: S608
                        bounds(root),
                    )
                db.execute("INSERT OR REPLACE INTO modes VALUES (?, ?)", (os.fsencode(root), mode))

    def leave_out(self, is_watched: Callable[[str], bool]) -> None:
        """Photos of directories that are not watched wait until they are watched again.

        Their directories are in the temporary table ``unwatched`` of this connection.
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

    def hold(self, top: str, until: float) -> None:
        """Leave all photos at and below a path alone for now: it is not there."""
        with self._database.transaction() as db:
            db.execute(
                f"""UPDATE photos SET next_attempt = ?
                    WHERE {QUEUED} AND next_attempt < ? AND {PHOTOS_WITHIN}""",  # noqa: S608
                (until, until, *bounds(top)),
            )

    def release(self, top: str) -> None:
        """What is at and below a path may go on at once: it is there again."""
        with self._database.transaction() as db:
            db.execute(
                f"""UPDATE photos SET next_attempt = 0
                    WHERE {QUEUED} AND state IN ('pending', 'tagged') AND next_attempt > 0
                    AND {PHOTOS_WITHIN}""",  # noqa: S608
                bounds(top),
            )

    def postpone(self, job: Job, until: float) -> None:
        """Try a photo again later, without counting an attempt."""
        with self._database.transaction() as db:
            db.execute("UPDATE photos SET next_attempt = ? WHERE id = ?", (until, job.id))

    def move_devices(
        self, top: str, wholly: Mapping[int, int], partly: Mapping[str, Mapping[int, int]]
    ) -> None:
        """The file systems at and below a path have new device numbers: old to new.

        Those in ``partly``, by directory, are another file system's now.
        """
        # All numbers of a directory at once: one's new number may be another's old one.
        update = """UPDATE photos
            SET device = (SELECT value FROM json_each(?1) WHERE CAST(key AS INTEGER) = device)
            WHERE device IN (SELECT CAST(key AS INTEGER) FROM json_each(?1)) AND """
        whole = [(update + PHOTOS_WITHIN, wholly, bounds(top))] if wholly else []
        one = update + "directory_id IN (SELECT id FROM directories WHERE path = ?)"  # noqa: S608
        parts = [(one, moves, (os.fsencode(path),)) for path, moves in partly.items()]
        with self._database.transaction() as db:
            for statement, moves, places in [*parts, *whole]:
                known = {signed(old): signed(new) for old, new in moves.items()}
                db.execute(statement, (json.dumps(known), *places))

    def fail(self, job: Job, reason: str, now: float) -> None:
        """The photo could not be decoded or tagged; try again later, and later still."""
        delay = RETRY_SECONDS[job.attempts] if job.attempts < len(RETRY_SECONDS) else None
        # What is to be taken back needs no picture.
        is_undo = "undone_at > 0 AND EXISTS (SELECT 1 FROM ledger WHERE photo_id = photos.id)"
        with self._database.transaction() as db:
            db.execute(
                f"""UPDATE photos SET attempts = attempts + 1, reason = ?,
                        state = iif({is_undo}, 'tagged', 'failed'),
                        result_id = iif({is_undo}, NULL, result_id),
                        next_attempt = iif({is_undo}, 0, ?) WHERE id = ?""",  # noqa: S608
                (reason, None if delay is None else now + delay, job.id),
            )

    def _jobs(
        self, condition: str, parameters: tuple[object, ...], limit: int, skip: Collection[int]
    ) -> list[Job]:
        rows = self._database.rows(
            f"""SELECT p.id, d.path, p.name, p.size, p.mtime_ns, p.device, p.inode, p.attempts
                FROM photos p JOIN directories d ON d.id = p.directory_id
                WHERE {condition} LIMIT ?""",  # noqa: S608 (the conditions are constants above)
            (*parameters, -1 if limit < 0 else limit + len(skip)),
        )
        wanted = (row for row in rows if row[0] not in skip)
        jobs = [Job(r[0], Photo(path_of(*r[1:3]), fingerprint_of(r[3:7])), r[7]) for r in wanted]
        return jobs if limit < 0 else jobs[:limit]
