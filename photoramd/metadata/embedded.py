"""Read the user's keywords inside a photo from its header; decode no pixel.

A program that finds a sidecar may read it instead of the photo. So a new sidecar starts from
the keywords inside the photo: XMP (``dc:subject`` and the hierarchical fields of Lightroom,
digiKam, Windows and Media Pro, whose last level counts) and IPTC.

Formats: XMP Specification Parts 1 and 3 (ISO 16684-1), IPTC-NAA Information Interchange Model
4.2, Photoshop image resource blocks, PNG 1.2.
"""

from __future__ import annotations

import codecs
import io
import logging
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lxml import etree
from PIL import IptcImagePlugin, JpegImagePlugin, TiffImagePlugin

from photoramd.errors import printable
from photoramd.images.opener import OpenFile, OpenPhoto, open_file, open_image
from photoramd.images.raw import is_raw
from photoramd.images.raw_structure import structure
from photoramd.keywords import fold
from photoramd.metadata.containers import (
    IPTC_RESOURCE,
    MAX_XMP_BYTES,
    PNG_XMP,
    XMP_EXTENSION,
    UnreadableError,
    inflated,
    international_text,
    photoshop_resources,
)
from photoramd.metadata.fields import FIELDS
from photoramd.metadata.iptc import KEYWORDS, datasets, iptc_text
from photoramd.metadata.xmp_packet import RDF

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The keywords inside a photo.

    Attributes:
        keywords: As the user wrote them, in their order, those of XMP first; each once, no
            matter in how many fields or spellings by case it occurs.
        problems: What could not be read, one sentence each without a full stop; the keywords
            are those that could.
    """

    keywords: tuple[str, ...]
    problems: tuple[str, ...] = ()


def read_keywords(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the keywords of `read`; log what could not be read as a warning.

    Raises:
        DecodeError: See `read`.
        ChangedError: See `read`.
    """
    embedded = read(path)
    for problem in embedded.problems:
        log.warning("%s: embedded keywords may be missed: %s", printable(path), problem)
    return embedded.keywords


def read(path: str | os.PathLike[str]) -> Embedded:
    """Return the keywords embedded in a photo.

    Among camera RAW files, those based on TIFF (DNG, CR2, NEF, ARW and others), CR3 and RAF are
    read; others are assumed to have none.

    Args:
        path: The photo; symbolic links are not followed.

    Raises:
        DecodeError: The file cannot be read, or has no photo's header. Damaged metadata in a
            sound photo is a problem in the result instead.
        ChangedError: The file changed while it was read.
    """
    with open_file(path) as opened:
        if is_raw(opened):
            return _read(_raw_sources(opened))
        with open_image(opened) as photo:
            sources = _SOURCES.get(photo.format, (_xmp_in_info,))
            return _read(source(photo) for source in sources)


def _read(sources: Iterable[Iterator[str]]) -> Embedded:
    keywords: list[str] = []
    problems: list[str] = []
    for source in sources:
        try:
            for keyword in source:
                keywords.append(keyword)  # noqa: PERF402 - keeps those before an error
        except UnreadableError as error:
            problems.append(str(error))
        except Exception as error:  # of any kind: damaged metadata must not cost more
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk failed, not the metadata
            problems.append(f"{type(error).__name__}: {error}")
    return Embedded(_unique(keywords), tuple(problems))


# What XML cannot hold has no place in a keyword, wherever it was read.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _unique(keywords: Iterable[str]) -> tuple[str, ...]:
    unique: dict[str, str] = {}
    for keyword in keywords:
        text = _NOT_XML.sub("", keyword).strip()
        if text:
            unique.setdefault(fold(text), text)
    return tuple(unique.values())


# --- XMP ---


def _xmp_in_info(photo: OpenPhoto) -> Iterator[str]:
    packet = photo.image.info.get("xmp")
    if isinstance(packet, tuple):  # a TIFF tag of type BYTE
        packet = bytes(packet)
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "surrogateescape")
    if isinstance(packet, bytes):
        yield from _keywords_in_packet(packet)


def _keywords_in_packet(packet: bytes) -> Iterator[str]:
    """Yield keywords in an XMP packet; in a malformed one, those that a lenient parser finds.

    Raises:
        UnreadableError: Too large, with a DOCTYPE, or malformed.
    """
    if len(packet) > MAX_XMP_BYTES:
        raise UnreadableError(f"XMP of {len(packet):,} bytes, more than {MAX_XMP_BYTES:,}")
    if not packet.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        packet = packet.strip(b"\0 \t\r\n")
    if not packet:
        return
    if b"<!DOCTYPE" in packet.replace(b"\0", b""):  # in UTF-16, too
        raise UnreadableError("XMP with a DOCTYPE")
    try:
        root = etree.fromstring(packet, _parser(recover=False))
    except (etree.XMLSyntaxError, ValueError) as error:
        root = etree.fromstring(packet, _parser(recover=True))
        if root is not None:
            yield from _keywords_below(root)
        raise UnreadableError(f"malformed XMP: {error}") from error
    yield from _keywords_below(root)


def _parser(*, recover: bool) -> etree.XMLParser:
    # A parser for each packet: lxml's parsers are not thread-safe.
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=recover
    )


def _keywords_below(root: etree._Element) -> Iterator[str]:
    # What is deeper describes other pictures, such as the parts of a montage.
    nodes = [node for rdf in root.iter(f"{RDF}RDF") for node in rdf.iterchildren(etree.Element)]
    for field in FIELDS:
        for tag in field.tags:
            yield from (field.leaf(text) for node in nodes for text in _texts(node, tag))


