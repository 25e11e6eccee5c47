"""A number for each of many photos, found by their ids."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_CHUNK = 1 << 16
"""Ids are looked up by chunk, as in the sets: a table of all that there may be would be 16 GB."""


class PhotoTable:
    """Numbers by ids.

    Args:
        ids: Of photos.
        numbers: One for each.
        default: That of all other photos.
    """

    def __init__(
        self, ids: npt.NDArray[np.uint32], numbers: npt.NDArray[np.uint32], default: int
    ) -> None:
        # Where each chunk begins; those that have no photo share the first.
        is_used = np.zeros(_CHUNK, np.bool_)
        is_used[ids >> 16] = True
        chunks = np.flatnonzero(is_used)
        self._begins = np.zeros(_CHUNK, np.int64)
        self._begins[chunks] = np.arange(1, len(chunks) + 1) * _CHUNK
        self._numbers = np.full((len(chunks) + 1) * _CHUNK, default, np.uint32)
        self._numbers[self._places(ids)] = numbers

    def of(self, ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Return the numbers of photos."""
        found: npt.NDArray[np.uint32] = self._numbers[self._places(ids)]
        return found

    def _places(self, ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = self._begins[ids >> 16] + (ids & (_CHUNK - 1))
        return found
