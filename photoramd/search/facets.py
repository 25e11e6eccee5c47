"""What the photos of a query have in common: how many have which tag, year, camera, folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.keywords import comparison_key
from photoramd.photo import PhotoState
from photoramd.search.by_file import in_state
from photoramd.search.clauses import exact_clause, field_clause
from photoramd.search.completion import quoted
from photoramd.search.folders import Tree
from photoramd.search.sets import Sets
from photoramd.search.situation import Situation
from photoramd.search.tags import count_tags

MOST = 12
"""Entries of a group."""

_YEARS = range(1000, 9999)
"""Those that a query can name."""


@dataclass(frozen=True, slots=True)
class Facet:
    """A part of the photos.

    Attributes:
        label: Its name, for people.
        count: How many of the photos are in it.
        clause: What finds them among the photos.
    """

    label: str
    count: int
    clause: str


GroupName = Literal["tags", "years", "cameras", "folders", "states", "given_by"]

Group = Callable[[Situation, BitMap], Sequence[Facet]]


def tags(situation: Situation, hits: BitMap) -> list[Facet]:
    """Return the tags of photos, the most frequent first."""
    above = situation.sets.derive(_tags_with_others_below)
    found = []
    for tag in count_tags(situation.sets, hits, limit=MOST):
        # As a query finds what is below a tag, too, it has to say where only the tag was counted.
        is_above = comparison_key(tag.name) in above
        clause = exact_clause("tag", tag.name) if is_above else quoted(tag.name)
        found.append(Facet(tag.name, tag.photos, clause))
    return found


def _tags_with_others_below(sets: Sets) -> set[str]:
    """Return tags that are above others in the models' hierarchy, or in the user's own."""
    rows = fetch(sets.connection, "SELECT DISTINCT parent_id FROM label_parents")
    above = {number for (number,) in rows} | {number for number, _ in sets.all(Kind.USER_ABOVE)}
    return {folded for number, _, folded in sets.labels() if number in above}


def years(situation: Situation, hits: BitMap) -> list[Facet]:
    """Return the years with the most photos, the latest first."""
    counts = {
        year: members.intersection_cardinality(hits)
        for year, members in situation.sets.derive(_years).items()
    }
    best = sorted(Counter(counts).most_common(MOST), reverse=True)
    return [Facet(str(y), count, field_clause("taken", str(y))) for y, count in best if count]


def _years(sets: Sets) -> dict[int, BitMap]:
    months: dict[int, list[int]] = {}
    for month in sets.keys(Kind.MONTH):
        if month // 12 in _YEARS:
            months.setdefault(month // 12, []).append(month)
    return {year: sets.union(Kind.MONTH, keys) for year, keys in months.items()}


def cameras(situation: Situation, hits: BitMap) -> list[Facet]:
    """Return the cameras with the most photos."""
    found = [
        Facet(name, count, exact_clause("camera", name))
        for name, members in situation.sets.derive(_cameras)
        if (count := members.intersection_cardinality(hits))
    ]
    return sorted(found, key=lambda facet: (-facet.count, facet.label))[:MOST]


def _cameras(sets: Sets) -> list[tuple[str, BitMap]]:
    """Return the names of cameras with their photos; several spellings are one."""
    spellings: dict[str, list[tuple[int, str]]] = {}
    for number, name in fetch(sets.connection, "SELECT id, name FROM cameras ORDER BY id"):
        spellings.setdefault(comparison_key(name), []).append((number, name))
    return [
        (names[0][1], sets.union(Kind.CAMERA, [number for number, _ in names]))
        for key, names in spellings.items()
        if key
    ]


def folders(situation: Situation, hits: BitMap) -> list[Facet]:
    """Return the folders into which photos divide, with what is below each."""
    tree = situation.sets.derive(Tree.read)
    found = [
        Facet(folder.name, folder.photos, folder.query)
        for folder in tree.counted(tree.dividing(situation.sets, hits, MOST), situation.sets, hits)
    ]
    return sorted(found, key=lambda facet: (-facet.count, facet.label))[:MOST]


def states(situation: Situation, hits: BitMap) -> list[Facet]:
    """Return the states of photos."""
    found = []
    left = len(hits)
    for state in PhotoState:
        if state is PhotoState.WRITTEN:
            continue
        count = len(in_state(situation, state, hits))
        left -= count
        found.append(Facet(state, count, field_clause("state", state)))
    found.append(Facet(PhotoState.WRITTEN, left, field_clause("state", PhotoState.WRITTEN)))
    return sorted((f for f in found if f.count), key=lambda facet: -facet.count)


def given_by(situation: Situation, hits: BitMap) -> list[Facet]:
    """Return by whom photos were tagged; some by both."""
    sets = situation.sets
    found = [
        Facet(name, sets.one(Kind.TAGGED, key).intersection_cardinality(hits), f"by:{name}")
        for key, name in enumerate(("machine", "user"))
    ]
    nobody = hits - sets.union(Kind.TAGGED, (0, 1))
    found.append(Facet("nobody", len(nobody), "is:untagged"))
    return [facet for facet in found if facet.count]


GROUPS: Mapping[GroupName, Group] = {
    "tags": tags,
    "years": years,
    "cameras": cameras,
    "folders": folders,
    "states": states,
    "given_by": given_by,
}


def prepare(sets: Sets) -> None:
    """Read the sets that facets count in, so that the next question need not wait for them.

    Raises:
        StoreError: The database cannot be read.
    """
    sets.derive(_count_all)


def _count_all(sets: Sets) -> None:
    situation = Situation(sets.connection, sets)
    for group in GROUPS.values():
        group(situation, sets.one(Kind.PRESENT))


def facets(situation: Situation, hits: BitMap) -> Iterator[tuple[GroupName, Sequence[Facet]]]:
    """Yield each group with its entries, at most `MOST`.

    Raises:
        StoreError: The database cannot be read.
    """
    for name, group in GROUPS.items():
        yield name, group(situation, hits)
