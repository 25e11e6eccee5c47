"""What is known of one photo."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photoramd.clock import UnixTime
from photoramd.database.columns import path_of, state_of
from photoramd.database.conditions import REJECTED
from photoramd.database.edited import EditedTag, edits_of
from photoramd.database.readonly import fetch, snapshot
from photoramd.metadata.changes import Place
from photoramd.photo import Look, PhotoState, Tag, surest_first
from photoramd.search.places import knows_places


@dataclass(frozen=True, slots=True)
class Details:
    """Everything known about one photo.

    Attributes:
        path: Absolute.
        state: What it waits for.
        tags: Its keywords, the most confident first.
        scores: Every stored score of the model, chosen as a keyword or not, highest first.
        model: The model that tagged it, None before that.
        revision: The model's revision.
        sidecar: The file that holds its keywords, if one was written.
        reason: Why it failed or is retried, if so.
        attempts: How often it failed.
        next_attempt: When it is tried again, if so.
        size: Of the file, in bytes.
        found_at: When it was found.
        tagged_at: When it was tagged.
        written_at: When its keywords were written.
        undone_at: When the user took them back, until `retag` asks for them.
        place: Where its keywords are: ``sidecar`` or ``photo``; None if nowhere.
        fallback: Why they are not inside the photo, although they should be.
        rejected: Keywords that the user rejected or took out of the file.
        user_tags: The user's own keywords, by name.
        look: What the photo says of itself; None if that was not read.
        edits: Changes of its tags that are pending or failed, in the order of asking.
    """

    path: Path
    state: PhotoState
    tags: tuple[Tag, ...]
    scores: tuple[Tag, ...]
    model: str | None
    revision: str | None
    sidecar: Path | None
    reason: str | None
    attempts: int
    next_attempt: UnixTime | None
    size: int
    found_at: UnixTime
    tagged_at: UnixTime | None
    written_at: UnixTime | None
    undone_at: UnixTime | None = None
    place: Place | None = None
    fallback: str | None = None
    rejected: tuple[str, ...] = ()
    user_tags: tuple[str, ...] = ()
    look: Look | None = None
    edits: tuple[EditedTag, ...] = ()


def photo(connection: sqlite3.Connection, path: Path) -> Details | None:
    """Return what is known of one photo; None if nothing is.

    Raises:
        StoreError: The database cannot be read.
    """
    # The daemon knows directories by their real paths; the photo itself may be a link.
    absolute = Path(os.path.realpath(path.parent), path.name)
    place = os.fsencode(absolute.parent), os.fsencode(absolute.name)
    return _details(connection, "d.path = ? AND p.name = ?", place)


def photo_with_id(connection: sqlite3.Connection, photo_id: int) -> Details | None:
    """Return what is known of the photo with an id; None if there is none.

    Raises:
        StoreError: The database cannot be read.
    """
    return _details(connection, "p.id = ?", (photo_id,))


def _details(
    connection: sqlite3.Connection, condition: str, values: Sequence[object]
) -> Details | None:
    place = "p.place, p.fallback" if knows_places(connection) else "NULL, NULL"
    with snapshot(connection):
        rows = fetch(
            connection,
            f"""SELECT d.path, p.name, p.id, p.result_id, p.state, r.model, r.revision, p.sidecar,
                      p.reason, p.attempts, p.next_attempt, p.size, p.found_at, p.tagged_at,
                      p.written_at, p.undone_at, {place}
               FROM photos p JOIN directories d ON d.id = p.directory_id
               LEFT JOIN results r ON r.id = p.result_id
               WHERE {condition}""",  # noqa: S608
            values,
        )
        if not rows:
            return None
        directory, name, number, result, state, model, revision, sidecar, *rest = rows[0]
        *rest, place, fallback = rest
        labels = _labels(connection)
        keywords = fetch(
            connection, "SELECT label_id, confidence FROM keywords WHERE photo_id = ?", [number]
        )
        scores = fetch(
            connection, "SELECT label_id, score FROM scores WHERE result_id = ?", [result]
        )
        rejected = fetch(
            connection,
            f"SELECT DISTINCT value FROM ledger WHERE photo_id = ? AND {REJECTED} ORDER BY value",  # noqa: S608
            [number],
        )
        own, look = _read_from(connection, number)
        edits = tuple(edits_of(connection, [number]))
    rest += [None if place is None else Place(place), fallback]
    rest += [tuple(value for (value,) in rejected), own, look, edits]
    return Details(
        path_of(directory, name),
        state_of(state),
        _tags(keywords, labels),
        _tags(scores, labels),
        model,
        revision,
        None if sidecar is None else Path(os.fsdecode(sidecar)),
        *rest,
    )


def _read_from(
    connection: sqlite3.Connection, photo_id: int
) -> tuple[tuple[str, ...], Look | None]:
    """Return the user's own keywords, and what the photo says of itself."""
    if not fetch(connection, "SELECT 1 FROM sqlite_master WHERE name = 'looks'"):
        return (), None  # an earlier version's database
    own = fetch(
        connection,
        """SELECT l.name FROM user_keywords k JOIN labels l ON l.id = k.label_id
           WHERE k.photo_id = ? AND NOT k.is_above ORDER BY l.name""",
        [photo_id],
    )
    looks = fetch(
        connection,
        """SELECT l.width, l.height, f.name, l.taken, l.tz, c.name, s.name, l.iso, l.f, l.exposure,
                  l.mm, l.lat, l.lon
           FROM looks l JOIN formats f ON f.id = l.format_id
           LEFT JOIN cameras c ON c.id = l.camera_id LEFT JOIN lenses s ON s.id = l.lens_id
           WHERE l.photo_id = ?""",
        [photo_id],
    )
    return tuple(name for (name,) in own), Look(*looks[0]) if looks else None


def _labels(connection: sqlite3.Connection) -> dict[int, str]:
    return dict(fetch(connection, "SELECT id, name FROM labels"))


def _tags(pairs: Iterable[Sequence[Any]], labels: dict[int, str]) -> tuple[Tag, ...]:
    """Return tags from pairs of label id and confidence, the most confident first."""
    return tuple(surest_first(Tag(labels[number], confidence) for number, confidence in pairs))
