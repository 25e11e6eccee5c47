"""Find pictures that look like one, by their vectors.

Of each vector the signs of its numbers are held in memory, 64 bytes for a picture. Those with the
most signs in common with the one asked for are candidates; only their vectors are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from photoramd.database.vectors import DIGEST_BYTES, StoredVectors

if TYPE_CHECKING:
    from typing import Self

Signs = npt.NDArray[np.uint64]
"""The signs of numbers as bits, uint64, shape (words, pictures): words of one kind side by side,
which is four times as fast as pictures side by side."""

CANDIDATES = 2000
"""How many vectors are compared as they are."""

_CHUNK = 16_384
"""Pictures that are compared at a time: what that takes stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Near:
    """A picture that was found.

    Attributes:
        digest: Of the picture.
        cosine: How similar it is; 1: the same.
    """

    digest: bytes
    cosine: float


class Similar:
    """All pictures with vectors, as they were when it was loaded.

    Args:
        stored: Where the vectors are; it stays open as long as this is used.
        ids: Of their rows, int64, rising.
        digests: uint8, shape (pictures, DIGEST_BYTES).
        signs: See `Signs`.
    """

    def __init__(
        self,
        stored: StoredVectors,
        ids: npt.NDArray[np.int64],
        digests: npt.NDArray[np.uint8],
        signs: Signs,
    ) -> None:
        self.stored = stored
        self.ids = ids
        self.digests = digests
        self.signs = signs
        self._order: npt.NDArray[np.intp] | None = None

    @classmethod
    def load(cls, stored: StoredVectors) -> Self:
        """Read all vectors and keep their signs: seconds for a million.

        Raises:
            StoreError: They cannot be read.
        """
        blocks = [(each.ids, each.digests, signs_of(each.vectors)) for each in stored.blocks()]
        if not blocks:
            none = np.zeros((0, DIGEST_BYTES), np.uint8)
            return cls(stored, np.zeros(0, np.int64), none, np.zeros((0, 0), np.uint64))
        ids, digests, signs = zip(*blocks, strict=True)
        return cls(
            stored, np.concatenate(ids), np.concatenate(digests), np.concatenate(signs, axis=1)
        )

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, digests: Iterable[bytes]) -> npt.NDArray[np.intp]:
        """Return the rows of pictures, rising, without those that have none."""
        wanted = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
        # Digests are random: half of one is enough to look it up by, and then compared.
        keys = _keys(self.digests)
        if self._order is None:
            self._order = np.argsort(keys)
        if not len(wanted) or not len(keys):
            return np.zeros(0, np.intp)
        places = np.searchsorted(keys, _keys(wanted), sorter=self._order)
        rows = self._order[np.minimum(places, len(keys) - 1)]
        return np.unique(rows[(self.digests[rows] == wanted).all(axis=1)])

    def nearest(
        self,
        vector: npt.NDArray[np.int8],
        limit: int,
        within: npt.NDArray[np.intp] | None = None,
    ) -> list[Near]:
        """Return the pictures most similar to a vector, the most similar first.

        Args:
            vector: Of a picture, int8, shape (numbers,); the picture itself is found, too.
            limit: The greatest number.
            within: Only these rows, as `rows` returns them.

        Raises:
            StoreError: The vectors cannot be read.
        """
        if not len(self) or limit < 1 or (within is not None and not len(within)):
            return []
        distances = _distances(self.signs, signs_of(vector[None])[:, 0], within)
        found = _least(distances, max(limit, CANDIDATES))
        rows = found if within is None else within[found]
        block = self.stored.fetch(self.ids[rows].tolist())
        if not len(block.ids):  # all were removed meanwhile
            return []
        similar = cosines(block.vectors, vector[None])[:, 0]
        best = np.argsort(-similar, kind="stable")[:limit]
        return [Near(block.digests[each].tobytes(), float(similar[each])) for each in best]


def signs_of(vectors: npt.NDArray[np.int8]) -> Signs:
    """Return the signs of vectors, whose numbers are a multiple of 64."""
    packed = np.packbits(vectors > 0, axis=1).view(np.uint64)
    return np.ascontiguousarray(packed.T)


def cosines(some: npt.NDArray[np.int8], others: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Return the cosine of each of some vectors with each of others."""
    one, other = _units(some), _units(others)
    result: npt.NDArray[np.float32] = one @ other.T
    return result


def _units(vectors: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    values = vectors.astype(np.float32)
    # All are equally long but for rounding, which would show as cosines of 1.002.
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    result: npt.NDArray[np.float32] = values / np.maximum(lengths, 1)
    return result


def _keys(digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64)[:, 0]


def _distances(
    signs: Signs, wanted: npt.NDArray[np.uint64], within: npt.NDArray[np.intp] | None
) -> npt.NDArray[np.uint16]:
    """Return how many signs differ from those wanted, for each picture."""
    count = signs.shape[1] if within is None else len(within)
    distances = np.zeros(count, np.uint16)
    for place in _places(count):
        columns = place if within is None else within[place]
        for word, other in zip(signs, wanted, strict=True):
            distances[place] += np.bitwise_count(word[columns] ^ other)
    return distances


def _places(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)


def _least(distances: npt.NDArray[np.uint16], count: int) -> npt.NDArray[np.intp]:
    """Return the places of the least distances, of all if there are no more."""
    if len(distances) <= count:
        return np.arange(len(distances))
    # Six times as fast as argpartition, as there are so few values.
    reached = np.cumsum(np.bincount(distances))
    limit = int(np.searchsorted(reached, count))
    inside = np.flatnonzero(distances < limit)
    edge = np.flatnonzero(distances == limit)[: count - len(inside)]
    return np.concatenate([inside, edge])
