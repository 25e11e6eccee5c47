"""One line for people: what the daemon is doing, how fast, and what is wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime

from photoramd.database.roots import Health
from photoramd.errors import printable

RATE_SECONDS = 60.0
"""The rate is that of the last so many seconds."""

MOST_TROUBLES = 2
"""More directories with troubles than this are only counted."""


class StatusLine:
    """What becomes the line. Times are monotonic seconds.

    Attributes:
        complaint: What else people should know, such as why a configuration was refused.
    """

    def __init__(self) -> None:
        self.complaint = ""
        self._done: deque[tuple[float, int]] = deque()

    def note(self, photos: int, now: float) -> None:
        """So many photos have just been finished."""
        if photos:
            self._done.append((now, photos))
        # The last before that time stays: when it was finished, the next was begun.
        while len(self._done) > 1 and self._done[1][0] < now - RATE_SECONDS:
            self._done.popleft()

    def rate(self, now: float) -> float:
        """Photos a minute, in the last minute or so; 0 if that is not known."""
        self.note(0, now)
        if len(self._done) < 2:
            return 0.0
        (begun, before), *_ = self._done
        seconds = max(now - begun, 1.0)
        return (sum(photos for _, photos in self._done) - before) * 60 / seconds

    def line(
        self,
        now: float,
        *,
        roots: int,
        waiting: int,
        is_scanning: bool,
        rests_until: float | None,
        troubles: Mapping[str, Health],
        model: str = "",
    ) -> str:
        """The line.

        Args:
            now: Monotonic seconds.
            roots: How many directories are watched.
            waiting: How many photos wait.
            is_scanning: Whether directories remain to be walked.
            rests_until: Unix seconds when the model may run again; None: it may now.
            troubles: The health of the directories that are not online.
            model: What is wrong with the model.
        """
        if not waiting or rests_until is not None:
            self._done.clear()  # a pause is no work
        directories = f"{roots} director{'y' if roots == 1 else 'ies'}"
        parts = [f"Scanning {directories}" if is_scanning else f"Watching {directories}"]
        if waiting:
            rate = self.rate(now)
            speed = f", {rate:,.0f} a minute" if rate >= 0.5 else ""
            parts.append(f"{waiting:,} photo{'s' if waiting != 1 else ''} waiting{speed}")
            if rests_until is not None:
                parts.append(f"tagging begins at {datetime.fromtimestamp(rests_until):%H:%M}")
        else:
            parts.append("no photo waiting")
        for path, health in list(troubles.items())[:MOST_TROUBLES]:
            parts.append(f"{printable(path)} is {health.state}: {health.reason}")
        if len(troubles) > MOST_TROUBLES:
            parts.append(f"{len(troubles) - MOST_TROUBLES} more with troubles")
        return "; ".join([*parts, *filter(None, (model, self.complaint))])
