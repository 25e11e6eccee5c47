"""EXIF in the containers of RAW formats that cannot be made here whole: only what leads to it."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photoramd.images.exif import look
from photoramd.images.raw_exif import raw_exif
from photoramd.photo import Look
from tests.support.dng import jpeg
from tests.support.exif import SHORT, UNDEFINED, Entry, exif, ratio, text

IMAGE = [text(0x010F, "FUJIFILM"), text(0x0110, "X100V")]
PHOTO = [ratio(0x829D, 20, 10), Entry(0x8827, SHORT, [320])]
GPS = [text(1, "N"), ratio(2, 48, 1), text(3, "E"), ratio(4, 9, 1)]
WHOLE = Look(3, 2, "RAW", camera="FUJIFILM X100V", f=2.0, iso=320, lat=48.0, lon=9.0)


def seen(content: bytes) -> Look:
    return look((3, 2), "RAW", raw_exif(io.BytesIO(content)))


def a_jpeg() -> bytes:
    return jpeg(Image.new("RGB", (8, 8)), exif=b"Exif\0\0" + exif(IMAGE, PHOTO, GPS))


def raf() -> bytes:
    content = a_jpeg()
    return (
        b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0")
        + struct.pack(">II", 160, len(content)).ljust(76, b"\0")
        + content
    )


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def cr3() -> bytes:
    metadata = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + b"".join(
        (
            box(b"CNCV", b"CanonCR3_001"),
            box(b"CMT1", exif(IMAGE)),
            box(b"CMT2", exif(PHOTO)),
            box(b"CMT3", exif([text(0x0110, "a maker note")])),
            box(b"CMT4", exif(GPS)),
        )
    )
    moov = box(b"moov", box(b"uuid", bytes(16)) + box(b"uuid", metadata) + box(b"mvhd", bytes(9)))
    return box(b"ftyp", b"crx \0\0\0\1crx isom") + moov + box(b"mdat", bytes(99))


def mrw() -> bytes:
    def block(kind: bytes, content: bytes) -> bytes:
        return b"\0" + kind + struct.pack(">I", len(content)) + content

    blocks = block(b"PRD", bytes(24)) + block(b"TTW", exif(IMAGE, PHOTO, GPS, order=">"))
    return block(b"MRM", blocks)


def rw2() -> bytes:
    own = exif([text(0x010F, "other"), Entry(0x002E, UNDEFINED, a_jpeg())])
    return b"IIU\0" + own[4:]


def orf() -> bytes:
    return b"IIRO" + exif(IMAGE, PHOTO, GPS)[4:]


FILES = {"raf": raf, "cr3": cr3, "mrw": mrw, "rw2": rw2, "orf": orf}


@pytest.mark.parametrize("name", FILES)
def test_exif_is_found_in_every_container(name: str) -> None:
    assert seen(FILES[name]()) == WHOLE


def test_of_an_rw2_without_a_jpeg_its_own_directories_are_read() -> None:
    assert seen(b"IIU\0" + exif(IMAGE, PHOTO, GPS)[4:]) == WHOLE


@pytest.mark.parametrize("name", FILES)
def test_a_container_that_is_cut_off_has_less(name: str) -> None:
    content = FILES[name]()
    for end in range(0, len(content), 7):
        found = seen(content[:end])
        assert found.iso in (None, 320)
        assert found.lat in (None, 48.0)


@given(st.sampled_from(sorted(FILES)), st.data())
def test_damaged_containers_cost_nothing_else(name: str, data: st.DataObject) -> None:
    content = bytearray(FILES[name]())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    seen(bytes(content))


@pytest.mark.parametrize("content", [b"", b"FOVb" + bytes(99), b"II\x1a\0\0\0HEAPCCDR" + bytes(99)])
def test_other_containers_have_none(content: bytes) -> None:
    assert seen(content) == Look(3, 2, "RAW")
