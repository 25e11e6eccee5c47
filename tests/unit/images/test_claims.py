"""Files that claim more than they are: refused at once, and before memory grows with them."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from photoramd.errors import DecodeError
from photoramd.images.av1 import frame_sizes
from photoramd.images.decoder import decode
from photoramd.images.opener import open_photo
from tests.support.clock import bound
from tests.support.hostile import BAD, bmp, chunk, fill, gif, png, put, scans, segments, tiff
from tests.support.samples import sample_photos

MAX_PIXELS = 120_000_000


@pytest.mark.parametrize("name", BAD)
def test_it_is_refused_at_once_with_the_reason(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "photo", name)
    started = time.process_time()
    with pytest.raises(DecodeError, match=f"claims too much: .*{BAD[name].reason}"):
        decode(path, side=448, max_pixels=MAX_PIXELS)
    assert time.process_time() - started < bound(2)


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
    assert decode(path, side=64, max_pixels=120_000).look.width == 400
    path.write_bytes(avif((400, 300), (64, 64)))
    with pytest.raises(DecodeError, match="400 x 300 pixels, more than the limit of 119,999"):
        decode(path, side=64, max_pixels=119_999)


@pytest.mark.parametrize(
    "options", [{}, {"speed": 10}, {"subsampling": "4:4:4"}, {"quality": 10}, {"range": "limited"}]
)
@pytest.mark.parametrize("size", [(1, 1), (17, 3000), (333, 77), (4000, 30)])
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
    assert time.monotonic() - began < bound(3)


def test_extents_without_end_are_not_looked_at() -> None:
    # Version 0, no sizes: each of 65,535 items has 65,535 extents at the beginning.
    items = b"".join(struct.pack(">HHH", 1, 0, 0xFFFF) for _ in range(100))
    iloc = b"iloc" + bytes(4) + struct.pack(">HH", 0, 100) + items
    meta = struct.pack(">I4sI", 12 + 4 + len(iloc), b"meta", 0) + struct.pack(">I", 4) + iloc
    with pytest.raises(ValueError, match="extents"):
        list(frame_sizes(io.BytesIO(meta)))
