"""Read what EXIF says of a photo: when, with what and where it was taken.

Cameras, programs and attackers write anything. A value that makes no sense is as good as none, and
costs no other value. Maker notes are not read.

Format: EXIF 3.0 (CIPA DC-008). The order in which times are believed is digiKam's.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from photoramd.images.camera_names import lens_by_numbers, named, text
from photoramd.images.directories import Directory, Header, Pair
from photoramd.images.wall_clock import fraction, moment, utc_offset
from photoramd.photo import Look

_MAKE, _MODEL, _DATE_TIME, _LENS_INFO = 0x010F, 0x0110, 0x0132, 0xC630
_EXIF, _GPS = 0x8769, 0x8825
_EXPOSURE_TIME, _F_NUMBER, _FOCAL_LENGTH = 0x829A, 0x829D, 0x920A
_SHUTTER_SPEED, _APERTURE = 0x9201, 0x9202
_LENS_SPECIFICATION, _LENS_MAKE, _LENS_MODEL = 0xA432, 0xA433, 0xA434
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 1, 2, 3, 4

_TIMES = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012), (_DATE_TIME, 0x9290, 0x9010))
"""A time, its part of a second, and how far its clock is from UTC; of the shot, of its coming into
being as numbers, and of the last change."""

_SENSITIVITIES = (0x8827, 0x8832, 0x8833, 0x8831)
"""The first has 16 bits, and 65535 for what they do not hold."""

_IN_IMAGE = frozenset({_MAKE, _MODEL, _LENS_INFO, _EXIF, _GPS})
_IN_PHOTO = frozenset(
    {
        *(tag for tags in _TIMES for tag in tags), *_SENSITIVITIES, _EXPOSURE_TIME, _F_NUMBER,
        _FOCAL_LENGTH, _SHUTTER_SPEED, _APERTURE, _LENS_SPECIFICATION, _LENS_MAKE, _LENS_MODEL,
    }
)  # fmt: skip
_IN_GPS = frozenset({_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE})

_MAX_VALUE_BYTES = 1 << 12
_SEARCH_BYTES = 64
_PREFIX = b"Exif\0\0"


@dataclass(frozen=True, slots=True)
class Exif:
    """The three directories of EXIF, with the tags that are read here.

    Attributes:
        image: The first. In RAW and TIFF files, it may have what belongs into the second.
        photo: The one of the shot.
        gps: The one of the place.
    """

    image: Directory = field(default_factory=Directory)
    photo: Directory = field(default_factory=Directory)
    gps: Directory = field(default_factory=Directory)

    def __bool__(self) -> bool:
        """Return whether there is anything in it."""
        return bool(self.image.values or self.photo.values or self.gps.values)


def read(file: IO[bytes]) -> Exif:
    """Read the EXIF of a file that is a TIFF in its structure; nothing if it is none.

    Raises:
        OSError: The disk failed.
    """
    header = Header.read(file)
    if header is None:
        return Exif()
    image = _directory(file, header, [header.first], _IN_IMAGE | _IN_PHOTO)
    return Exif(
        image,
        _directory(file, header, image.numbers(_EXIF), _IN_PHOTO),
        _directory(file, header, image.numbers(_GPS), _IN_GPS),
    )


def read_block(block: bytes) -> Exif:
    """Read a block of EXIF, with or without what containers put in front of it."""
    while block.startswith(_PREFIX):  # twice, by some programs
        block = block[len(_PREFIX) :]
    if not block.startswith((b"II", b"MM")):
        start = re.search(rb"II\*\0|MM\0\*", block[:_SEARCH_BYTES])
        block = block[start.start() :] if start else b""
    return read(io.BytesIO(block))


def read_blocks(image: bytes, photo: bytes, gps: bytes) -> Exif:
    """Read EXIF whose three directories are TIFFs of their own, as in CR3."""
    blocks = ((image, _IN_IMAGE | _IN_PHOTO), (photo, _IN_PHOTO), (gps, _IN_GPS))
    found = []
    for block, wanted in blocks:
        header = Header.read(io.BytesIO(block))
        places = [] if header is None else [header.first]
        found.append(_directory(io.BytesIO(block), header or Header("<", 0), places, wanted))
    return Exif(*found)


def look(size: tuple[int, int], format_: str, exif: Exif) -> Look:
    """Return the look of a photo.

    Args:
        size: Width and height of the upright photo, in pixels.
        format_: See `Look`.
        exif: What it has of EXIF.
    """
    taken, tz = _taken(exif)
    lat, lon = _place(exif.gps)
    return Look(
        *size,
        format_,
        taken=taken,
        tz=tz,
        camera=named(text(exif.image.text(_MAKE)), text(exif.image.text(_MODEL))),
        lens=_lens(exif),
        iso=_iso(exif),
        f=_f_number(exif),
        exposure=_exposure(exif),
        mm=_first(exif, _FOCAL_LENGTH, 10_000),
        lat=lat,
        lon=lon,
    )


def _directory(
    file: IO[bytes], header: Header, places: list[int], wanted: frozenset[int]
) -> Directory:
    if not places or places[0] == 0:
        return Directory()
    return Directory.read(file, header, places[0], wanted, _MAX_VALUE_BYTES)


# --- Time ---


def _taken(exif: Exif) -> tuple[float | None, int | None]:
    for time, part, offset in _TIMES:
        for written in _texts(exif, time):
            found = moment(written)
            if found is not None:
                seconds, tz = found
                parts = (fraction(digits) for digits in _texts(exif, part))
                offsets = (utc_offset(text_) for text_ in _texts(exif, offset))
                if seconds.is_integer():
                    seconds += next((each for each in parts if each), 0.0)
                return seconds, next((each for each in offsets if each is not None), tz)
    return None, None


def _texts(exif: Exif, tag: int) -> Iterator[str]:
    for directory in (exif.photo, exif.image):
        found = directory.text(tag)
        if found:
            yield found.strip(b"\0").partition(b"\0")[0].decode("latin-1")


# --- Camera and lens ---


def _lens(exif: Exif) -> str | None:
    make, model = (
        text(exif.photo.text(tag) or exif.image.text(tag)) for tag in (_LENS_MAKE, _LENS_MODEL)
    )
    # Without a model, the make alone is often that of the camera.
    found = named(make, model) if any(map(str.isalnum, model)) else None
    if found is not None:
        return found
    for numbers in (
        exif.photo.pairs(_LENS_SPECIFICATION, 4),
        exif.image.pairs(_LENS_SPECIFICATION, 4),
        exif.image.pairs(_LENS_INFO, 4),  # of DNG
    ):
        found = lens_by_numbers([_quotient(pair) for pair in numbers])
        if found is not None:
            return found
    return None


# --- Numbers ---

_MOST_SENSITIVITY = 10_000_000
_MOST_SECONDS = 1_000_000.0
_MOST_F_NUMBER = 1000.0
_MOST_APEX = 40


def _iso(exif: Exif) -> int | None:
    for tag in _SENSITIVITIES:
        found = _first(exif, tag, _MOST_SENSITIVITY)
        if found is not None and found >= 1 and found != 0xFFFF:
            return round(found)
    return None


def _exposure(exif: Exif) -> float | None:
    found = _first(exif, _EXPOSURE_TIME, _MOST_SECONDS)
    apex = _apex(exif, _SHUTTER_SPEED)
    if found is not None or apex is None:
        return found
    seconds = float(f"{2.0**-apex:.3g}")
    return seconds if seconds <= _MOST_SECONDS else None


def _f_number(exif: Exif) -> float | None:
    found = _first(exif, _F_NUMBER, _MOST_F_NUMBER)
    apex = _apex(exif, _APERTURE)
    if found is not None or apex is None or apex < 0:
        return found
    number = round(2.0 ** (apex / 2), 1)
    return number if number <= _MOST_F_NUMBER else None


def _apex(exif: Exif, tag: int) -> float | None:
    """Return a value in APEX's units, which are logarithms to base 2."""
    found = next(_numbers(exif, tag), None)
    # 0 is a second, and f/1; but what cameras write that do not know it.
    return found if found and abs(found) <= _MOST_APEX else None


