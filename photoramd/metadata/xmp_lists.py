"""Read lists of texts in an XMP packet, and edit them.

A list is an ``rdf:Bag`` or ``rdf:Seq``. The other forms that programs write, an attribute or plain
text, are understood too.
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
    """A place of entries: a node with its property element, or None for an attribute."""

    node: etree._Element
    element: etree._Element | None
    tag: str

    @property
    def namespace(self) -> str:
        """The namespace of ``tag``, in lxml's notation."""
        return self.tag[: self.tag.index("}") + 1]


def places(packet: Packet, field: Field) -> Iterator[Place]:
    """Yield every place of a field, in the order of the source."""
    for node in packet.nodes():
        for tag in field.tags:
            if node.get(tag) is not None:
                yield Place(node, None, tag)
        for element in node.iterchildren(*field.tags):
            yield Place(node, element, str(element.tag))


def entries_of(packet: Packet, field: Field) -> tuple[str, ...]:
    """Return the entries of a field that are not blank, in their order."""
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
    """Return whether a property holds plain text, which XMP forbids for lists but which occurs."""
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


class PacketEdits:
    """Edits of one packet, collected first and spliced together.

    What several edits append to the same element goes there in one piece, so the result is that
    of one edit after the other.
    """

    def __init__(self, packet: Packet) -> None:
        self._packet = packet
        self._edits: list[Edit] = []
        self._appended: dict[etree._Element, list[tuple[int, str]]] = {}
        self._removed: list[etree._Element] = []
        self._removed_attributes: dict[etree._Element, set[str]] = {}

    def __bool__(self) -> bool:
        """Return whether there is anything to splice."""
        return bool(self._edits or self._appended or self._removed or self._removed_attributes)

    def add(self, field: Field, entries: Sequence[str]) -> None:
        """Add entries after those in the last place of a field; without one, create a node.

        Raises:
            SidecarError: The field is there in a form that cannot be added to.
        """
        packet = self._packet
        found = list(places(packet, field))
        if not found:
            place = Place(packet.rdf, None, field.tags[0])

            def render(names: Namespaces) -> Lines:
                return _list_lines(names, place, field, entries)

            self.append_node(place.namespace, field.prefix, render)
            return
        place = found[-1]
        node, element = place.node, place.element
        container = None if element is None else _container(element)
        if container is not None:
            names = Namespaces.within(container, {RDF: "rdf"})
            self._append(container, [(0, _item(names, entry)) for entry in entries])
            return
        # A single text becomes the first entry of a list.
        text = node.get(place.tag, "") if element is None else element.text or ""
        names = Namespaces.within(node, {RDF: "rdf", place.namespace: field.prefix})
        lines = _list_lines(names, place, field, [*([text] if text.strip() else []), *entries])
        if element is None:
            self._edits.append(packet.remove_attribute(node, place.tag))
            self._append(node, lines)
        elif _is_literal(element):
            self.replace(element, lines)
        else:
            raise packet.error(
                f"{field.name} is there, but is no list of keywords",
                "repair it with the program that wrote it; it was left as it is",
            )

    def append_node(
        self, namespace: str, prefix: str, render: Callable[[Namespaces], Lines]
    ) -> None:
        """Append a node with one property; it describes the same resource as the first node."""
        packet = self._packet
        names = Namespaces.within(packet.rdf, {RDF: "rdf", namespace: prefix})
        first = next(packet.nodes(), None)
        about = "" if first is None else first.get(f"{RDF}about") or first.get("about") or ""
        node = f"{names[RDF]}:Description"
        opening = f'<{node} {names[RDF]}:about="{escape(about)}"{names.declarations}>'
        inner = render(Namespaces(names.prefixes, ""))
        lines = [(0, opening), *((depth + 1, line) for depth, line in inner), (0, f"</{node}>")]
        self._append(packet.rdf, lines)

    def replace(self, element: etree._Element, lines: Lines) -> None:
        """Put markup in the place of an element."""
        self._edits.append(self._packet.replace(element, lines))

    def discard(self, field: Field, entries: Collection[str]) -> None:
        """Remove these entries from every place of a field."""
        for place in places(self._packet, field):
            element = place.element
            if element is None:
                if place.node.get(place.tag, "") in entries:
                    self._removed_attributes.setdefault(place.node, set()).add(place.tag)
            elif (container := _container(element)) is not None:
                items = container.iterchildren(f"{RDF}li")
                self._removed += [item for item in items if _text(item) in entries]
            elif any(entry in entries for entry in _entries(element)):
                self._removed.append(element)

    def remove(self, elements: Iterable[etree._Element]) -> None:
        """Remove elements."""
        self._removed += elements

    def spliced(self) -> Packet:
        """Return the packet with all edits.

        An element that holds nothing after the removals goes too, up to the node.

        Raises:
            SidecarError: The result would be over `xmp_packet.MAX_BYTES`.
        """
        appended = (
            edit
            for parent, lines in self._appended.items()
            for edit in self._packet.append(parent, lines)
        )
        return self._packet.spliced([*self._edits, *self._removals(), *appended])

    def _append(self, parent: etree._Element, lines: Lines) -> None:
        self._appended.setdefault(parent, []).extend(lines)

    def _removals(self) -> Iterator[Edit]:
        gone = set(self._removed)
        level = list(gone)
        while level:
            parents = dict.fromkeys(element.getparent() for element in level)
            level = [
                parent
                for parent in parents
                if parent is not None
                and parent is not self._packet.rdf
                and parent not in self._appended
                and self._is_emptied(parent, gone)
            ]
            gone.update(level)
        for element in gone:
            if element.getparent() not in gone:
                yield self._packet.remove(element)
        for node, names in self._removed_attributes.items():
            if node not in gone:
                for name in names:
                    yield self._packet.remove_attribute(node, name)

    def _is_emptied(self, element: etree._Element, gone: Collection[etree._Element]) -> bool:
        """Return whether nothing is left in an element; comments and attributes count."""
        attributes = set(element.attrib) - ABOUT - self._removed_attributes.get(element, set())
        return not attributes and all(child in gone for child in element)


def _list_lines(names: Namespaces, place: Place, field: Field, entries: Sequence[str]) -> Lines:
    """Render a property element with a list."""
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
