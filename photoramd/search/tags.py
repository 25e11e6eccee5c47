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
        prefix: Only tags that begin so, in any case, or one of whose words does.
        limit: The greatest number of tags.

    Raises:
        StoreError: The database cannot be read.
    """
    photos = sets.one(Kind.PRESENT) if within is None else within
    wanted = comparison_key(prefix)
    counted: list[tuple[int, int, _Label]] = []
    best: list[int] = []
    # The largest first: when those that are left are smaller than what was found, it is over.
    for label in sets.derive(_labels):
        if limit is not None and len(best) == limit and label.size < best[0]:
            break
        if wanted and not (label.folded.startswith(wanted) or f" {wanted}" in label.folded):
            continue
        given, own, user = label.given, label.own, 0
        total = given.intersection_cardinality(photos)
        if own is not None:
            user = own.intersection_cardinality(photos)
            total = (own | given).intersection_cardinality(photos) if total else user
        if total:
            counted.append((total, user, label))
            if limit is not None:
                (heapq.heappush if len(best) < limit else heapq.heappushpop)(best, total)
    found = [TagCount(_name(label, sets, photos), *counts) for *counts, label in counted]
    found.sort(key=lambda tag: (-tag.photos, tag.name))
    return found[:limit]


@dataclass(frozen=True, slots=True)
class _Label:
    """A tag, in all of its spellings.

    Attributes:
        folded: Its `comparison_key`.
        names: Its labels: id and name.
        given: The photos that have it from the model.
        own: Those that have it from the user; None for none.
        size: At most so many have it.
    """

    folded: str
    names: Sequence[tuple[int, str]]
    given: BitMap
    own: BitMap | None
    size: int


def _labels(sets: Sets) -> list[_Label]:
    """Return the tags that any photo has, the most frequent first."""
    spellings: dict[str, list[tuple[int, str]]] = {}
    for number, name, folded in sets.labels():
        spellings.setdefault(folded, []).append((number, name))
    used = {kind: set(sets.keys(kind)) for kind in (Kind.MACHINE, Kind.USER)}
    for kind, keys in used.items():
        sets.load(kind, sorted(keys))

    def photos(kind: Kind, names: Sequence[tuple[int, str]]) -> BitMap:
        numbers = [number for number, _ in names if number in used[kind]]
        return sets.one(kind, numbers[0]) if len(numbers) == 1 else sets.union(kind, numbers)

    found = []
    for folded, names in spellings.items():
        given, own = photos(Kind.MACHINE, names), photos(Kind.USER, names)
        size = len(given) + len(own)
        if size:
            found.append(_Label(folded, names, given, own or None, size))
    found.sort(key=lambda label: -label.size)
    return found


def _name(label: _Label, sets: Sets, photos: BitMap) -> str:
    """Return the spelling of a tag that most of some photos have."""
    if len(label.names) == 1:
        return label.names[0][1]

    def count(number: int) -> int:
        both = sets.one(Kind.MACHINE, number) | sets.one(Kind.USER, number)
        return both.intersection_cardinality(photos)

    return max((count(number), name) for number, name in label.names)[1]
