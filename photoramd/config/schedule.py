"""The hours during which the model may run. Time is a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from photoramd.clock import UnixTime


@dataclass(frozen=True, slots=True)
class Schedule:
    """Spans of the day in local time, which may cross midnight; without any, always.

    Attributes:
        spans: Start and end, the end excluded; equal ones mean the whole day.
    """

    spans: tuple[tuple[time, time], ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Schedule:
        """Parse texts such as ``22:00-07:00``."""
        ends = [text.split("-") for text in texts]
        return cls(tuple((time.fromisoformat(a), time.fromisoformat(b)) for a, b in ends))

    def is_open(self, wall: UnixTime) -> bool:
        """Return whether the model may run at this moment."""
        now = datetime.fromtimestamp(wall).time()
        return not self.spans or any(_holds(span, now) for span in self.spans)

    def next_change(self, wall: UnixTime) -> UnixTime:
        """Return when the next span begins or ends.

        It may not change `is_open`, where spans overlap; infinite without spans.
        """
        today = datetime.fromtimestamp(wall).date()
        moments = (
            datetime.combine(today + timedelta(days=days), edge).timestamp()
            for days in range(3)
            for span in self.spans
            for edge in span
        )
        return UnixTime(min((each for each in moments if each > wall), default=float("inf")))


ALWAYS = Schedule()


def _holds(span: tuple[time, time], now: time) -> bool:
    begin, end = span
    if begin < end:
        return begin <= now < end
    return now >= begin or now < end
