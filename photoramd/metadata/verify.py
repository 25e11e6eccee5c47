"""Verify that a photo with other keywords is the same in everything else.

In JPEG, PNG and WebP all other bytes are compared. Where bytes that stay may refer to places that
move (JPEGs with previews or other data outside of EXIF), ExifTool must also find the same metadata
and previews. In formats that ExifTool rewrites, the decoded pixels and all other metadata are
compared.
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
from photoramd.images.opener import open_content
from photoramd.metadata import containers, iptc
from photoramd.metadata.containers import Layout
from photoramd.metadata.exiftool import Changes, Editor
from photoramd.photo import Fingerprint

T = TypeVar("T")

_MAX_PIXELS = 400_000_000
_MAX_FRAMES = 64

PHOTOS_XMP = "Main:XMP"
"""ExifTool's name for the XMP of the photo itself, not of an auxiliary image such as a gain map."""


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


def iptc_record(photo: Path, file: Path, extension: str, exiftool: Editor) -> bytes | None:
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
    original: Original, new: bytes, packet: bytes | None, changes: Changes, exiftool: Editor
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
    reason = None
    if before is not None:
        after = layout_of(photo, new, original.format)
        found = after.packets[0] if after.packets else b""
        reason = _difference(before, after)
        if reason is None and original.format == "JPEG":
            reason = _lost_place(original, new, exiftool)
        old_record, record = before.iptc, after.iptc
    else:
        copy = exiftool.copy(new, extension)
        found = asked(photo, lambda: exiftool.block(copy, extension, PHOTOS_XMP))
        if wanted and not asked(photo, lambda: _is_readable(new, photo)):
            raise EmbeddingError("readers of its format would not find its XMP", path=photo)
        if not asked(
            photo, lambda: _pixels(original.data, photo) == _pixels(new, photo)
        ) or not asked(
            photo,
            lambda: (
                _others(photo, extension, exiftool, "-b")
                == _others(copy, extension, exiftool, "-b")
            ),
        ):
            reason = _MORE
        old_record = record = None
        if original.format == "TIFF":
            old_record = iptc_record(photo, photo, extension, exiftool)
            record = iptc_record(photo, copy, extension, exiftool)
    if reason is None and not _is_iptc_right(changes, old_record, record):
        reason = _MORE
    if reason is None and _comparable(found) != _comparable(wanted):
        reason = "its XMP would not have come out right"
    if reason is not None:
        raise EmbeddingError(reason, path=photo)


_MORE = "more than its keywords would have changed"


def _difference(before: Layout, after: Layout) -> str | None:
    """Return what differs between the parts of two files besides XMP and IPTC; None if nothing."""
    if len(after.packets) > 1:
        return "its XMP would be in several parts"
    if before.rest == after.rest:
        return None
    if before.rest[:-1] == after.rest[:-1]:
        return "the data after its pixels would have changed"
    return _MORE


def _lost_place(original: Original, new: bytes, exiftool: Editor) -> str | None:
    """Return what would no longer be found by its place in a JPEG; None if all would."""
    found = containers.places(original.data)
    if found.is_in_exif:
        return "its EXIF says where another image in the file is, which would move"
    if found.has_some and not _reads_alike(original, new, exiftool):
        return "a preview or other data that is found by its place would be lost"
    return None


def _is_iptc_right(changes: Changes, before: bytes | None, after: bytes | None) -> bool:
    """Return whether a new IPTC record has the wanted keywords and is otherwise the old one."""
    if not changes.lists and not changes.options:
        return before == after
    expected = tuple(changes.lists.get(iptc.FIELD, ()))
    is_right = sorted(iptc.keywords(after)) == sorted(expected)
    return is_right and iptc.others(after) == iptc.others(before)


def _reads_alike(original: Original, new: bytes, exiftool: Editor) -> bool:
    """Return whether ExifTool finds the same metadata and the same previews in both files."""
    photo, extension = original.photo, original.extension
    copy = exiftool.copy(new, extension)
    return asked(
        photo,
        lambda: all(
            _others(photo, extension, exiftool, *options)
            == _others(copy, extension, exiftool, *options)
            for options in ((), ("-b", "-Preview:all"))
        ),
    )


def _is_readable(data: bytes, photo: Path) -> bool:
    """Return whether a reader of the format finds XMP in a file, which ExifTool may do alone."""
    with open_content(data, photo) as opened:
        return bool(opened.image.info.get("xmp"))


_WRAPPER = re.compile(rb"\s*+(?:<\?xpacket\s[^>]*+>)?+\s*+")


def _comparable(packet: bytes) -> bytes:
    """Return a packet without its wrapper, which ExifTool adds, as read-only in PNG files."""
    start = _WRAPPER.match(packet)
    end = packet.rfind(b"<?xpacket end=")
    body = packet[:end] if end > 0 else packet
    return body[start.end() if start else 0 :].rstrip(b"\0\t\r\n ")


def _pixels(data: bytes, photo: Path) -> list[tuple[str, tuple[int, int], bytes]]:
    """Return mode, size and digest of all frames.

    Raises:
        EmbeddingError: They are too many to be looked at while other photos wait.
    """
    found, pixels = [], 0
    with open_content(data, photo, max_pixels=_MAX_PIXELS) as opened:
        for number, frame in enumerate(ImageSequence.Iterator(opened.image)):
            pixels += frame.width * frame.height
            if number >= _MAX_FRAMES or (number and pixels > _MAX_PIXELS):
                raise EmbeddingError("it has too many pages to prove them unchanged", path=photo)
            found.append((frame.mode, frame.size, hashlib.blake2b(frame.tobytes()).digest()))
    return found


_COPY = re.compile(r"\bCopy[0-9]+:")
_MOVED = ("Offset", "Offsets", "Start", "MediaData", "MediaDataSize", "MetaImageSize")


def _others(
    photo: Path, extension: str, exiftool: Editor, *options: str
) -> dict[str, list[object]]:
    """Return all values of each tag but ours, and without offsets in the file."""
    excluded = [
        f"--{PHOTOS_XMP}:all",
        "--IPTC:all",
        "--Photoshop:IPTCDigest",
        "--System:all",
        "--File:all",
        *(() if "-Preview:all" in options else ("--Composite:all",)),
        "--ExifTool:all",
    ]
    asked_for = ["-G3:4:1", "-a", "-u", "-ee", "-struct", *options, *excluded]
    found = exiftool.describe(photo, extension, asked_for)
    values: dict[str, list[object]] = {}
    for name, value in found.items():
        if not name.endswith((*_MOVED, "SourceFile", "Warning")):
            # Tags of one name are numbered, which those that are left out take part in.
            values.setdefault(_COPY.sub("", name), []).append(value)
    return values
