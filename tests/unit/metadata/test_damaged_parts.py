"""Parts of files that are damaged in ways that a fuzzer found."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from photoramd.errors import DecodeError
from photoramd.metadata import containers


def test_compressed_xmp_that_is_damaged_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    whole = buffer.getvalue()
    content = b"XML:com.adobe.xmp\0\1\0\0\0not zlib's"
    part = b"iTXt" + content
    chunk = struct.pack(">I", len(content)) + part + struct.pack(">I", zlib.crc32(part))
    with pytest.raises(DecodeError, match="not understood"):
        containers.layout(whole[:33] + chunk + whole[33:], "PNG")


def test_a_webp_with_a_chunk_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """It would become another chunk: the second frame of this one no longer decodes then."""
    path = tmp_path / "a.webp"
    frames = [Image.effect_noise((40, 30), 50).convert("RGB") for _ in range(2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    whole = bytearray(path.read_bytes())
    containers.layout(bytes(whole), "WEBP")
    last = whole.rindex(b"ANMF")
    (size,) = struct.unpack_from("<I", whole, last + 4)
    struct.pack_into("<I", whole, last + 4, size + 100)
    with pytest.raises(DecodeError, match="not understood"):
        containers.layout(bytes(whole), "WEBP")
    with pytest.raises(DecodeError, match="not understood"):
        containers.rewrite_webp(bytes(whole), b"<x/>", (40, 30))
