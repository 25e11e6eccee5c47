"""Days that come again, such as each year's Christmas, as spans of time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from photoramd.search.expression import Range, Recurring

_DAY = 86_400.0


def spans_of(days: Recurring, years: Iterable[int]) -> list[Range]:
    """Return the spans of days in some years, in seconds of the wall clock."""
    months = range(1, 13) if days.month is None else (days.month,)
    spans = []
    for year in (days.year,) if days.year is not None else years:
        for month in months:
            begin = _begin(year, month, days.day or 1)
            if begin is None:
                continue
            end = begin + _DAY
            if days.day is None:
                end = _begin(year + month // 12, month % 12 + 1, 1) or begin + 31 * _DAY
            spans.append(Range(begin, end, has_high=False))
    return spans


def _begin(year: int, month: int, day: int) -> float | None:
    try:
        return datetime(year, month, day, tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None  # such as the 31st of April
