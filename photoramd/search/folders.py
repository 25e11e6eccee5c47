"""Folders as a tree, by their printable paths, with how many photos are in each or below it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.keywords import comparison_key
from photoramd.search.clauses import folder_clause
from photoramd.search.sets import Sets

if TYPE_CHECKING:
    from typing import Self


LAST = "\U0010ffff"
"""The last character: whatever begins with a text is before the text and this."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with photos in it, or below it.

    Attributes:
        name: The last part of its path.
        path: Printable.
        photos: How many there are.
    """

    name: str
    path: str
    photos: int

    @property
    def query(self) -> str:
        """What finds these photos."""
        return folder_clause(self.path)


class Tree:
    """All folders of a database.

    Args:
        paths: Printable, by the ids of directories.
    """

    def __init__(self, paths: dict[int, str]) -> None:
        self._paths = paths
        # As `path:` compares them.
        folded = sorted((comparison_key(path) + "/", number) for number, path in paths.items())
        self._folded = [path for path, _ in folded]
        self._numbers = [number for _, number in folded]

    @classmethod
    def read(cls, sets: Sets) -> Self:
        """Read all paths.

        Raises:
            StoreError: The database cannot be read.
        """
        sql = "SELECT id, coalesce(printable, CAST(path AS TEXT)) FROM directories"
        return cls(dict(fetch(sets.connection, sql)))

    def counted(self, paths: Iterable[str], sets: Sets, photos: BitMap) -> list[Folder]:
        """Return folders, by path, that have any of some photos in them or below.

        Args:
            paths: Printable.
            sets: Of the database.
            photos: What is counted.
        """
        found = []
        for path in sorted(paths):
            start = comparison_key(path.rstrip("/") + "/")
            begin = bisect_left(self._folded, start)
            end = bisect_left(self._folded, start + LAST, begin)
            members = sets.union(Kind.DIRECTORY, self._numbers[begin:end])
            count = members.intersection_cardinality(photos)
            if count:
                found.append(Folder(path.rpartition("/")[2] or path, path, count))
        return found

    def children(self, top: str) -> set[str]:
        """Return the paths of the folders right below one, which is given by its printable path."""
        start = top.rstrip("/") + "/"
        below = (path for path in self._paths.values() if path.startswith(start))
        return {child for path in below if (child := _child(start, path))}

    def dividing(self, sets: Sets, photos: BitMap, limit: int) -> list[str]:
        """Return the folders into which photos divide: the children of the deepest that has all.

        Args:
            sets: Of the database.
            photos: The photos.
            limit: So many at most, those with the most photos.
        """
        sets.load(Kind.DIRECTORY, self._paths)
        used = {
            path: count
            for number, path in self._paths.items()
            if (count := sets.one(Kind.DIRECTORY, number).intersection_cardinality(photos))
        }
        if len(used) < 2:
            return list(used)
        parts = [path.split("/") for path in used]
        # What the first and the last of them begin with, all of them do.
        first, last = min(parts), max(parts)
        common = next(
            (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
            min(len(first), len(last)),
        )
        start = "/".join(first[:common]).rstrip("/") + "/"
        counts: Counter[str] = Counter()
        for path, count in used.items():
            if child := _child(start, path):
                counts[child] += count
        return [path for path, _ in counts.most_common(limit)]


def _child(start: str, path: str) -> str | None:
    name = path[len(start) :].partition("/")[0]
    return start + name if name else None
