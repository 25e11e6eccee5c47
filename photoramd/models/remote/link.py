"""One worker as a daemon sees it: whether it can be used, when to look again, and what to log.

Time comes as a parameter, and nothing here waits or asks. After a failure a worker is looked at
again after a pause that grows with the time it has been away, so that it is used soon after a
short absence, and a night costs few attempts. The log has a line for each change of state only.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from itertools import count

from photoramd.clock import Monotonic, UnixTime
from photoramd.models.remote.failures import Kind, WorkerError
from photoramd.models.remote.protocol import ModelAnswer
from photoramd.models.remote.state import WorkerState

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 600.0
SHORTEST_PAUSE_SECONDS = 1.0

_PAUSES = 12
"""A pause is this part of the time away: 15 seconds after three minutes."""

_QUIET_SECONDS = 60.0
"""One that is busy is worth a line of the log after this time."""

_MOST_PLACES = 16

_FIRST_SECONDS, _FIRST_SECONDS_A_PICTURE = 60.0, 15.0
"""A worker of unknown speed may take so long, and so long more for each picture."""

_LEAST_SECONDS = 30.0

_LATE_SECONDS = 10.0

_PATIENCE = 8
"""A worker may take so many times as long as its slowest recent answer: others may use it."""


class Link:
    """A worker. Belongs to whoever holds the lock of its tagger.

    Args:
        url: Its address.
        now: The present time; it counts as away since then.
        wall: The same, for people.

    Attributes:
        is_available: Whether it takes pictures.
        is_known: Whether it was ever found available or not.
        in_flight: How many requests are under way.
        places: How many may be.
        state: What people are told.
    """

    def __init__(self, url: str, now: Monotonic, wall: UnixTime) -> None:
        self.url = url
        self.is_available = False
        self.is_known = False
        self.in_flight = 0
        self.places = 2
        self.state = WorkerState(url, False, "it was not asked yet", "", wall)
        self._is_probed = False
        self._probe_at = now
        self._away_since: Monotonic | None = now
        self._failures = 0  # of requests for scores, since the last success
        self._told_kinds: set[Kind] = set()
        self._late_at: dict[int, Monotonic] = {}
        self._numbers = count()
        self._rates: deque[float] = deque(maxlen=16)

    @property
    def has_place(self) -> bool:
        """Whether it takes another request now."""
        return self.is_available and self.in_flight < self.places

    @property
    def is_new(self) -> bool:
        """Whether it is being looked at for the first time."""
        return self._is_probed and not self.is_known

    @property
    def burden(self) -> tuple[float, float]:
        """Less for a worker that answers sooner."""
        return self.in_flight / self.places, self._slowest

    def deadline(self) -> Monotonic:
        """Return when it is to be looked at again, or an answer is late."""
        return Monotonic(min([self.probe_due(), *self._late_at.values()]))

    def probe_due(self) -> Monotonic:
        """Return when it is to be looked at again."""
        is_settled = self.is_available or self._is_probed
        return Monotonic(float("inf")) if is_settled else self._probe_at

    def take_due(self, now: Monotonic) -> bool:
        """Return whether it is to be looked at now; it then counts as being looked at."""
        if self.probe_due() > now:
            return False
        self._is_probed = True
        # From one beginning to the next: a look may take long, too.
        self._probe_at = Monotonic(now + self._pause(now))
        return True

    def take_late(self, now: Monotonic) -> bool:
        """Return whether an answer is late, though some of it may come now and then; once each."""
        late = [number for number, at in self._late_at.items() if at <= now]
        for number in late:
            del self._late_at[number]
        return bool(late)

    def expect(self, until: Monotonic) -> Callable[[], object]:
        """Note that an answer is to come; returns what is to be called when it is over."""
        number = next(self._numbers)
        # The connection's own limit comes first, where nothing comes at all.
        self._late_at[number] = Monotonic(until + _LATE_SECONDS)
        return lambda: self._late_at.pop(number, None)

    def limit(self, pictures: int) -> float:
        """Return how many seconds an answer about so many pictures may take."""
        if not self._rates:
            return _FIRST_SECONDS + _FIRST_SECONDS_A_PICTURE * pictures
        return max(_LEAST_SECONDS, _PATIENCE * self._slowest * pictures)

    def looked_at(self, found: ModelAnswer | WorkerError, wall: UnixTime) -> None:
        """Note that it was looked at: that it is well, or why it cannot be used."""
        self._is_probed = False
        self.is_known = True
        self.is_available = not isinstance(found, WorkerError)
        if isinstance(found, WorkerError):
            self._tell_away(found, wall)
            return
        # One works on what the other is sent meanwhile.
        self.places = max(2, min(found.at_once + 1, _MOST_PLACES))
        if self._failures <= 1:
            self._away_since = None
            self._tell_well(wall, f"{found.device}, photoramd {found.version}")

    def answered(self, pictures: int, seconds: float, wall: UnixTime) -> None:
        """Note that it gave scores."""
        self._rates.append(seconds / pictures)
        self._failures = 0
        self._away_since = None
        if self.is_available:
            self._tell_well(wall, "it answers again")

    def failed(self, error: WorkerError, now: Monotonic, wall: UnixTime) -> None:
        """Note that it gave no scores; it is looked at again before it gets others."""
        self._rates.clear()
        if not self.is_available:
            return  # another request has said so
        self.is_available = False
        self._failures += 1
        if self._away_since is None:
            self._away_since = now
        self._probe_at = Monotonic(now + self._pause(now))
        # One that has too much to do is not away, and one that lost a process may have others.
        if error.kind is not Kind.BUSY or self._away(now) > _QUIET_SECONDS:
            self._tell_away(error, wall)

    def _away(self, now: Monotonic) -> float:
        return 0.0 if self._away_since is None else now - self._away_since

    def _pause(self, now: Monotonic) -> float:
        wanted = self._away(now) / _PAUSES
        return min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, wanted))

    @property
    def _slowest(self) -> float:
        return max(self._rates, default=0.0)

    def _tell_well(self, wall: UnixTime, how: str) -> None:
        self._told_kinds.clear()
        if not self.state.is_available:
            log.info("The worker %s is available: %s", self.url, how)
            self.state = WorkerState(self.url, True, "", "", wall)

    def _tell_away(self, error: WorkerError, wall: UnixTime) -> None:
        since = self.state.since
        if self.state.is_available or not self._told_kinds:
            since = wall
        if error.kind not in self._told_kinds:
            self._told_kinds.add(error.kind)
            log.warning(
                "The worker %s is not available: %s%s",
                self.url,
                error.reason,
                f"; {error.remedy}" if error.remedy else "",
            )
        self.state = WorkerState(self.url, False, error.reason, error.remedy, since)
