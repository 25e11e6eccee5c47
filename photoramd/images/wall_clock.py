"""Read the times that EXIF, XMP and IPTC write: what a clock on a wall showed.

Formats: EXIF 3.0 (4.6.6, tags 0x0132, 0x9003, 0x9010 and 0x9290), ISO 8601 as XMP restricts it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_FIRST_YEAR, _LAST_YEAR = 1800, 2200
_MOST_CHARACTERS = 64

# Programs put slashes, dots and blanks where colons belong, and blanks for what is not known.
_MOMENT = re.compile(
    r"(\d{4})[:/.-]\s?(\d\d?)[:/.-]\s?(\d\d?)"
    r"(?:[T\s:]\s*(\d\d?):\s?(\d\d?)(?::\s?(\d\d?)(?:[.,](\d+))?)?\s?(Z|[+-]\d\d:?\d\d)?|[\s:T]*)",
    re.ASCII,
)
_OFFSET = re.compile(r"Z|([+-])(\d\d?):?(\d\d)", re.ASCII)
_MOST_OFFSET = 14 * 60
"""Of Kiribati; none is further from UTC."""


def moment(text: str) -> tuple[float, int | None] | None:
    """Return the moment that a text says; None if it says none, or one that cannot be.

    A date alone is its midnight. Years are 1800 to 2200: others are the defaults of clocks that
    were never set, or damaged.

    Returns:
        Seconds from 1970-01-01 00:00:00 on the same clock; and how many minutes the clock was
        ahead of UTC, or None if the text does not say that.
    """
    found = _MOMENT.fullmatch(_trimmed(text))
    if found is None:
        return None
    *numbers, part, offset = found.groups()
    year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:  # such as month 13
        return None
    return whole + fraction(part or ""), utc_offset(offset or "")


def utc_offset(text: str) -> int | None:
    """Return the minutes in a text such as ``+01:00``; None if it is no offset from UTC."""
    found = _OFFSET.fullmatch(_trimmed(text))
    if found is None:
        return None
    sign, hours, minutes = found.groups("0")
    total = 60 * int(hours) + int(minutes)
    if int(minutes) > 59 or total > _MOST_OFFSET:
        return None
    return -total if sign == "-" else total


def fraction(digits: str) -> float:
    """Return the part of a second that its decimal digits say; 0 if they are none."""
    digits = _trimmed(digits)
    return float(f"0.{digits}") if digits.isascii() and digits.isdigit() else 0.0


def _trimmed(text: str) -> str:
    return text.strip("\0 \t\r\n") if len(text) <= _MOST_CHARACTERS else ""
