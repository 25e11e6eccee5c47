"""Two clocks, which the type checker tells apart.

Monotonic time orders events in one process and measures durations; nobody can set it. Unix time
is the time in the database and of files; it may jump. Durations are plain ``float`` seconds: a
time plus a duration must be given its type again, which says which clock it belongs to.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import NewType

Monotonic = NewType("Monotonic", float)
"""Seconds since an unspecified moment, valid until the machine is rebooted."""

UnixTime = NewType("UnixTime", float)
"""Seconds since 1970-01-01 00:00 UTC."""


def monotonic() -> Monotonic:
    """Return the current monotonic time."""
    return Monotonic(time.monotonic())


def unix_time() -> UnixTime:
    """Return the current Unix time."""
    return UnixTime(time.time())


def wall_time(seconds: float | None) -> str | None:
    """Return a time of a clock on the wall, to the second: ``2024-07-31T18:30:00``.

    Args:
        seconds: Since 1970 on the same clock; None, or what no calendar has, gives None.
    """
    if seconds is None:
        return None
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(seconds // 1))
    except (OverflowError, ValueError):
        return None
    return moment.replace(tzinfo=None).isoformat()
