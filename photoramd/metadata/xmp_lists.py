"""Lists of texts in an XMP packet: reading them, and the edits that add and remove entries.

A list is an ``rdf:Bag`` or ``rdf:Seq``; what other programs make of it, an attribute or plain
text, is understood too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lxml import etree

from photoramd.metadata.fields import Field
from photoramd.metadata.xmp_packet import RDF, Edit, Lines, Namespaces, Packet, escape

CONTAINERS = frozenset(f"{RDF}{name}" for name in ("Bag", "Seq", "Alt"))


ABOUT = {f"{RDF}about", "about"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where entries are: a node and its property element, or None for its attribute."""

    node: etree._Element
    element: etree._Element | None
    tag: str

    @property
    def namespace(self) -> str:
        """The namespace of its name, in lxml's notation."""
        return self.tag[: self.tag.index("}") + 1]


def places(packet: Packet, field: Field) -> Iterator[Place]:
    """Wherever a field is."""
    for node in packet.nodes():
        for tag in field.tags:
            if node.get(tag) is not None:
                yield Place(node, None, tag)
        for element in node.iterchildren(*field.tags):
            yield Place(node, element, str(element.tag))


def entries_of(packet: Packet, field: Field) -> tuple[str, ...]:
    """The entries of a field that are not blank, in their order."""
    found: list[str] = []
    for place in places(packet, field):
        if place.element is None:
            found.append(place.node.get(place.tag, ""))
        else:
            found += _entries(place.element)
    return tuple(entry for entry in found if entry.strip())


def _container(element: etree._Element) -> etree._Element | None:
    return next((child for child in element if child.tag in CONTAINERS), None)


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


def addition(packet: Packet, field: Field, entries: Sequence[str]) -> list[Edit]:
    """Add entries to the last place that holds some, or make one."""
    found = list(places(packet, field))
    if not found:
        place = Place(packet.rdf, None, field.tags[0])

        def render(names: Namespaces) -> Lines:
            return _list_lines(names, place, field, entries)

        return append_node(packet, place.namespace, field.prefix, render)
    place = found[-1]
    node, element = place.node, place.element
    container = None if element is None else _container(element)
    if container is not None:
        names = Namespaces.within(container, {RDF: "rdf"})
        return packet.append(container, [(0, _item(names, entry)) for entry in entries])
    # What is one text so far becomes the first entry of a list.
    text = node.get(place.tag, "") if element is None else element.text or ""
    names = Namespaces.within(node, {RDF: "rdf", place.namespace: field.prefix})
    lines = _list_lines(names, place, field, [*([text] if text.strip() else []), *entries])
    if element is None:
        return [packet.remove_attribute(node, place.tag), *packet.append(node, lines)]
    if not _is_literal(element):
        raise packet.error(
            f"{field.name} is there, but is no list of keywords",
            "repair it with the program that wrote it; the sidecar was left as it is",
        )
    return [packet.replace(element, lines)]


def append_node(
    packet: Packet, namespace: str, prefix: str, render: Callable[[Namespaces], Lines]
) -> list[Edit]:
    """Add a node with one property, about what the first node is about."""
    names = Namespaces.within(packet.rdf, {RDF: "rdf", namespace: prefix})
    first = next(packet.nodes(), None)
    about = "" if first is None else first.get(f"{RDF}about") or first.get("about") or ""
    node = f"{names[RDF]}:Description"
    opening = f'<{node} {names[RDF]}:about="{escape(about)}"{names.declarations}>'
    inner = render(Namespaces(names.prefixes, ""))
    lines = [(0, opening), *((depth + 1, line) for depth, line in inner), (0, f"</{node}>")]
    return packet.append(packet.rdf, lines)


def _list_lines(names: Namespaces, place: Place, field: Field, entries: Sequence[str]) -> Lines:
    """A property element with a list."""
    element = f"{names[place.namespace]}:{place.tag.removeprefix(place.namespace)}"
    container = f"{names[RDF]}:{field.container}"
    return [
        (0, f"<{element}{names.declarations}>"),
        (1, f"<{container}>"),
        *((2, _item(Namespaces(names.prefixes, ""), entry)) for entry in entries),
        (1, f"</{container}>"),
        (0, f"</{element}>"),
    ]


def _item(names: Namespaces, keyword: str) -> str:
    return f"<{names[RDF]}:li{names.declarations}>{escape(keyword)}</{names[RDF]}:li>"


def subtraction(packet: Packet, field: Field, doomed: Collection[str]) -> Iterator[Edit]:
    """Remove entries wherever they are."""
    removed = []
    for place in places(packet, field):
        element = place.element
        if element is None:
            if place.node.get(place.tag, "") in doomed:
                yield packet.remove_attribute(place.node, place.tag)
        elif (container := _container(element)) is not None:
            removed += [i for i in container.iterchildren(f"{RDF}li") if _text(i) in doomed]
        elif any(entry in doomed for entry in _entries(element)):
            removed.append(element)
    yield from removal(packet, removed)


def removal(packet: Packet, elements: Iterable[etree._Element]) -> Iterator[Edit]:
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
            and not set(parent.attrib) - ABOUT
        ]
        gone.update(level)
    return (packet.remove(element) for element in gone if element.getparent() not in gone)


def checked(
    packet: Packet, edits: Sequence[Edit], field: Field, expected: tuple[str, ...]
) -> bytes:
    """Apply edits, and look at the result with the eyes of a reader before it is let out."""
    data = packet.spliced(edits)
    if entries_of(Packet(data, packet.path), field) != expected:
        raise packet.error(
            "the keywords would not have come out right",
            "please report this with the sidecar, which was left as it is",
        )
    return data
