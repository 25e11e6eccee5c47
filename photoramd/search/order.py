"""Photos in an order, page by page, without sorting all of them."""

from __future__ import annotations

import base64
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.errors import UsageError
from photoramd.search.by_look import month_span
from photoramd.search.situation import Situation
from photoramd.search.sorts import Sort

_FEW = 2_000
"""So many photos are sorted rather than met on the way through all."""

_FOLDERS = 200
"""So many folders are read at once."""

_IDS = 2**32
"""Ids of photos are smaller: sets hold no others."""

Key = tuple[Any, ...]
"""What photos are sorted by; it ends with the id."""


@dataclass(frozen=True, slots=True)
class Place:
    """A photo in an order."""

    photo_id: int
    key: Key


def cursor_of(sort: Sort, place: Place) -> str:
    """Return a text that stands for a place, to go on behind it."""
    key = [part.hex() if isinstance(part, bytes) else part for part in place.key]
    text = json.dumps([sort, *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place_of(sort: Sort, cursor: str) -> Key:
    """Return what `cursor_of` was given.

    Raises:
        UsageError: The text is none of its.
    """
    remedy = "take --after from the output of the same query with the same --sort"
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        kind, *key = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        if kind != sort:
            raise UsageError("--after is from a query with another order", remedy=remedy)
        if not isinstance(key[-1], int) or not 0 <= key[-1] < _IDS:
            raise ValueError("no photo has this id")
        if sort == "path":
            return bytes.fromhex(key[0]), bytes.fromhex(key[1]), key[2]
        if sort == "added":
            return (int(key[0]),)
        if sort == "taken" and key[0] is None:
            return None, int(key[1])
        if not math.isfinite(key[0]):
            raise ValueError("no photo has this date or score")
        return float(key[0]), int(key[1])
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise UsageError("--after is not from a query", remedy=remedy) from error


def ordered(
    situation: Situation,
    hits: BitMap,
    sort: Sort,
    *,
    after: str | None = None,
    scores: Mapping[int, float] | None = None,
    seed: int | None = None,
) -> Iterator[Place]:
    """Yield photos in an order; what is not taken costs nothing.

    Args:
        situation: What was asked.
        hits: The photos.
        sort: ``path``; ``taken`` and ``added``, the latest first; ``score``, the best first;
            ``random``.
        after: Begin behind the place with this `cursor_of`.
        scores: For ``score``, by id; a photo without one is sure.
        seed: For ``random``: the same gives the same order.

    Raises:
        StoreError: The database cannot be read.
        UsageError: The cursor is none of this order's.
    """
    key = None if after is None else _place_of(sort, after)
    if sort == "random":
        yield from _at_random(hits, seed)
    elif sort == "added":
        yield from _latest(hits, key)
    elif sort == "taken":
        yield from _by_taken(situation, hits, key)
    elif sort == "score":
        yield from _by_score(hits, scores or {}, key)
    else:
        yield from _by_path(situation, hits, key)


def _at_random(hits: BitMap, seed: int | None) -> Iterator[Place]:
    generator = random.Random(seed)  # noqa: S311  no secret
    places = list(range(len(hits)))
    # Shuffled as far as it is looked at.
    for left in range(len(places), 0, -1):
        at = generator.randrange(left)
        chosen, places[at] = places[at], places[left - 1]
        yield Place(hits[chosen], (hits[chosen],))


def _latest(hits: BitMap, key: Key | None) -> Iterator[Place]:
    # Ids are given in the order in which photos are found.
    end = len(hits) if key is None else hits.rank(key[0] - 1) if key[0] else 0
    for at in range(end - 1, -1, -1):
        number = hits[at]
        yield Place(number, (number,))


def _by_taken(situation: Situation, hits: BitMap, key: Key | None) -> Iterator[Place]:
    months = situation.sets.keys(Kind.MONTH)
    dated = BitMap()
    is_past_dates = key is not None and key[0] is None
    for month in reversed(months):
        members = situation.sets.one(Kind.MONTH, month) & hits
        dated |= members
        if not members or is_past_dates:
            continue
        begin, end = month_span(month)
        if key is not None and begin > key[0]:
            continue
        for taken, number in sorted(_taken(situation, members, begin, end), reverse=True):
            if key is None or (taken, number) < key:
                yield Place(number, (taken, number))
    rest = hits - dated
    for place in _latest(rest, (key[1],) if is_past_dates and key is not None else None):
        yield Place(place.photo_id, (None, place.photo_id))


def _taken(
    situation: Situation, members: BitMap, begin: float, end: float
) -> list[tuple[float, int]]:
    if len(members) <= _FEW:
        rows = _rows_of(situation, "SELECT taken, photo_id FROM looks WHERE photo_id", members)
    else:
        rows = fetch(
            situation.connection,
            "SELECT taken, photo_id FROM looks WHERE taken >= ? AND taken < ?",
            (begin, end),
        )
    return [(taken, number) for taken, number in rows if number in members]


def _by_score(hits: BitMap, scores: Mapping[int, float], key: Key | None) -> Iterator[Place]:
    found = sorted((-scores.get(number, 1.0), number) for number in hits)
    for score, number in found:
        if key is None or (score, number) > (-key[0], key[1]):
            yield Place(number, (-score, number))


def _by_path(situation: Situation, hits: BitMap, key: Key | None) -> Iterator[Place]:
    if len(hits) <= _FEW:
        rows = _rows_of(
            situation,
            """SELECT d.path, p.name, p.id FROM photos p
               JOIN directories d ON d.id = p.directory_id WHERE p.id""",
            hits,
        )
        for path, name, number in sorted(rows):
            if key is None or (path, name) > key[:2]:
                yield Place(number, (path, name, number))
        return
    # A folder after the other: their sets tell which have hits, and names are in an index.
    folders = fetch(situation.connection, "SELECT path, id FROM directories ORDER BY path")
    folders = [folder for folder in folders if key is None or folder[0] >= key[0]]
    for at, (path, directory) in enumerate(folders):
        if at % _FOLDERS == 0:
            ahead = [number for _, number in folders[at : at + _FOLDERS]]
            situation.sets.load(Kind.DIRECTORY, ahead)
        members = situation.sets.one(Kind.DIRECTORY, directory) & hits
        if not members:
            continue
        names = fetch(
            situation.connection,
            "SELECT name, id FROM photos WHERE directory_id = ? ORDER BY name",
            (directory,),
        )
        for name, number in names:
            if number in members and (key is None or (path, name) > key[:2]):
                yield Place(number, (path, name, number))


def _rows_of(situation: Situation, sql: str, ids: Sequence[int] | BitMap) -> list[tuple[Any, ...]]:
    """Return the rows of a statement that ends with a column of ids."""
    text = json.dumps(list(ids))
    whole = f"{sql} IN (SELECT value FROM json_each(?))"  # noqa: S608
    return fetch(situation.connection, whole, (text,))
