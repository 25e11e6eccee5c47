"""Values as the database stores them.

Paths are stored as the bytes they are on disk, 64-bit unsigned numbers as signed ones.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from photoramd.photo import Fingerprint, PhotoState

_STATES = {state.value: state for state in PhotoState}


def path_of(directory: bytes, name: bytes) -> Path:
    """Return the path of a photo from its two columns."""
    return Path(os.fsdecode(directory), os.fsdecode(name))


def state_of(text: str) -> PhotoState:
    """Return the state of a photo from its column."""
    return _STATES[text]  # a tenth of the time of PhotoState(text), for every known photo


def columns(fingerprint: Fingerprint) -> tuple[int, int, int, int]:
    """Return a fingerprint as it is stored: size, mtime_ns, device, inode."""
    return (
        fingerprint.size,
        fingerprint.mtime_ns,
        signed(fingerprint.device),
        signed(fingerprint.inode),
    )


def fingerprint_of(columns: Sequence[int]) -> Fingerprint:
    """Return the inverse of `columns`."""
    size, mtime_ns, device, inode = columns
    return Fingerprint(size, mtime_ns, device % 2**64, inode % 2**64)


def signed(number: int) -> int:
    """Return a number as it is stored: SQLite's are signed, some inode numbers use all 64 bits."""
    return number - 2**64 if number >= 2**63 else number


def printable_unless_utf8(path: str) -> str | None:
    """Return a path or name as a text that can be printed; None if its bytes are such a text."""
    data = os.fsencode(path)
    text = data.decode("utf-8", "backslashreplace")
    return None if text.encode() == data else text
