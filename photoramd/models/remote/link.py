"""One worker as a daemon sees it: whether it can be used, when to look again, and what to log.

Time comes as a parameter, and nothing here waits or asks. After a failure a worker is looked at
again after a pause that grows with the time since it was last well for a minute, so that it is
used soon after a short absence, and neither a night nor one that comes and goes costs many
attempts. The log has a line for each change of state only.

One that has too much to do is well: it gets fewer requests at a time, and others wait a moment.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from photoramd.clock import Monotonic, UnixTime
from photoramd.models.remote.failures import Kind, WorkerError
from photoramd.models.remote.pace import Late, Rates
from photoramd.models.remote.protocol import ModelAnswer
from photoramd.models.remote.state import WorkerState

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 600.0
SHORTEST_PAUSE_SECONDS = 1.0

_PAUSES = 12
"""A pause is this part of the time away: 15 seconds after three minutes."""

_STEADY_SECONDS = 60.0
"""One that was well for so long had recovered from what was before."""

_UNSTEADY_PAUSE_SECONDS = 15.0
"""One that was well for less is looked at again after this time at most."""

_QUIET_SECONDS = 60.0
"""One that has no model now, or too much to do, is worth a line of the log after this time."""

_BUSY_SECONDS = 1.0
"""How long one that has too much to do is left alone."""

_RESTART_SECONDS = 300.0
"""A worker that is started again is back sooner."""

_MOST_PLACES = 16

_UNPROVEN = "it looks well now, and the next photo shows whether it is; its log may say more"
"""What is said of one that was found well, but gave no scores when it was last asked for some."""


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
        rates: How long its answers take.
        late: The answers that are to come.
        state: What people are told.
    """

    def __init__(self, url: str, now: Monotonic, wall: UnixTime) -> None:
        self.url = url
        self.is_available = False
        self.is_known = False
        self.in_flight = 0
        self.places = 2
        self.rates = Rates()
        self.late = Late()
        self.state = WorkerState(url, False, "it was not asked yet", "", wall)
        self._most_places = self.places
        self._is_probed = self._was_available = False
        self._probe_at = now
        self._away_since: Monotonic | None = now
        self._well_since: Monotonic | None = None
        self._unsteady_since = now
        self._busy_since: Monotonic | None = None
        self._busy_at = self._busy_until = self._fewer_since = now
        self._failures = 0  # of requests for scores, since the last success
        self._told_kinds: set[Kind] = set()
        self._is_told_well = False

    def is_hopeless(self, now: Monotonic) -> bool:
        """Whether it never was available, or has not been for so long that it is not restarting."""
        if self.is_available or not self.is_known:
            return False
        return not self._was_available or self._away(now) > _RESTART_SECONDS

    def has_place(self, now: Monotonic) -> bool:
        """Return whether it takes another request now."""
        return self.is_available and self.in_flight < self.places and now >= self._busy_until

    def place_due(self, now: Monotonic) -> float:
        """Return in how many seconds it may take a request though none ends before."""
        return self._busy_until - now if now < self._busy_until else float("inf")

    @property
    def is_new(self) -> bool:
        """Whether it is being looked at for the first time."""
        return self._is_probed and not self.is_known

    @property
    def burden(self) -> tuple[float, float]:
        """Less for a worker that answers sooner."""
        return self.in_flight / self.places, self.rates.slowest

    def deadline(self) -> Monotonic:
        """Return when it is to be looked at again, or an answer is late."""
        return min(self.probe_due(), self.late.deadline())

    def probe_due(self) -> Monotonic:
        """Return when it is to be looked at again."""
        is_settled = self.is_available or self._is_probed
        return Monotonic(float("inf")) if is_settled else self._probe_at

    def begin_probe(self, now: Monotonic) -> None:
        """Note that it is being looked at."""
        self._is_probed = True
        # From one beginning to the next: a look may take long, too.
        self._probe_at = Monotonic(now + self._pause(now))

    def found(self, answer: ModelAnswer, now: Monotonic, wall: UnixTime) -> None:
        """Note that it was looked at, and is well."""
        self._is_probed = False
        self.is_available = self.is_known = self._was_available = True
        # One works on what the other is sent meanwhile.
        self._most_places = max(2, min(answer.at_once + 1, _MOST_PLACES))
        self.places = self._most_places
        if self._failures <= 1:
            self._note_well(now)
            self._tell_well(wall, f"{answer.device}, photoramd {answer.version}")
        elif not self.state.is_available:
            self.state = replace(self.state, remedy=_UNPROVEN)

    def missed(self, error: WorkerError, now: Monotonic, wall: UnixTime) -> None:
        """Note that it was looked at, and cannot be used."""
        self._is_probed = False
        self.is_available, self.is_known = False, True
        self._note_away(now)
        self._tell_away(error, now, wall)

    def answered(self, now: Monotonic, wall: UnixTime) -> None:
        """Note that it answered well what it was asked about pictures."""
        self._failures = 0
        self._busy_since = None
        if not self.is_available:
            return  # another request has failed meanwhile
        self._note_well(now)
        if self.places < self._most_places and now - self._fewer_since > _STEADY_SECONDS:
            self.places += 1
            self._fewer_since = now
        self._tell_well(wall, "it answers again")

    def failed(self, error: WorkerError, now: Monotonic, wall: UnixTime) -> None:
        """Note that it gave no scores.

        It is looked at again before it gets other requests, unless it has just too much to do.
        """
        if not self.is_available:
            return  # another request has said so
        if error.kind is Kind.BUSY and not self._is_busy_for_long(now):
            self.places = max(1, self.in_flight)
            self._fewer_since = now
            self._busy_until = Monotonic(now + _BUSY_SECONDS)
            return
        if error.kind is not Kind.BUSY:
            self._busy_since = None
        self.rates.forget()
        self.is_available = False
        self._failures += 1
        self._note_away(now)
        self._probe_at = Monotonic(now + self._pause(now))
        # One that lost a process may have others.
        if error.kind is not Kind.NO_MODEL or self._away(now) > _QUIET_SECONDS:
            self._tell_away(error, now, wall)

    def _is_busy_for_long(self, now: Monotonic) -> bool:
        # Not asked for as long as that, it may have had nothing to do.
        if self._busy_since is None or now - self._busy_at > _QUIET_SECONDS:
            self._busy_since = now
        self._busy_at = now
        return now - self._busy_since > _QUIET_SECONDS

    def _note_well(self, now: Monotonic) -> None:
        self._away_since = None
        if self._well_since is None:
            self._well_since = now

    def _note_away(self, now: Monotonic) -> None:
        if self._well_since is not None:
            earliest = Monotonic(now - _PAUSES * _UNSTEADY_PAUSE_SECONDS)
            self._unsteady_since = max(self._unsteady_since, earliest)
            if now - self._well_since >= _STEADY_SECONDS:
                self._unsteady_since = now
                self._told_kinds.clear()
        self._well_since = None
        if self._away_since is None:
            self._away_since = now

    def _away(self, now: Monotonic) -> float:
        return 0.0 if self._away_since is None else now - self._away_since

    def _pause(self, now: Monotonic) -> float:
        wanted = (now - self._unsteady_since) / _PAUSES
        return min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, wanted))

    def _tell_well(self, wall: UnixTime, how: str) -> None:
        if not self.state.is_available:
            self.state = WorkerState(self.url, True, "", "", wall)
            if not self._is_told_well:
                self._is_told_well = True
                log.info("The worker %s is available: %s", self.url, how)

    def _tell_away(self, error: WorkerError, now: Monotonic, wall: UnixTime) -> None:
        since = wall if self.state.is_available or not self._told_kinds else self.state.since
        # Each kind once, until it was well for long; but the last line must not say that it is.
        is_wrong = self._is_told_well and self._away(now) > _QUIET_SECONDS
        if error.kind not in self._told_kinds or is_wrong:
            self._told_kinds.add(error.kind)
            self._is_told_well = False
            log.warning(
                "The worker %s is not available: %s%s",
                self.url,
                error.reason,
                f"; {error.remedy}" if error.remedy else "",
            )
        self.state = WorkerState(self.url, False, error.reason, error.remedy, since)
