"""The orders of photos that grids scroll through: the last few are kept."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np
from anyio import to_thread
from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.database.readonly import open_readonly, snapshot
from photoramd.errors import PhotoramdError
from photoramd.search.evaluation import evaluate
from photoramd.search.expression import Expression
from photoramd.search.order import ordered
from photoramd.search.queries import scores_of
from photoramd.search.situation import Situation
from photoramd.search.timeline import Codes, Ids, Run, Timeline, ids_of
from photoramd.web.readers import Reader
from photoramd.web.schemas import Sort

_KEPT = 8
"""Orders; of a million photos each takes 4 MB."""

_EVERY_SECONDS = 5.0
"""The timeline is brought up to date so often, before changes are no longer in the journal."""


@dataclass(frozen=True, slots=True)
class Order:
    """Photos in an order.

    Attributes:
        version: Stands for all of it: two orders of the same version are the same.
        ids: The photos.
        codes: Their shapes.
        runs: Their days.
    """

    version: str
    ids: Ids
    codes: Codes
    runs: list[Run]


class Orders:
    """Puts photos into orders, in any thread, and keeps the last few.

    Args:
        database: The file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._timeline: Timeline | None = None
        self._loading = threading.Lock()
        self._keeping = threading.Lock()
        self._kept: OrderedDict[str, Ids] = OrderedDict()

    async def keep_current(self) -> None:
        """Keep the timeline up to date until it is cancelled; a thread does the work."""
        while True:
            await to_thread.run_sync(self._try_timeline)
            await anyio.sleep(_EVERY_SECONDS)

    def timeline(self) -> Timeline:
        """Return all photos by date, as they are now.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._loading, closing(open_readonly(self._database)) as connection:
            if self._timeline is None:
                self._timeline = Timeline.load(connection)
            self._timeline = self._timeline.refreshed(connection)
            return self._timeline

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
        with snapshot(reader.connection):
            reader.sets.refresh()
            situation = Situation(reader.connection, reader.sets)
            hits = found(situation, expression)
            timeline = self.timeline()
            runs: list[Run] = [(None, len(hits))] if hits else []
            if sort == "taken":
                ids, runs = timeline.arranged(hits)
            elif sort == "added":
                ids = ids_of(hits)[::-1]
            else:
                scores = None
                if sort == "score":
                    scores = situation.scores or scores_of(situation, expression)
                places = ordered(situation, hits, sort, scores=scores)
                ids = np.fromiter((each.photo_id for each in places), np.uint32, len(hits))
            codes = timeline.codes(ids)
        order = Order(_version(sort, ids, codes, runs), ids, codes, runs)
        with self._keeping:
            self._kept[order.version] = ids
            self._kept.move_to_end(order.version)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return order

    def _try_timeline(self) -> None:
        with suppress(PhotoramdError):  # whoever asks is told
            self.timeline()


def found(situation: Situation, expression: Expression | None) -> BitMap:
    """Return the photos that a query finds; None finds all that are not missing.

    Raises:
        StoreError: The database cannot be read.
        UsageError: The query names a photo that is not known.
    """
    if expression is None:
        return situation.sets.one(Kind.PRESENT)
    return evaluate(situation, expression)


def _version(sort: str, ids: Ids, codes: Codes, runs: list[Run]) -> str:
    digest = hashlib.blake2b(sort.encode(), digest_size=9)
    digest.update(np.ascontiguousarray(ids).data)
    digest.update(codes.data)
    digest.update(repr(runs).encode())
    return digest.hexdigest()
