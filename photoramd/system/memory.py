"""Give memory back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def trim_memory() -> None:
    """Give free memory back to the system, where the C library can (glibc's malloc_trim).

    Otherwise the library keeps the memory that each thread has freed, for that thread.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
