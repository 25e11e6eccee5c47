"""Take photo files apart: the XMP packet, IPTC, and everything else.

JPEG, PNG and WebP are sequences of parts, so comparing bytes shows that nothing else changed: no
pixel is decoded, and what is equal here is equal for every program.

Formats: ITU-T T.81 annex B, XMP Specification Part 3 (ISO 16684-3), PNG 1.2, the WebP
container specification, Photoshop image resource blocks.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from photoramd.errors import DecodeError
from photoramd.metadata import pointers

MAX_XMP_BYTES = 1 << 20
"""A longer packet is not read."""

_JUMBF = re.compile(rb"jumb....jumd", re.DOTALL)
"""The beginning of a JUMBF superbox (ISO 19566-5), which holds C2PA's signed claims."""


class UnreadableError(Exception):
    """Damaged metadata, with the problem; callers turn it into one of photoramd's errors."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a file.

    Attributes:
        packets: Its XMP packets; more than one is against the specifications.
        has_extended_xmp: Whether its XMP goes on in further parts.
        iptc: Its IPTC record, if there is one.
        iptc_digest: The MD5 of that in Photoshop's resources.
        rest: Everything else, in its order, except what depends on the size of the XMP.
        is_signed: Whether it has content credentials (C2PA), which a change would break.
    """

    packets: tuple[bytes, ...]
    has_extended_xmp: bool
    iptc: bytes | None
    rest: tuple[bytes, ...]
    is_signed: bool
    iptc_digest: bytes | None = None


def layout(data: bytes, format_: str) -> Layout:
    """Take a JPEG, PNG or WebP file apart.

    Raises:
        DecodeError: It is not what it says, or has something twice.
    """
    try:
        return _READERS[format_](data)
    except (struct.error, IndexError, ValueError, UnreadableError) as error:
        raise DecodeError(f"the {format_} file's parts were not understood") from error


def is_known(format_: str) -> bool:
    """Return whether `layout` knows a format."""
    return format_ in _READERS


def without_packet(data: bytes, format_: str) -> bytes:
    """Return a JPEG or PNG file without its XMP packets.

    Raises:
        DecodeError: It is not what it says.
    """
    try:
        parts = _PACKET_PARTS[format_](data)
        kept, position = [], 0
        for start, end in parts:
            kept.append(data[position:start])
            position = end
    except (struct.error, IndexError, ValueError) as error:
        raise DecodeError(f"the {format_} file's parts were not understood") from error
    return b"".join((*kept, data[position:]))


def is_signed(data: bytes) -> bool:
    """Return whether a file of any format has content credentials (C2PA)."""
    return _JUMBF.search(data) is not None


# --- JPEG ---

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_EXIF = b"Exif\0\0"
_EOI = b"\xff\xd9"
_SOS, _APP1, _APP2, _APP11, _APP13 = 0xDA, 0xE1, 0xE2, 0xEB, 0xED
IPTC_RESOURCE, _IPTC_DIGEST = 0x0404, 0x0425


def _jpeg(data: bytes) -> Layout:
    packets: list[bytes] = []
    rest: list[bytes] = []
    blocks = scan = b""
    extended = signed = False
    for marker, start, end in _segments(data):
        content = data[start + 4 : end]
        if marker == _SOS:
            scan = data[start:]
            break
        if marker == _APP1 and content.startswith(_XMP):
            packets.append(content[len(_XMP) :])
        elif marker == _APP13 and content.startswith(_PHOTOSHOP):
            blocks += content[len(_PHOTOSHOP) :]
        elif marker == _APP2 and content.startswith(b"MPF\0"):
            rest.append(b"MPF")  # holds offsets into the file, which follow its size
        else:
            extended = extended or (marker == _APP1 and content.startswith(XMP_EXTENSION))
            signed = signed or (marker == _APP11 and is_signed(content))
            rest.append(data[start:end])
    iptc = digest = None
    end = 0
    for number, content, end in _resources(blocks):  # noqa: B007
        if number == IPTC_RESOURCE:
            if iptc is not None:
                # ExifTool would put one list of keywords into both.
                raise DecodeError("it has two IPTC records")
            iptc = content
        elif number == _IPTC_DIGEST:
            digest = content
        else:
            rest.append(struct.pack(">H", number) + content)
    rest.append(blocks[end:])  # resources of other programs
    rest.append(scan)
    return Layout(tuple(packets), extended, iptc, tuple(rest), signed, digest)


