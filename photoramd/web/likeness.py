"""Photos that look like one: what that takes stays in memory once somebody has asked."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from photoramd.clock import Monotonic, monotonic
from photoramd.database.features import features_path
from photoramd.errors import QueryError
from photoramd.search.by_similarity import LEAST_COSINE, digest_of, photos_of

if TYPE_CHECKING:
    from photoramd.search.similar import Similar

_SECONDS = 60.0
"""Pictures that were looked at since are found after so long."""


class Likeness:
    """Finds photos that look like one, in any thread.

    Args:
        database: The file.
    """

    def __init__(self, database: Path) -> None:
        self._path = features_path(database)
        self._lock = threading.Lock()
        self._similar: Similar | None = None
        self._loaded_at = Monotonic(0.0)
        self._state: object = None

    def of(self, connection: sqlite3.Connection, photo: int, limit: int) -> dict[int, float]:
        """Return the photos most like one, without it, and the cosine of each, the best first.

        Raises:
            QueryError: It is not known what that one looks like.
            StoreError: It is not known what any photo looks like, or that cannot be read.
        """
        digest = digest_of(connection, photo)
        with self._lock:
            similar = self._current()
            vector = None if digest is None else similar.stored.find(digest)
            if vector is None:
                raise QueryError(
                    "it is not known what this photo looks like",
                    remedy="photoramd run, with the embedded model, looks at it when nothing else"
                    " is to be done",
                )
            near = similar.nearest(vector, limit + 1)
        photos = photos_of(connection, [each.digest for each in near])
        found = {
            number: each.cosine
            for each in near
            if each.cosine >= LEAST_COSINE
            for number in photos[each.digest]
            if number != photo
        }
        return dict(list(found.items())[:limit])

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._forget()

    def _current(self) -> Similar:
        # They import numpy and the model's projection.
        from photoramd.database.vectors import StoredVectors
        from photoramd.models.embedded.projection import features_version
        from photoramd.search.similar import Similar

        now = monotonic()
        if self._similar is not None and now < self._loaded_at + _SECONDS:
            return self._similar
        stored = StoredVectors(self._path, features_version())
        try:
            state = stored.state()
            if self._similar is not None and state == self._state:
                stored.close()
            else:
                self._forget()
                self._similar, self._state = Similar.load(stored), state
        except BaseException:
            stored.close()
            raise
        self._loaded_at = now
        return self._similar

    def _forget(self) -> None:
        if self._similar is not None:
            self._similar.stored.close()
        self._similar = None
