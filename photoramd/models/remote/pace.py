"""How long a model's answers take, and when one is given up.

The limits of both sides are here because one must be below the other. The process with the model
counts as hung before whoever waits for its answer gives up: so it is known that the pictures were
lost with it, and not only that a worker does not answer.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from itertools import count

from photoramd.clock import Monotonic

_FIRST_SECONDS, _FIRST_SECONDS_A_PICTURE = 60.0, 15.0
"""A worker of unknown speed may take so long, and so long more for each picture."""

_LEAST_SECONDS = 30.0

_PATIENCE = 8
"""An answer may take so many times as long as the slowest recent one."""

_NOTICE_SECONDS = 15.0
"""So long after a model has hung its process is ended, and whoever waits for it is told."""

_LATE_SECONDS = 10.0


class Rates:
    """How many seconds a picture took in recent answers."""

    def __init__(self) -> None:
        self._rates: deque[float] = deque(maxlen=16)

    @property
    def slowest(self) -> float:
        """How many seconds a picture took in the slowest recent answer; 0: not known."""
        return max(self._rates, default=0.0)

    def learn(self, pictures: int, seconds: float) -> None:
        """Learn how long an answer took."""
        self._rates.append(seconds / pictures)

    def forget(self) -> None:
        """Forget how long answers took: the worker may have become slower."""
        self._rates.clear()

    def hangs_after(self, pictures: int) -> float:
        """Return after how many seconds a model that looks at so many pictures has hung."""
        wanted = max(_LEAST_SECONDS, _PATIENCE * self.slowest * pictures)
        # Whoever asks may not know the rate yet.
        return min(wanted, first_limit(pictures) / 2) if self._rates else math.inf

    def limit(self, pictures: int) -> float:
        """Return how many seconds whoever asks about so many pictures waits for an answer."""
        if not self._rates:
            return first_limit(pictures)
        # What whoever asks measures has also the way and the turns of others in it.
        return 2 * max(_LEAST_SECONDS, _PATIENCE * self.slowest * pictures) + _NOTICE_SECONDS


def first_limit(pictures: int) -> float:
    """Return how many seconds an answer about so many pictures may take before any is known."""
    return _FIRST_SECONDS + _FIRST_SECONDS_A_PICTURE * pictures


class Late:
    """The answers that are to come, and when they are late."""

    def __init__(self) -> None:
        self._late_at: dict[int, Monotonic] = {}
        self._numbers = count()

    def expect(self, until: Monotonic) -> Callable[[], object]:
        """Note that an answer is to come; returns what is to be called when it is over."""
        number = next(self._numbers)
        # The connection's own limit comes first, where nothing comes at all.
        self._late_at[number] = Monotonic(until + _LATE_SECONDS)
        return lambda: self._late_at.pop(number, None)

    def deadline(self) -> Monotonic:
        """Return when the next answer is late."""
        return min(self._late_at.values(), default=Monotonic(float("inf")))

    def take_late(self, now: Monotonic) -> bool:
        """Return whether an answer is late, though some of it may come now and then; once each."""
        late = [number for number, at in self._late_at.items() if at <= now]
        for number in late:
            del self._late_at[number]
        return bool(late)
