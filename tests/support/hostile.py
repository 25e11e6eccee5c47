"""Files that claim more than they are, with little on the disk."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

HOLE = 900_000_000
"""Bytes that take no space on the disk."""


@dataclass(frozen=True)
class Hostile:
    """A hostile file: how it is made, how long it then is, and what it is refused for."""

    make: Callable[[], bytes]
    size: int
    reason: str
    suffix: str


def put(path: Path, name: str) -> Path:
    """Write one of `BAD`."""
    with path.open("wb") as file:
        file.write(BAD[name].make())
        file.truncate(max(BAD[name].size, file.tell()))
    return path


def jpeg(**options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 40).convert("RGB").save(buffer, "JPEG", **options)
    return buffer.getvalue()


def segments(count: int, content: bytes) -> bytes:
    """A JPEG with so many EXIF segments, which Pillow joins one by one."""
    whole = jpeg()
    part = b"\xff\xe1" + struct.pack(">H", 8 + len(content)) + b"Exif\0\0" + content
    return whole[:2] + count * part + whole[2:]


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there so many times."""
    whole = jpeg(progressive=True)
    start = whole.rindex(b"\xff\xda")
    return whole[:start] + count * whole[start:-2] + whole[-2:]


def fill(count: int) -> bytes:
    whole = jpeg()
    return whole[:2] + count * b"\xff" + whole[2:]


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def png(*before: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    whole = buffer.getvalue()
    return whole[:33] + b"".join(before) + whole[33:]


def tiff(*entries: tuple[int, int, int, int], big: bool = False) -> bytes:
    """A little-endian TIFF of 8 x 8 grey pixels with more entries: tag, type, count, value."""
    all_entries = sorted(
        {
            256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
            273: (4, 1, 8), 277: (3, 1, 1), 278: (3, 1, 8), 279: (4, 1, 64),
            **{tag: (kind, count, value) for tag, kind, count, value in entries},
        }.items()
    )  # fmt: skip
    form, start = ("<HHQQ", 16) if big else ("<HHII", 8)
    body = b"".join(struct.pack(form, tag, *values) for tag, values in all_entries)
    if big:
        head = b"II+\0\x08\0\0\0" + struct.pack("<Q", start + 64)
        return head + bytes(64) + struct.pack("<Q", len(all_entries)) + body + bytes(8)
    head = b"II*\0" + struct.pack("<I", start + 64)
    return head + bytes(64) + struct.pack("<H", len(all_entries)) + body + bytes(4)


def gif(blocks: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (8, 8)).save(buffer, "GIF")
    whole = buffer.getvalue()
    start = 13 + (3 << (whole[10] & 7) + 1 if whole[10] & 0x80 else 0)
    return whole[:start] + b"!\xfe" + blocks * b"\x01x" + b"\0" + whole[start:]


def bmp() -> bytes:
    size = 40_000_000
    head = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, size, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, 54 + 1024) + head + bytes(1024)


BAD: dict[str, Hostile] = {
    name: Hostile(make, size, reason, suffix)
    for name, (make, size, reason, suffix) in {
        "EXIF in tiny segments": (
            lambda: segments(200_000, b"x"), 0, "segments before the pixels", "jpg"),
        "thousands of scans": (lambda: scans(7000), 0, "scans", "jpg"),
        "a file of fill bytes": (lambda: fill(70_000), 0, "fill bytes", "jpg"),
        "fill bytes alone": (lambda: b"\xff\xd8" + b"\xff" * 1_000_000, 0, "fill bytes", "jpg"),
        "private chunks of a gigabyte": (
            lambda: png(struct.pack(">I4s", HOLE, b"prVt")), HOLE, "beside the pixels", "png"),
        "a million chunks": (lambda: png(*[chunk(b"prVt", b"")] * 300_000), 0, "chunks", "png"),
        "a list of offsets in a hole": (
            lambda: tiff((273, 4, 20_000_000, 4096)), 90_000_000, "values of tag 273", "tif"),
        "the same in BigTIFF": (
            lambda: tiff((273, 16, 20_000_000, 4096), big=True), 170_000_000,
            "values of tag 273", "tif"),
        "a giant tile": (
            lambda: tiff((322, 4, 1, 2**24), (323, 4, 1, 2**24)), 0, "tiles of", "tif"),
        "more tags than there can be": (
            lambda: tiff(big=True).replace(struct.pack("<Q", 9), struct.pack("<Q", 2**40)), 0,
            "tags", "tif"),
        "a comment in tiny blocks": (
            lambda: gif(500_000), 0, "blocks before the picture", "gif"),
        "runs in a hole": (bmp, 40_000_000, "MiB of runs", "bmp"),
    }.items()
}  # fmt: skip
