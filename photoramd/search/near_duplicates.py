"""Group pictures that are nearly the same: resized, recompressed, cropped a little, brightened.

Comparing all with all would take days for a million. So all are sorted by some of the signs of
their vectors, several times by others, and each is compared with the next few, in which any two
that are nearly the same are likely to meet once: first their signs, then, if few differ, their
vectors. Time grows with the number of pictures, and memory is bounded whatever they show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from photoramd.search.similar import Signs, Similar, cosines

NEARLY_THE_SAME = 0.90
"""The least cosine of two pictures of a group. Of 3.3 million pairs of different photos, small ones
of forests and seas among them, none was above .883. Copies of camera files, 1,280 pixels wide at
quality 80, were all above .98, with 3 % cut off at each side above .917. Of photos 500 pixels wide
97 % were above .90 with 2 % cut off, or a quarter brighter, all that were a fifth darker, 83 % of
those of quality 50; what has fewer pixels than the model looks at is not found."""

LARGEST = 2048
"""Pictures in a group: more are compared in the order in which they were tagged, so many at a
time."""

_TURNS = (0, 11, 21, 32, 43, 53)
"""By how many bits each word of signs is turned before it is sorted by."""

_WINDOW = 24
"""How many pictures each is compared with after a sort."""

_DEVIATIONS = 2.5
"""How far the number of different signs may be above what the cosine lets expect."""

_CHUNK = 65_536
"""Neighbours whose signs are compared at a time."""

_PAIRS = 8192
"""Pairs whose vectors are compared at a time: 32 MB."""

_CACHED = 131_072
"""Vectors that are kept: 64 MB."""

_FAILURES = 4
"""How often a picture was compared in vain for one sign less that may differ."""

Rows = npt.NDArray[np.intp]
Counts = npt.NDArray[np.uint16]
Progress = Callable[[float], object]


def near_duplicates(
    similar: Similar,
    threshold: float = NEARLY_THE_SAME,
    within: Rows | None = None,
    progress: Progress = lambda _: None,
) -> list[list[bytes]]:
    """Return groups of the digests of pictures that are nearly the same.

    A group's first picture is nearly the same as each of the others, which follow, the most
    similar first. No picture is in two groups. The groups come in the order of their first ones.

    Args:
        similar: The pictures.
        threshold: The least cosine.
        within: Only these rows of them, as `Similar.rows` returns them.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        StoreError: The vectors cannot be read.
    """
    rows = np.arange(len(similar)) if within is None else within
    if len(rows) < 2:
        return []
    vectors = _Vectors(similar, rows)
    signs = similar.signs if within is None else similar.signs[:, within]
    linked = _linked(signs, vectors, threshold, progress)
    groups = [each for members in linked for each in _stars(members, vectors, threshold)]
    groups.sort(key=lambda group: group[0])
    digests = similar.digests[rows]
    return [[digests[each].tobytes() for each in group] for group in groups]


def _linked(
    signs: Signs, vectors: _Vectors, threshold: float, progress: Progress
) -> Iterator[Rows]:
    """Return sets of pictures that chains of pairs connect, as places, rising."""
    chains = _Chains(signs.shape[1])
    most = _most_different(threshold, 64 * len(signs))
    # Among thousands that are alike, but not nearly the same, fewer and fewer signs may differ:
    # copies are still found, and not all are compared with all.
    failures = np.zeros(signs.shape[1], np.int32)
    for one, other, different in _candidates(signs, most, progress):
        patience = most - np.minimum(failures[one], failures[other]) // _FAILURES
        asked = different <= np.maximum(patience, most // 3)
        asked &= chains.roots[one] != chains.roots[other]
        some, others = one[asked], other[asked]
        near = vectors.are_near(some, others, threshold)
        chains.join(some[near], others[near])
        np.add.at(failures, np.concatenate([some[~near], others[~near]]), 1)
    return chains.sets()


def _most_different(threshold: float, bits: int) -> int:
    """Return how many signs may differ: each does with the angle's share of a half turn."""
    chance = math.acos(threshold) / math.pi
    return math.ceil(bits * chance + _DEVIATIONS * math.sqrt(bits * chance * (1 - chance)))


def _candidates(signs: Signs, most: int, progress: Progress) -> Iterator[tuple[Rows, Rows, Counts]]:
    """Return pairs of pictures of which no more signs differ, and how many; some pairs often."""
    for number, turn in enumerate(_TURNS):
        for place, word in enumerate(signs):
            progress((number + place / len(signs)) / len(_TURNS))
            key = word if not turn else word << np.uint64(turn) | word >> np.uint64(64 - turn)
            order = np.argsort(key)
            ordered = signs[:, order]
            # Near neighbours first: what they join needs no further comparison.
            for step in range(1, min(_WINDOW, len(order) - 1) + 1):
                places, different = _close(ordered, step, most)
                if len(places):
                    yield order[places], order[places + step], different


