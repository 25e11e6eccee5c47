"""The ledger: which values photoramd added to which file, and which writes are under way.

A write is recorded before its file is renamed into place and finished afterwards, so a process
that dies between the two leaves enough to tell what happened.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.columns import (
    columns,
    fingerprint_of,
    path_of,
    printable_unless_utf8,
    signed,
)
from photoramd.database.conditions import QUEUED, REJECTED
from photoramd.database.connection import Database
from photoramd.database.given import given_tags, note_undone, note_written, withdraw
from photoramd.database.photos import Job
from photoramd.database.queue import RETRY_SECONDS
from photoramd.keywords import fold
from photoramd.metadata.changes import NO_CHANGE, Change, Entries, Place, Recorded, WriteOutcome
from photoramd.metadata.fields import SUBJECT
from photoramd.photo import Fingerprint

_PREFIXES = {Place.SIDECAR: "", Place.PHOTO: "photo:"}
_BESIDE = f"field NOT LIKE '{_PREFIXES[Place.PHOTO]}%'"
_PLACE = f"""CASE
    WHEN EXISTS (SELECT 1 FROM ledger WHERE photo_id = photos.id AND rejected_at IS NULL
                 AND field LIKE '{_PREFIXES[Place.PHOTO]}%') THEN '{Place.PHOTO}'
    WHEN sidecar IS NOT NULL THEN '{Place.SIDECAR}' END"""  # noqa: S608
"""Where the keywords of a row of photos are."""


@dataclass(frozen=True, slots=True)
class Write:
    """A replacement of a file that is about to happen, and its changes to the ledger.

    Attributes:
        photo_id: The photo's row.
        photo: The photo.
        target: The file to replace: the photo or its sidecar.
        temporary: The file with the new content, beside it.
        after: The fingerprint that the target has afterwards.
        place: Which of the two it is.
        change: The entries added and removed.
        created: Whether the sidecar is photoramd's own.
    """

    photo_id: int
    photo: Path
    target: Path
    temporary: Path
    after: Fingerprint
    place: Place
    change: Change
    created: bool


@dataclass(frozen=True, slots=True)
class Done:
    """A write that happened, or that was not needed.

    Attributes:
        photo_id: The photo's row.
        place: The file that was written.
        change: The entries added and removed.
        sidecar: The photo's sidecar from now on, if it has one; ignored for `Place.PHOTO`.
        created: Whether photoramd made it.
        after: The fingerprint of the file that was written; of a sidecar also if it was read.
        outcome: What it means for the photo.
        fallback: Why the keywords are not inside the photo, although they should be.
    """

    photo_id: int
    place: Place = Place.SIDECAR
    change: Change = NO_CHANGE
    sidecar: Path | None = None
    created: bool = False
    after: Fingerprint | None = None
    outcome: WriteOutcome = WriteOutcome.WRITTEN
    fallback: str | None = None


class Ledger:
    """The ledger and the writes under way, in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recorded(self, photo_id: int, place: Place) -> Recorded:
        """Return what photoramd added to a photo in a place, and what the user removed since."""
        rows = self._database.rows(
            """SELECT field, value, seeded, rejected_at IS NOT NULL, is_leaving FROM ledger
               WHERE photo_id = ? ORDER BY added_at, value""",
            (photo_id,),
        )
        prefix = _PREFIXES[place]
        found: tuple[dict[str, tuple[str, ...]], ...] = ({}, {}, {})
        for field, value, seeded, rejected, is_leaving in rows:
            if field.startswith(_PREFIXES[Place.PHOTO]) == bool(prefix):
                name = field.removeprefix(prefix)
                kinds = (2,) if rejected else (1,) if seeded else (0,)
                for entries in (found[kind] for kind in kinds + (0,) * is_leaving):
                    entries[name] = (*entries.get(name, ()), value)
        last = self._database.rows("SELECT written_at FROM photos WHERE id = ?", (photo_id,))
        until = (last[0][0] if last else None) or 0.0
        given = given_tags(self._database, photo_id)
        return Recorded(
            found[0], found[1], found[2], until, given=given.wanted, withdrawn=given.withdrawn
        )

    def is_undone(self, photo_id: int) -> bool:
        """Return whether the user took a photo's tags back."""
        rows = self._database.rows("SELECT undone_at FROM photos WHERE id = ?", (photo_id,))
        return bool(rows) and rows[0][0] is not None

    def sidecar(self, photo_id: int) -> tuple[Path | None, bool]:
        """Return the photo's sidecar, and whether photoramd made it."""
        rows = self._database.rows("SELECT sidecar, created FROM photos WHERE id = ?", (photo_id,))
        path, created = rows[0] if rows else (None, 0)
        return (None if path is None else Path(os.fsdecode(path))), bool(created)

    def reject(self, photo_id: int, place: Place, rejected: Entries, now: UnixTime) -> None:
        """Record that the user took entries out of the file; they are never added again."""
        with self._database.transaction() as db:
            db.executemany(
                # The ledger may lack it: see `merge._proved`.
                """INSERT INTO ledger (photo_id, field, value, added_at, rejected_at)
                   VALUES (?, ?, ?, ?, ?)
                   ON CONFLICT (photo_id, field, value)
                   DO UPDATE SET rejected_at = excluded.rejected_at, is_leaving = 0""",
                [(photo_id, *pair, now, now) for pair in _pairs(place, rejected)],
            )
            refused = rejected.get(SUBJECT.name, ())
            _forget(db, photo_id, refused)
            withdraw(db, photo_id, set(map(fold, refused)))

    def inherit(self, job: Job, sidecar: Path, now: UnixTime) -> bool:
        """Move the entries of a sidecar from the photo that it belonged to.

        ``IMG.xmp`` belongs to the JPEG until there is a RAW, or to a RAW that is gone. The other
        photo is written again.

        Returns:
            Whether that was possible; it is not while the other photo is being written.
        """
        stem = os.fsencode(job.photo.path.stem)
        rows = self._database.rows(
            f"""SELECT p.id, p.state = 'tagged' AND p.next_attempt <= ?
                    OR EXISTS (SELECT 1 FROM writes WHERE photo_id = p.id)
                FROM photos p JOIN directories d ON d.id = p.directory_id
                WHERE d.path = ? AND p.name > ? AND p.name < ? AND p.id <> ? AND p.sidecar = ?
                AND EXISTS (SELECT 1 FROM ledger WHERE photo_id = p.id AND {_BESIDE})""",  # noqa: S608
            (
                now,
                os.fsencode(job.photo.path.parent),
                stem + b".",
                stem + b"/",  # the next character
                job.id,
                os.fsencode(sidecar),
            ),
        )
        if any(is_written_now for _, is_written_now in rows):
            return False
        for other, _ in rows:
            with self._database.transaction() as db:
                db.execute(
                    f"""INSERT OR IGNORE INTO ledger
                            (photo_id, field, value, added_at, rejected_at, seeded, is_leaving)
                        SELECT ?, field, value, added_at, rejected_at, seeded, is_leaving
                        FROM ledger
                        WHERE photo_id = ? AND {_BESIDE}""",  # noqa: S608
                    (job.id, other),
                )
                db.execute(
                    f"""DELETE FROM ledger
                        WHERE photo_id = ? AND {_BESIDE} AND rejected_at IS NULL""",  # noqa: S608
                    (other,),
                )
                db.execute(
                    f"UPDATE ledger SET is_leaving = 0 WHERE photo_id = ? AND {_BESIDE}",  # noqa: S608
                    (other,),
                )
                # The other photo takes along what the user gave to it, if it is written again.
                db.execute(
                    """INSERT OR IGNORE INTO given_tags SELECT ?, g.label_id, 1
                       FROM given_tags g JOIN photos p ON p.id = g.photo_id
                       WHERE p.id = ? AND p.state IN ('tagged', 'written')""",
                    (job.id, other),
                )
                refused = f"SELECT value FROM ledger WHERE photo_id = ? AND {REJECTED}"  # noqa: S608
                _forget(db, job.id, [value for (value,) in db.execute(refused, (job.id,))])
                db.execute(
                    """UPDATE photos SET (sidecar, printable_sidecar, created) =
                           (SELECT sidecar, printable_sidecar, created FROM photos WHERE id = ?)
                       WHERE id = ?""",
                    (other, job.id),
                )
                db.execute(
                    """UPDATE photos SET sidecar = NULL, printable_sidecar = NULL, created = 0,
                           next_attempt = iif(state IN ('tagged', 'written'), 0, next_attempt),
                           state = iif(state = 'written', 'tagged', state) WHERE id = ?""",
                    (other,),
                )
        return True

    def begin(self, writes: Sequence[Write]) -> None:
        """Record writes before their files are renamed into place."""
        with self._database.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        write.photo_id,
                        os.fsencode(write.target),
                        os.fsencode(write.temporary),
                        *columns(write.after),
                        _encode(write),
                    )
                    for write in writes
                ],
            )

    def interrupted(self) -> list[Write]:
        """Return the writes that a process began and did not live to finish."""
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
                *_decode(row[9]),
            )
            for row in rows
        ]

    def finish(self, done: Sequence[Done], now: UnixTime) -> None:
        """Record that photos are written."""
        with self._database.transaction() as db:
            for each in done:
                self._finish(db, each, now)

    def _finish(self, db: sqlite3.Connection, done: Done, now: UnixTime) -> None:
        self._settle(db, done, now)
        if done.outcome is WriteOutcome.WRITTEN:
            db.execute(
                f"""UPDATE photos SET state = 'written', attempts = 0,
                        written_at = CASE WHEN undone_at IS NULL THEN ? END,
                        next_attempt = 0, reason = NULL, place = {_PLACE}, fallback = ?
                    WHERE id = ? AND state = 'tagged'""",  # noqa: S608
                (now, done.fallback, done.photo_id),
            )
            note_written(db, done.photo_id, now)
        elif done.outcome is WriteOutcome.UNDONE:
            db.execute("DELETE FROM keywords WHERE photo_id = ?", (done.photo_id,))
            note_undone(db, done.photo_id, now)
            db.execute(
                """UPDATE photos SET undone_at = ?, written_at = NULL, place = NULL,
                       fallback = NULL, reason = CASE
                           WHEN state = 'tagged' THEN NULL ELSE reason END,
                       state = CASE WHEN state = 'tagged' AND NOT EXISTS (
                               SELECT 1 FROM given_tags WHERE photo_id = photos.id)
                           THEN 'written' ELSE state END
                   WHERE id = ?""",
                (now, done.photo_id),
            )

    def record(self, done: Done, now: UnixTime) -> None:
        """Record what a write changed, and leave the photo in its state."""
        with self._database.transaction() as db:
            self._settle(db, done, now)

    def _settle(self, db: sqlite3.Connection, done: Done, now: UnixTime) -> None:
        """Store what a write changed in the ledger and in the photo's row."""
        db.execute("DELETE FROM writes WHERE photo_id = ?", (done.photo_id,))
        gone = [(done.photo_id, *pair) for pair in _pairs(done.place, done.change.removed)]
        entry = "photo_id = ? AND field = ? AND value = ?"
        db.executemany(f"DELETE FROM ledger WHERE {entry} AND rejected_at IS NULL", gone)  # noqa: S608
        db.executemany(f"UPDATE ledger SET is_leaving = 0 WHERE {entry} AND is_leaving", gone)  # noqa: S608
        for seeded, entries in ((0, done.change.added), (1, done.change.seeded)):
            db.executemany(
                """INSERT OR IGNORE INTO ledger (photo_id, field, value, added_at, seeded)
                   VALUES (?, ?, ?, ?, ?)""",
                [(done.photo_id, *pair, now, seeded) for pair in _pairs(done.place, entries)],
            )
        if done.place == Place.SIDECAR:
            path = None if done.sidecar is None else os.fsencode(done.sidecar)
            text = None if done.sidecar is None else printable_unless_utf8(os.fspath(done.sidecar))
            date = None if done.after is None else done.after.mtime_ns
            # What somebody else wrote into it since it was read is read once more.
            db.execute(
                """UPDATE photos SET is_read = iif(
                           (sidecar IS NULL AND ?2) OR ?1 IS NULL OR EXISTS (
                               SELECT 1 FROM read_sidecars
                               WHERE photo_id = ?4 AND path = ?1 AND mtime_ns IS ?3),
                           is_read, 0),
                       sidecar = ?1, printable_sidecar = ?5, created = ?2, sidecar_mtime_ns = ?3
                   WHERE id = ?4""",
                (path, done.created and path is not None, date, done.photo_id, text),
            )
        elif done.after is not None:
            db.execute(
                """UPDATE photos SET size = ?, mtime_ns = ?, device = ?, inode = ? WHERE id = ?""",
                (*columns(done.after), done.photo_id),
            )

    def abandon(self, photo_id: int) -> None:
        """Record that a write under way did not happen."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM writes WHERE photo_id = ?", (photo_id,))

    def defer(self, job: Job, reason: str, now: UnixTime, *, seconds: float | None) -> None:
        """Record that a write failed; the result is kept, and the write is retried.

        A write under way stays recorded until `abandon`.

        Args:
            job: The tagged photo.
            reason: Why it could not be written.
            now: The present time.
            seconds: The delay before the retry, without counting an attempt; None: the usual
                back-off.
        """
        delay = RETRY_SECONDS[min(job.attempts, len(RETRY_SECONDS) - 1)]
        with self._database.transaction() as db:
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

    def rest(self, device: int, reason: str, until: UnixTime) -> None:
        """Postpone all photos on a device that wait to be written."""
        with self._database.transaction() as db:
            db.execute(
                f"""UPDATE photos SET reason = ?, next_attempt = ?
                    WHERE {QUEUED} AND state = 'tagged'
                    AND +device = ? AND next_attempt < ?""",  # noqa: S608
                (reason, until, signed(device), until),
            )


def _forget(db: sqlite3.Connection, photo_id: int, refused: Iterable[str]) -> None:
    """Let queries find the model's keywords no more that the user refused."""
    words = set(map(fold, refused))
    names = db.execute(
        """SELECT l.id, l.name FROM keywords k JOIN labels l ON l.id = k.label_id
           WHERE k.photo_id = ?""",
        (photo_id,),
    ).fetchall()
    db.executemany(
        "DELETE FROM keywords WHERE photo_id = ? AND label_id = ?",
        [(photo_id, number) for number, name in names if fold(name) in words],
    )


def _pairs(place: Place, entries: Entries) -> list[tuple[str, str]]:
    """Return pairs of a field, as it is stored, and a value."""
    return [
        (_PREFIXES[place] + name, value) for name, values in entries.items() for value in values
    ]


def _encode(write: Write) -> str:
    change = {"added": write.change.added, "seeded": write.change.seeded}
    return json.dumps(
        {"place": write.place, "created": write.created, **change, "removed": write.change.removed}
    )


def _decode(text: str) -> tuple[Place, Change, bool]:
    found = json.loads(text)
    if isinstance(found, list):  # by a version that knew one field only
        return Place.SIDECAR, Change({SUBJECT.name: tuple(found)}), False
    entries = (
        {name: tuple(values) for name, values in found[key].items()}
        for key in ("added", "seeded", "removed")
    )
    return Place(found["place"]), Change(*entries), found["created"]
