"""The model's results: scores once per picture, keywords per photo."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from photoramd.clock import UnixTime
from photoramd.database.columns import columns
from photoramd.database.conditions import PHOTOS_WITHIN, REJECTED, bounds
from photoramd.database.connection import Database
from photoramd.database.photos import Job
from photoramd.database.readings import Readings
from photoramd.keywords import comparison_key, fold
from photoramd.metadata.reading import Reading
from photoramd.photo import PhotoState, Tag

_OUTDATED = (
    "p.state IN ('written', 'tagged') AND p.undone_at IS NULL AND p.settings IS NOT ?"
    " AND p.directory_id NOT IN (SELECT id FROM temp.unwatched)"
)
"""Of photos p: their keywords were chosen with other settings than this one."""


_RENEWED_SPAN = 20_000
"""Rows of photos that one call of `Results.renew` looks at: 20 ms."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """The model's result for one photo, inferred now or stored before.

    Attributes:
        job: The photo.
        digest: Of its picture.
        scores: Confidence by label.
        tags: The keywords chosen.
        reading: What else the photo and its sidecar say, if they were read.
    """

    job: Job
    digest: bytes
    scores: Mapping[str, float]
    tags: Sequence[Tag]
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Outdated:
    """A photo that needs its keywords chosen again; without scores it needs inference too."""

    photo_id: int
    scores: Mapping[str, float] | None


class Results:
    """Scores and keywords in the database."""

    def __init__(self, database: Database, settings: str = "") -> None:
        """Use a database.

        Args:
            database: The database.
            settings: A digest of the settings that choose keywords.
        """
        self._database = database
        self._readings = Readings(database)
        self._settings = settings

    def recall(self, digest: bytes, model: str, revision: str) -> dict[str, float] | None:
        """Return the stored scores of a picture; None if this model has not seen it."""
        result = self._database.rows(
            "SELECT id FROM results WHERE digest = ? AND model = ? AND revision = ?",
            (digest, model, revision),
        )
        return self._scores(result[0][0]) if result else None

    def save(self, outcomes: Sequence[Tagged], model: str, revision: str, now: UnixTime) -> None:
        """Store scores and keywords; the photos become tagged.

        A photo that changed since it was decoded is left alone.
        """
        with self._database.transaction() as db:
            for outcome in outcomes:
                result_id = self._result(db, outcome, model, revision, now)
                job = outcome.job
                before = db.execute("SELECT result_id FROM photos WHERE id = ?", (job.id,))
                old_id = before.fetchone()
                changed = db.execute(
                    """UPDATE photos SET state = 'tagged', result_id = ?, tagged_at = ?,
                           attempts = 0, next_attempt = 0, reason = NULL, settings = ?, begun = 0
                       WHERE id = ? AND size = ? AND mtime_ns = ? AND device = ? AND inode = ?""",
                    (result_id, now, self._settings, job.id, *columns(job.photo.fingerprint)),
                ).rowcount
                if changed:
                    self._set_keywords(db, job.id, outcome.tags)
                    if outcome.reading is not None:
                        self._readings.store(db, job.id, outcome.reading)
                    # Another model may be asked for again, an earlier revision cannot.
                    db.execute(
                        """DELETE FROM results WHERE id = ? AND model = ? AND revision <> ?
                           AND NOT EXISTS (SELECT 1 FROM photos WHERE result_id = results.id)""",
                        (*(old_id or (None,)), model, revision),
                    )

    def renew(
        self, model: str, revision: str, below: int | None, limit: int
    ) -> tuple[int, int | None]:
        """Have photos tagged again that an earlier revision of a model tagged, the last first.

        What they have stays until they have been tagged.

        Args:
            model: The present model.
            revision: Its revision.
            below: Look at photos with lower ids than this; None: at all.
            limit: The greatest number of photos.

        Returns:
            How many there were, and what to pass as ``below`` next; None when all were looked at.
        """
        if below is None:
            below = int(self._database.rows("SELECT ifnull(max(id), 0) + 1 FROM photos")[0][0])
        rows = self._database.rows(
            """SELECT p.id FROM photos p JOIN results r ON r.id = p.result_id
               WHERE p.id < ? AND p.id >= ? AND p.state = 'written' AND p.undone_at IS NULL
                 AND r.model = ? AND r.revision <> ?
                 AND p.directory_id NOT IN (SELECT id FROM temp.unwatched)
               ORDER BY p.id DESC LIMIT ?""",
            (below, below - _RENEWED_SPAN, model, revision, limit),
        )
        self.choose_again([(photo_id, None) for (photo_id,) in rows])
        below = rows[-1][0] if len(rows) == limit else below - _RENEWED_SPAN
        return len(rows), below if below > 1 else None

    def pictures(
        self, model: str, revision: str, below: int | None, limit: int
    ) -> list[tuple[int, bytes]]:
        """Return photos that a model tagged, and the digests of their pictures, the last first.

        Args:
            model: The model.
            revision: Its revision.
            below: Only photos with lower ids; None: all.
            limit: The greatest number of photos.
        """
        return self._database.rows(
            """SELECT p.id, r.digest FROM photos p JOIN results r ON r.id = p.result_id
               WHERE p.id < ? AND p.state = 'written' AND p.undone_at IS NULL
                 AND r.model = ? AND r.revision = ?
                 AND p.directory_id NOT IN (SELECT id FROM temp.unwatched)
               ORDER BY p.id DESC LIMIT ?""",
            (2**62 if below is None else below, model, revision, limit),
        )

    def note_model(self, model: str, revision: str) -> None:
        """Store which revision of a model replaces the earlier ones, for `status`."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM present_model")
            if revision:
                db.execute("INSERT INTO present_model VALUES (?, ?)", (model, revision))

    def note_hierarchy(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Store which keywords stand right above others: pairs of a keyword and its parent."""
        wanted = set(pairs)
        known = set(
            self._database.rows(
                """SELECT l.name, p.name FROM label_parents k
                   JOIN labels l ON l.id = k.label_id JOIN labels p ON p.id = k.parent_id"""
            )
        )
        if known == wanted:
            return
        with self._database.transaction() as db:
            db.execute("DELETE FROM label_parents")
            names = sorted({name for pair in wanted for name in pair})
            db.executemany(
                "INSERT OR IGNORE INTO labels (name, folded) VALUES (?, ?)",
                [(name, comparison_key(name)) for name in names],
            )
            db.executemany(
                """INSERT INTO label_parents
                   SELECT l.id, p.id FROM labels l, labels p WHERE l.name = ? AND p.name = ?""",
                sorted(wanted),
            )

    def tags(self, photo_id: int) -> list[Tag]:
        """Return the keywords of a photo, the most confident first."""
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

    def has_outdated(self, after: int) -> bool:
        """Return whether a photo after an id has keywords chosen with other settings."""
        rows = self._database.rows(
            f"SELECT EXISTS (SELECT 1 FROM photos p WHERE {_OUTDATED} AND p.id > ?)",  # noqa: S608
            (self._settings, after),
        )
        return bool(rows[0][0])

    def outdated(self, model: str, revision: str, after: int, limit: int) -> list[Outdated]:
        """Return photos whose keywords were chosen with other settings, in the order of ids.

        Args:
            model: The model that made usable scores.
            revision: Its revision. A photo that another model tagged is included only if
                it was requested (`Requests.retag`), and then without scores.
            after: The last id of the previous call.
            limit: The greatest number of photos.
        """
        rows = self._database.rows(
            f"""SELECT p.id, CASE WHEN r.model = ? AND r.revision = ? THEN r.id END
                FROM photos p LEFT JOIN results r ON r.id = p.result_id
                WHERE {_OUTDATED} AND p.id > ?
                  AND (p.settings IS NULL OR (r.model = ? AND r.revision = ?))
                ORDER BY p.id LIMIT ?""",  # noqa: S608
            (model, revision, self._settings, after, model, revision, limit),
        )
        return [
            Outdated(photo_id, None if result_id is None else self._scores(result_id))
            for photo_id, result_id in rows
        ]

    def choose_again(self, chosen: Sequence[tuple[int, Sequence[Tag] | None]]) -> None:
        """Store keywords by row of photo; None: the model must run again."""
        with self._database.transaction() as db:
            for photo_id, tags in chosen:
                db.execute(
                    """UPDATE photos SET state = ?, settings = ?, attempts = 0, next_attempt = 0,
                           reason = NULL WHERE id = ? AND state IN ('written', 'tagged')""",
                    (
                        PhotoState.PENDING if tags is None else PhotoState.TAGGED,
                        self._settings,
                        photo_id,
                    ),
                )
                if tags is not None:
                    self._set_keywords(db, photo_id, tags)

    def note_modes(self, modes: Mapping[str, str]) -> None:
        """Store the write mode of each root; photos of a root with another one are outdated."""
        known = dict(self._database.rows("SELECT root, mode FROM modes"))
        with self._database.transaction() as db:
            for root, mode in modes.items():
                if known.get(os.fsencode(root), mode) != mode:
                    db.execute(
                        f"UPDATE photos SET settings = NULL WHERE {PHOTOS_WITHIN}",  # noqa: S608
                        bounds(root),
                    )
                db.execute("INSERT OR REPLACE INTO modes VALUES (?, ?)", (os.fsencode(root), mode))

    def _scores(self, result_id: int) -> dict[str, float]:
        rows = self._database.rows(
            """SELECT l.name, s.score FROM scores s JOIN labels l ON l.id = s.label_id
               WHERE s.result_id = ?""",
            (result_id,),
        )
        return {name: float(score) for name, score in rows}

    def _result(
        self, db: sqlite3.Connection, outcome: Tagged, model: str, revision: str, now: UnixTime
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
        # A photo with its tags taken back gets none, however often it is processed.
        undone = "SELECT 1 FROM photos WHERE id = ? AND undone_at IS NOT NULL"
        if db.execute(undone, (photo_id,)).fetchone():
            return
        refused = {
            fold(value)
            for (value,) in db.execute(
                f"SELECT value FROM ledger WHERE photo_id = ? AND {REJECTED}",  # noqa: S608
                (photo_id,),
            )
        }
        db.executemany(
            "INSERT INTO keywords VALUES (?, ?, ?, ?)",
            [
                (photo_id, self._database.label(tag.name), tag.confidence, "|".join(tag.parents))
                for tag in tags
                if fold(tag.name) not in refused
            ],
        )
