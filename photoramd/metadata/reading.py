"""What a photo and its sidecar say, apart from the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photoramd.errors import PhotoramdError
from photoramd.metadata import sidecar
from photoramd.metadata.own_keywords import NO_KEYWORDS, FileKeywords
from photoramd.photo import Fingerprint, Look


@dataclass(frozen=True, slots=True)
class Beside:
    """The sidecar of a photo.

    Attributes:
        path: Where it is.
        content: Its bytes.
        mtime_ns: Its date, nanoseconds since 1970.
    """

    path: Path
    content: bytes
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a photo and its sidecar say.

    Attributes:
        look: What the photo says of the picture; None if that cannot be told.
        inside: The keywords inside the photo.
        beside: The keywords in the sidecar.
        sidecar: The sidecar that was read, and its ``mtime_ns``; None if there is none.
        fingerprint: The photo's; None if nothing was read.
    """

    look: Look | None = None
    inside: FileKeywords = NO_KEYWORDS
    beside: FileKeywords = NO_KEYWORDS
    sidecar: tuple[Path, int] | None = None
    fingerprint: Fingerprint | None = None


def find_beside(photo: Path) -> Beside | None:
    """Return the sidecar of a photo; None if there is none that can be read."""
    try:
        target = sidecar.locate(photo)
        if not target.exists:
            return None
        content, fingerprint = sidecar.read(target.path)
    except (PhotoramdError, ValueError):
        return None  # whatever is wrong with it is said when it is to be written
    return Beside(target.path, content, fingerprint.mtime_ns)