@dataclass(frozen=True, slots=True)
class Places:
    """What is found in a JPEG by its place, which moves when XMP before it grows.

    Attributes:
        has_some: Whether there may be something: an index of images (MPF), further images, or
            data after the pixels.
        is_in_exif: Whether EXIF says where one of those images is, and so would be wrong.
    """

    has_some: bool
    is_in_exif: bool


def places(data: bytes) -> Places:
    """Look for what is found by its place in a JPEG that `layout` understood."""
    exif: list[tuple[int, int]] = []
    images: list[int] = []
    has_some = False
    for marker, start, end in _segments(data):
        if data.startswith(_EXIF, start + 4):
            exif.append((start + 4 + len(_EXIF), end))
        elif marker != _APP13:  # Photoshop's thumbnail is found from within
            images += pointers.images(data, start, end)
        has_some = has_some or (marker == _APP2 and data.startswith(b"MPF\0", start + 4))
    # Pixels, and images after them, end with a marker; anything else after it has no such end.
    has_some = has_some or bool(images) or not _without_zeros(data).endswith(_EOI)
    is_in_exif = len(images) >= pointers.MOST_IMAGES or any(
        pointers.lead_out(data[start:end], start, images) for start, end in exif
    )
    return Places(has_some, is_in_exif)


def _without_zeros(data: bytes) -> bytes:
    """Return the end of a file without zeros behind it."""
    return data[-(1 << 16) :].rstrip(b"\0") or data.rstrip(b"\0")


