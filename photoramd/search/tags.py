"""Which tags there are, how many photos have each, and which occur together."""

from __future__ import annotations

import heapq
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
    spellings: dict[str, list[tuple[int, str]]] = {}
    for number, name, folded in sets.labels():
        if folded.startswith(wanted) or f" {wanted}" in folded:
            spellings.setdefault(folded, []).append((number, name))
    for kind in _GIVERS:
        used = set(sets.keys(kind))
        sets.load(kind, [n for names in spellings.values() for n, _ in names if n in used])
    # The largest first: when those that are left are smaller than what was found, it is over.
    sized = sorted(
        (-sum(len(sets.known(kind, n)) for n, _ in names for kind in _GIVERS), folded)
        for folded, names in spellings.items()
    )
    found: list[TagCount] = []
    best: list[int] = []
    for size, folded in sized:
        if not size or (limit is not None and len(best) == limit and -size < best[0]):
            break
        tag = _count(spellings[folded], sets, photos)
        if tag.photos:
            found.append(tag)
            if limit is not None:
                (heapq.heappush if len(best) < limit else heapq.heappushpop)(best, tag.photos)
    found.sort(key=lambda tag: (-tag.photos, tag.name))
    return found[:limit]


_GIVERS = (Kind.MACHINE, Kind.USER)


def _count(names: Sequence[tuple[int, str]], sets: Sets, photos: BitMap) -> TagCount:
    """Return how many photos have a tag, in any of its spellings."""
    counts = []
    for number, name in names:
        given, own = (sets.known(kind, number) for kind in _GIVERS)
        user = own.intersection_cardinality(photos)
        total = given.intersection_cardinality(photos)
        if user and total:
            total = (own | given).intersection_cardinality(photos)
        counts.append((total or user, user, name))
    total, user, name = max(counts, key=lambda each: (each[0], each[2]))
    if len(counts) > 1:
        numbers = [number for number, _ in names]
        own = sets.union(Kind.USER, numbers) & photos
        user, total = len(own), len((sets.union(Kind.MACHINE, numbers) & photos) | own)
    return TagCount(name, total, user)
