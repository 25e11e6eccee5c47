"""Pictures that a model's process was lost with: one of them may have been the cause."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from photoramd.models.preprocessing import Pixels
from photoramd.models.remote.protocol import MOST_PHOTOS

Picture = tuple[bytes, Pixels]
"""A digest, and the pixels."""

MOST_LOSSES = 2
"""A picture is given up when a process was lost with it alone so many times."""

_MOST_SUSPECTS = 1024


class Suspects:
    """The pictures that are asked about alone. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._losses: OrderedDict[bytes, int] = OrderedDict()

    def parts(self, pictures: Sequence[Picture]) -> list[list[Picture]]:
        """Return pictures in groups, in their order: suspects alone, none larger than allowed."""
        parts: list[list[Picture]] = []
        is_open = False
        with self._lock:
            for each in pictures:
                is_suspect = each[0] in self._losses
                if is_open and not is_suspect and len(parts[-1]) < MOST_PHOTOS:
                    parts[-1].append(each)
                else:
                    parts.append([each])
                is_open = not is_suspect
        return parts

    def note_lost(self, pictures: Sequence[Picture]) -> None:
        """Note that a process was lost with pictures."""
        alone = len(pictures) == 1
        with self._lock:
            for digest, _ in pictures:
                self._losses[digest] = self._losses.get(digest, 0) + alone
                self._losses.move_to_end(digest)
            while len(self._losses) > _MOST_SUSPECTS:
                self._losses.popitem(last=False)

    def clear(self, pictures: Sequence[Picture]) -> None:
        """Note that there was an answer about pictures."""
        with self._lock:
            for digest, _ in pictures:
                self._losses.pop(digest, None)

    def is_guilty(self, picture: Picture) -> bool:
        """Return whether processes were lost with a picture alone, too often."""
        with self._lock:
            return self._losses.get(picture[0], 0) >= MOST_LOSSES
