"""Read the user's metadata inside a photo, above all the keywords.

XMP's keywords are in ``dc:subject`` and in the hierarchical fields of Lightroom, digiKam, Windows
and Media Pro, whose last level counts; IPTC has its own.
"""

from __future__ import annotations

import codecs
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from photoramd.errors import printable
from photoramd.keywords import fold
from photoramd.metadata.blocks import open_blocks
from photoramd.metadata.containers import MAX_XMP_BYTES, UnreadableError
from photoramd.metadata.fields import FIELDS
from photoramd.metadata.iptc import KEYWORDS, iptc_text
from photoramd.metadata.xmp_packet import RDF, without_forbidden

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The metadata inside a photo.

    Attributes:
        keywords: As the user wrote them, in their order, those of XMP first; each once, no
            matter in how many fields or spellings by case it occurs.
        problems: What could not be read, one sentence each without a full stop; the keywords
            are those that could.
        packet: The XMP packet, without what other packets add to it; empty if there is none.
        iptc: The values of IPTC's data sets, by record and number.
        exif: EXIF's first directory: tag to value.
    """

    keywords: tuple[str, ...]
    problems: tuple[str, ...] = ()
    packet: bytes = field(default=b"", compare=False, repr=False)
    iptc: Mapping[tuple[int, int], Sequence[bytes]] = field(
        default_factory=dict, compare=False, repr=False
    )
    exif: Mapping[int, Any] = field(default_factory=dict, compare=False, repr=False)

    def warn(self, path: str | os.PathLike[str]) -> None:
        """Log what could not be read."""
        for problem in self.problems:
            log.warning("%s: embedded keywords may be missed: %s", printable(path), problem)


def read_keywords(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the keywords of `read`; log what could not be read as a warning.

    Raises:
        DecodeError: See `read`.
        ChangedError: See `read`.
    """
    embedded = read(path)
    embedded.warn(path)
    return embedded.keywords


def read(path: str | os.PathLike[str]) -> Embedded:
    """Return the metadata embedded in a photo.

    Args:
        path: The photo; symbolic links are not followed.

    Raises:
        DecodeError: The file cannot be read, or has no photo's header. Damaged metadata in a
            sound photo is a problem in the result instead.
        ChangedError: The file changed while it was read.
    """
    keywords: list[str] = []
    packets: list[bytes] = []
    iptc: dict[tuple[int, int], list[bytes]] = {}
    exif: dict[int, Any] = {}
    problems: list[str] = []
    with open_blocks(path) as blocks:
        for source in blocks.sources:
            with _noted(problems):
                for block in source:
                    if block.xmp and not block.is_extension:
                        packets.append(block.xmp)
                    for keyword in _keywords_in_packet(block.xmp):
                        keywords.append(keyword)  # noqa: PERF402 - keeps those before an error
                    for number, value in block.iptc:
                        iptc.setdefault(number, []).append(value)
                        if number == KEYWORDS:
                            keywords.append(iptc_text(value))
        with _noted([]):  # that EXIF is damaged costs no keyword
            exif = dict(blocks.exif())
    packet = next(iter(packets), b"")
    return Embedded(_unique(keywords), tuple(problems), packet, iptc, exif)


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """Note damaged metadata as a problem, with a sentence.

    Raises:
        OSError: The disk failed, not the metadata.
    """
    try:
        yield
    except UnreadableError as error:
        problems.append(str(error))
    except Exception as error:  # of any kind: damaged metadata must not cost more
        if isinstance(error, OSError) and error.errno is not None:
            raise
        problems.append(f"{type(error).__name__}: {error}")


def _unique(keywords: Iterable[str]) -> tuple[str, ...]:
    unique: dict[str, str] = {}
    for keyword in keywords:
        text = without_forbidden(keyword).strip()
        if text:
            unique.setdefault(fold(text), text)
    return tuple(unique.values())


def _keywords_in_packet(packet: bytes) -> Iterator[str]:
    for nodes in descriptions(packet):
        yield from _keywords_of(nodes)


def descriptions(packet: bytes) -> Iterator[list[etree._Element]]:
    """Yield the descriptions in an XMP packet; of a malformed one, what a lenient parser finds.

    What is deeper in it describes other pictures, such as the parts of a montage.

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
            yield _descriptions_below(root)
        raise UnreadableError(f"malformed XMP: {error}") from error
    yield _descriptions_below(root)


def _parser(*, recover: bool) -> etree.XMLParser:
    # A parser for each packet: lxml's parsers are not thread-safe.
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=recover
    )


def _descriptions_below(root: etree._Element) -> list[etree._Element]:
    return [node for rdf in root.iter(f"{RDF}RDF") for node in rdf.iterchildren(etree.Element)]


def _keywords_of(nodes: Sequence[etree._Element]) -> Iterator[str]:
    for each in FIELDS:
        for tag in each.tags:
            yield from (each.leaf(text) for node in nodes for text in texts(node, tag))


def texts(node: etree._Element, name: str) -> Iterator[str]:
    """Yield the entries of a list, or the one text that some programs write instead."""
    yield node.get(name, "")
    for element in node.iterchildren(name):
        if not len(element):
            yield element.text or ""
        for item in element.iter(f"{RDF}li"):
            # With qualifiers, the text is one level deeper.
            yield item.findtext(f"{RDF}value") or item.text or ""
