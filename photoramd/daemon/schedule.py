"""The hours at which the model may run: pure, time is a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta


@dataclass(frozen=True, slots=True)
class Schedule:
    """Spans of the day in local time; a span may go over midnight. None at all: always.

    Attributes:
        spans: Beginning and end; the end itself is outside. Both equal: the whole day.
    """

    spans: tuple[tuple[time, time], ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Schedule:
        """From texts such as ``22:00-07:00``."""
        ends = [text.split("-") for text in texts]
        return cls(tuple((time.fromisoformat(a), time.fromisoformat(b)) for a, b in ends))

    def is_open(self, wall: float) -> bool:
        """Whether the model may run at this moment, in Unix seconds."""
        now = datetime.fromtimestamp(wall).time()
        return not self.spans or any(_holds(span, now) for span in self.spans)

    def next_change(self, wall: float) -> float:
        """The next moment at which a span begins or ends, in Unix seconds.

        It may not change `is_open`, where spans overlap; infinite without spans.
        """
        today = datetime.fromtimestamp(wall).date()
        moments = (
            datetime.combine(today + timedelta(days=days), edge).timestamp()
            for days in range(3)
            for span in self.spans
            for edge in span
        )
        return min((moment for moment in moments if moment > wall), default=float("inf"))


ALWAYS = Schedule()


def _holds(span: tuple[time, time], now: time) -> bool:
    begin, end = span
    if begin < end:
        return begin <= now < end
    return now >= begin or now < end
