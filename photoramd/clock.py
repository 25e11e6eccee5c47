"""The two clocks, told apart by the type checker.

Monotonic time orders what happens in one process and measures how long it takes; nobody can
set it. Unix time is what the database stores and files carry; it may jump. Durations are plain
``float`` seconds: adding one to a time needs the type's name again, which says whose time it is.
"""

from __future__ import annotations

import time
from typing import NewType

Monotonic = NewType("Monotonic", float)
"""Seconds since a moment that only this boot of the machine knows."""

UnixTime = NewType("UnixTime", float)
"""Seconds since 1970-01-01 00:00 UTC."""


def monotonic() -> Monotonic:
    """Return the present monotonic time."""
    return Monotonic(time.monotonic())


def unix_time() -> UnixTime:
    """Return the present Unix time."""
    return UnixTime(time.time())
