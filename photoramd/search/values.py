"""What may stand behind a field of a query: numbers with units, dates, places, words.

Dates are those of a wall clock, in seconds since 1970 as if it showed UTC. Each function takes the
text of one value and raises `BadValueError` with what is wrong and an example.
"""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from photoramd.search.expression import Near, Range, Recurring, Text

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class RawValue:
    """A value as it is written.

    Attributes:
        text: Without quotes.
        is_quoted: Whether it stood in quotes.
        position: Where it stands in the query, from 1.
    """

    text: str
    is_quoted: bool
    position: int


class BadValueError(ValueError):
    """A value that a field cannot have; its text says why.

    Args:
        message: That.
        position: Where the value stands in the query, from 1; None: it is not known here.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


# Texts


def text_value(raw: RawValue, is_exact: bool) -> Text:
    """Return a text; outside of quotes a ``*`` stands for any letters."""
    text = storable(raw.text)
    parts = (text,) if raw.is_quoted else tuple(re.split(r"\*+", text))
    return Text(parts, is_exact)


def storable(text: str) -> str:
    r"""Return a text as the database has it: bytes that are not UTF-8 as ``\xNN``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # The command line gives bytes as half a surrogate pair each; other halves are nobody's.
        is_bytes = all(
            not "\ud800" <= letter <= "\udfff" or "\udc80" <= letter <= "\udcff" for letter in text
        )
        errors = "surrogateescape" if is_bytes else "surrogatepass"
        return text.encode("utf-8", errors).decode("utf-8", "backslashreplace")
    return text


# Ranges

Span = Callable[[str], tuple[float, float]]
"""Returns the least and the greatest number that a text such as ``2024`` stands for."""

_COMPARISON = re.compile(r"(>=|<=|>|<)?(.*)", re.DOTALL)


def range_value(text: str, span: Span, alone: Span | None = None) -> Range:
    """Return a range: ``v``, ``v..w``, ``v..``, ``..w``, ``>v``, ``>=v``, ``<v`` or ``<=v``.

    Args:
        text: How it is written.
        span: What its ends stand for.
        alone: What a value stands for that is not part of a range; None: the same.
    """
    operator, rest = _COMPARISON.fullmatch(text).groups()  # type: ignore[union-attr]
    if operator:
        low, high = span(rest)
        return {
            ">": Range(low=high, has_low=False),
            ">=": Range(low=low),
            "<": Range(high=low, has_high=False),
            "<=": Range(high=high),
        }[operator]
    if ".." not in text:
        return Range(*(alone or span)(text))
    first, _, last = text.partition("..")
    if not first and not last:
        raise BadValueError("a range without ends, where 3..5, 3.. or ..5 is expected")
    begin = span(first)[0] if first else None
    end = span(last)[1] if last else None
    if begin is not None and end is not None and begin > end:
        raise BadValueError(f"{first} comes after {last}")
    return Range(begin, end)


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")

_ROUNDING = 1e-6
"""Of numbers that are fractions in the file, as a part of them."""


def number(text: str) -> float:
    """Return a number."""
    if not _NUMBER.fullmatch(text) or len(text) > 30:
        raise BadValueError(f"{text or 'nothing'}, where a number is expected")
    return float(text)


def size(text: str) -> float:
    """Return a size in bytes: ``10MB``, ``500kB``, ``2GiB``."""
    found = re.fullmatch(r"([\d.]+)\s*([A-Za-z]*)", text)
    if found is None or found[2].lower() not in _UNITS:
        raise BadValueError(f"{text}, where a size such as 10MB is expected")
    return number(found[1]) * _UNITS[found[2].lower()]


