"""Look what became of edits: what is pending, what failed and why, what can be undone."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.columns import path_of
from photoramd.database.readonly import fetch


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


CAN_BE_UNDONE = """c.kind <> 'undo' AND c.superseded_by IS NULL AND NOT EXISTS (
    SELECT 1 FROM edit_changes u WHERE u.undoes = c.id AND u.state = 'pending')"""
"""Changes c that were not undone, and of which that was not asked either."""

_REASON = """CASE
    WHEN c.state = 'failed' THEN c.reason
    WHEN c.state = 'done' OR c.applied_at IS NULL THEN NULL
    WHEN p.state = 'missing' THEN 'the photo is not there any more'
    ELSE p.reason END"""
"""Why a change c of a photo p failed or waits."""


def edits_of(connection: sqlite3.Connection, photo_ids: Collection[int]) -> list[EditedTag]:
    """Return the changes of photos that are pending or failed, in the order of asking.

    Args:
        connection: From `open_readonly`.
        photo_ids: The photos: ``photos.id``.

    Raises:
        StoreError: The database cannot be read.
    """
    if not has_edits(connection):
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
    if not has_edits(connection):
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
    if not has_edits(connection):
        return None
    ((found,),) = fetch(
        connection,
        f"SELECT max(c.edit_id) FROM edit_changes c WHERE {CAN_BE_UNDONE}",  # noqa: S608
    )
    return None if found is None else int(found)


def directories_of(connection: sqlite3.Connection, edit_id: int) -> list[Path]:
    """Return the directories of an edit's photos.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = fetch(
        connection,
        """SELECT DISTINCT d.path FROM edit_changes c JOIN photos p ON p.id = c.photo_id
           JOIN directories d ON d.id = p.directory_id WHERE c.edit_id = ? ORDER BY d.path""",
        (edit_id,),
    )
    return [Path(os.fsdecode(path)) for (path,) in rows]


def has_edits(connection: sqlite3.Connection) -> bool:
    """Return whether the database knows edits; one of an earlier version does not.

    Raises:
        StoreError: The database cannot be read.
    """
    return bool(fetch(connection, "SELECT 1 FROM sqlite_master WHERE name = 'edit_changes'"))


def _path(connection: sqlite3.Connection, photo_id: int) -> Path:
    sql = """SELECT d.path, p.name FROM photos p JOIN directories d ON d.id = p.directory_id
             WHERE p.id = ?"""
    (row,) = fetch(connection, sql, (photo_id,))
    return path_of(*row)
