"""What the model thought of each picture: scores once per picture, keywords per photo."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from photoramd.database.columns import columns
from photoramd.database.connection import Database
from photoramd.database.photos import Job
from photoramd.photo import Tag


@dataclass(frozen=True, slots=True)
class Tagged:
    """The outcome of the model for one photo: fresh scores, or a result known before."""

    job: Job
    digest: bytes
    scores: Mapping[str, float]
    tags: Sequence[Tag]


@dataclass(frozen=True, slots=True)
class Outdated:
    """A photo whose keywords are to be chosen anew; no scores: the model must look again."""

    photo_id: int
    scores: Mapping[str, float] | None


class Results:
    """Scores and keywords in the database."""

    def __init__(self, database: Database, settings: str = "") -> None:
        """Args: the database, and a digest of the settings that choose keywords."""
        self._database = database
        self._settings = settings

    def recall(self, digest: bytes, model: str, revision: str) -> dict[str, float] | None:
        """The stored scores of a picture, or None if this model has not seen it."""
        result = self._database.rows(
            "SELECT id FROM results WHERE digest = ? AND model = ? AND revision = ?",
            (digest, model, revision),
        )
        return self._scores(result[0][0]) if result else None

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
                           attempts = 0, next_attempt = 0, reason = NULL, settings = ?
                       WHERE id = ? AND size = ? AND mtime_ns = ? AND device = ? AND inode = ?""",
                    (result_id, now, self._settings, job.id, *columns(job.photo.fingerprint)),
                ).rowcount
                if changed:
                    self._set_keywords(db, job.id, outcome.tags)

    def tags(self, photo_id: int) -> list[Tag]:
        """The keywords of a photo, the surest first."""
        rows = self._database.rows(
            """SELECT l.name, k.confidence, k.parents
               FROM keywords k JOIN labels l ON l.id = k.label_id
               WHERE k.photo_id = ? ORDER BY k.confidence DESC, l.name""",
            (photo_id,),
        )
        return [
            Tag(name, float(confidence), tuple(parents.split("|")) if parents else ())
            for name, confidence, parents in rows
        ]

    def outdated(self, model: str, revision: str, after: int, limit: int) -> list[Outdated]:
        """Written photos whose keywords were chosen with other settings, in the order of ids.

        Args:
            model: The model whose scores can be used.
            revision: Its revision. A photo that another model tagged is only among them if
                it was asked for (`retag`), and then without scores.
            after: The last id of the call before.
            limit: At most so many.
        """
        rows = self._database.rows(
            """SELECT p.id, CASE WHEN r.model = ? AND r.revision = ? THEN r.id END
               FROM photos p LEFT JOIN results r ON r.id = p.result_id
               WHERE p.id > ? AND p.state IN ('written', 'tagged') AND p.undone_at IS NULL
                 AND p.settings IS NOT ?
                 AND p.directory_id NOT IN (SELECT id FROM temp.unwatched)
                 AND (p.settings IS NULL OR (r.model = ? AND r.revision = ?))
               ORDER BY p.id LIMIT ?""",
            (model, revision, after, self._settings, model, revision, limit),
        )
        return [
            Outdated(photo_id, None if result_id is None else self._scores(result_id))
            for photo_id, result_id in rows
        ]

    def choose_again(self, chosen: Sequence[tuple[int, Sequence[Tag] | None]]) -> None:
        """Store keywords that were chosen anew; None: the model must look again."""
        with self._database.transaction() as db:
            for photo_id, tags in chosen:
                db.execute(
                    """UPDATE photos SET state = ?, settings = ?, attempts = 0, next_attempt = 0,
                           reason = NULL WHERE id = ? AND state IN ('written', 'tagged')""",
                    ("pending" if tags is None else "tagged", self._settings, photo_id),
                )
                if tags is not None:
                    self._set_keywords(db, photo_id, tags)

    def _scores(self, result_id: int) -> dict[str, float]:
        rows = self._database.rows(
            """SELECT l.name, s.score FROM scores s JOIN labels l ON l.id = s.label_id
               WHERE s.result_id = ?""",
            (result_id,),
        )
        return {name: float(score) for name, score in rows}

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
        # A photo whose tags were taken back gets none, however often it is looked at.
        undone = "SELECT 1 FROM photos WHERE id = ? AND undone_at IS NOT NULL"
        if db.execute(undone, (photo_id,)).fetchone():
            return
        db.executemany(
            "INSERT INTO keywords VALUES (?, ?, ?, ?)",
            [
                (photo_id, self._database.label(tag.name), tag.confidence, "|".join(tag.parents))
                for tag in tags
            ],
        )