_UNITS = {
    "": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9,
    "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip


def exposure(text: str) -> float:
    """Return an exposure time in seconds: ``1/250``, ``0.5``, ``2s``."""
    top, slash, bottom = text.removesuffix("s").partition("/")
    below = number(bottom) if slash else 1.0
    if below <= 0:
        raise BadValueError(f"{text}, where a time such as 1/250 is expected")
    return number(top) / below


def number_value(text: str, unit: Callable[[str], float], room: float, part: float) -> Range:
    """Return a range of numbers.

    Args:
        text: How it is written; see `range_value`.
        unit: Reads a number with its unit.
        room: How far a number may be from one that stands alone, as cameras round.
        part: The same, as a part of the number.
    """

    def span(end: str) -> tuple[float, float]:
        found = unit(end)
        return found - abs(found) * _ROUNDING, found + abs(found) * _ROUNDING

    def alone(end: str) -> tuple[float, float]:
        found = unit(end)
        around = max(room, abs(found) * max(part, _ROUNDING))
        return found - around, found + around

    return range_value(text, span, alone)


# Dates

_DATE = re.compile(r"(\d{4}|\*)(?:-(\d{1,2}|\*))?(?:-(\d{1,2}|\*))?")
_MOMENT = re.compile(r"(\d{4}-\d{1,2}-\d{1,2})[Tt](\d{1,2}):(\d{2})")
_AGE = re.compile(r"(<=?|>=?)?(\d{1,6})([hdwmy])")
_AGES = {"h": 1 / 24, "d": 1.0, "w": 7.0, "m": 30.4369, "y": 365.2425}


def date_value(text: str, now: float) -> Range | Recurring:
    """Return dates.

    Args:
        text: ``2024``, ``2024-07``, ``2024-07-31``, ``2024-07-31T18:30``, ``today``,
            ``yesterday``; a range or comparison of these; ``<7d`` or ``7d`` for less than seven
            days ago, ``>1y`` for more than a year (h, d, w, m, y); ``*-12-25`` for each year's.
        now: The present time of the wall clock.
    """
    age = _AGE.fullmatch(text)
    if age:
        operator, count, unit = age.groups()
        moment = now - int(count) * _AGES[unit] * _DAY
        if operator in (">", ">="):
            return Range(high=moment)
        return Range(low=moment)
    if "*" in text:
        return _recurring(text)
    return range_value(text, _spans(now))


def _spans(now: float) -> Span:
    today = math.floor(now / _DAY) * _DAY

    def span(text: str) -> tuple[float, float]:
        word = text.lower()
        if word in ("today", "yesterday"):
            begin = today - _DAY * (word == "yesterday")
            return begin, _last(begin + _DAY)
        moment = _MOMENT.fullmatch(text)
        if moment:
            begin = _day(moment[1]) + int(moment[2]) * 3600 + int(moment[3]) * 60
            if int(moment[2]) > 23 or int(moment[3]) > 59:
                raise BadValueError(f"{text}: there is no such time")
            return begin, _last(begin + 60)
        found = _DATE.fullmatch(text)
        if not found or "*" in text:
            raise BadValueError(
                f"{text or 'nothing'}, where a date is expected, such as 2024, 2024-07, "
                "2024-07-31, today or <7d"
            )
        return _span_of(text, *(int(part) if part else None for part in found.groups()))

    return span


def _last(end: float) -> float:
    """Return the greatest number below one."""
    return math.nextafter(end, -math.inf)


def _day(text: str) -> float:
    year, month, day = map(int, text.split("-"))
    return _span_of(text, year, month, day)[0]


def _span_of(
    text: str, year: int | None, month: int | None = None, day: int | None = None
) -> tuple[float, float]:
    try:
        begin = datetime(year or 0, _or(month, 1), _or(day, 1), tzinfo=UTC)
        if day:
            end = begin + timedelta(days=1)
        elif month:
            end = begin + timedelta(days=calendar.monthrange(begin.year, month)[1])
        else:
            end = begin + timedelta(days=366 if calendar.isleap(begin.year) else 365)
    except (ValueError, OverflowError) as error:
        raise BadValueError(f"{text}: there is no such date") from error
    return begin.timestamp(), _last(end.timestamp())


def _recurring(text: str) -> Recurring:
    found = _DATE.fullmatch(text)
    if found is None:
        raise BadValueError(f"{text}, where a date such as *-12-25 or 2024-*-01 is expected")
    year, month, day = (None if part in (None, "*") else int(part) for part in found.groups())
    try:
        # In a leap year, so that there is a 29th of February.
        datetime(2024 if year is None else year, _or(month, 1), _or(day, 1), tzinfo=UTC)
    except ValueError as error:
        raise BadValueError(f"{text}: there is no such date") from error
    if year is None and month is None and day is None:
        raise BadValueError(f"{text}: for photos with any date write has:taken")
    return Recurring(year, month, day)


def _or(number: int | None, other: int) -> int:
    return other if number is None else number


# Places

_UNITS_OF_LENGTH = {"m": 1.0, "km": 1000.0, "mi": 1609.344}
_DISTANCE = re.compile(r"([\d.]+)(m|km|mi)", re.IGNORECASE)
_POINT = re.compile(rf"\s*{_NUMBER.pattern},\s*{_NUMBER.pattern}\s*")
NEAR_METRES = 1000.0
"""How near is near, if it is not said."""


def near_value(raws: Sequence[RawValue]) -> Near:
    """Return a place: ``48.85,2.35~5km`` or ``PATH~1km``."""
    text = ",".join(raw.text for raw in raws)
    place, tilde, distance = text.rpartition("~")
    metres = NEAR_METRES
    found = _DISTANCE.fullmatch(distance)
    if tilde and found:
        metres = number(found[1]) * _UNITS_OF_LENGTH[found[2].lower()]
    else:
        place = text
    lat, comma, lon = place.partition(",")
    if comma and _NUMBER.fullmatch(lat.strip()) and _NUMBER.fullmatch(lon.strip()):
        north, east = float(lat), float(lon)
        if abs(north) > 90 or abs(east) > 180:
            raise BadValueError(f"{place}: there is no such place; latitude comes first")
        return Near(metres, north, east)
    if tilde and _POINT.fullmatch(text.rpartition("~")[0]):
        raise BadValueError(f"{distance or 'nothing'}, where a distance such as 5km is expected")
    if not place:
        raise BadValueError("no place, where 48.85,2.35~5km or a photo~1km is expected")
    return Near(metres, path=place)
