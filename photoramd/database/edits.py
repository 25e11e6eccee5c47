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
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from photoramd.clock import UnixTime, unix_time
from photoramd.database.columns import path_of
from photoramd.database.connection import connect_beside_owner
from photoramd.database.readonly import fetch, open_readonly
from photoramd.errors import StoreError, UsageError
from photoramd.keywords import KEYWORD_RULES, comparison_key, fold, is_keyword, normalise

MAX_PHOTOS = 1_000
"""In one edit."""

MAX_TAGS = 50
"""In one edit, added and rejected ones together."""

KEPT_DAYS = 30
"""How long an edit is known, and can be undone, after it was done."""


class Kind(StrEnum):
    """What a change does; the values are stored."""

    ADD = "add"
    REJECT = "reject"
    UNDO = "undo"


class EditState(StrEnum):
    """How far a change is; the values are stored."""

    PENDING = "pending"
    """Not in the files yet; queries answer by it as soon as the daemon has seen it."""
    DONE = "done"
    FAILED = "failed"
    """It was refused, and nothing of it was done."""


@dataclass(frozen=True, slots=True)
class EditedTag:
    """One change of one photo.

    Attributes:
        edit_id: The edit that it belongs to.
        photo_id: The photo.
        kind: What it does.
        tag: To which tag; of an undo, that of the change which is taken back.
        state: How far it is.
        reason: Why it failed, or is not in the files yet; None if that only takes its time.
        undoes: What an undo takes back: ``add`` or ``reject``; None of other changes.
        asked_by: Who asked: ``command`` or ``gallery``.
        asked_at: When.
    """

    edit_id: int
    photo_id: int
    kind: Kind
    tag: str
    state: EditState
    reason: str | None
    undoes: Kind | None
    asked_by: str
    asked_at: UnixTime


@dataclass(frozen=True, slots=True)
class EditReason:
    """Why changes failed or wait.

    Attributes:
        reason: In words, for people.
        changes: How many.
        example: One of the photos.
        is_final: Whether they failed; else they are tried again.
    """

    reason: str
    changes: int
    example: Path
    is_final: bool


@dataclass(frozen=True, slots=True)
class EditProgress:
    """How far an edit is, in changes: photos times tags.

    Attributes:
        edit_id: The edit.
        photos: How many photos it is about.
        pending: Not in the files yet.
        waiting: How many of these could not be written now, and are tried again.
        done: In the files.
        failed: Refused.
        reasons: Why changes failed or wait, the most frequent first.
    """

    edit_id: int
    photos: int = 0
    pending: int = 0
    waiting: int = 0
    done: int = 0
    failed: int = 0
    reasons: tuple[EditReason, ...] = ()


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
                WHERE c.edit_id = ? AND {_CAN_BE_UNDONE} ORDER BY c.id DESC""",  # noqa: S608
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


def edits_of(connection: sqlite3.Connection, photo_ids: Collection[int]) -> list[EditedTag]:
    """Return the changes of photos that are pending or failed, in the order of asking.

    Args:
        connection: From `open_readonly`.
        photo_ids: The photos: ``photos.id``.

    Raises:
        StoreError: The database cannot be read.
    """
    if not _has_edits(connection):
        return []
    rows = fetch(
        connection,
        f"""SELECT c.edit_id, c.photo_id, c.kind, c.tag, c.state, {_REASON}, u.kind,
                   e.asked_by, e.asked_at
            FROM json_each(?) chosen CROSS JOIN edit_changes c ON c.photo_id = chosen.value
            JOIN edits e ON e.id = c.edit_id JOIN photos p ON p.id = c.photo_id
            LEFT JOIN edit_changes u ON u.id = c.undoes
            WHERE c.state <> 'done' AND c.superseded_by IS NULL ORDER BY c.id""",  # noqa: S608
        (json.dumps(list(photo_ids)),),
    )
    return [
        EditedTag(
            edit, photo, Kind(kind), tag, EditState(state), reason,
            None if undone is None else Kind(undone), by, UnixTime(when),
        )
        for edit, photo, kind, tag, state, reason, undone, by, when in rows
    ]  # fmt: skip


def edit_progress(connection: sqlite3.Connection, edit_id: int) -> EditProgress:
    """Return how far an edit is; one that is not known has no photos.

    Raises:
        StoreError: The database cannot be read.
    """
    if not _has_edits(connection):
        return EditProgress(edit_id)
    source = "edit_changes c JOIN photos p ON p.id = c.photo_id"
    rows = fetch(
        connection,
        f"""SELECT c.state, {_REASON}, count(*), min(c.photo_id) FROM {source}
            WHERE c.edit_id = ? GROUP BY 1, 2 ORDER BY 3 DESC, 2""",  # noqa: S608
        (edit_id,),
    )
    sql = "SELECT count(DISTINCT photo_id) FROM edit_changes WHERE edit_id = ?"
    ((photos,),) = fetch(connection, sql, (edit_id,))
    counts = {state: sum(n for s, _, n, _ in rows if s == state) for state in EditState}
    reasons = tuple(
        EditReason(reason, number, _path(connection, photo), state == EditState.FAILED)
        for state, reason, number, photo in rows
        if reason is not None
    )
    return EditProgress(
        edit_id,
        photos,
        counts[EditState.PENDING],
        sum(each.changes for each in reasons if not each.is_final),
        counts[EditState.DONE],
        counts[EditState.FAILED],
        reasons,
    )


def last_edit(connection: sqlite3.Connection) -> int | None:
    """Return the last edit of which something can be undone, None if there is none.

    Raises:
        StoreError: The database cannot be read.
    """
    if not _has_edits(connection):
        return None
    ((found,),) = fetch(
        connection,
        f"SELECT max(c.edit_id) FROM edit_changes c WHERE {_CAN_BE_UNDONE}",  # noqa: S608
    )
    return None if found is None else int(found)


_CAN_BE_UNDONE = """c.kind <> 'undo' AND c.superseded_by IS NULL AND NOT EXISTS (
    SELECT 1 FROM edit_changes u WHERE u.undoes = c.id AND u.state = 'pending')"""
"""Changes c that were not undone, and of which that was not asked either."""

_REASON = """CASE
    WHEN c.state = 'failed' THEN c.reason
    WHEN c.state = 'done' OR c.applied_at IS NULL THEN NULL
    WHEN p.state = 'missing' THEN 'the photo is not there any more'
    ELSE p.reason END"""
"""Why a change c of a photo p failed or waits."""


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
    has_edits = _has_edits(connection)
    connection.close()
    if not has_edits:
        raise StoreError(
            "the database is of an earlier version, which knows no edits",
            path=database,
            remedy="restart the daemon (systemctl restart photoramd), or run photoramd scan",
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


def _has_edits(connection: sqlite3.Connection) -> bool:
    return bool(fetch(connection, "SELECT 1 FROM sqlite_master WHERE name = 'edit_changes'"))


def _path(connection: sqlite3.Connection, photo_id: int) -> Path:
    sql = """SELECT d.path, p.name FROM photos p JOIN directories d ON d.id = p.directory_id
             WHERE p.id = ?"""
    (row,) = fetch(connection, sql, (photo_id,))
    return path_of(*row)
