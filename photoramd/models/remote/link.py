"""One worker as a daemon sees it: whether it can be used, when to look again, and what to log.

Time comes as a parameter, and nothing here waits or asks. After a failure a worker is looked at
again after a pause that grows with the time it has been away, so that it is used soon after a
short absence, and a night costs few attempts. The log has a line for each change of state only.
"""

from __future__ import annotations

import logging

from photoramd.clock import Monotonic, UnixTime
from photoramd.models.remote.failures import Kind, WorkerError
from photoramd.models.remote.pace import Pace
from photoramd.models.remote.protocol import ModelAnswer
from photoramd.models.remote.state import WorkerState

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 600.0
SHORTEST_PAUSE_SECONDS = 1.0

_PAUSES = 12
"""A pause is this part of the time away: 15 seconds after three minutes."""

_QUIET_SECONDS = 60.0
"""One that is busy is worth a line of the log after this time."""

_RESTART_SECONDS = 300.0
"""A worker that is started again is back sooner."""

_MOST_PLACES = 16


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
        pace: How long its answers take.
        state: What people are told.
    """

    def __init__(self, url: str, now: Monotonic, wall: UnixTime) -> None:
        self.url = url
        self.is_available = False
        self.is_known = False
        self.in_flight = 0
        self.places = 2
        self.pace = Pace()
        self.state = WorkerState(url, False, "it was not asked yet", "", wall)
        self._is_probed = self._was_available = False
        self._probe_at = now
        self._away_since: Monotonic | None = now
        self._failures = 0  # of requests for scores, since the last success
        self._told_kinds: set[Kind] = set()

    def is_hopeless(self, now: Monotonic) -> bool:
        """Whether it never was available, or has not been for so long that it is not restarting."""
        if self.is_available or not self.is_known:
            return False
        return not self._was_available or self._away(now) > _RESTART_SECONDS

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
        return self.in_flight / self.places, self.pace.slowest

    def deadline(self) -> Monotonic:
        """Return when it is to be looked at again, or an answer is late."""
        return min(self.probe_due(), self.pace.deadline())

    def probe_due(self) -> Monotonic:
        """Return when it is to be looked at again."""
        is_settled = self.is_available or self._is_probed
        return Monotonic(float("inf")) if is_settled else self._probe_at

    def begin_probe(self, now: Monotonic) -> None:
        """Note that it is being looked at."""
        self._is_probed = True
        # From one beginning to the next: a look may take long, too.
        self._probe_at = Monotonic(now + self._pause(now))

    def found(self, answer: ModelAnswer, wall: UnixTime) -> None:
        """Note that it was looked at, and is well."""
        self._is_probed = False
        self.is_available = self.is_known = self._was_available = True
        # One works on what the other is sent meanwhile.
        self.places = max(2, min(answer.at_once + 1, _MOST_PLACES))
        if self._failures <= 1:
            self._away_since = None
            self._tell_well(wall, f"{answer.device}, photoramd {answer.version}")

    def missed(self, error: WorkerError, wall: UnixTime) -> None:
        """Note that it was looked at, and cannot be used."""
        self._is_probed = False
        self.is_available, self.is_known = False, True
        self._tell_away(error, wall)

    def answered(self, pictures: int, seconds: float, wall: UnixTime) -> None:
        """Note that it gave scores."""
        self.pace.learn(pictures, seconds)
        self._failures = 0
        self._away_since = None
        if self.is_available:
            self._tell_well(wall, "it answers again")

    def failed(self, error: WorkerError, now: Monotonic, wall: UnixTime) -> None:
        """Note that it gave no scores; it is looked at again before it gets others."""
        self.pace.forget()
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