def _jpeg_packets(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each segment with an XMP packet."""
    for marker, start, end in _segments(data):
        if marker == _APP1 and data.startswith(_XMP, start + 4):
            yield start, end


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment; the last is everything from the scan on."""
    if data[:2] != b"\xff\xd8":
        raise ValueError
    position = 2
    while True:
        if data[position] != 0xFF:
            raise ValueError
        marker = data[position + 1]
        if marker == _SOS:
            yield marker, position, len(data)
            return
        (length,) = struct.unpack_from(">H", data, position + 2)
        if length < 2 or position + 2 + length > len(data):
            raise ValueError
        yield marker, position, position + 2 + length
        position += 2 + length


# --- PNG ---

PNG_XMP = b"XML:com.adobe.xmp\0"


def _png(data: bytes) -> Layout:
    packets: list[bytes] = []
    rest: list[bytes] = []
    signed = False
    for kind, start, end in _png_chunks(data):
        signed = signed or kind == b"caBX"
        if _is_png_packet(data, kind, start):
            packets.append(international_text(data[start + 8 + len(PNG_XMP) : end - 4]))
        else:
            rest.append(data[start:end])
    return Layout(tuple(packets), False, None, tuple(rest), signed)


def _png_packets(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each chunk with an XMP packet."""
    for kind, start, end in _png_chunks(data):
        if _is_png_packet(data, kind, start):
            yield start, end


def _is_png_packet(data: bytes, kind: bytes, start: int) -> bool:
    return kind == b"iTXt" and data.startswith(PNG_XMP, start + 8)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each chunk; what follows the image goes with the last one."""
    position = 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = len(data) if kind == b"IEND" else position + 12 + length
        yield kind, position, end
        position = end


# --- WebP ---

_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10


def _webp(data: bytes) -> Layout:
    chunks, tail = _webp_chunks(data)
    packets = tuple(content for kind, content in chunks if kind == b"XMP ")
    rest = [kind + content for kind, content in chunks if kind not in (b"XMP ", b"VP8X")]
    flags = [bytes([c[0] & ~_XMP_FLAG]) + c[1:] for kind, c in chunks if kind == b"VP8X"]
    # Without flags but for alpha it says nothing that the pixels do not say.
    rest += [content for content in flags if content[0] & ~_ALPHA_FLAG]
    signed = any(kind == b"C2PA" for kind, _ in chunks)
    return Layout(packets, False, None, (*rest, tail), signed)


def _webp_chunks(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError
    (length,) = struct.unpack_from("<I", data, 4)
    end = 8 + length
    if end > len(data):
        raise ValueError
    chunks = []
    position = 12
    while position < end:
        kind, size = struct.unpack_from("<4sI", data, position)
        if position + 8 + size > end:
            raise ValueError  # cut short, it would be another chunk afterwards
        chunks.append((kind, data[position + 8 : position + 8 + size]))
        position += 8 + size + (size & 1)
    return chunks, data[end:]


def rewrite_webp(data: bytes, packet: bytes, size: tuple[int, int]) -> bytes:
    """Return a WebP file with another XMP packet; ExifTool writes WebP only from 12.6x on.

    Args:
        data: The file.
        packet: The packet; empty: none.
        size: Width and height, for a file that has no extended header yet.

    Raises:
        DecodeError: It is not what it says.
    """
    try:
        chunks, tail = _webp_chunks(data)
        chunks = [chunk for chunk in chunks if chunk[0] != b"XMP "]
        if packet:
            if chunks[0][0] != b"VP8X":
                chunks.insert(0, (b"VP8X", _extended_header(chunks[0], size)))
            chunks.append((b"XMP ", packet))
        kind, header = chunks[0]
        if kind == b"VP8X":
            flags = header[0] | _XMP_FLAG if packet else header[0] & ~_XMP_FLAG
            chunks[0] = (kind, bytes([flags]) + header[1:])
            plain = len(chunks) == 2 and chunks[1][0] in (b"VP8 ", b"VP8L")
            if not packet and plain and not flags & ~_ALPHA_FLAG:
                del chunks[0]  # it was made for the packet
    except (struct.error, IndexError, ValueError) as error:
        raise DecodeError("the WEBP file's parts were not understood") from error
    body = b"".join(
        struct.pack("<4sI", kind, len(content)) + content + b"\0" * (len(content) & 1)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body + tail


def _extended_header(first: tuple[bytes, bytes], size: tuple[int, int]) -> bytes:
    kind, content = first
    # VP8L says in its own header whether it has alpha (bit 28 after the signature byte).
    has_alpha = kind == b"VP8L" and struct.unpack_from("<I", content, 1)[0] >> 28 & 1
    width, height = (struct.pack("<I", side - 1)[:3] for side in size)
    return bytes([_ALPHA_FLAG if has_alpha else 0]) + bytes(3) + width + height


_READERS: dict[str, Callable[[Any], Layout]] = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp}

_PACKET_PARTS: dict[str, Callable[[bytes], Iterator[tuple[int, int]]]] = {
    "JPEG": _jpeg_packets,
    "PNG": _png_packets,
}


def international_text(content: bytes) -> bytes:
    """Return the text of an iTXt chunk, after its keyword (PNG 1.2, 4.2.3.3)."""
    compressed, method = content[0], content[1]
    _language, _translated, text = content[2:].split(b"\0", 2)
    if not compressed:
        return text
    if method != 0:
        raise UnreadableError(f"XMP compressed by the unknown method {method}")
    return inflated(text)


def inflated(data: bytes) -> bytes:
    """Return zlib's data decompressed, cut off above what is accepted.

    Raises:
        UnreadableError: They are damaged.
    """
    try:
        # A little over the limit, which counts hexadecimal digits in pairs, is enough to be
        # refused.
        return zlib.decompressobj().decompress(data, 2 * MAX_XMP_BYTES + 1)
    except zlib.error as error:
        raise UnreadableError(f"damaged compressed text: {error}") from error


def photoshop_resources(blocks: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of Photoshop's image resource blocks.

    Raises:
        struct.error: They end in the middle of one.
    """
    for number, content, _ in _resources(blocks):
        yield number, content


def _resources(blocks: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield number and content of each resource, and where it ends."""
    position = 0
    while blocks[position : position + 4] == b"8BIM":
        number, name_length = struct.unpack_from(">HB", blocks, position + 4)
        position += 6 + 1 + name_length
        position += position & 1
        (length,) = struct.unpack_from(">I", blocks, position)
        position += 4
        content = blocks[position : position + length]
        position += length + (length & 1)
        yield number, content, position
