"""Begin a new sidecar with what the photo says of itself.

A program that finds a sidecar may read it instead of the photo: without this, a sidecar with the
machine's keywords would hide the user's title, rating, hierarchy or develop settings. The photo's
whole XMP is taken over, and what IPTC and EXIF say where XMP says nothing, by the Metadata Working
Group's mapping (Guidelines for Handling Image Metadata 2.0, part 3).

Left out are what holds for the photo's file alone: the reference to further packets, thumbnails,
darktable's history (darktable would apply it once more), and everything of photoramd's own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from photoramd.errors import SidecarError, printable
from photoramd.keywords import fold
from photoramd.metadata import embedded, meaning
from photoramd.metadata.changes import SEED, Recorded
from photoramd.metadata.embedded import Embedded
from photoramd.metadata.fields import DC, FIELDS, SUBJECT, folded_leaves
from photoramd.metadata.iptc import iptc_text
from photoramd.metadata.xmp_keywords import (
    PHOTORAMD,
    PacketChange,
    edited,
    values,
)
from photoramd.metadata.xmp_packet import EMPTY_PACKET, MAX_BYTES, RDF, Packet, without_forbidden

log = logging.getLogger(__name__)

MAX_SEED_BYTES = MAX_BYTES // 2
"""Of a sidecar of `MAX_BYTES` at most, the rest is left for keywords."""

_X, _XML = "{adobe:ns:meta/}", "{http://www.w3.org/XML/1998/namespace}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_PREFIXES = {"dc": DC, "xmp": _XMP, "photoshop": _PHOTOSHOP, "rdf": RDF}

_LEFT_OUT = ("{http://darktable.sf.net/}", PHOTORAMD)
"""Namespaces."""

_LEFT_OUT_NAMES = (f"{_XMP}Thumbnails", "{http://ns.adobe.com/xmp/note/}HasExtendedXMP")


@dataclass(frozen=True, slots=True)
class _Property:
    """A property of XMP and where IPTC and EXIF have it.

    Attributes:
        name: In lxml's notation.
        container: ``Alt`` for text in a language, ``Seq`` for a list; empty for a plain value.
        iptc: Record and number of the data set.
        exif: The tag in EXIF's first directory.
    """

    name: str
    container: str = ""
    iptc: tuple[int, int] | None = None
    exif: int | None = None


_PROPERTIES = (
    _Property(f"{DC}title", "Alt", (2, 5)),
    _Property(f"{DC}description", "Alt", (2, 120), 0x010E),
    _Property(f"{DC}creator", "Seq", (2, 80), 0x013B),
    _Property(f"{DC}rights", "Alt", (2, 116), 0x8298),
    _Property(f"{_XMP}Rating", exif=0x4746),
    _Property(f"{_PHOTOSHOP}Headline", iptc=(2, 105)),
    _Property(f"{_PHOTOSHOP}City", iptc=(2, 90)),
    _Property(f"{_PHOTOSHOP}State", iptc=(2, 95)),
    _Property(f"{_PHOTOSHOP}Country", iptc=(2, 101)),
    _Property(f"{_PHOTOSHOP}Credit", iptc=(2, 110)),
    _Property(f"{_PHOTOSHOP}Source", iptc=(2, 115)),
    _Property(f"{_PHOTOSHOP}Instructions", iptc=(2, 40)),
)


_NOTHING = Packet(EMPTY_PACKET)


def seed(photo: Path, ours: Recorded) -> Packet | None:
    """Return what a new sidecar begins with, which may be nothing; None if it is too much.

    Args:
        photo: The photo.
        ours: What the ledger has of the photo itself: that is left out.

    Raises:
        DecodeError: See `embedded.read`.
        ChangedError: See `embedded.read`.
    """
    found = embedded.read(photo)
    found.warn(photo)
    if not (found.packet or found.keywords or any(_says(each, found) for each in _PROPERTIES)):
        return _NOTHING
    packet = _from_xmp(found, ours)
    rdf = etree.Element(f"{RDF}RDF", nsmap={"rdf": RDF[1:-1]})
    if packet is not None:
        rdf.extend(deepcopy(node) for node in packet.nodes())
        _leave_out(rdf)
    _add_others(rdf, found)
    whole = Packet(_document(rdf), photo, name="its XMP")
    whole = _with_keywords(whole, found, ours)
    if len(whole.data) > MAX_SEED_BYTES:
        log.warning(
            "%s: its XMP is too long for a sidecar, which gets keywords only", printable(photo)
        )
        return None
    return whole


def without_ours(packet: Packet, recorded: Recorded) -> Packet:
    """Return a packet without what the ledger has of it and without the provenance record.

    Raises:
        SidecarError: It cannot be edited.
    """
    removed = {each.name: recorded.ours(each.name) for each in FIELDS}
    return edited(packet, PacketChange(removed=removed, provenance=()))


def is_untouched(packet: Packet, recorded: Recorded) -> bool:
    """Return whether a sidecar is its seed and what we added, and nothing else."""
    try:
        left = without_ours(packet, recorded)
    except SidecarError:
        return False
    return meaning.digest(left) in recorded.added.get(SEED, ())


def _from_xmp(found: Embedded, ours: Recorded) -> Packet | None:
    """Return the photo's XMP without ours; None if it has none that can be read."""
    try:
        return without_ours(Packet(found.packet.strip(b"\0 \t\r\n")), ours)
    except SidecarError:
        return None  # `embedded.read` has named the problem


