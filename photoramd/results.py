"""What the model thought of each picture: scores once per picture, keywords per photo."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from photoramd.database import Database, columns
from photoramd.photo import Tag
from photoramd.store import Job


@dataclass(frozen=True, slots=True)
class Tagged:
    """The outcome of the model for one photo: fresh scores, or a result known before."""

    job: Job
    digest: bytes
    scores: Mapping[str, float]
    tags: Sequence[Tag]


class Results:
    """Scores and keywords in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recall(self, digest: bytes, model: str, revision: str) -> dict[str, float] | None:
        """The stored scores of a picture, or None if this model has not seen it."""
        result = self._database.rows(
            "SELECT id FROM results WHERE digest = ? AND model = ? AND revision = ?",
            (digest, model, revision),
        )
        if not result:
            return None
        rows = self._database.rows(
            """SELECT l.name, s.score FROM scores s JOIN labels l ON l.id = s.label_id
               WHERE s.result_id = ?""",
            (result[0][0],),
        )
        return {name: float(score) for name, score in rows}

    def save(self, outcomes: Sequence[Tagged], model: str, revision: str, now: float) -> None:
        """Store scores and keywords; the photos become tagged.

        A photo that changed since it was decoded is left alone.
        """
        with self._database.transaction() as db:
            for outcome in outcomes:
                result_id = self._result(db, outcome, model, revision, now)
                job = outcome.job
                changed = db.execute(
                    """UPDATE photos SET state = 'tagged', result_id = ?, tagged_at = ?,
                           attempts = 0, next_attempt = 0, reason = NULL
                       WHERE id = ? AND size = ? AND mtime_ns = ? AND device = ? AND inode = ?""",
                    (result_id, now, job.id, *columns(job.photo.fingerprint)),
                ).rowcount
                if changed:
                    self._set_keywords(db, job.id, outcome.tags)

    def tags(self, photo_id: int) -> list[Tag]:
        """The keywords of a photo, the surest first."""
        rows = self._database.rows(
            """SELECT l.name, k.confidence FROM keywords k JOIN labels l ON l.id = k.label_id
               WHERE k.photo_id = ? ORDER BY k.confidence DESC, l.name""",
            (photo_id,),
        )
        return [Tag(name, float(confidence)) for name, confidence in rows]

    def _result(
        self, db: sqlite3.Connection, outcome: Tagged, model: str, revision: str, now: float
    ) -> int:
        key = (outcome.digest, model, revision)
        find = "SELECT id FROM results WHERE digest = ? AND model = ? AND revision = ?"
        row = db.execute(find, key).fetchone()
        if row is not None:
            return int(row[0])
        db.execute(
            "INSERT INTO results (digest, model, revision, created_at) VALUES (?, ?, ?, ?)",
            (*key, now),
        )
        result_id = int(db.execute("SELECT last_insert_rowid()").fetchone()[0])
        db.executemany(
            "INSERT INTO scores VALUES (?, ?, ?)",
            [
                (result_id, self._database.label(name), score)
                for name, score in outcome.scores.items()
            ],
        )
        return result_id

    def _set_keywords(self, db: sqlite3.Connection, photo_id: int, tags: Sequence[Tag]) -> None:
        db.execute("DELETE FROM keywords WHERE photo_id = ?", (photo_id,))
        db.executemany(
            "INSERT INTO keywords VALUES (?, ?, ?)",
            [(photo_id, self._database.label(tag.name), tag.confidence) for tag in tags],
        )
