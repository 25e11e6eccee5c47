"""Tell whether two XMP packets mean the same, however they are written.

Programs rewrite packets: attributes become elements, prefixes, order and indentation change. The
meaning is the set of properties with their values, by the RDF forms that XMP allows (XMP
Specification Part 1, ISO 16684-1, 7.4 to 7.9).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from lxml import etree

from photoramd.metadata.xmp_packet import RDF, Packet

_CONTAINERS = (f"{RDF}Bag", f"{RDF}Seq", f"{RDF}Alt")
_SYNTAX = frozenset(f"{RDF}{name}" for name in ("about", "parseType", "ID", "nodeID", "datatype"))


def digest(packet: Packet) -> str:
    """Return a digest of a packet's properties: 32 hexadecimal digits."""
    properties = sorted(json.dumps(each) for node in packet.nodes() for each in _fields(node))
    return hashlib.blake2b("\n".join(properties).encode(), digest_size=16).hexdigest()


def _fields(node: etree._Element) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each property of a node or of each field of a structure."""
    for name, text in node.attrib.items():
        if name not in _SYNTAX:
            yield str(name), str(text).strip()
    for child in node.iterchildren(etree.Element):
        yield child.tag, _value(child)


def _value(element: etree._Element) -> Any:
    """Return a text, a list of a container's kind and items, or the fields of a structure."""
    children = list(element.iterchildren(etree.Element))
    if not children:
        fields = dict(_fields(element))
        text = (element.text or "").strip()
        return [text, fields] if fields else text
    if len(children) == 1 and children[0].tag in _CONTAINERS:
        container = children[0]
        items = [_value(item) for item in container.iterchildren(etree.Element)]
        return [container.tag, sorted(items, key=json.dumps) if _is_bag(container) else items]
    if len(children) == 1 and children[0].tag == f"{RDF}Description":
        return sorted(_fields(children[0]), key=json.dumps)
    return sorted(_fields(element), key=json.dumps)


def _is_bag(container: etree._Element) -> bool:
    return container.tag == f"{RDF}Bag"
