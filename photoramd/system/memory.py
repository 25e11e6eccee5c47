"""Memory for pictures: a bound on what all threads take together, and giving it back.

A JPEG is reduced while it is decoded, but HEIC, PNG and TIFF are not: a photo of 48 million
pixels takes nearly 400 MB for a moment, and eight threads with one each more than the whole
rest of photoramd many times over.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress


def trim_memory() -> None:
    """Give free memory back to the system, where the C library can (glibc's malloc_trim).

    By itself it keeps what each thread has freed, for that thread.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
