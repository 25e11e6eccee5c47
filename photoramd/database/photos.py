"""The rows of photos: which files are known, under which path, and whether they are still there.

    pending -> tagged -> written        failed: tried again at next_attempt
                                        missing: absent from two complete scans

A row is also the photo's entry in the queue: see `photoramd.database.queue`. Every method is
one transaction.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.columns import (
    columns,
    fingerprint_of,
    path_of,
    printable_unless_utf8,
    signed,
    state_of,
)
from photoramd.database.conditions import ORPHANED, PHOTOS_WITHIN, bounds, location, within
from photoramd.database.connection import Database
from photoramd.photo import Fingerprint, Photo, PhotoState
from photoramd.system import beneath


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of a file in a directory.

    Attributes:
        id: Its row.
        fingerprint: What it looked like when it was found stable, or written.
        state: What it waits for.
        missed_scans: How many complete scans in a row did not see it.
    """

    id: int
    fingerprint: Fingerprint
    state: PhotoState
    missed_scans: int


@dataclass(frozen=True, slots=True)
class Job:
    """A photo that waits for its next step.

    Attributes:
        id: Its row.
        photo: The photo.
        attempts: How often the step failed.
        is_undone: Whether the user took its tags back.
    """

    id: int
    photo: Photo
    attempts: int
    is_undone: bool = False


def select_jobs(
    database: Database, condition: str, parameters: Sequence[object], limit: int = -1
) -> list[Job]:
    """Return the photos that meet a condition.

    Args:
        database: The database.
        condition: SQL on ``photos p`` and ``directories d``, perhaps with an order.
        parameters: The values of its question marks.
        limit: The greatest number of photos; -1: all.

    Raises:
        StoreError: The database failed.
    """
    rows = database.rows(
        f"""SELECT p.id, d.path, p.name, p.size, p.mtime_ns, p.device, p.inode, p.attempts,
                   p.undone_at IS NOT NULL
            FROM photos p JOIN directories d ON d.id = p.directory_id
            WHERE {condition} LIMIT ?""",  # noqa: S608  (the conditions are constants)
        (*parameters, limit),
    )
    return [
        Job(r[0], Photo(path_of(*r[1:3]), fingerprint_of(r[3:7])), r[7], bool(r[8])) for r in rows
    ]


