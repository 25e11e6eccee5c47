"""The keywords in an XMP packet, and the machine's mark beside them.

The mark is a bag of structures in a namespace of its own. It tells a reader of the file
which keywords a machine gave; the database stays the authority.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from lxml import etree

from photoramd.fields import FIELDS, SUBJECT, Field
from photoramd.keywords import fold
from photoramd.xmp import EMPTY_PACKET, RDF, Edit, Lines, Namespaces, Packet, escape

PHOTORAMD = "{https://photoramd.org/ns/1.0/}"

_MARK = f"{PHOTORAMD}autoTags"
_PREFIX = "photoramd"
_CONTAINERS = frozenset(f"{RDF}{name}" for name in ("Bag", "Seq", "Alt"))
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
        fields: The fields that it was added to.
    """

    tag: str
    confidence: float
    model: str
    version: str
    when: str
    fields: tuple[str, ...] = (SUBJECT.name,)


def subjects(data: bytes, *, path: Path | None = None) -> tuple[str, ...]:
    """The keywords in ``dc:subject``, as they are written there, in that order.

    Raises:
        SidecarError: See `xmp.Packet`.
    """
    return _values(Packet(data, path), SUBJECT)


def values(data: bytes, *, path: Path | None = None) -> dict[str, tuple[str, ...]]:
    """The entries of every keyword field that is there, by the field's name.

    Raises:
        SidecarError: See `xmp.Packet`.
    """
    packet = Packet(data, path)
    return {field.name: _values(packet, field) for field in FIELDS if any(_places(packet, field))}


def holds_nothing(data: bytes, *, path: Path | None = None) -> bool:
    """Whether a packet has no property at all, and no comment.

    Raises:
        SidecarError: See `xmp.Packet`.
    """
    packet = Packet(data, path)
    return all(
        node.tag == f"{RDF}Description" and not len(node) and not set(node.attrib) - _ABOUT
        for node in packet.rdf
    )


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
    added = add_values(data, SUBJECT, new, path=path)
    if added is data or added is None or mark is None:
        return added
    return replace_mark(added, mark, path=path)


def add_values(
    data: bytes | None, field: Field, new: Iterable[str], *, path: Path | None = None
) -> bytes | None:
    """Add entries to a field as `add_subjects` does; a field that is not there is made.

    Raises:
        SidecarError: See `add_subjects`.
    """
    packet = Packet(EMPTY_PACKET if data is None else data, path)
    present = _values(packet, field)
    known = {fold(value) for value in present} | {""}
    fresh = []
    for value in new:
        if fold(value) not in known:
            known.add(fold(value))
            fresh.append(value)
    if not fresh:
        return data
    return _checked(packet, _addition(packet, field, fresh), field, (*present, *fresh))


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
    stripped = remove_values(data, SUBJECT, values, path=path)
    if stripped is data or mark is None:
        return stripped
    return replace_mark(stripped, mark, path=path)


def remove_values(
    data: bytes, field: Field, values: Iterable[str], *, path: Path | None = None
) -> bytes:
    """Remove exactly these strings from a field, and it if nothing is left in it.

    Raises:
        SidecarError: See `xmp.Packet`.
    """
    packet = Packet(data, path)
    doomed = frozenset(values)
    present = _values(packet, field)
    remaining = tuple(value for value in present if value not in doomed)
    if remaining == present:
        return data
    return _checked(packet, list(_subtraction(packet, field, doomed)), field, remaining)


def replace_mark(data: bytes, mark: Sequence[Mark], *, path: Path | None = None) -> bytes:
    """Replace the machine's mark as a whole; nothing in it removes it.

    Raises:
        SidecarError: See `xmp.Packet`.
    """
    packet = Packet(data, path)
    return _checked(packet, _marking(packet, mark), SUBJECT, _values(packet, SUBJECT))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where entries are: a node and its property element, or None for its attribute."""

    node: etree._Element
    element: etree._Element | None
    tag: str

    @property
    def namespace(self) -> str:
        return self.tag[: self.tag.index("}") + 1]


def _places(packet: Packet, field: Field) -> Iterator[_Place]:
    for node in packet.nodes():
        for tag in field.tags:
            if node.get(tag) is not None:
                yield _Place(node, None, tag)
        for element in node.iterchildren(*field.tags):
            yield _Place(node, element, str(element.tag))


def _values(packet: Packet, field: Field) -> tuple[str, ...]:
    found: list[str] = []
    for place in _places(packet, field):
        if place.element is None:
            found.append(place.node.get(place.tag, ""))
        else:
            found += _entries(place.element)
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


def _addition(packet: Packet, field: Field, entries: Sequence[str]) -> list[Edit]:
    """Add entries to the last place that holds some, or make one."""
    places = list(_places(packet, field))
    if not places:
        place = _Place(packet.rdf, None, field.tags[0])

        def render(names: Namespaces) -> Lines:
            return _list_lines(names, place, field, entries)

        return _append_node(packet, place.namespace, field.prefix, render)
    place = places[-1]
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


def _append_node(
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


def _list_lines(names: Namespaces, place: _Place, field: Field, entries: Sequence[str]) -> Lines:
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


def _subtraction(packet: Packet, field: Field, doomed: Collection[str]) -> Iterator[Edit]:
    """Remove entries wherever they are."""
    removed = []
    for place in _places(packet, field):
        element = place.element
        if element is None:
            if place.node.get(place.tag, "") in doomed:
                yield packet.remove_attribute(place.node, place.tag)
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
        return _append_node(packet, PHOTORAMD, _PREFIX, lambda names: _mark_lines(names, mark))
    node = present[0].getparent()
    assert node is not None  # noqa: S101  a property is inside of a node
    names = Namespaces.within(node, {RDF: "rdf", PHOTORAMD: _PREFIX})
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
        "fields": " ".join(entry.fields),
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
            fields=tuple(values.get(f"{PHOTORAMD}fields", SUBJECT.name).split()),
        )
    except (KeyError, ValueError):
        return None


def _checked(
    packet: Packet, edits: Sequence[Edit], field: Field, expected: tuple[str, ...]
) -> bytes:
    """Apply edits, and look at the result with the eyes of a reader before it is let out."""
    data = packet.spliced(edits)
    if _values(Packet(data, packet.path), field) != expected:
        raise packet.error(
            "the keywords would not have come out right",
            "please report this with the sidecar, which was left as it is",
        )
    return data
