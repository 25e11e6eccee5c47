"""Sets of photos, made from the rows they are about: which photos have a tag, a camera, a month.

A set is a roaring bitmap (https://roaringbitmap.org, portable format) of ids of photos, in
chunks of 65,536 ids. Two common tags at a million photos are intersected in under a millisecond,
where a join takes half a second.

Triggers note each change in ``set_changes``, in the transaction that makes it, whoever makes it;
so the sets and the changes together are always exact. From time to time the owner of the database
folds the changes into the sets: a batch of photos alters some hundred sets, and rewriting them
for each batch would cost more than everything else that it writes.

Source of the triggers: `m060`.
"""

from __future__ import annotations

import itertools
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any

from pyroaring import BitMap

from photoramd.database.conditions import is_panorama, month_of, shape_of, suffix_of

log = logging.getLogger(__name__)

CHUNK_BITS = 16
"""The ids of a chunk differ in their last bits only: a container of a roaring bitmap."""

MAX_CHANGES = 20_000
"""Above it the changes are folded into the sets. A reader takes 20 ms for so many, once."""


class Kind(IntEnum):
    """What a set is about; the numbers are stored. The key is an id of the table in brackets."""

    PRESENT = 0
    """Every photo that is not missing; the key is 0."""
    MACHINE = 1
    """A keyword by the model (labels)."""
    USER = 2
    """A keyword of the user's own (labels)."""
    USER_ABOVE = 3
    """A keyword under which the user filed one (labels)."""
    DIRECTORY = 4
    """A directory (directories), also of missing photos."""
    SUFFIX = 5
    """A suffix of names (extensions)."""
    MONTH = 6
    """A month of the camera's clock; the key is 12 x year + month - 1."""
    CAMERA = 7
    """A camera (cameras)."""
    LENS = 8
    """A lens (lenses)."""
    FORMAT = 9
    """A format of files (formats)."""
    TAGGED = 10
    """Photos with any keyword: the key is 0 for the model's, 1 for the user's own."""
    SHAPE = 12
    """A shape: the key is 0 for portrait, 1 for landscape, 2 for square, 3 for panorama."""
    PLACED = 13
    """Photos with coordinates; the key is 0."""
    NAME = 11
    """No set: photos whose name is not in the index of names yet; the key is 0."""


_SOURCES: tuple[tuple[Kind, str], ...] = (
    (Kind.PRESENT, "SELECT 0, id FROM photos WHERE state <> 'missing'"),
    (Kind.MACHINE, "SELECT label_id, photo_id FROM keywords"),
    (Kind.USER, "SELECT label_id, photo_id FROM user_keywords WHERE NOT is_above"),
    (Kind.USER_ABOVE, "SELECT label_id, photo_id FROM user_keywords WHERE is_above"),
    (Kind.DIRECTORY, "SELECT directory_id, id FROM photos"),
    (Kind.MONTH, f"SELECT {month_of('taken')}, photo_id FROM looks WHERE taken IS NOT NULL"),  # noqa: S608
    (Kind.CAMERA, "SELECT camera_id, photo_id FROM looks WHERE camera_id IS NOT NULL"),
    (Kind.LENS, "SELECT lens_id, photo_id FROM looks WHERE lens_id IS NOT NULL"),
    (Kind.FORMAT, "SELECT format_id, photo_id FROM looks"),
    (
        Kind.PLACED,
        "SELECT 0, photo_id FROM looks WHERE lat IS NOT NULL AND lon IS NOT NULL",
    ),
    (Kind.TAGGED, "SELECT DISTINCT 0, photo_id FROM keywords"),
    (Kind.TAGGED, "SELECT DISTINCT 1, photo_id FROM user_keywords"),
    (Kind.SHAPE, f"SELECT {shape_of('width', 'height')}, photo_id FROM looks"),  # noqa: S608
    (Kind.SHAPE, f"SELECT 3, photo_id FROM looks WHERE {is_panorama('width', 'height')}"),  # noqa: S608
    (
        Kind.SUFFIX,
        f"SELECT e.id, p.id FROM photos p JOIN extensions e ON e.name = {suffix_of('p.name')}",  # noqa: S608
    ),
)
"""The rows that sets are made from: key and photo."""

_PROGRESS_SECONDS = 2.0

_Key = tuple[int, int, int]
"""Kind, key and chunk."""


def fold(db: sqlite3.Connection, *, above: int = MAX_CHANGES) -> None:
    """Fold the changes into the sets if there are many; to be called in a transaction.

    Raises:
        sqlite3.Error: The database failed.
    """
    ((first, last),) = db.execute("SELECT min(id), max(id) FROM set_changes").fetchall()
    if first is None or last - first < above:
        return
    changes: dict[_Key, dict[int, int]] = {}
    named: list[tuple[int]] = []
    placed: list[tuple[int]] = []
    for kind, key, photo, is_member in db.execute(
        "SELECT kind, key, photo_id, is_member FROM set_changes ORDER BY id"
    ):
        if kind == Kind.NAME:
            named.append((photo,))
            continue
        if kind == Kind.PLACED:
            placed.append((photo,))
        changes.setdefault((kind, key, photo >> CHUNK_BITS), {})[photo] = is_member
    db.executemany(f"{_INDEX_NAMES} WHERE id = ?", named)
    placed = sorted(set(placed))
    db.executemany("DELETE FROM places WHERE photo_id = ?", placed)
    db.executemany(f"{_INDEX_PLACES} AND photo_id = ?", placed)
    find = "SELECT photos FROM sets WHERE kind = ? AND key = ? AND chunk = ?"
    kept, emptied = [], []
    for place, photos in sorted(changes.items()):
        row = db.execute(find, place).fetchone()
        members = BitMap() if row is None else _deserialised(row[0])
        members |= BitMap([photo for photo, is_member in photos.items() if is_member])
        members -= BitMap([photo for photo, is_member in photos.items() if not is_member])
        if members:
            kept.append((*place, _serialised(members)))
        else:
            emptied.append(place)
    db.executemany(_STORE, kept)
    db.executemany("DELETE FROM sets WHERE kind = ? AND key = ? AND chunk = ?", emptied)
    db.execute("DELETE FROM set_changes")
    db.execute("UPDATE folded SET last_change = ?", (last,))