class Photos:
    """The known photos: found by path or by file, moved, missed and seen again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listing(self, directory: str) -> dict[str, Known]:
        """Return the known files of one directory, by name."""
        rows = self._database.rows(
            """SELECT p.name, p.id, p.size, p.mtime_ns, p.device, p.inode, p.state, p.missed_scans
               FROM directories d JOIN photos p ON p.directory_id = d.id WHERE d.path = ?""",
            (os.fsencode(directory),),
        )
        return {
            os.fsdecode(row[0]): Known(row[1], fingerprint_of(row[2:6]), state_of(row[6]), row[7])
            for row in rows
        }

    def find(self, path: str) -> Known | None:
        """Return what is known of one file, or None."""
        directory, name = os.path.split(path)
        rows = self._database.rows(
            """SELECT p.id, p.size, p.mtime_ns, p.device, p.inode, p.state, p.missed_scans
               FROM directories d JOIN photos p ON p.directory_id = d.id
               WHERE d.path = ? AND p.name = ?""",
            (os.fsencode(directory), os.fsencode(name)),
        )
        if not rows:
            return None
        number, *stat, state, missed_scans = rows[0]
        return Known(number, fingerprint_of(stat), state_of(state), missed_scans)

    def directories_under(self, root: str) -> list[str]:
        """Return the known directories at and below a path."""
        rows = self._database.rows(
            f"SELECT path FROM directories WHERE {within('path')}",  # noqa: S608
            bounds(root),
        )
        return [os.fsdecode(row[0]) for row in rows]

    def same_file(self, fingerprint: Fingerprint) -> list[tuple[int, Path]]:
        """Return the rows and paths with this fingerprint: the same file, under older names."""
        rows = self._database.rows(
            """SELECT p.id, d.path, p.name FROM photos p JOIN directories d ON d.id = p.directory_id
               WHERE p.size = ? AND p.mtime_ns = ? AND p.device = ? AND p.inode = ?""",
            columns(fingerprint),
        )
        return [(row[0], path_of(row[1], row[2])) for row in rows]

    def under(self, path: Path) -> list[Job]:
        """Return the photos at or below a path, by directory and name.

        Of those that are missing, only such as have a sidecar that we made.
        """
        return select_jobs(
            self._database,
            f"""(p.state <> 'missing' OR {ORPHANED})
                AND ({within("d.path")} OR p.name = ? AND d.path = ?)
                ORDER BY d.path, p.name""",
            location(os.fspath(path)),
        )

    def relocate(self, photo_id: int, path: Path, now: UnixTime) -> None:
        """Give a file its new name; it keeps its keywords and its ledger.

        Its sidecar is looked for again, and written; one that was left behind goes if it is
        ours alone.
        """
        with self._database.transaction() as db:
            db.execute(
                """UPDATE photos SET directory_id = ?, name = ?, printable = ?, found_at = ?,
                       is_read = 0, missed_scans = 0, reason = NULL, attempts = 0, next_attempt = 0,
                       state = CASE WHEN result_id IS NULL THEN 'pending' ELSE 'tagged' END
                   WHERE id = ?""",
                (
                    *self._database.file_key(path),
                    printable_unless_utf8(path.name),
                    now,
                    photo_id,
                ),
            )

    def seen(self, ids: Collection[int]) -> None:
        """Record that photos which a scan missed, or which were missing, are back unchanged."""
        with self._database.transaction() as db:
            db.executemany(
                """UPDATE photos SET missed_scans = 0, missing_since = NULL, next_attempt = 0,
                       state = CASE
                       WHEN state <> 'missing' THEN state
                       WHEN result_id IS NULL THEN 'pending' ELSE 'tagged' END
                   WHERE id = ?""",
                [(photo_id,) for photo_id in ids],
            )

    def missed(self, ids: Collection[int], now: UnixTime) -> None:
        """Record that a complete scan did not see photos; after the second they are missing."""
        with self._database.transaction() as db:
            db.executemany(
                """UPDATE photos SET missed_scans = missed_scans + 1,
                       state = CASE WHEN missed_scans >= 1 THEN 'missing' ELSE state END,
                       next_attempt = CASE WHEN missed_scans = 1 THEN 0 ELSE next_attempt END,
                       missing_since = CASE WHEN missed_scans = 1 THEN ? ELSE missing_since END
                   WHERE id = ?""",
                [(now, photo_id) for photo_id in ids],
            )

    def lose(self, photo_id: int, now: UnixTime) -> None:
        """Record that a photo was deleted: it is missing at once."""
        with self._database.transaction() as db:
            db.execute(
                """UPDATE photos SET state = 'missing', missed_scans = 2, missing_since = ?,
                       next_attempt = 0 WHERE id = ? AND state <> 'missing'""",
                (now, photo_id),
            )

    def sidecar_dates(self, directory: str) -> dict[str, set[int]]:
        """Return when the sidecars of a directory's photos were read or written, by name.

        They are ``mtime_ns`` of the file; a sidecar with another one was written by somebody else.
        """
        rows = self._database.rows(
            """SELECT p.sidecar, p.sidecar_mtime_ns, r.path, r.mtime_ns
               FROM directories d JOIN photos p ON p.directory_id = d.id
               LEFT JOIN read_sidecars r ON r.photo_id = p.id
               WHERE d.path = ? AND p.state <> 'missing'
                 AND (p.sidecar IS NOT NULL OR r.path IS NOT NULL)""",
            (os.fsencode(directory),),
        )
        found: dict[str, set[int]] = {}
        for *written, path, date in rows:
            for sidecar, known in (written, (path, date)):
                if sidecar is not None and os.path.dirname(sidecar) == os.fsencode(directory):
                    dates = found.setdefault(os.fsdecode(os.path.basename(sidecar)), set())
                    dates.update(() if known is None else (known,))
        return found

    def read_sidecar(self, path: str, not_before: UnixTime | None) -> None:
        """Have a sidecar read if it is not as it was left.

        Args:
            path: The sidecar.
            not_before: When its photos are to be written, too, so that what the user took out is
                noticed; None: not now. After a scan with an old copy of the database they are not:
                it may not know yet which keywords are ours.
        """
        directory, name = os.path.split(path)
        stem = os.fsencode(name.split(".", 1)[0])
        # All that it can be the sidecar of.
        own = os.fsencode(name.removesuffix(name[-4:]))
        rows = self._database.rows(
            """SELECT p.id, p.sidecar = ?1, p.sidecar_mtime_ns, r.path = ?1, r.mtime_ns,
                      p.state = 'written' AND p.undone_at IS NULL
               FROM photos p JOIN directories d ON d.id = p.directory_id
               LEFT JOIN read_sidecars r ON r.photo_id = p.id
               WHERE d.path = ?2 AND p.name >= ?3 AND p.name < ?4
               AND (p.sidecar = ?1 OR r.path = ?1 OR p.name = ?5
                    OR substr(p.name, 1, length(?5) + 1) = CAST(?5 || '.' AS BLOB))""",
            (os.fsencode(path), os.fsencode(directory), stem, stem + b"\xff", own),
        )
        present = beneath.fingerprint(path)
        unread, unwritten = [], []
        for number, is_ours, written, is_read, read, may_be_written in rows:
            dates = {date for date, counts in ((written, is_ours), (read, is_read)) if counts}
            if present is None:
                unread += [(number,)] if is_read else []
            elif present.mtime_ns not in dates:
                unread.append((number,))
                if not_before and is_ours and may_be_written and written is not None:
                    unwritten.append((not_before, number))
        if unread:
            with self._database.transaction() as db:
                db.executemany("UPDATE photos SET is_read = 0 WHERE id = ? AND is_read", unread)
                db.executemany(
                    "UPDATE photos SET state = 'tagged', next_attempt = ? WHERE id = ?", unwritten
                )

    def move_devices(
        self, top: str, wholly: Mapping[int, int], partly: Mapping[str, Mapping[int, int]]
    ) -> None:
        """Replace the device numbers of the file systems at and below a path.

        Args:
            top: The path.
            wholly: New numbers by old ones, for all directories that ``partly`` does not name.
            partly: The same for single directories: those that are on another file system now.
        """
        # All numbers of a directory at once: one's new number may be another's old one.
        update = """UPDATE photos
            SET device = (SELECT value FROM json_each(?1) WHERE CAST(key AS INTEGER) = device)
            WHERE device IN (SELECT CAST(key AS INTEGER) FROM json_each(?1)) AND """
        whole = [(update + PHOTOS_WITHIN, wholly, bounds(top))] if wholly else []
        one = update + "directory_id IN (SELECT id FROM directories WHERE path = ?)"  # noqa: S608
        parts = [(one, moves, (os.fsencode(path),)) for path, moves in partly.items()]
        with self._database.transaction() as db:
            for statement, moves, values in [*parts, *whole]:
                known = {signed(old): signed(new) for old, new in moves.items()}
                db.execute(statement, (json.dumps(known), *values))
