"""Files that claim more than they are: refused at once, and before memory grows with them."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from photoramd.errors import DecodeError
from photoramd.images.av1 import frame_sizes
from photoramd.images.decoder import decode
from photoramd.images.opener import open_photo
from tests.support.samples import sample_photos

MAX_PIXELS = 120_000_000
HOLE = 900_000_000
"""Bytes that take no space on the disk."""


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


BAD: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "EXIF in tiny segments": (lambda: segments(200_000, b"x"), 0, "segments before the pixels"),
    "thousands of scans": (lambda: scans(7000), 0, "scans"),
    "a file of fill bytes": (lambda: fill(70_000), 0, "fill bytes"),
    "fill bytes alone": (lambda: b"\xff\xd8" + b"\xff" * 1_000_000, 0, "fill bytes"),
    "private chunks of a gigabyte": (
        lambda: png(struct.pack(">I4s", HOLE, b"prVt")), HOLE, "beside the pixels"),
    "a million chunks": (lambda: png(*[chunk(b"prVt", b"")] * 300_000), 0, "chunks"),
    "a list of offsets in a hole": (
        lambda: tiff((273, 4, 20_000_000, 4096)), 90_000_000, "values of tag 273"),
    "the same in BigTIFF": (
        lambda: tiff((273, 16, 20_000_000, 4096), big=True), 170_000_000, "values of tag 273"),
    "a giant tile": (lambda: tiff((322, 4, 1, 2**24), (323, 4, 1, 2**24)), 0, "tiles of"),
    "more tags than there can be": (
        lambda: tiff(big=True).replace(struct.pack("<Q", 9), struct.pack("<Q", 2**40)), 0, "tags"),
    "a comment in tiny blocks": (lambda: gif(500_000), 0, "blocks before the picture"),
    "runs in a hole": (bmp, 40_000_000, "MiB of runs"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_it_is_refused_at_once_with_the_reason(tmp_path: Path, name: str) -> None:
    make, size, reason = BAD[name]
    path = tmp_path / "photo"
    with path.open("wb") as file:
        file.write(make())
        file.truncate(max(size, file.tell()))
    started = time.process_time()
    with pytest.raises(DecodeError, match=f"claims too much: .*{reason}"):
        decode(path, side=448, max_pixels=MAX_PIXELS)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("suffix", ["webp", "avif", "heic", "png", "bmp", "tiff"])
def test_a_file_with_a_hole_of_gigabytes_is_refused(tmp_path: Path, suffix: str) -> None:
    heads = {
        "webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 ", "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "png": png()[:60], "bmp": bmp()[:60],
        "tiff": tiff(),
    }  # fmt: skip
    path = tmp_path / "photo"
    with path.open("wb") as file:
        file.write(heads[suffix])
        file.truncate(1 << 32)
    with pytest.raises(DecodeError, match="too large for a"), open_photo(path):
        pass


GOOD: dict[str, Callable[[], bytes]] = {
    "many segments": lambda: segments(1000, b""),
    "a few scans": lambda: scans(1),
    "some fill bytes": lambda: fill(5),
    "private chunks": lambda: png(chunk(b"prVt", bytes(1000)), chunk(b"prVt", b"")),
    "a TIFF": tiff,
    "a damaged tag": lambda: tiff((34675, 7, 2**31, 200), (282, 4, 2**31, 200)),
    "a tile larger than a tiny image": lambda: gif(3),
    "a comment": lambda: gif(300),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_programs_write_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "photo"
    path.write_bytes(GOOD[name]())
    with open_photo(path) as photo:
        assert min(photo.image.size) >= 8


def test_no_real_photo_claims_too_much() -> None:
    for path in sample_photos().values():
        with open_photo(path):
            pass


def avif(size: tuple[int, int], claimed: tuple[int, int]) -> bytes:
    """An AVIF whose properties say that it has another size than its frame."""
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "AVIF")
    ispe = b"ispe\0\0\0\0"
    return buffer.getvalue().replace(
        ispe + struct.pack(">II", *size), ispe + struct.pack(">II", *claimed)
    )


def test_an_avif_is_as_large_as_its_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(avif((400, 300), (400, 300)))
    assert decode(path, side=64, max_pixels=120_000).width == 400
    path.write_bytes(avif((400, 300), (64, 64)))
    with pytest.raises(DecodeError, match="400 x 300 pixels, more than the limit of 119,999"):
        decode(path, side=64, max_pixels=119_999)


@pytest.mark.parametrize(
    "options", [{}, {"speed": 10}, {"subsampling": "4:4:4"}, {"quality": 10}, {"range": "limited"}]
)
@pytest.mark.parametrize("size", [(1, 1), (17, 3000), (333, 77), (4000, 3000)])
def test_the_size_of_a_frame_is_read_from_its_sequence_header(
    size: tuple[int, int], options: dict[str, object]
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "AVIF", **options)
    assert list(frame_sizes(buffer)) == [size]


def test_a_moving_avif_has_a_long_sequence_header() -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (120, 90), colour) for colour in ("teal", "red")]
    frames[0].save(buffer, "AVIF", save_all=True, append_images=frames[1:])
    assert (120, 90) in list(frame_sizes(buffer))


def test_boxes_without_end_are_not_counted_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    head = struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1")
    path.write_bytes(head + struct.pack(">I4s", 8, b"free") * 3_000_000)
    began = time.monotonic()
    with pytest.raises(DecodeError):
        decode(path, side=64, max_pixels=MAX_PIXELS)
    assert time.monotonic() - began < 3


def test_extents_without_end_are_not_looked_at() -> None:
    # Version 0, no sizes: each of 65,535 items has 65,535 extents at the beginning.
    items = b"".join(struct.pack(">HHH", 1, 0, 0xFFFF) for _ in range(100))
    iloc = b"iloc" + bytes(4) + struct.pack(">HH", 0, 100) + items
    meta = struct.pack(">I4sI", 12 + 4 + len(iloc), b"meta", 0) + struct.pack(">I", 4) + iloc
    with pytest.raises(ValueError, match="extents"):
        list(frame_sizes(io.BytesIO(meta)))
