"""What was read from photos and their sidecars: looks, and the user's own keywords."""

from __future__ import annotations

import os
import sqlite3

from photoramd.database.conditions import UNREAD
from photoramd.database.connection import Database
from photoramd.database.given import given_tags
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Job, select_jobs
from photoramd.metadata.changes import Place
from photoramd.metadata.own_keywords import distinct, users
from photoramd.metadata.reading import Reading
from photoramd.photo import Look

_FAILED = 2


class Readings:
    """Looks and the user's own keywords in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger = Ledger(database)

    def unread(self, after: int, limit: int) -> list[Job]:
        """Return tagged photos whose files are to be read again, by id.

        Args:
            after: The last id of the previous call.
            limit: The greatest number of photos.
        """
        return select_jobs(
            self._database,
            f"""{UNREAD} AND p.id > ?
                AND p.directory_id NOT IN (SELECT id FROM temp.unwatched) ORDER BY p.id""",  # noqa: S608
            (after,),
            limit,
        )

    def count_unread(self) -> int:
        """Return how many tagged photos are to be read."""
        rows = self._database.rows(f"SELECT count(*) FROM photos p WHERE {UNREAD}")  # noqa: S608
        return int(rows[0][0])

    def save(self, photo_id: int, reading: Reading) -> None:
        """Store what was read from a photo that is known already."""
        with self._database.transaction() as db:
            self.store(db, photo_id, reading)

    def give_up(self, photo_id: int) -> None:
        """Record that a photo cannot be read, until it or its sidecar changes."""
        with self._database.transaction() as db:
            db.execute("UPDATE photos SET is_read = ? WHERE id = ?", (_FAILED, photo_id))

    def store(self, db: sqlite3.Connection, photo_id: int, reading: Reading) -> None:
        """Store what was read; to be called in a transaction."""
        if reading.look is not None:
            self._store_look(db, photo_id, reading.look)
        self._store_keywords(db, photo_id, reading)
        db.execute("DELETE FROM read_sidecars WHERE photo_id = ?", (photo_id,))
        if reading.sidecar is not None:
            path, mtime_ns = reading.sidecar
            db.execute(
                "INSERT INTO read_sidecars VALUES (?, ?, ?)",
                (photo_id, os.fsencode(path), mtime_ns),
            )
        db.execute("UPDATE photos SET is_read = 1 WHERE id = ?", (photo_id,))

    def _store_look(self, db: sqlite3.Connection, photo_id: int, look: Look) -> None:
        def named(table: str, name: str | None) -> int | None:
            return None if name is None else self._database.id_of(table, "name", name)

        row = (
            look.width, look.height, named("formats", look.format), look.taken, look.tz,
            named("cameras", look.camera), named("lenses", look.lens),
            look.iso, look.f, look.exposure, look.mm, look.lat, look.lon,
        )  # fmt: skip
        known = db.execute(
            """SELECT width, height, format_id, taken, tz, camera_id, lens_id, iso, f, exposure,
                      mm, lat, lon FROM looks WHERE photo_id = ?""",
            (photo_id,),
        ).fetchone()
        if known == row:
            return
        db.execute("DELETE FROM looks WHERE photo_id = ?", (photo_id,))
        marks = ", ".join("?" * (1 + len(row)))
        db.execute(f"INSERT INTO looks VALUES ({marks})", (photo_id, *row))  # noqa: S608

    def _store_keywords(self, db: sqlite3.Connection, photo_id: int, reading: Reading) -> None:
        paths = [
            path
            for place, found in ((Place.SIDECAR, reading.beside), (Place.PHOTO, reading.inside))
            if found.entries
            for path in users(found, self._ledger.recorded(photo_id, place))
        ]
        wanted = {
            self._database.label(name): is_above for name, is_above in distinct(paths).items()
        }
        # What the user had us add is the user's, whether it is in the files yet or not.
        given = given_tags(self._database, photo_id).wanted
        wanted |= {self._database.label(name): False for name in given}
        known = dict(
            db.execute(
                "SELECT label_id, is_above FROM user_keywords WHERE photo_id = ?", (photo_id,)
            ).fetchall()
        )
        if known == wanted:
            return
        db.execute("DELETE FROM user_keywords WHERE photo_id = ?", (photo_id,))
        db.executemany(
            "INSERT INTO user_keywords VALUES (?, ?, ?)",
            [(photo_id, number, is_above) for number, is_above in wanted.items()],
        )
