"""Refuse what a file claims before a library grows with it.

Pillow and the libraries below it believe a file's own numbers: parts without end are collected in
memory, and some are copied with each further one. What is counted here is far beyond what
cameras and programs write. Formats: ITU-T T.81 (JPEG), PNG 1.2, TIFF 6.0, BigTIFF, GIF89a, and
Microsoft's BITMAPINFOHEADER.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import IO

from photoramd.errors import DecodeError

_JPEG_SEGMENTS = 4096
"""Before the pixels. A depth map in extended XMP takes some hundred."""

_JPEG_SCANS = 500
"""Of a progressive JPEG, each of which goes over all pixels. Programs write about ten."""

_JPEG_FILL = 1 << 16
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_START_OF_SCAN = 0xDA
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))

_PNG_CHUNKS = 200_000
_PNG_ANCILLARY_BYTES = 1 << 26
"""Of all chunks but the pixels'."""

_TIFF_VALUES = 2_000_000
"""Of one tag, each of which becomes a Python object; Pillow leaves out what the file has not."""

_TIFF_TILE_PIXELS = 1 << 22
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TIFF_BYTES = frozenset((1, 2, 6, 7))
_TIFF_ENTRIES = 4096
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323

_GIF_BLOCKS = 100_000
"""Before the first picture."""

_BMP_RUN_LENGTH_BYTES = 1 << 25
"""Runs are read byte by byte, in Python."""


def require_plausible(
    format_: str, file: IO[bytes], size: int, path: str | os.PathLike[str]
) -> None:
    """Look through a photo's structure; leave the file's position anywhere.

    Args:
        format_: What the file is recognised as.
        file: The file.
        size: Its size in bytes.
        path: For messages.

    Raises:
        DecodeError: It claims more than any photo has.
    """
    check = _CHECKS.get(format_)
    reason = None if check is None else check(file, size)
    if reason is not None:
        raise DecodeError(f"the {format_} claims too much: {reason}", path=path)


def _jpeg(file: IO[bytes], size: int) -> str | None:
    position, segments, is_progressive = 2, 0, False
    while position + 4 <= size:
        file.seek(position)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return None  # damaged: its reader says so
        if head[1] == 0xFF:
            skipped = _fill_bytes(file, position)
            if skipped >= _JPEG_FILL:
                return "more than 65,536 fill bytes in a row"
            position += skipped
            continue
        if head[1] == _START_OF_SCAN:
            break
        if head[1] in _STANDALONE:
            position += 2
            continue
        is_progressive = is_progressive or head[1] in _PROGRESSIVE
        segments += 1
        if segments > _JPEG_SEGMENTS:
            return f"more than {_JPEG_SEGMENTS:,} segments before the pixels"
        position += 2 + max(2, int.from_bytes(head[2:], "big"))
    if is_progressive and _count(file, position, b"\xff\xda", _JPEG_SCANS) > _JPEG_SCANS:
        return f"more than {_JPEG_SCANS} scans"
    return None


def _fill_bytes(file: IO[bytes], position: int) -> int:
    """Return how many bytes 0xFF stand before the last one of a run, at most `_JPEG_FILL`."""
    file.seek(position)
    run = file.read(_JPEG_FILL + 1)
    return len(run) - len(run.lstrip(b"\xff")) - 1 if run.strip(b"\xff") else _JPEG_FILL


def _count(file: IO[bytes], position: int, wanted: bytes, enough: int) -> int:
    """Return how often some bytes occur from a position on; stop when that is more than enough."""
    file.seek(position)
    found, tail = 0, b""
    while found <= enough and (chunk := file.read(1 << 20)):
        found += (tail + chunk).count(wanted)
        tail = chunk[1 - len(wanted) :]
    return found


def _png(file: IO[bytes], size: int) -> str | None:
    position, ancillary = 8, 0
    for _ in range(_PNG_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or position >= size:
            return None
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return None
        if kind != b"IDAT":
            ancillary += min(length, size - position)
        if ancillary > _PNG_ANCILLARY_BYTES:
            return f"more than {_PNG_ANCILLARY_BYTES >> 20} MiB beside the pixels"
        position += 12 + length
    return f"more than {_PNG_CHUNKS:,} chunks"


def _tiff(file: IO[bytes], size: int) -> str | None:
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    try:
        (start,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", head, 8 if is_big else 4)
        file.seek(start)
        count_size, entry_size = (8, 20) if is_big else (2, 12)
        (count,) = struct.unpack(f"{order}{'Q' if is_big else 'H'}", file.read(count_size))
        if count > _TIFF_ENTRIES:
            return f"{count:,} tags"
        entries = file.read(count * entry_size)
        numbers: dict[int, int] = {}
        for offset in range(0, len(entries) - entry_size + 1, entry_size):
            layout = f"{order}HH{'Q' if is_big else 'I'}"
            tag, kind, values = struct.unpack_from(layout, entries, offset)
            if kind not in _TIFF_BYTES and _TIFF_VALUES < values <= size // _TIFF_SIZES.get(
                kind, 1
            ):
                return f"{values:,} values of tag {tag}"
            if values == 1 and kind in (3, 4):
                at = offset + struct.calcsize(layout)
                form = "H" if kind == 3 else "I"
                (numbers[tag],) = struct.unpack_from(f"{order}{form}", entries, at)
    except (struct.error, OSError, OverflowError):
        return None  # damaged: its reader says so
    tile = numbers.get(_TILE_WIDTH, 0) * numbers.get(_TILE_HEIGHT, 0)
    image = numbers.get(_WIDTH, 0) * numbers.get(_HEIGHT, 0)
    if tile > max(_TIFF_TILE_PIXELS, 4 * image):
        return f"tiles of {tile:,} pixels for {image:,}"
    return None


def _gif(file: IO[bytes], size: int) -> str | None:
    file.seek(0)
    head = file.read(13)
    if len(head) < 13:
        return None
    position, blocks = 13 + (3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0), 0
    file.seek(position)
    while position < size and file.read(1) == b"!":
        file.read(1)
        while (length := int.from_bytes(file.read(1), "big")) and blocks <= _GIF_BLOCKS:
            file.read(length)
            blocks += 1
        if blocks > _GIF_BLOCKS:
            return f"more than {_GIF_BLOCKS:,} blocks before the picture"
        position = file.tell()
    return None


def _bmp(file: IO[bytes], size: int) -> str | None:
    file.seek(30)
    compression = int.from_bytes(file.read(4), "little")
    if compression in (1, 2) and size > _BMP_RUN_LENGTH_BYTES:
        return f"more than {_BMP_RUN_LENGTH_BYTES >> 20} MiB of runs"
    return None


_CHECKS: dict[str, Callable[[IO[bytes], int], str | None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "TIFF": _tiff,
    "GIF": _gif,
    "BMP": _bmp,
}