def _close(ordered: Signs, step: int, most: int) -> tuple[Rows, Counts]:
    """Return the places where few signs differ from those some steps later, and how many."""
    found, counts = [], []
    end = ordered.shape[1] - step
    for start in range(0, end, _CHUNK):
        stop = min(start + _CHUNK, end)
        different = np.zeros(stop - start, np.uint16)
        for word in ordered:
            different += np.bitwise_count(word[start:stop] ^ word[start + step : stop + step])
        places = np.flatnonzero(different <= most)
        found.append(start + places)
        counts.append(different[places])
    return np.concatenate(found), np.concatenate(counts)


def _stars(members: Rows, vectors: _Vectors, threshold: float) -> Iterator[list[int]]:
    """Return groups, each around a picture that the others are near.

    Along a chain, pictures may change until the last has nothing of the first.
    """
    for start in range(0, len(members), LARGEST):
        part = members[start : start + LARGEST]
        table = cosines(vectors.read(part), vectors.read(part))
        near = table >= threshold
        np.fill_diagonal(near, True)
        while len(part) > 1:
            centre = int(near.sum(axis=1).argmax())
            inside = near[centre]
            if inside.sum() < 2:
                break
            others = np.flatnonzero(inside)
            others = others[others != centre]
            others = others[np.argsort(-table[centre, others], kind="stable")]
            yield [int(part[centre]), *part[others].tolist()]
            part, table, near = part[~inside], table[~inside][:, ~inside], near[~inside][:, ~inside]


class _Chains:
    """Joins pictures to sets.

    Attributes:
        roots: For each picture, one of its set, the same for all of the set.
    """

    def __init__(self, count: int) -> None:
        self.roots = np.arange(count)

    def join(self, some: Rows, others: Rows) -> None:
        """Join the sets of each of some pictures and the one beside it in others."""
        roots = self.roots
        while len(some):
            one, other = roots[some], roots[others]
            apart = one != other
            some, others, one, other = some[apart], others[apart], one[apart], other[apart]
            # One that gets several takes the least; the others follow in the next round.
            np.minimum.at(roots, np.maximum(one, other), np.minimum(one, other))
            while not np.array_equal(above := roots[roots], roots):
                roots[:] = above

    def sets(self) -> Iterator[Rows]:
        """Return the sets of more than one picture, as places, rising."""
        order = np.argsort(self.roots, kind="stable")
        edges = np.flatnonzero(np.diff(self.roots[order])) + 1
        return (each for each in np.split(order, edges) if len(each) > 1)


class _Vectors:
    """The vectors of pictures by their places, read when asked for, some of them kept."""

    def __init__(self, similar: Similar, rows: Rows) -> None:
        self._stored = similar.stored
        self._ids = similar.ids[rows]
        self._slots = np.full(len(rows), -1, np.int32)
        self._kept = np.zeros((0, 64 * len(similar.signs)), np.int8)

    def read(self, places: Rows) -> npt.NDArray[np.int8]:
        """Return vectors; zeros for a picture that was removed meanwhile."""
        wanted = np.unique(places)
        missing = wanted[self._slots[wanted] < 0]
        if len(missing) and len(self._kept) + len(missing) > _CACHED:
            self._slots[:] = -1
            self._kept = self._kept[:0]
            missing = wanted
        if len(missing):
            block = self._stored.fetch(self._ids[missing].tolist())
            fresh = np.zeros((len(missing), self._kept.shape[1]), np.int8)
            fresh[np.searchsorted(self._ids[missing], block.ids)] = block.vectors
            self._slots[missing] = np.arange(len(self._kept), len(self._kept) + len(missing))
            self._kept = np.concatenate([self._kept, fresh])
        return self._kept[self._slots[places]]

    def are_near(self, some: Rows, others: Rows, threshold: float) -> npt.NDArray[np.bool_]:
        """Return for each pair whether its cosine reaches a threshold."""
        near = np.zeros(len(some), np.bool_)
        for start in range(0, len(some), _PAIRS):
            part = slice(start, start + _PAIRS)
            both = self.read(np.concatenate([some[part], others[part]])).astype(np.float32)
            one, other = both[: len(both) // 2], both[len(both) // 2 :]
            dot = np.einsum("ij,ij->i", one, other)
            squares = np.einsum("ij,ij->i", one, one) * np.einsum("ij,ij->i", other, other)
            near[part] = dot >= threshold * np.sqrt(np.maximum(squares, 1))
        return near