def _leave_out(rdf: etree._Element) -> None:
    for node in rdf:
        for name in map(str, node.attrib):
            if name.startswith(_LEFT_OUT) or name in _LEFT_OUT_NAMES:
                del node.attrib[name]
        for child in list(node.iterchildren(etree.Element)):
            if child.tag.startswith(_LEFT_OUT) or child.tag in _LEFT_OUT_NAMES:
                node.remove(child)


def _add_others(rdf: etree._Element, found: Embedded) -> None:
    """Add what IPTC and EXIF say and XMP does not."""
    present = {str(name) for node in rdf for name in node.attrib}
    present |= {child.tag for node in rdf for child in node.iterchildren(etree.Element)}
    node = etree.Element(f"{RDF}Description", {f"{RDF}about": _about(rdf)})
    for wanted in _PROPERTIES:
        texts = [] if wanted.name in present else list(_texts(wanted, found))
        if texts:
            _add(node, wanted, texts)
    if len(node):
        rdf.append(node)


def _about(rdf: etree._Element) -> str:
    """Return what the packet is about, which must be the same in all of its nodes."""
    return next((node.get(f"{RDF}about", "") for node in rdf), "")


def _says(wanted: _Property, found: Embedded) -> bool:
    """Return whether IPTC or EXIF may have something for a property."""
    return wanted.iptc in found.iptc or wanted.exif in found.exif


def _texts(wanted: _Property, found: Embedded) -> Iterator[str]:
    values = list(found.iptc.get(wanted.iptc, ())) if wanted.iptc is not None else []
    texts = [text for value in values if (text := _plain(iptc_text(value)))]
    value = found.exif.get(wanted.exif) if wanted.exif is not None else None
    if not texts and isinstance(value, str):
        # Pillow takes every byte for Latin-1.
        texts = [_plain(iptc_text(value.encode("latin-1", "replace")))]
    if wanted.name == f"{_XMP}Rating" and isinstance(value, int) and 1 <= value <= 5:
        texts = [str(value)]
    yield from (text for text in texts if text)


def _plain(text: str) -> str:
    return without_forbidden(text).strip()


def _add(node: etree._Element, wanted: _Property, texts: Sequence[str]) -> None:
    namespace = wanted.name[: wanted.name.index("}") + 1]
    prefix = next(each for each, uri in _PREFIXES.items() if uri == namespace)
    element = etree.SubElement(node, wanted.name, nsmap={prefix: namespace[1:-1]})
    if not wanted.container:
        element.text = texts[0]
        return
    container = etree.SubElement(element, f"{RDF}{wanted.container}")
    for text in texts if wanted.container == "Seq" else texts[:1]:
        item = etree.SubElement(container, f"{RDF}li")
        item.text = text
        if wanted.container == "Alt":
            item.set(f"{_XML}lang", "x-default")


def _document(rdf: etree._Element) -> bytes:
    """Return a packet with these nodes."""
    begin, end = EMPTY_PACKET.split(b"<x:xmpmeta")[0], EMPTY_PACKET.split(b"</x:xmpmeta>")[1]
    root = etree.Element(f"{_X}xmpmeta", {f"{_X}xmptk": "photoramd"}, nsmap={"x": _X[1:-1]})
    root.append(rdf)
    etree.cleanup_namespaces(root, keep_ns_prefixes=["rdf"])
    etree.indent(root, " ")
    return begin + etree.tostring(root, encoding="utf-8") + end


def _with_keywords(packet: Packet, found: Embedded, ours: Recorded) -> Packet:
    """Return a packet with the keywords that only IPTC or a further packet has."""
    known = {fold(word) for word in ours.ours(SUBJECT.name)}
    present = values(packet)
    for each in FIELDS:
        known |= folded_leaves(each, present.get(each.name, ()))
    missing = tuple(word for word in found.keywords if fold(word) not in known)
    return edited(packet, PacketChange(added={SUBJECT.name: missing}))
