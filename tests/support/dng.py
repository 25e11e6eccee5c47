"""Real DNG files of our own making: a sensor's mosaic, with or without a JPEG preview.

Format: DNG 1.4 on TIFF 6.0. The preview, if there is one, is the first directory and the
sensor's data a directory below it, as cameras and converters do it.
"""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

BLACK, WHITE = 512, 16383
XYZ_TO_SRGB = (3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572)
"""With it as ColorMatrix1, the camera's colours are those of linear sRGB."""

Entry = tuple[int, int, Any]
"""Tag, type, and values or bytes."""

_BYTE, _ASCII, _SHORT, _LONG, _UNDEFINED, _SRATIONAL = 1, 2, 3, 4, 7, 10
_LETTERS = {_BYTE: "B", _SHORT: "H", _LONG: "I"}


def dng(
    image: Image.Image,
    *,
    preview: Image.Image | bytes | None = None,
    orientation: int = 1,
    order: str = "<",
    xmp: bytes = b"",
    iptc: bytes = b"",
) -> bytes:
    """A DNG of a picture of even size.

    Args:
        image: What the sensor saw, as it lay on the sensor.
        preview: What the preview shows, or its JPEG.
        orientation: EXIF's number.
        order: ``<`` or ``>``.
        xmp: An XMP packet.
        iptc: An IPTC record.
    """
    data = mosaic(image).astype(f"{order}u2").tobytes()
    common: list[Entry] = [
        (271, _ASCII, b"photoramd\0"),
        (272, _ASCII, b"Test Camera\0"),
        (274, _SHORT, [orientation]),
        (50706, _BYTE, [1, 4, 0, 0]),
        (50707, _BYTE, [1, 1, 0, 0]),
        (50708, _ASCII, b"photoramd Test Camera\0"),
        (50721, _SRATIONAL, XYZ_TO_SRGB),
        (50728, 5, [1, 1, 1]),
        (50778, _SHORT, [21]),
    ]
    if xmp:
        common.append((700, _BYTE, xmp))
    if iptc:
        common.append((33723, _UNDEFINED, iptc))
    raw: list[Entry] = [
        (254, _LONG, [0]),
        (256, _LONG, [image.width]),
        (257, _LONG, [image.height]),
        (258, _SHORT, [16]),
        (259, _SHORT, [1]),
        (262, _SHORT, [32803]),
        (273, _LONG, data),
        (277, _SHORT, [1]),
        (278, _LONG, [image.height]),
        (279, _LONG, [len(data)]),
        (284, _SHORT, [1]),
        (33421, _SHORT, [2, 2]),
        (33422, _BYTE, [0, 1, 1, 2]),
        (50710, _BYTE, [0, 1, 2]),
        (50711, _SHORT, [1]),
        (50714, _SHORT, [BLACK]),
        (50717, _SHORT, [WHITE]),
    ]
    if preview is None:
        return _file(order, [*raw, *common])
    coded = preview if isinstance(preview, bytes) else jpeg(preview)
    with Image.open(io.BytesIO(coded)) as opened:
        width, height = opened.size
    first: list[Entry] = [
        (254, _LONG, [1]),
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, [8, 8, 8]),
        (259, _SHORT, [7]),
        (262, _SHORT, [6]),
        (273, _LONG, coded),
        (277, _SHORT, [3]),
        (278, _LONG, [height]),
        (279, _LONG, [len(coded)]),
        (284, _SHORT, [1]),
        (330, _LONG, raw),
    ]
    return _file(order, [*first, *common])


def jpeg(image: Image.Image, **options: Any) -> bytes:
    """A picture as a JPEG file."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=95, **options)
    return content.getvalue()


def mosaic(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """What a sensor behind a filter of red, green / green, blue makes of a picture."""
    linear = (np.asarray(image.convert("RGB")) / 255.0) ** 2.2
    values = (linear * (WHITE - BLACK) + BLACK).astype(np.uint16)
    sensor = values[:, :, 1].copy()
    sensor[0::2, 0::2] = values[0::2, 0::2, 0]
    sensor[1::2, 1::2] = values[1::2, 1::2, 2]
    return sensor


def _file(order: str, entries: list[Entry]) -> bytes:
    content = bytearray({"<": b"II*\0", ">": b"MM\0*"}[order] + bytes(4))
    content[4:8] = struct.pack(f"{order}I", _directory(content, order, entries))
    return bytes(content)


def _directory(content: bytearray, order: str, entries: list[Entry]) -> int:
    """Append a directory, and before it what it points to; returns where it is."""
    packed = []
    for tag, kind, value in sorted(entries, key=lambda entry: entry[0]):
        values = value
        if kind == _LONG and isinstance(value, bytes):  # the strip itself
            values = [_append(content, value)]
        elif tag == 330:
            values = [_directory(content, order, value)]
        data, count = _packed(order, kind, values)
        if len(data) > 4:
            data = struct.pack(f"{order}I", _append(content, data))
        packed.append(struct.pack(f"{order}HHI", tag, kind, count) + data.ljust(4, b"\0"))
    body = struct.pack(f"{order}H", len(packed)) + b"".join(packed) + bytes(4)
    return _append(content, body)


def _packed(order: str, kind: int, values: Any) -> tuple[bytes, int]:
    if isinstance(values, bytes):
        return values, len(values)
    if kind in _LETTERS:
        return struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values), len(values)
    pairs = [Fraction(value).limit_denominator(10_000) for value in values]
    letter = "i" if kind == _SRATIONAL else "I"
    numbers = [part for pair in pairs for part in (pair.numerator, pair.denominator)]
    return struct.pack(f"{order}{len(numbers)}{letter}", *numbers), len(values)


def _append(content: bytearray, data: bytes) -> int:
    content += bytes(len(content) % 2)
    place = len(content)
    content += data
    return place
