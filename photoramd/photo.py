"""The values that all packages share: frozen and small, without behaviour of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from os import stat_result
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What identifies a file's content without reading it: equal means "unchanged".

    ``mtime_ns`` is a signed number of 64 bits. ``ctime_ns`` only tells whether a file is still
    being written; a changed mode or owner does not make a new photo.
    """

    size: int
    mtime_ns: int
    device: int
    inode: int
    ctime_ns: int = field(default=0, compare=False)

    @classmethod
    def of(cls, stat: stat_result) -> Fingerprint:
        """Return the fingerprint in a ``stat`` result."""
        # Dates after 2262, from broken clocks, need more than the 63 bits of the database.
        mtime_ns = (stat.st_mtime_ns + 2**63) % 2**64 - 2**63
        return cls(stat.st_size, mtime_ns, stat.st_dev, stat.st_ino, stat.st_ctime_ns)

    def is_stable_since(self, earlier: Fingerprint) -> bool:
        """Return whether nothing at all happened to the file between two checks."""
        return self == earlier and self.ctime_ns == earlier.ctime_ns


@dataclass(frozen=True, slots=True)
class Tag:
    """A keyword for one photo.

    Attributes:
        name: The keyword as it is written, NFC.
        confidence: 0 to 1.
        parents: The keywords above it, the most general first; empty for a flat one.
        is_given: Whether it is the user's word, who had it added: no machine's, then.
    """

    name: str
    confidence: float
    parents: tuple[str, ...] = ()
    is_given: bool = False


def surest_first(tags: Iterable[Tag]) -> list[Tag]:
    """Return tags, the most confident first, by name where they are equally so."""
    return sorted(tags, key=lambda tag: (-tag.confidence, tag.name))


class PhotoState(StrEnum):
    """The state of a photo in the database; the values are stored."""

    PENDING = "pending"
    """Waits to be decoded and tagged."""
    TAGGED = "tagged"
    """Has a result that waits to be written."""
    WRITTEN = "written"
    """Done, until the photo or the settings change."""
    FAILED = "failed"
    """Could not be decoded or tagged; tried again at its ``next_attempt``."""
    MISSING = "missing"
    """Absent from two complete scans."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A file, and its fingerprint when it was found stable."""

    path: Path
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Look:
    """What a file says of its photo. None is what it does not say, or says senselessly.

    Attributes:
        width: The width of the upright photo in full size, in pixels.
        height: Its height, likewise.
        format: The format, by content: ``JPEG``, ``PNG``, ``WEBP``, ``TIFF``, ``BMP``, ``GIF``,
            ``AVIF`` or ``HEIF``; ``RAW``, by suffix and content.
        taken: When it was taken: what the camera's clock showed, in seconds from 1970-01-01
            00:00:00 on the same clock. It is Unix time only where the clock was set to UTC.
        tz: How far the clock was ahead of UTC, in minutes; east is positive.
        camera: Make and model, such as ``Canon EOS R6``; at most 100 characters.
        lens: Likewise.
        iso: The sensitivity.
        f: The f-number.
        exposure: The exposure time in seconds.
        mm: The focal length in millimetres, not converted to another size of sensor.
        lat: The latitude in degrees, north positive, WGS84. It comes with the longitude only.
        lon: The longitude in degrees, east positive.
    """

    width: int
    height: int
    format: str
    taken: float | None = None
    tz: int | None = None
    camera: str | None = None
    lens: str | None = None
    iso: int | None = None
    f: float | None = None
    exposure: float | None = None
    mm: float | None = None
    lat: float | None = None
    lon: float | None = None
