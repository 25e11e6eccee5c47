"""The orders of photos that grids scroll through: the last few are kept."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.search.evaluation import evaluate
from photoramd.search.expression import Expression
from photoramd.search.path_order import PathOrder
from photoramd.search.queries import scores_of
from photoramd.search.situation import Situation
from photoramd.search.timeline import Arranged, Ids, Timeline, ids_of
from photoramd.web.current import Current
from photoramd.web.readers import Reader
from photoramd.web.schemas import Sort

_KEPT = 8
"""Orders; of a million photos each takes 4 MB."""


@dataclass(frozen=True, slots=True)
class Order:
    """Photos in an order.

    Attributes:
        version: Stands for all of it: two orders of the same version are the same.
        photos: The photos with their shapes and days.
    """

    version: str
    photos: Arranged

    @property
    def ids(self) -> Ids:
        """The photos."""
        return self.photos.ids

    def rank(self, photo: int) -> int | None:
        """Return the place of a photo, from 0; None if it has none."""
        places = np.flatnonzero(self.ids == photo)
        return int(places[0]) if len(places) else None


class Orders:
    """Puts photos into orders, in any thread, and keeps the last few.

    Args:
        database: The file.
    """

    def __init__(self, database: Path) -> None:
        self._timeline = Current(database, Timeline.load)
        self._paths = Current(database, PathOrder.load)
        self._keeping = threading.Lock()
        self._kept: OrderedDict[str, Ids] = OrderedDict()

    def prepare(self) -> None:
        """Read what the next question would have to read.

        Raises:
            StoreError: The database cannot be read.
        """
        self._timeline.get()

    def kept(self, version: str) -> Ids | None:
        """Return the photos of an order, if it is one of the last few."""
        with self._keeping:
            if version in self._kept:
                self._kept.move_to_end(version)
            return self._kept.get(version)

    def put(self, reader: Reader, expression: Expression | None, sort: Sort) -> Order:
        """Return the photos that a query finds, in an order, which is kept.

        Args:
            reader: Of the database.
            expression: The query; None finds all photos.
            sort: See `photoramd.search.order.ordered`.

        Raises:
            StoreError: The database cannot be read.
            UsageError: The query names a photo that is not known.
        """
        with reader.situation() as situation:
            hits = found(situation, expression)
            photos = self._arranged(situation, expression, hits, sort)
        order = Order(_version(sort, photos), photos)
        with self._keeping:
            self._kept[order.version] = photos.ids
            self._kept.move_to_end(order.version)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return order

    def _arranged(
        self, situation: Situation, expression: Expression | None, hits: BitMap, sort: Sort
    ) -> Arranged:
        if sort == "taken":
            return self._timeline.get().arranged(hits)
        if sort == "added":
            ids = ids_of(hits)[::-1]
        elif sort == "path":
            ids = self._paths.get().arranged(hits)
        else:
            ids = _by_score(hits, situation.scores or scores_of(situation, expression))
        none = np.zeros(0, np.int32)
        return Arranged(ids, self._timeline.get().codes(ids), none, none.astype(np.int64))


def found(situation: Situation, expression: Expression | None) -> BitMap:
    """Return the photos that a query finds; None finds all that are not missing.

    Raises:
        StoreError: The database cannot be read.
        UsageError: The query names a photo that is not known.
    """
    if expression is None:
        return situation.sets.one(Kind.PRESENT)
    return evaluate(situation, expression)


def _by_score(hits: BitMap, scores: Mapping[int, float]) -> Ids:
    """Return photos, the surest first; see `photoramd.search.order.ordered`."""
    ids = ids_of(hits)
    values = np.fromiter((scores.get(each, 1.0) for each in ids.tolist()), np.float64, len(ids))
    return ids[np.lexsort((ids, -values))]


def _version(sort: str, photos: Arranged) -> str:
    digest = hashlib.blake2b(sort.encode(), digest_size=9)
    for each in (photos.ids, photos.codes, photos.days, photos.counts):
        digest.update(np.ascontiguousarray(each).data)
    return digest.hexdigest()