_INDEX_NAMES = "INSERT INTO names (rowid, name) SELECT id, CAST(name AS TEXT) FROM photos"

_INDEX_PLACES = """INSERT INTO places SELECT photo_id, lat, lat, lon, lon FROM looks
                   WHERE lat IS NOT NULL AND lon IS NOT NULL"""

_STORE = """INSERT INTO sets (kind, key, chunk, photos) VALUES (?, ?, ?, ?)
            ON CONFLICT (chunk, kind, key) DO UPDATE SET photos = excluded.photos"""


def is_made(db: sqlite3.Connection) -> bool:
    """Return whether the sets were made; a database of an earlier version begins without.

    Raises:
        sqlite3.Error: The database failed.
    """
    ((last,),) = db.execute("SELECT last_change FROM folded").fetchall()
    return last is not None


def make(db: sqlite3.Connection, progress: Callable[[float], object] = lambda _: None) -> None:
    """Make all sets and the index of names anew, from the rows; to be called in a transaction.

    Args:
        db: The database.
        progress: Called now and then with the part that is done, 0 to 1.

    Raises:
        sqlite3.Error: The database failed.
    """
    began = time.monotonic()
    ((photos, keywords),) = db.execute(
        "SELECT (SELECT count(*) FROM photos), (SELECT count(*) FROM keywords)"
    ).fetchall()
    total = 6 * photos + keywords + 1
    done, told = 0, began
    db.execute("DELETE FROM sets")
    db.execute("DELETE FROM set_changes")
    db.execute(f"INSERT OR IGNORE INTO extensions (name) SELECT {suffix_of('name')} FROM photos")  # noqa: S608
    db.execute("INSERT INTO names (names) VALUES ('delete-all')")
    db.execute(_INDEX_NAMES)
    db.execute("DELETE FROM places")
    db.execute(_INDEX_PLACES)
    done += photos
    for rows in _batches(_made(db)):
        db.executemany(_STORE, [(*place, _serialised(members)) for place, members in rows])
        done += sum(len(members) for _, members in rows)
        if time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            progress(min(1.0, done / total))
    db.execute("INSERT INTO set_changes VALUES (NULL, 0, 0, 0, 0)")  # numbers go on from here
    ((last,),) = db.execute("SELECT max(id) FROM set_changes").fetchall()
    db.execute("DELETE FROM set_changes")
    db.execute("UPDATE folded SET last_change = ?", (last,))
    log.debug("Sets of %d photos made in %.1f s", photos, time.monotonic() - began)


def differences(db: sqlite3.Connection) -> int:
    """Return how many chunks of sets are not what the rows say.

    Raises:
        sqlite3.Error: The database failed.
    """
    stored = {
        (kind, key, chunk): _deserialised(photos)
        for kind, key, chunk, photos in db.execute("SELECT kind, key, chunk, photos FROM sets")
    }
    for kind, key, photo, is_member in db.execute(
        "SELECT kind, key, photo_id, is_member FROM set_changes ORDER BY id"
    ):
        if kind == Kind.NAME:
            continue
        members = stored.setdefault((kind, key, photo >> CHUNK_BITS), BitMap())
        (members.add if is_member else members.discard)(photo)
    wrong = 0
    for place, members in _made(db):
        wrong += stored.pop(place, None) != members
    return wrong + sum(bool(members) for members in stored.values())


def _made(db: sqlite3.Connection) -> Iterator[tuple[_Key, BitMap]]:
    """Yield the chunks of all sets, from the rows."""
    for kind, sql in _SOURCES:
        rows: Iterable[Sequence[Any]] = db.execute(f"{sql} ORDER BY 1, 2")
        yield from _chunks(kind, rows)


def _chunks(kind: Kind, rows: Iterable[Sequence[Any]]) -> Iterator[tuple[_Key, BitMap]]:
    """Yield chunks from pairs of key and photo, in their order."""
    for (key, chunk), found in itertools.groupby(rows, lambda row: (row[0], row[1] >> CHUNK_BITS)):
        yield (kind, key, chunk), BitMap([photo for _, photo in found])


def _batches(
    chunks: Iterator[tuple[_Key, BitMap]], size: int = 1000
) -> Iterator[list[tuple[_Key, BitMap]]]:
    while batch := list(itertools.islice(chunks, size)):
        yield batch


def _deserialised(photos: bytes) -> BitMap:
    """Return a set; an empty one in the place of a damaged one, which then differs."""
    try:
        return BitMap.deserialize(photos)
    except ValueError:
        return BitMap()


def _serialised(members: BitMap) -> bytes:
    members.run_optimize()
    return bytes(members.serialize())
