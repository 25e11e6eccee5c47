"""Packets that mean the same."""

from __future__ import annotations

import pytest

from photoramd.metadata.meaning import digest
from photoramd.metadata.xmp_packet import Packet

NAMESPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' xmlns:a="http://example.org/a/"'
)


def packet(*nodes: str) -> Packet:
    return Packet(f"<rdf:RDF {NAMESPACES}>{''.join(nodes)}</rdf:RDF>".encode())


def node(content: str = "", attributes: str = "") -> str:
    return f'<rdf:Description rdf:about="" {attributes}>{content}</rdf:Description>'


BAG = "<dc:subject><rdf:Bag><rdf:li>cat</rdf:li><rdf:li>dog</rdf:li></rdf:Bag></dc:subject>"
TURNED = "<dc:subject><rdf:Bag><rdf:li>dog</rdf:li><rdf:li>cat</rdf:li></rdf:Bag></dc:subject>"
RESOURCE = "<a:s rdf:parseType='Resource'><a:y>2</a:y><a:x>1</a:x></a:s>"
STRUCTURE = "<a:s><rdf:Description a:x='1'><a:y>2</a:y></rdf:Description></a:s>"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (packet(node("<xmp:Rating>4</xmp:Rating>")), packet(node(attributes='xmp:Rating="4"'))),
        (packet(node(BAG)), packet(node(BAG.replace("><", ">\n  <")))),
        (packet(node(BAG)), packet(node(TURNED))),
        (packet(node(BAG, 'xmp:Rating="4"')), packet(node(BAG), node(attributes='xmp:Rating="4"'))),
        (packet(node(STRUCTURE)), packet(node(RESOURCE))),
        (packet(node(BAG)), packet(node(BAG).replace('rdf:about=""', 'rdf:about="x"'))),
        (packet(node(BAG)), packet("<!-- a comment -->", node(BAG), node())),
    ],
)  # fmt: skip
def test_other_forms_of_the_same_properties_are_equal(one: Packet, other: Packet) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    "other",
    [
        node(BAG.replace("dog", "cow")),
        node(BAG.replace("Bag", "Seq")),
        node(BAG, 'xmp:Rating="4"'),
        node(BAG.replace("<rdf:li>cat", "<rdf:li xml:lang='de'>cat")),
        node(STRUCTURE),
        "",
    ],
)
def test_other_properties_differ(other: str) -> None:
    assert digest(packet(node(BAG))) != digest(packet(other))


def test_the_order_of_a_sequence_counts() -> None:
    first = "<dc:creator><rdf:Seq><rdf:li>a</rdf:li><rdf:li>b</rdf:li></rdf:Seq></dc:creator>"
    second = first.replace(">a<", ">c<").replace(">b<", ">a<").replace(">c<", ">b<")
    assert digest(packet(node(first))) != digest(packet(node(second)))
