"""Which tags there are, how many photos have each, and which occur together."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.keywords import comparison_key
from photoramd.search.sets import Sets


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag in use.

    Attributes:
        name: As it is written; of several spellings the one that most photos have.
        photos: How many photos have it.
        user: How many of these have it from the user.
    """

    name: str
    photos: int
    user: int


def tags(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Return every tag in use and how many photos have it, the most frequent first."""
    return [(tag.name, tag.photos) for tag in count_tags(Sets(connection))]


def count_tags(
    sets: Sets,
    within: BitMap | None = None,
    *,
    prefix: str = "",
    limit: int | None = None,
) -> list[TagCount]:
    """Return the tags of photos, the most frequent first.

    Args:
        sets: Of the database.
        within: The photos; None: all that are not missing.
        prefix: Only tags that begin so, in any case; or one of whose words does.
        limit: The greatest number of tags.

    Raises:
        StoreError: The database cannot be read.
    """
    photos = sets.one(Kind.PRESENT) if within is None else within
    wanted = comparison_key(prefix)
    labels = {
        number: (name, folded)
        for number, name, folded in sets.labels()
        if folded.startswith(wanted) or f" {wanted}" in folded
    }
    by_spelling: dict[str, list[tuple[int, int, str]]] = {}
    used = {kind: set(sets.keys(kind)) for kind in (Kind.MACHINE, Kind.USER)}
    for kind, numbers in used.items():
        sets.union(kind, [number for number in numbers if number in labels])
    for number in sorted(labels.keys() & (used[Kind.MACHINE] | used[Kind.USER])):
        name, folded = labels[number]
        own = sets.one(Kind.USER, number) if number in used[Kind.USER] else BitMap()
        given = sets.one(Kind.MACHINE, number) if number in used[Kind.MACHINE] else BitMap()
        user = own.intersection_cardinality(photos)
        total = given.intersection_cardinality(photos)
        if user and total:
            total = (own | given).intersection_cardinality(photos)
        total = total or user
        if total:
            by_spelling.setdefault(folded, []).append((total, user, name))
    counted = [_one(spellings, sets, photos) for spellings in by_spelling.values()]
    counted.sort(key=lambda tag: (-tag.photos, tag.name))
    return counted[:limit]


def _one(spellings: Sequence[tuple[int, int, str]], sets: Sets, photos: BitMap) -> TagCount:
    total, user, name = max(spellings, key=lambda each: (each[0], each[2]))
    if len(spellings) == 1:
        return TagCount(name, total, user)
    numbers = [number for number, known, _ in sets.labels() if known in {s[2] for s in spellings}]
    own = sets.union(Kind.USER, numbers) & photos
    every = (sets.union(Kind.MACHINE, numbers) & photos) | own
    return TagCount(name, len(every), len(own))
