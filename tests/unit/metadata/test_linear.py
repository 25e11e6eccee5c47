"""What others put into a packet takes time in proportion to its size, not to its square."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from photoramd.errors import SidecarError
from photoramd.metadata import blocks, verify
from photoramd.metadata.xmp_packet import RDF, Packet

_DC = "http://purl.org/dc/elements/1.1/"
_HEAD = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF[1:-1]}">'
_TAIL = "</rdf:RDF></x:xmpmeta>"

SIZE = 100_000
"""With time that grows with the square, twice of it would take tens of seconds."""


def packet(attributes: str) -> Packet:
    node = f'<rdf:Description xmlns:dc="{_DC}"{attributes} dc:format="image/jpeg"/>'
    return Packet(f"{_HEAD}{node}{_TAIL}".encode())


def remove(attributes: str) -> None:
    parsed = packet(attributes)
    (node,) = parsed.nodes()
    after = parsed.spliced([parsed.remove_attribute(node, f"{{{_DC}}}format")])
    assert "image/jpeg" not in after.data.decode()


def decode(declaration: str) -> None:
    with pytest.raises(SidecarError):
        Packet(declaration.encode())


def find_guid(data: bytes) -> None:
    assert blocks._GUID.search(data) is None


CASES: dict[str, Callable[[int], object]] = {
    "spaces in a tag": lambda size: remove(" " * size + 'dc:a=""'),
    "many lines in a tag": lambda size: remove("\n\t" * (size // 2) + 'dc:a=""'),
    "many attributes": lambda size: remove("".join(f' dc:a{n}=""' for n in range(size // 20))),
    "a long value": lambda size: remove(f' dc:title="{" dc:format=" * (size // 11)}"'),
    "spaces after a declaration": lambda size: decode(f"<?xml {'encoding ' * (size // 9)}"),
    "processing instructions": lambda size: decode("<?a?>" * (size // 5)),
    "comments that do not end": lambda size: decode("<!--" * (size // 4)),
    "spaces before a wrapper": lambda size: verify._comparable(b" " * size + b"<?xpacket "),
    "a wrapper that does not end": lambda size: verify._comparable(b"<?xpacket " * (size // 10)),
    "a digest that is none": lambda size: find_guid(b"HasExtendedXMP" + b" " * size),
}


def seconds(work: Callable[[int], object], size: int) -> float:
    def once() -> float:
        started = time.process_time()
        work(size)
        return time.process_time() - started

    return min(once() for _ in range(3))


@pytest.mark.parametrize("name", CASES)
def test_twice_the_size_takes_about_twice_the_time(name: str) -> None:
    one, two = (seconds(CASES[name], times * SIZE) for times in (1, 2))
    assert two < 3 * one + 0.05, (one, two)
    assert two < 2


@pytest.mark.parametrize("encoding", ["punycode", "idna", "utf-7", "zlib", "cp037"])
def test_encodings_that_xml_does_not_need_are_refused(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>{_HEAD}{_TAIL}'
    with pytest.raises(SidecarError, match="is unknown"):
        Packet(text.encode())


@pytest.mark.parametrize("encoding", ["UTF-8", "utf8", "ISO-8859-1", "latin1"])
def test_common_encodings_are_read(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>{_HEAD}{_TAIL}'
    assert Packet(text.encode()).rdf is not None


@pytest.mark.parametrize("marks", ["\ufeff", "\ufeff\ufeff", "\ufeff\n"])
def test_a_doctype_is_refused_behind_any_marks(marks: str, tmp_path: Path) -> None:
    text = f'{marks}<!DOCTYPE x [<!ENTITY a "b">]>{_HEAD}{_TAIL}'
    with pytest.raises(SidecarError, match=r"DOCTYPE|well-formed"):
        Packet(text.encode(), tmp_path)
