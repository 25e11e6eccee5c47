"""Ask for edits of tags, and look what became of them: for commands, the gallery and tests.

An edit is up to `MAX_PHOTOS` photos and the changes of each: tags to add, tags to reject, or an
earlier edit to undo. Who asks writes rows and nothing else; the owner of the database applies
them (`editing`), now or when it next runs. Import costs neither numpy nor sqlite_utils.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from photoramd.clock import unix_time
from photoramd.database.connection import connect_beside_owner
from photoramd.database.edited import (
    CAN_BE_UNDONE,
    EditedTag,
    EditProgress,
    EditReason,
    EditState,
    Kind,
    directories_of,
    edit_progress,
    edits_of,
    has_edits,
    last_edit,
)
from photoramd.database.readonly import open_readonly
from photoramd.errors import StoreError, UsageError
from photoramd.keywords import KEYWORD_RULES, comparison_key, fold, is_keyword, normalise
from photoramd.system.container import how_to

__all__ = [
    "EditProgress",
    "EditReason",
    "EditState",
    "EditedTag",
    "Kind",
    "checked_tags",
    "directories_of",
    "edit_progress",
    "edits_of",
    "last_edit",
    "request_edit",
    "request_undo",
]

MAX_PHOTOS = 1_000
"""In one edit."""

MAX_TAGS = 50
"""In one edit, added and rejected ones together."""

KEPT_DAYS = 30
"""How long an edit is known, and can be undone, after it was done."""


def request_edit(
    database: Path,
    photo_ids: Collection[int],
    *,
    add: Sequence[str] = (),
    reject: Sequence[str] = (),
    by: str = "command",
) -> int:
    """Ask to add and reject tags; return the id of the edit.

    Args:
        database: The file.
        photo_ids: The photos: ``photos.id``.
        add: Tags to add, as `checked_tags` returns them or a user types them.
        reject: Tags to reject: they leave the files, and are never written again.
        by: Who asks.

    Raises:
        UsageError: Too many photos or tags, none, a tag that is no keyword, or an unknown photo.
        StoreError: There is no database, it may not be written, or is an earlier version's.
    """
    wanted, refused = checked_tags(add, reject)
    photos = _checked_photos(photo_ids)
    with _asking(database) as db:
        _require_known(db, photos)
        edit_id = _new_edit(db, by, None)
        db.executemany(
            """INSERT INTO edit_changes (edit_id, photo_id, kind, tag, folded)
               VALUES (?, ?, ?, ?, ?)""",
            [
                (edit_id, photo, kind, tag, fold(tag))
                for photo in photos
                for kind, tags in ((Kind.ADD, wanted), (Kind.REJECT, refused))
                for tag in tags
            ],
        )
    return edit_id


def request_undo(
    database: Path,
    edit_id: int,
    *,
    photo_ids: Collection[int] | None = None,
    by: str = "command",
) -> int:
    """Ask to undo an edit: restore what was there before; return the id of this new edit.

    What failed of it is no longer shown.

    Args:
        database: The file.
        edit_id: The edit to undo.
        photo_ids: Only of these photos; None: of all.
        by: Who asks.

    Raises:
        UsageError: Nothing of it is left to undo, or it is an undo itself.
        StoreError: There is no database, it may not be written, or is an earlier version's.
    """
    with _asking(database) as db:
        rows = db.execute(
            f"""SELECT c.photo_id, c.tag, c.folded, c.id FROM edit_changes c
                WHERE c.edit_id = ? AND {CAN_BE_UNDONE} ORDER BY c.id DESC""",  # noqa: S608
            (edit_id,),
        ).fetchall()
        chosen = [row for row in rows if photo_ids is None or row[0] in photo_ids]
        if not chosen:
            raise UsageError(
                f"there is nothing of edit {edit_id} to undo",
                remedy="it was undone, is an undo itself, is about other photos, or was made more"
                f" than {KEPT_DAYS} days ago",
            )
        undo_id = _new_edit(db, by, edit_id)
        db.executemany(
            """INSERT INTO edit_changes (edit_id, kind, photo_id, tag, folded, undoes)
               VALUES (?, 'undo', ?, ?, ?, ?)""",
            [(undo_id, *row) for row in chosen],
        )
    return undo_id


def checked_tags(add: Iterable[str], reject: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return tags to add and to reject as they are written, each once.

    Raises:
        UsageError: None, too many, one that is no keyword, or the same in both.
    """
    wanted, refused = _distinct(add), _distinct(reject)
    for tag in (*wanted.values(), *refused.values()):
        if not is_keyword(tag) or not comparison_key(tag):
            raise UsageError(f"{tag!r} cannot be a tag", remedy=KEYWORD_RULES)
    both = wanted.keys() & refused.keys()
    if both:
        raise UsageError(f"{wanted[min(both)]!r} is to be added and rejected", remedy="choose one")
    count = len(wanted) + len(refused)
    if not count:
        raise UsageError("there is no tag to add or to reject")
    if count > MAX_TAGS:
        raise UsageError(f"{count} tags are too many", remedy=f"at most {MAX_TAGS} in one edit")
    return list(wanted.values()), list(refused.values())


def _distinct(tags: Iterable[str]) -> dict[str, str]:
    """Return tags by the form in which they are compared."""
    return {fold(tag): tag for tag in map(normalise, tags)}


def _checked_photos(photo_ids: Collection[int]) -> list[int]:
    photos = list(dict.fromkeys(photo_ids))
    if not photos:
        raise UsageError("there is no photo to edit")
    if len(photos) > MAX_PHOTOS:
        raise UsageError(
            f"{len(photos):,} photos are too many for one edit",
            remedy=f"at most {MAX_PHOTOS:,}: make several edits",
        )
    return photos


def _require_known(db: sqlite3.Connection, photos: Sequence[int]) -> None:
    sql = "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM photos)"
    unknown = db.execute(sql, (json.dumps(photos),)).fetchall()
    if unknown:
        raise UsageError(
            f"photoramd knows no photo {unknown[0][0]}",
            remedy="it may have been forgotten (photoramd db prune); look for it again",
        )


@contextmanager
def _asking(database: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for the rows of an edit: all of them or none."""
    # Its errors name what is wrong with the file, and the remedy.
    connection = open_readonly(database)
    is_known = has_edits(connection)
    connection.close()
    if not is_known:
        raise StoreError(
            "the database is of an earlier version, which knows no edits",
            path=database,
            remedy=f"restart the daemon ({how_to('restart')}), or run photoramd scan",
        )
    with connect_beside_owner(database) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _new_edit(db: sqlite3.Connection, by: str, undoes: int | None) -> int:
    sql = "INSERT INTO edits (asked_by, asked_at, undoes) VALUES (?, ?, ?) RETURNING id"
    return int(db.execute(sql, (by, unix_time(), undoes)).fetchone()[0])
