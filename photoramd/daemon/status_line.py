"""The status line: what the daemon is doing, how fast, and what is wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from photoramd.clock import Monotonic
from photoramd.database.health import Health
from photoramd.errors import printable

RATE_SECONDS = 60.0
"""The period over which the rate is measured."""

MOST_UNHEALTHY = 2
"""More unhealthy directories than this are only counted."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The state of the daemon that the status line tells.

    Attributes:
        roots: How many directories are watched.
        waiting: How many photos wait.
        is_scanning: Whether directories remain to be walked.
        rests_until: When the model may run again; None if it may now.
        unhealthy: The health of the directories that are not online.
        model_problem: Why the model is not available; empty if it is.
    """

    roots: int
    waiting: int
    is_scanning: bool
    rests_until: float | None
    unhealthy: Mapping[str, Health]
    model_problem: str = ""


class StatusLine:
    """Formats the status line, and measures the rate.

    Attributes:
        complaint: Something else to tell, such as why a configuration was refused.
    """

    def __init__(self) -> None:
        self.complaint = ""
        self._done: deque[tuple[Monotonic, int]] = deque()

    def note(self, photos: int, now: Monotonic) -> None:
        """Record that photos have just been finished."""
        if photos:
            self._done.append((now, photos))
        # The last one before the period stays: the next was begun when it was finished.
        while len(self._done) > 1 and self._done[1][0] < now - RATE_SECONDS:
            self._done.popleft()

    def rate(self, now: Monotonic) -> float:
        """Return photos a minute over the last minute; 0 if that is not known."""
        self.note(0, now)
        if len(self._done) < 2:
            return 0.0
        (begun, before), *_ = self._done
        seconds = max(now - begun, 1.0)
        return (sum(photos for _, photos in self._done) - before) * 60 / seconds

    def format(self, now: Monotonic, situation: Situation) -> str:
        """Format the status line."""
        waiting, rests_until = situation.waiting, situation.rests_until
        if not waiting or rests_until is not None:
            self._done.clear()  # a pause would count as slow work
        roots, unhealthy = situation.roots, situation.unhealthy
        directories = f"{roots} director{'y' if roots == 1 else 'ies'}"
        parts = [f"{'Scanning' if situation.is_scanning else 'Watching'} {directories}"]
        if waiting:
            rate = self.rate(now)
            speed = f", {rate:,.0f} a minute" if rate >= 0.5 else ""
            parts.append(f"{waiting:,} photo{'s' if waiting != 1 else ''} waiting{speed}")
            if rests_until is not None:
                parts.append(f"tagging begins at {datetime.fromtimestamp(rests_until):%H:%M}")
        else:
            parts.append("no photo waiting")
        for path, health in list(unhealthy.items())[:MOST_UNHEALTHY]:
            parts.append(f"{printable(path)} is {health.state}: {health.reason}")
        if len(unhealthy) > MOST_UNHEALTHY:
            parts.append(f"{len(unhealthy) - MOST_UNHEALTHY} more with troubles")
        return "; ".join([*parts, *filter(None, (situation.model_problem, self.complaint))])