def _texts(node: etree._Element, name: str) -> Iterator[str]:
    """Yield the entries of a list, or the one text that some programs write instead."""
    yield node.get(name, "")
    for field in node.iterchildren(name):
        if not len(field):
            yield field.text or ""
        for item in field.iter(f"{RDF}li"):
            # With qualifiers, the text is one level deeper.
            yield item.findtext(f"{RDF}value") or item.text or ""


_GUID = re.compile(rb"HasExtendedXMP[\"'=>\s]+([0-9A-F]{32})")


def _extended_xmp(photo: OpenPhoto) -> Iterator[str]:
    """Yield keywords beyond a JPEG's 64 KB packet (XMP Specification Part 3, 1.1.3.1)."""
    main = photo.image.info.get("xmp")
    guid = _GUID.search(main) if isinstance(main, bytes) else None
    if guid is None:
        return
    prefix = XMP_EXTENSION + guid[1]
    parts = {}
    length = 0
    for segment in _segments(photo, "APP1"):
        if segment.startswith(prefix):
            length, offset = struct.unpack_from(">II", segment, len(prefix))
            parts[offset] = segment[len(prefix) + 8 :]
    packet = b"".join(parts[offset] for offset in sorted(parts))
    yield from _keywords_in_packet(packet)
    if len(packet) != length or not parts:
        raise UnreadableError("extended XMP is incomplete")


def _xmp_in_png(photo: OpenPhoto) -> Iterator[str]:
    # Many programs put it after the pixels, where Pillow comes only by decoding them.
    for content in _png_texts(photo, b"iTXt", PNG_XMP):
        yield from _keywords_in_packet(international_text(content))


def _profiles_in_png(photo: OpenPhoto) -> Iterator[str]:
    """Yield keywords of XMP and IPTC as ImageMagick and exiv2 write them, in hexadecimal."""
    for name in (b"xmp", b"iptc"):
        for kind in (b"tEXt", b"zTXt"):
            for content in _png_texts(photo, kind, b"Raw profile type " + name + b"\0"):
                text = content if kind == b"tEXt" else inflated(content[1:])
                data = bytes.fromhex(text.split(maxsplit=2)[2].decode("ascii"))
                if name == b"xmp":
                    yield from _keywords_in_packet(data)
                else:
                    yield from _keywords_in_iptc(_iptc_resource(data) or data)


def _png_texts(photo: OpenPhoto, wanted: bytes, name: bytes) -> Iterator[bytes]:
    """Yield what follows a name in a PNG's chunks of one kind."""
    position = 8
    while position + 12 <= photo.fingerprint.size:
        photo.file.seek(position)
        length, kind = struct.unpack(">I4s", photo.file.read(8))
        if kind == wanted and length >= len(name) and photo.file.read(len(name)) == name:
            if length > 2 * MAX_XMP_BYTES:
                raise UnreadableError(f"a PNG text of {length:,} bytes")
            yield photo.file.read(length - len(name))
        position += 12 + length


# --- IPTC ---

_PHOTOSHOP_TAG = 34377


def _iptc_in_jpeg(photo: OpenPhoto) -> Iterator[str]:
    # One resource may go on in the next segment.
    signature = b"Photoshop 3.0\0"
    blocks = b"".join(
        segment[len(signature) :]
        for segment in _segments(photo, "APP13")
        if segment.startswith(signature)
    )
    yield from _keywords_in_iptc(_iptc_resource(blocks))


def _iptc_in_tiff(photo: OpenPhoto) -> Iterator[str]:
    image = photo.image
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    # Some programs declare the bytes as 32-bit integers, which Pillow undoes here only.
    found = IptcImagePlugin.getiptcinfo(image) or {}
    values = found.get(KEYWORDS, [])
    for value in values if isinstance(values, list) else [values]:
        yield iptc_text(value or b"")
    blocks = image.tag_v2.get(_PHOTOSHOP_TAG, b"")
    if isinstance(blocks, tuple):  # a tag of type UNDEFINED
        (blocks,) = blocks
    yield from _keywords_in_iptc(_iptc_resource(blocks))


def _segments(photo: OpenPhoto, name: str) -> Iterator[bytes]:
    segments: list[tuple[str, bytes]] = vars(photo.image)["applist"]
    return (content for kind, content in segments if kind == name)


def _iptc_resource(blocks: bytes) -> bytes:
    """Return the IPTC record among Photoshop image resource blocks; empty if there is none."""
    resources = photoshop_resources(blocks)
    return next((content for number, content in resources if number == IPTC_RESOURCE), b"")


def _keywords_in_iptc(data: bytes) -> Iterator[str]:
    for number, value in datasets(data):
        if number == KEYWORDS:
            yield iptc_text(value)


def _raw_sources(opened: OpenFile) -> Iterator[Iterator[str]]:
    found = structure(opened.file)
    yield _keywords_in_packet(found.xmp)
    yield _keywords_in_iptc(found.iptc)
    yield _keywords_in_iptc(_iptc_resource(found.photoshop))
    if found.jpeg is not None:
        yield _keywords_in_jpeg(opened, *found.jpeg)


def _keywords_in_jpeg(opened: OpenFile, start: int, length: int) -> Iterator[str]:
    opened.file.seek(start)
    content = io.BytesIO(opened.file.read(length))
    image = JpegImagePlugin.JpegImageFile(content)
    for source in _SOURCES["JPEG"]:
        yield from source(OpenPhoto(image, "JPEG", opened.fingerprint, content, 0))


_SOURCES: dict[str, tuple[Callable[[OpenPhoto], Iterator[str]], ...]] = {
    "JPEG": (_xmp_in_info, _extended_xmp, _iptc_in_jpeg),
    "TIFF": (_xmp_in_info, _iptc_in_tiff),
    "PNG": (_xmp_in_png, _profiles_in_png),
}
