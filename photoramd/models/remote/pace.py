"""How long a worker's answers take, and when one is given up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

from photoramd.clock import Monotonic

_FIRST_SECONDS, _FIRST_SECONDS_A_PICTURE = 60.0, 15.0
"""A worker of unknown speed may take so long, and so long more for each picture."""

_LEAST_SECONDS = 30.0

_PATIENCE = 8
"""A worker may take so many times as long as its slowest recent answer: others may use it."""

_LATE_SECONDS = 10.0


class Pace:
    """The pace of one worker."""

    def __init__(self) -> None:
        self._rates: deque[float] = deque(maxlen=16)
        self._late_at: dict[int, Monotonic] = {}
        self._numbers = count()

    @property
    def slowest(self) -> float:
        """How many seconds a picture took in the slowest recent answer; 0: not known."""
        return max(self._rates, default=0.0)

    def limit(self, pictures: int) -> float:
        """Return how many seconds an answer about so many pictures may take."""
        if not self._rates:
            return _FIRST_SECONDS + _FIRST_SECONDS_A_PICTURE * pictures
        return max(_LEAST_SECONDS, _PATIENCE * self.slowest * pictures)

    def learn(self, pictures: int, seconds: float) -> None:
        """Learn how long an answer took."""
        self._rates.append(seconds / pictures)

    def forget(self) -> None:
        """Forget how long answers took: the worker may have become slower."""
        self._rates.clear()

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
