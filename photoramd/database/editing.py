"""Apply the edits that users ask for, as the owner of the database: rows first, then the files.

A change of one photo is applied once: what it changes and that it did are one transaction. From
then on queries answer by it, and the photo waits to be written like any other; when it is, the
change is done (`given.note_written`). `edits` is the side of those who ask.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.edits import KEPT_DAYS, Kind
from photoramd.database.given import give, withdraw
from photoramd.database.tag_state import TagState
from photoramd.keywords import fold

UNAPPLIED = "state = 'pending' AND applied_at IS NULL"
"""Changes that wait for this module.

The condition of the partial index ``edit_changes_unapplied``, to the letter.
"""

TOGETHER = 100
"""Changes in one transaction, some milliseconds; on a hard disk most of them are for its end."""

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class _Change:
    """A row of ``edit_changes`` that is to be applied."""

    id: int
    photo_id: int
    kind: str
    tag: str
    undoes: int | None

    @property
    def folded(self) -> str:
        return fold(self.tag)


class _RefusedError(Exception):
    """A change cannot be made; the message says why. Nothing of it was done."""


class Editing:
    """Applies changes in the order in which they were asked for.

    Args:
        database: The database, whose temporary table ``unwatched`` `Queue.leave_out` has filled.

    Attributes:
        is_outdated: Whether keywords have to be chosen again; whoever has it done resets it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_outdated = False

    def step(self, now: UnixTime) -> bool:
        """Apply some changes; return whether there were any.

        A change that cannot be made costs only itself: it fails, with its reason. Afterwards
        the model's keywords of some photos may have to be chosen again
        (`Pipeline.choose_again`): see ``is_outdated``.

        Raises:
            StoreError: The database failed; none of these is applied, and they wait.
        """
        rows = self._database.rows(
            f"""SELECT id, photo_id, kind, tag, undoes FROM edit_changes
                WHERE {UNAPPLIED} ORDER BY id LIMIT ?""",  # noqa: S608
            (TOGETHER,),
        )
        if not rows:
            return False
        with self._database.transaction() as db:
            for change in (_Change(*row) for row in rows):
                self._apply(db, change, now)
            _prune(db, now)
        return True

    def _apply(self, db: sqlite3.Connection, change: _Change, now: UnixTime) -> None:
        try:
            before = self._changed(db, change, now)
        except _RefusedError as error:
            db.execute(
                "UPDATE edit_changes SET state = 'failed', reason = ?, done_at = ? WHERE id = ?",
                (str(error), now, change.id),
            )
            return
        # Without anything to change there is nothing to wait for.
        is_done = before is None
        db.execute(
            """UPDATE edit_changes SET applied_at = ?1, before = ?2,
                   state = iif(?3, 'done', 'pending'), done_at = iif(?3, ?1, NULL) WHERE id = ?4""",
            (now, None if before is None else json.dumps(before), is_done, change.id),
        )
        db.execute(
            """UPDATE edit_changes SET superseded_by = ?1 WHERE photo_id = ?2 AND folded = ?3
               AND state = 'failed' AND superseded_by IS NULL AND id < ?1""",
            (change.id, change.photo_id, change.folded),
        )
        if not is_done:
            db.execute(
                """UPDATE photos SET state = iif(state = 'written', 'tagged', state),
                       attempts = 0, next_attempt = 0, reason = NULL WHERE id = ?""",
                (change.photo_id,),
            )

    def _changed(
        self, db: sqlite3.Connection, change: _Change, now: UnixTime
    ) -> Mapping[str, Any] | None:
        """Make a change; return what was there before, or None if there was nothing to do."""
        if change.kind == Kind.UNDO:
            return self._undo(db, change, now)
        _require_usable(db, change.photo_id)
        state = TagState.of(db, change.photo_id, change.tag)
        if change.kind == Kind.ADD:
            return self._add(db, state)
        return _reject(db, state, now)

    def _add(self, db: sqlite3.Connection, state: TagState) -> Mapping[str, Any] | None:
        if state.given or state.is_users:
            return None
        state.permit(db)
        give(db, state.photo_id, self._database.label(state.tag))
        return state.plain()

    def _undo(
        self, db: sqlite3.Connection, change: _Change, now: UnixTime
    ) -> Mapping[str, Any] | None:
        """Restore what was there before an earlier change."""
        found = db.execute(
            """SELECT kind, state, before, superseded_by IS NOT NULL, applied_at FROM edit_changes
               WHERE id = ?""",
            (change.undoes,),
        ).fetchone()
        if found is None:
            raise _RefusedError(f"edits are known for {KEPT_DAYS} days only")
        kind, state, before, is_over, _ = found
        if is_over:
            return None
        if state != "failed" and before is not None:
            _require_usable(db, change.photo_id)
            _require_last(db, change)
            now_there = TagState.of(db, change.photo_id, change.tag)
            known = TagState.restored(change.photo_id, change.tag, json.loads(before))
            if kind == Kind.ADD:
                withdraw(db, change.photo_id, {change.folded})
                known.forbid_again(db, now_there)
            else:
                self.is_outdated |= not known.permit_again(db, now_there)
                for name in known.given:
                    give(db, change.photo_id, self._database.label(name))
        db.execute(
            """UPDATE edit_changes SET superseded_by = ?1, done_at = ifnull(done_at, ?2),
                   state = iif(state = 'pending', 'done', state) WHERE id = ?3""",
            (change.id, now, change.undoes),
        )
        return None if state == "failed" or before is None else {}


