"""All that the database says of one tag of one photo, and how an edit changes and restores it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from photoramd.clock import UnixTime
from photoramd.database.given import withdraw
from photoramd.keywords import fold
from photoramd.metadata.fields import BY_NAME, SUBJECT

_PHOTO = "photo:"
_SUBJECTS = (SUBJECT.name, _PHOTO + SUBJECT.name)
"""The fields of the ledger that say whether a tag is rejected: in the sidecar and in the photo."""

_ENTRY = "photo_id = ? AND field = ? AND value = ?"


@dataclass(frozen=True, slots=True)
class TagState:
    """A tag of a photo, in whatever case it is written (`keywords.fold`).

    Attributes:
        photo_id: The photo.
        tag: The tag, as it was asked for.
        entries: The ledger's, of all fields: field, value, when it was rejected, and whether it
            is to leave the file.
        keywords: The model's: number of the label, confidence, keywords above it.
        given: The user's by an edit, by name.
        is_users: Whether the user gave it, in a file or by an edit.
        basis: What the model's keywords depend on: result, settings, and whether it is undone.
    """

    photo_id: int
    tag: str
    entries: tuple[tuple[str, str, float | None, int], ...] = ()
    keywords: tuple[tuple[int, float, str], ...] = ()
    given: tuple[str, ...] = ()
    is_users: bool = False
    basis: tuple[int | str | float | None, ...] = ()

    @classmethod
    def of(cls, db: sqlite3.Connection, photo_id: int, tag: str) -> TagState:
        """Return the state as it is now."""
        folded = fold(tag)
        entries = db.execute(
            """SELECT field, value, rejected_at, is_leaving FROM ledger
               WHERE photo_id = ? AND NOT seeded""",
            (photo_id,),
        ).fetchall()
        keywords = db.execute(
            """SELECT l.name, k.label_id, k.confidence, k.parents
               FROM keywords k JOIN labels l ON l.id = k.label_id WHERE k.photo_id = ?""",
            (photo_id,),
        ).fetchall()
        given = db.execute(
            """SELECT l.name FROM given_tags g JOIN labels l ON l.id = g.label_id
               WHERE g.photo_id = ? AND NOT g.is_leaving""",
            (photo_id,),
        ).fetchall()
        own = db.execute(
            """SELECT l.name FROM user_keywords k JOIN labels l ON l.id = k.label_id
               WHERE k.photo_id = ? AND NOT k.is_above""",
            (photo_id,),
        ).fetchall()
        basis = db.execute(
            "SELECT result_id, settings, undone_at FROM photos WHERE id = ?", (photo_id,)
        ).fetchone()
        return cls(
            photo_id,
            tag,
            tuple(tuple(each) for each in entries if fold(_leaf(*each[:2])) == folded),
            tuple((n, c, above) for name, n, c, above in keywords if fold(name) == folded),
            tuple(name for (name,) in given if fold(name) == folded),
            any(fold(name) == folded for (name,) in own),
            tuple(basis),
        )

    @classmethod
    def restored(cls, photo_id: int, tag: str, plain: Mapping[str, Any]) -> TagState:
        """Return a state from what `plain` returned."""
        return cls(
            photo_id,
            tag,
            tuple(tuple(each) for each in plain["entries"]),
            tuple(tuple(each) for each in plain["keywords"]),
            tuple(plain["given"]),
            False,
            tuple(plain["basis"]),
        )

    def plain(self) -> Mapping[str, Any]:
        """Return what is needed to restore it, for JSON."""
        return {
            "entries": self.entries,
            "keywords": self.keywords,
            "given": self.given,
            "basis": self.basis,
        }

    @property
    def is_rejected(self) -> bool:
        """Whether it is never to be written."""
        return any(when is not None for _, _, when, _ in self._subjects)

    @property
    def is_in_file(self) -> bool:
        """Whether we put it into a file, by the ledger."""
        return any(when is None or is_leaving for _, _, when, is_leaving in self._subjects)

    @property
    def _subjects(self) -> list[tuple[str, str, float | None, int]]:
        return [each for each in self.entries if each[0] in _SUBJECTS]

    def permit(self, db: sqlite3.Connection) -> None:
        """End its rejection; what is in the file counts as ours once more."""
        for field, value, when, is_leaving in self.entries:
            if when is not None:
                self._permit(db, field, value, is_leaving=bool(is_leaving))

    def forbid(self, db: sqlite3.Connection, now: UnixTime) -> None:
        """Reject it: it leaves the file with the next write, and is never written again."""
        self._forbid(db, now)
        if not self._subjects:
            self._insert(db, SUBJECT.name, self.tag, now)
        withdraw(db, self.photo_id, {fold(self.tag)})

    def permit_again(self, db: sqlite3.Connection, present: TagState) -> bool:
        """Restore what a rejection ended, but for what the user had us add.

        Args:
            db: The database.
            present: What is there now.

        Returns:
            Whether the model's keyword is as it was. It is not if the photo was tagged anew
            since; then its keywords are to be chosen again.
        """
        before = {(f, v) for f, v, when, _ in self.entries if when is not None}
        for field, value, when, is_leaving in present.entries:
            if when is not None and (field, value) not in before:
                self._permit(db, field, value, is_leaving=bool(is_leaving))
        if self.basis == present.basis:
            db.executemany(
                "INSERT OR IGNORE INTO keywords VALUES (?, ?, ?, ?)",
                [(self.photo_id, *keyword) for keyword in self.keywords],
            )
            return True
        db.execute("UPDATE photos SET settings = NULL WHERE id = ?", (self.photo_id,))
        return False

    def forbid_again(self, db: sqlite3.Connection, present: TagState) -> None:
        """Restore a rejection that an addition ended.

        Args:
            db: The database.
            present: What is there now.
        """
        rejected = [(f, v, when) for f, v, when, _ in self.entries if when is not None]
        if not rejected:
            return
        present._forbid(db, rejected[0][2])
        for field, value, when in rejected:
            self._insert(db, field, value, when)

    def _permit(self, db: sqlite3.Connection, field: str, value: str, *, is_leaving: bool) -> None:
        entry = (self.photo_id, field, value)
        if is_leaving:
            db.execute(
                f"UPDATE ledger SET rejected_at = NULL, is_leaving = 0 WHERE {_ENTRY}",  # noqa: S608
                entry,
            )
        else:
            db.execute(f"DELETE FROM ledger WHERE {_ENTRY}", entry)  # noqa: S608

    def _forbid(self, db: sqlite3.Connection, now: float) -> None:
        for field, value, when, _ in self._subjects:
            if when is None:
                db.execute(
                    f"UPDATE ledger SET rejected_at = ?, is_leaving = 1 WHERE {_ENTRY}",  # noqa: S608
                    (now, self.photo_id, field, value),
                )
        db.executemany(
            "DELETE FROM keywords WHERE photo_id = ? AND label_id = ?",
            [(self.photo_id, number) for number, _, _ in self.keywords],
        )

    def _insert(self, db: sqlite3.Connection, field: str, value: str, now: float) -> None:
        db.execute(
            """INSERT OR IGNORE INTO ledger (photo_id, field, value, added_at, rejected_at)
               VALUES (?, ?, ?, ?, ?)""",
            (self.photo_id, field, value, now, now),
        )


def _leaf(field: str, value: str) -> str:
    """Return the tag of an entry of the ledger."""
    known = BY_NAME.get(field.removeprefix(_PHOTO), SUBJECT)
    return known.leaf(value)
