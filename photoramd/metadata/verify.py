"""Verify that a photo with other keywords is the same in everything else.

Of JPEG, PNG and WebP all other bytes are compared; of formats that ExifTool rewrites, the decoded
pixels and all other metadata.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import ImageSequence

from photoramd.errors import DecodeError, EmbeddingError
from photoramd.images.opener import open_photo
from photoramd.metadata import containers, iptc
from photoramd.metadata.containers import Layout
from photoramd.metadata.exiftool import Changes, ExifTool
from photoramd.photo import Fingerprint

T = TypeVar("T")

_MAX_PIXELS = 400_000_000


@dataclass(frozen=True, slots=True)
class Original:
    """A photo as it is before keywords are embedded.

    Attributes:
        photo: Its path.
        data: Its bytes.
        fingerprint: Of the file that they were read from.
        format: By its content, such as ``JPEG``.
        extension: What ExifTool calls that format.
        parts: What it consists of; None if only ExifTool can tell.
    """

    photo: Path
    data: bytes
    fingerprint: Fingerprint
    format: str
    extension: str
    parts: Layout | None


def layout_of(photo: Path, data: bytes, format_: str) -> Layout:
    """Return the parts of a photo.

    Raises:
        EmbeddingError: It does not conform to its format.
    """
    return asked(photo, lambda: containers.layout(data, format_))


def asked(photo: Path, question: Callable[[], T]) -> T:
    """Return the answer to a question about a photo.

    Raises:
        EmbeddingError: There is none, which is a reason not to touch the photo.
    """
    try:
        return question()
    except DecodeError as error:
        raise EmbeddingError(error.message, path=photo) from error


def iptc_record(photo: Path, file: Path, extension: str, exiftool: ExifTool) -> bytes | None:
    """Return the IPTC record of a TIFF or of its replacement; None if there is none.

    Photoshop writes the same record to two places, and ExifTool writes both.

    Raises:
        EmbeddingError: It has two that differ.
    """
    record = asked(photo, lambda: exiftool.block(file, extension, "IPTC"))
    every = asked(photo, lambda: exiftool.block(file, extension, "IPTC", is_every=True))
    if every[len(record) :].rstrip(b"\0") not in (b"", record.rstrip(b"\0")):
        raise EmbeddingError("it has two IPTC records", path=photo)
    return record or None


def verify(
    original: Original, new: bytes, packet: bytes | None, changes: Changes, exiftool: ExifTool
) -> None:
    """Refuse new bytes unless our fields are as wanted and everything else as it was.

    Args:
        original: The photo.
        new: The bytes that should take its place.
        packet: The XMP packet in the photo, if there is one.
        changes: What should change.
        exiftool: Reads both, where the format's parts are not known.

    Raises:
        EmbeddingError: Something else has changed, or not what should.
    """
    photo, before, extension = original.photo, original.parts, original.extension
    wanted = packet or b"" if changes.xmp is None else changes.xmp
    has_iptc = bool(changes.lists or changes.options)
    record: bytes | None
    if before is not None:
        after = layout_of(photo, new, original.format)
        found = after.packets[0] if after.packets else b""
        same = before.rest == after.rest and len(after.packets) <= 1
        old_record, record = before.iptc, after.iptc
    else:
        copy = exiftool.copy(new, extension)
        found = asked(photo, lambda: exiftool.block(copy, extension, "XMP"))
        same = asked(
            photo,
            lambda: (
                _pixels(photo) == _pixels(copy)
                and _others(photo, extension, exiftool) == _others(copy, extension, exiftool)
            ),
        )
        old_record = record = None
        if original.format == "TIFF":
            old_record = iptc_record(photo, photo, extension, exiftool)
            record = iptc_record(photo, copy, extension, exiftool)
    if has_iptc:
        expected = tuple(changes.lists.get(iptc.FIELD, ()))
        same = same and sorted(iptc.keywords(record)) == sorted(expected)
        same = same and iptc.others(record) == iptc.others(old_record)
    else:
        same = same and record == old_record
    if not same or _comparable(found) != _comparable(wanted):
        raise EmbeddingError("more than its keywords would have changed", path=photo)


_WRAPPER = re.compile(rb"\s*(?:<\?xpacket\s[^>]*\?>)?\s*")


def _comparable(packet: bytes) -> bytes:
    """Return a packet without its wrapper, which ExifTool adds, as read-only in PNG files."""
    start = _WRAPPER.match(packet)
    end = packet.rfind(b"<?xpacket end=")
    body = packet[:end] if end > 0 else packet
    return body[start.end() if start else 0 :].rstrip(b"\0\t\r\n ")


def _pixels(photo: Path) -> list[tuple[str, tuple[int, int], bytes]]:
    """Return mode, size and digest of all frames."""
    with open_photo(photo, max_pixels=_MAX_PIXELS) as opened:
        return [
            (frame.mode, frame.size, hashlib.blake2b(frame.tobytes()).digest())
            for frame in ImageSequence.Iterator(opened.image)
        ]


_MOVED = ("Offset", "Offsets", "Start", "MediaDataSize", "MetaImageSize")


def _others(photo: Path, extension: str, exiftool: ExifTool) -> dict[str, object]:
    """Return all metadata but ours, and without offsets in the file."""
    excluded = [
        "--XMP:all",
        "--IPTC:all",
        "--Photoshop:IPTCDigest",
        "--System:all",
        "--File:all",
        "--Composite:all",
        "--ExifTool:all",
    ]
    found = exiftool.describe(photo, extension, ["-G4:1", "-a", "-struct", "-b", *excluded])
    return {
        name: value
        for name, value in found.items()
        if not name.endswith(_MOVED) and not name.endswith(("SourceFile", "Warning"))
    }