def _reject(db: sqlite3.Connection, state: TagState, now: UnixTime) -> Mapping[str, Any] | None:
    if state.is_users and not state.is_in_file and not state.given:
        raise _RefusedError(
            "it is your own keyword in the file, which photoramd never takes out; remove it with"
            " the program that wrote it"
        )
    if state.is_rejected and not state.keywords and not state.given:
        return None
    state.forbid(db, now)
    return state.plain()


def _require_usable(db: sqlite3.Connection, photo_id: int) -> None:
    """Refuse a photo whose files cannot be written before something is done about it."""
    found = db.execute(
        """SELECT state, reason, directory_id IN (SELECT id FROM temp.unwatched)
           FROM photos WHERE id = ?""",
        (photo_id,),
    ).fetchone()
    state, reason, is_unwatched = found or ("missing", None, False)
    if state == "missing":
        raise _RefusedError("the photo is not there any more")
    if state == "failed":
        raise _RefusedError(
            f"the photo cannot be read ({reason}); photoramd retag tries it again, then edit it"
        )
    if is_unwatched:
        raise _RefusedError("its directory is not watched: add it under [[watch]], then edit it")


def _require_last(db: sqlite3.Connection, change: _Change) -> None:
    """Refuse to undo a change after which the same tag was changed again."""
    later = db.execute(
        """SELECT edit_id FROM edit_changes WHERE photo_id = ? AND folded = ? AND id > ? AND id < ?
           AND kind <> 'undo' AND before IS NOT NULL AND superseded_by IS NULL
           ORDER BY id DESC LIMIT 1""",
        (change.photo_id, change.folded, change.undoes, change.id),
    ).fetchone()
    if later is not None:
        raise _RefusedError(f"edit {later[0]} changed this tag later: undo that one first")


def _prune(db: sqlite3.Connection, now: UnixTime) -> None:
    """Forget what was done long ago; a failure stays until something took its place."""
    db.execute(
        """DELETE FROM edit_changes WHERE done_at < ?
           AND (state = 'done' OR superseded_by IS NOT NULL)""",
        (now - KEPT_DAYS * _DAY_SECONDS,),
    )
    db.execute(
        """DELETE FROM edits WHERE asked_at < ?
           AND NOT EXISTS (SELECT 1 FROM edit_changes WHERE edit_id = edits.id)""",
        (now - KEPT_DAYS * _DAY_SECONDS,),
    )
