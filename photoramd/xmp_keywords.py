"""The keywords in an XMP packet, and the machine's mark beside them.

The mark is a bag of structures in a namespace of its own. It tells a reader of the file
which keywords a machine gave; the database stays the authority.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from lxml import etree

from photoramd.keywords import fold
from photoramd.xmp import EMPTY_PACKET, RDF, Edit, Lines, Namespaces, Packet, escape

DC = "{http://purl.org/dc/elements/1.1/}"
PHOTORAMD = "{https://photoramd.org/ns/1.0/}"

_SUBJECT = f"{DC}subject"
_MARK = f"{PHOTORAMD}autoTags"
_CONTAINERS = frozenset(f"{RDF}{name}" for name in ("Bag", "Seq", "Alt"))
_PREFIXES = {RDF: "rdf", DC: "dc", PHOTORAMD: "photoramd"}
_ABOUT = {f"{RDF}about", "about"}


@dataclass(frozen=True, slots=True)
class Mark:
    """What the machine says of a keyword it gave.

    Attributes:
        tag: The keyword.
        confidence: 0 to 1; two to three decimals are kept.
        model: Name of the model.
        version: Version of the model.
        when: UTC, ISO 8601 to the second: ``2025-01-31T12:00:00Z``.
    """

    tag: str
    confidence: float
    model: str
    version: str
    when: str


def subjects(data: bytes, *, path: Path | None = None) -> tuple[str, ...]:
    """The keywords in ``dc:subject``, as they are written there, in that order.

    Raises:
        SidecarError: See `xmp.Packet`.
    """
    return _subjects(Packet(data, path))


def marks(data: bytes, *, path: Path | None = None) -> tuple[Mark, ...]:
    """The machine's mark; what is not understood of it is left out.

    Raises:
        SidecarError: See `xmp.Packet`.
    """
    packet = Packet(data, path)
    found = (
        _read_mark(item)
        for element in packet.properties(_MARK)
        for container in element
        if container.tag in _CONTAINERS
        for item in container.iterchildren(f"{RDF}li")
    )
    return tuple(mark for mark in found if mark is not None)


@overload
def add_subjects(
    data: bytes,
    new: Iterable[str],
    *,
    mark: Sequence[Mark] | None = None,
    path: Path | None = None,
) -> bytes: ...
@overload
def add_subjects(
    data: None,
    new: Iterable[str],
    *,
    mark: Sequence[Mark] | None = None,
    path: Path | None = None,
) -> bytes | None: ...
def add_subjects(
    data: bytes | None,
    new: Iterable[str],
    *,
    mark: Sequence[Mark] | None = None,
    path: Path | None = None,
) -> bytes | None:
    """Add the keywords to ``dc:subject`` that are not there yet, after those that are.

    Keywords are compared by `keywords.fold`. What is there is never altered, moved or
    removed.

    Args:
        data: The sidecar, or nothing to make one.
        new: The keywords, in the order to write them. Blank ones are passed over.
        mark: What replaces the machine's mark if a keyword is added; None leaves it alone.
        path: The sidecar, for messages.

    Returns:
        The new bytes, or ``data`` itself if there is nothing to add.

    Raises:
        SidecarError: See `xmp.Packet`; or a keyword holds a character that XML cannot; or
            ``dc:subject`` is there in a form that cannot be added to.
    """
    packet = Packet(EMPTY_PACKET if data is None else data, path)
    present = _subjects(packet)
    known = {fold(subject) for subject in present} | {""}
    fresh = []
    for keyword in new:
        if fold(keyword) not in known:
            known.add(fold(keyword))
            fresh.append(keyword)
    if not fresh:
        return data
    added = _checked(packet, _addition(packet, fresh), (*present, *fresh))
    return added if mark is None else replace_mark(added, mark, path=path)


def remove_subjects(
    data: bytes,
    values: Iterable[str],
    *,
    mark: Sequence[Mark] | None = None,
    path: Path | None = None,
) -> bytes:
    """Remove exactly these strings from ``dc:subject``, and it if nothing is left in it.

    Args:
        data: The sidecar.
        values: The entries as they are written; others in another case or form stay.
        mark: What replaces the machine's mark if an entry is removed; None leaves it
            alone, nothing in it removes it.
        path: The sidecar, for messages.

    Returns:
        The new bytes, or ``data`` itself if none of the strings is there.

    Raises:
        SidecarError: See `xmp.Packet`.
    """
    packet = Packet(data, path)
    doomed = frozenset(values)
    present = _subjects(packet)
    remaining = tuple(subject for subject in present if subject not in doomed)
    if remaining == present:
        return data
    stripped = _checked(packet, list(_subtraction(packet, doomed)), remaining)
    return stripped if mark is None else replace_mark(stripped, mark, path=path)


def replace_mark(data: bytes, mark: Sequence[Mark], *, path: Path | None = None) -> bytes:
    """Replace the machine's mark as a whole; nothing in it removes it.

    Raises:
        SidecarError: See `xmp.Packet`.
    """
    packet = Packet(data, path)
    return _checked(packet, _marking(packet, mark), _subjects(packet))


def _places(packet: Packet) -> Iterator[tuple[etree._Element, etree._Element | None]]:
    """Where keywords are: a node and its property element, or None for its attribute."""
    for node in packet.nodes():
        if node.get(_SUBJECT) is not None:
            yield node, None
        for element in node.iterchildren(_SUBJECT):
            yield node, element


def _subjects(packet: Packet) -> tuple[str, ...]:
    found: list[str] = []
    for node, element in _places(packet):
        found += [node.get(_SUBJECT, "")] if element is None else _entries(element)
    return tuple(entry for entry in found if entry.strip())


def _container(element: etree._Element) -> etree._Element | None:
    return next((child for child in element if child.tag in _CONTAINERS), None)


def _is_literal(element: etree._Element) -> bool:
    """Whether a property holds plain text, which XMP forbids for lists but which exists."""
    return not len(element) and not element.attrib


def _entries(element: etree._Element) -> list[str]:
    container = _container(element)
    if container is not None:
        return [_text(item) for item in container.iterchildren(f"{RDF}li")]
    return [element.text or ""] if _is_literal(element) else []


def _text(item: etree._Element) -> str:
    if not len(item):
        return item.text or ""
    # With qualifiers, the value is one level down (XMP Specification Part 1, 7.8).
    values = [value.text or "" for value in item.iter(f"{RDF}value")]
    return (
        values[0] if values else "".join([item.text or "", *(inner.tail or "" for inner in item)])
    )


def _addition(packet: Packet, keywords: Sequence[str]) -> list[Edit]:
    """Add keywords to the last place that holds some, or make one."""
    places = list(_places(packet))
    if not places:
        return _append_node(packet, DC, lambda names: _list_lines(names, keywords))
    node, element = places[-1]
    container = None if element is None else _container(element)
    if container is not None:
        names = Namespaces.within(container, {RDF: "rdf"})
        return packet.append(container, [(0, _item(names, keyword)) for keyword in keywords])
    # What is one text so far becomes the first entry of a list.
    text = node.get(_SUBJECT, "") if element is None else element.text or ""
    names = Namespaces.within(node, {RDF: "rdf", DC: "dc"})
    lines = _list_lines(names, [*([text] if text.strip() else []), *keywords])
    if element is None:
        return [packet.remove_attribute(node, _SUBJECT), *packet.append(node, lines)]
    if not _is_literal(element):
        raise packet.error(
            "dc:subject is there, but is no list of keywords",
            "repair it with the program that wrote it; the sidecar was left as it is",
        )
    return [packet.replace(element, lines)]


def _append_node(
    packet: Packet, namespace: str, render: Callable[[Namespaces], Lines]
) -> list[Edit]:
    """Add a node with one property, about what the first node is about."""
    names = Namespaces.within(packet.rdf, {RDF: "rdf", namespace: _PREFIXES[namespace]})
    first = next(packet.nodes(), None)
    about = "" if first is None else first.get(f"{RDF}about") or first.get("about") or ""
    node = f"{names[RDF]}:Description"
    opening = f'<{node} {names[RDF]}:about="{escape(about)}"{names.declarations}>'
    inner = render(Namespaces(names.prefixes, ""))
    lines = [(0, opening), *((depth + 1, line) for depth, line in inner), (0, f"</{node}>")]
    return packet.append(packet.rdf, lines)


def _list_lines(names: Namespaces, keywords: Sequence[str]) -> Lines:
    """A ``dc:subject`` element."""
    element, bag = f"{names[DC]}:subject", f"{names[RDF]}:Bag"
    return [
        (0, f"<{element}{names.declarations}>"),
        (1, f"<{bag}>"),
        *((2, _item(Namespaces(names.prefixes, ""), keyword)) for keyword in keywords),
        (1, f"</{bag}>"),
        (0, f"</{element}>"),
    ]


def _item(names: Namespaces, keyword: str) -> str:
    return f"<{names[RDF]}:li{names.declarations}>{escape(keyword)}</{names[RDF]}:li>"


def _subtraction(packet: Packet, doomed: Container[str]) -> Iterator[Edit]:
    """Remove keywords wherever they are."""
    removed = []
    for node, element in _places(packet):
        if element is None:
            if node.get(_SUBJECT, "") in doomed:
                yield packet.remove_attribute(node, _SUBJECT)
        elif (container := _container(element)) is not None:
            removed += [i for i in container.iterchildren(f"{RDF}li") if _text(i) in doomed]
        elif any(entry in doomed for entry in _entries(element)):
            removed.append(element)
    yield from _removal(packet, removed)


def _removal(packet: Packet, elements: Iterable[etree._Element]) -> Iterator[Edit]:
    """Remove elements, and what is around them if nothing is left in it, up to the node."""
    level = list(elements)
    gone = set(level)
    while level:
        parents = dict.fromkeys(element.getparent() for element in level)
        level = [
            parent
            for parent in parents
            # A comment is content too; so are attributes, but for what a node is about.
            if parent is not None
            and parent is not packet.rdf
            and all(child in gone for child in parent)
            and not set(parent.attrib) - _ABOUT
        ]
        gone.update(level)
    return (packet.remove(element) for element in gone if element.getparent() not in gone)


def _marking(packet: Packet, mark: Sequence[Mark]) -> list[Edit]:
    present = list(packet.properties(_MARK))
    if not mark:
        return list(_removal(packet, present))
    if not present:
        return _append_node(packet, PHOTORAMD, lambda names: _mark_lines(names, mark))
    node = present[0].getparent()
    assert node is not None  # noqa: S101  a property is inside of a node
    names = Namespaces.within(node, {RDF: "rdf", PHOTORAMD: _PREFIXES[PHOTORAMD]})
    return [
        packet.replace(present[0], _mark_lines(names, mark)),
        *_removal(packet, present[1:]),
    ]


def _mark_lines(names: Namespaces, mark: Sequence[Mark]) -> Lines:
    own, rdf = names[PHOTORAMD], names[RDF]
    lines = [(0, f"<{own}:autoTags{names.declarations}>"), (1, f"<{rdf}:Bag>")]
    for entry in mark:
        lines.append((2, f'<{rdf}:li {rdf}:parseType="Resource">'))
        lines += [
            (3, f"<{own}:{name}>{escape(value)}</{own}:{name}>")
            for name, value in _mark_fields(entry).items()
        ]
        lines.append((2, f"</{rdf}:li>"))
    return [*lines, (1, f"</{rdf}:Bag>"), (0, f"</{own}:autoTags>")]


def _mark_fields(entry: Mark) -> dict[str, str]:
    return {
        "tag": entry.tag,
        "confidence": f"{entry.confidence:.3f}",
        "model": entry.model,
        "version": entry.version,
        "when": entry.when,
    }


def _read_mark(item: etree._Element) -> Mark | None:
    """A structure in any of the forms that programs rewrite it to."""
    values = {str(name): str(value) for name, value in item.attrib.items()}
    for inner in item.iterdescendants(etree.Element):
        values |= {str(name): str(value) for name, value in inner.attrib.items()}
        values[str(inner.tag)] = inner.text or ""
    try:
        return Mark(
            tag=values[f"{PHOTORAMD}tag"],
            confidence=float(values[f"{PHOTORAMD}confidence"]),
            model=values[f"{PHOTORAMD}model"],
            version=values[f"{PHOTORAMD}version"],
            when=values[f"{PHOTORAMD}when"],
        )
    except (KeyError, ValueError):
        return None


def _checked(packet: Packet, edits: Sequence[Edit], expected: tuple[str, ...]) -> bytes:
    """Apply edits, and look at the result with the eyes of a reader before it is let out."""
    data = packet.spliced(edits)
    if _subjects(Packet(data, packet.path)) != expected:
        raise packet.error(
            "the keywords would not have come out right",
            "please report this with the sidecar, which was left as it is",
        )
    return data