def _first(exif: Exif, tag: int, most: float) -> float | None:
    """Return the first number of a tag that is above zero, and not more than is possible."""
    return next((found for found in _numbers(exif, tag) if 0 < found <= most), None)


def _numbers(exif: Exif, tag: int) -> Iterator[float]:
    for directory in (exif.photo, exif.image):
        for pair in directory.pairs(tag):
            found = _quotient(pair)
            if found is not None:
                yield found


def _quotient(pair: Pair) -> float | None:
    above, below = pair
    if not below or not math.isfinite(above):
        return None
    return above / below


# --- Place ---


def _place(gps: Directory) -> tuple[float | None, float | None]:
    lat = _angle(gps, _LATITUDE, _LATITUDE_REF, "NS")
    lon = _angle(gps, _LONGITUDE, _LONGITUDE_REF, "EW")
    if lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180:
        return None, None
    # Zero and zero is what devices write that do not know where they are.
    return (None, None) if lat == lon == 0 else (lat, lon)


def _angle(gps: Directory, tag: int, ref: int, signs: str) -> float | None:
    """Return an angle in degrees; None if it is none, or on a side that is not told."""
    side = text(gps.text(ref))[:1].upper()
    pairs = gps.pairs(tag, 3)
    if not pairs or not side or side not in signs:
        return None
    above, below = pairs[0]
    if above == 1 and below > 1:  # written the wrong way round: 1/48
        return None
    degrees, *parts = map(_quotient, pairs)
    if degrees is None or degrees < 0:
        return None
    for part, unit in zip(parts, (60, 3600), strict=False):
        if part is None:
            break  # what is not known is less than this
        if not 0 <= part <= 60:
            return None
        degrees += part / unit
    return -degrees if side == signs[1] else degrees
