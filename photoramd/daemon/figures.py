"""Keep the daemon's figures in the database, for other processes."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence

from photoramd.clock import Monotonic, UnixTime
from photoramd.contained.client import Contained
from photoramd.database.connection import Database
from photoramd.database.figures import Figures, store
from photoramd.database.workers import store_workers
from photoramd.errors import StoreError
from photoramd.models.availability import availability
from photoramd.models.remote.state import WorkerState
from photoramd.models.tagger import Tagger
from photoramd.photo import PhotoState
from photoramd.pipeline.inference import BatchSizer
from photoramd.pipeline.pipeline import Outcome

log = logging.getLogger(__name__)

STORE_SECONDS = 15.0
"""Figures are stored at most this often, and only if they changed: a disk must be able to sleep."""


class FigureKeeper:
    """Counts what becomes of photos, and stores that with what its sources count.

    Args:
        database: The database.
        tagger: The model.
        pace: How many pictures that was given, and how long it took.
        contained: The workers.
    """

    def __init__(
        self, database: Database, tagger: Tagger, pace: BatchSizer, contained: Contained
    ) -> None:
        self._database = database
        self._tagger = tagger
        self._pace = pace
        self._contained = contained
        self._outcomes: Counter[str] = Counter()
        self._started_at: UnixTime | None = None
        self._stored: Figures | None = None
        self._stored_workers: tuple[WorkerState, ...] | None = None
        self._next = Monotonic(float("-inf"))

    def step(self, outcomes: Sequence[Outcome], now: Monotonic, wall: UnixTime) -> None:
        """Count outcomes; store the figures and the workers if they changed, the former in time.

        Raises:
            StoreError: The database failed.
        """
        self._outcomes.update(filter(None, map(_kind, outcomes)))
        if self._started_at is None:
            self._started_at = wall
        if (workers := self._workers()) != self._stored_workers:
            store_workers(self._database, workers)
            self._stored_workers = workers
        if now >= self._next and self._store(self._started_at, wall):
            self._next = Monotonic(now + STORE_SECONDS)

    def close(self, wall: UnixTime) -> None:
        """Store the last figures, if there are any; the database may have failed."""
        if self._started_at is not None:
            try:
                self._store(self._started_at, wall)
            except StoreError as error:
                log.debug("The last figures were not stored: %s", error)

    def _workers(self) -> tuple[WorkerState, ...]:
        # A remote tagger's, without its module, which other daemons need not load.
        found: tuple[WorkerState, ...] = getattr(self._tagger, "workers", ())
        return found

    def _store(self, started_at: UnixTime, wall: UnixTime) -> bool:
        """Store the figures; return whether they had changed."""
        tagger, varying = self._tagger, availability(self._tagger)
        figures = Figures(
            process=os.getpid(),
            started_at=started_at,
            model=tagger.name,
            revision=tagger.revision,
            is_model_available=varying is None or not varying.trouble,
            inferred=self._pace.pictures,
            inference_seconds=self._pace.seconds,
            workers_started=self._contained.workers_started,
            workers_lost=self._contained.workers_lost,
            **self._outcomes,
        )
        if figures == self._stored:
            return False
        store(self._database, figures, wall)
        self._stored = figures
        return True


def _kind(outcome: Outcome) -> str | None:
    """Return the figure that counts an outcome, if one does."""
    if outcome.state == PhotoState.WRITTEN:
        return "undone" if outcome.is_undone else "written"
    return {PhotoState.TAGGED: "not_written", PhotoState.FAILED: "failed"}.get(outcome.state)
