"""The keywords in an XMP packet, and the machine's mark beside them.

The mark is a bag of structures in a namespace of its own. It tells a reader of the file
which keywords a machine gave; the database stays the authority.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from lxml import etree

from photoramd.keywords import fold
from photoramd.metadata.fields import FIELDS, SUBJECT, Field
from photoramd.metadata.xmp_lists import (
    ABOUT,
    CONTAINERS,
    addition,
    append_node,
    checked,
    entries_of,
    places,
    removal,
    subtraction,
)
from photoramd.metadata.xmp_packet import EMPTY_PACKET, RDF, Edit, Lines, Namespaces, Packet, escape

PHOTORAMD = "{https://photoramd.org/ns/1.0/}"

_MARK = f"{PHOTORAMD}autoTags"
_PREFIX = "photoramd"


@dataclass(frozen=True, slots=True)
class Provenance:
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
        SidecarError: See `xmp_packet.Packet`.
    """
    return entries_of(Packet(data, path), SUBJECT)


def values(data: bytes, *, path: Path | None = None) -> dict[str, tuple[str, ...]]:
    """The entries of every keyword field that is there, by the field's name.

    Raises:
        SidecarError: See `xmp_packet.Packet`.
    """
    packet = Packet(data, path)
    return {field.name: entries_of(packet, field) for field in FIELDS if any(places(packet, field))}


def holds_nothing(data: bytes, *, path: Path | None = None) -> bool:
    """Whether a packet has no property at all, and no comment.

    Raises:
        SidecarError: See `xmp_packet.Packet`.
    """
    packet = Packet(data, path)
    return all(
        node.tag == f"{RDF}Description" and not len(node) and not set(node.attrib) - ABOUT
        for node in packet.rdf
    )


def marks(data: bytes, *, path: Path | None = None) -> tuple[Provenance, ...]:
    """The machine's mark; what is not understood of it is left out.

    Raises:
        SidecarError: See `xmp_packet.Packet`.
    """
    packet = Packet(data, path)
    found = (
        _read_mark(item)
        for element in packet.properties(_MARK)
        for container in element
        if container.tag in CONTAINERS
        for item in container.iterchildren(f"{RDF}li")
    )
    return tuple(mark for mark in found if mark is not None)


@overload
def add_subjects(
    data: bytes,
    new: Iterable[str],
    *,
    mark: Sequence[Provenance] | None = None,
    path: Path | None = None,
) -> bytes: ...
@overload
def add_subjects(
    data: None,
    new: Iterable[str],
    *,
    mark: Sequence[Provenance] | None = None,
    path: Path | None = None,
) -> bytes | None: ...
def add_subjects(
    data: bytes | None,
    new: Iterable[str],
    *,
    mark: Sequence[Provenance] | None = None,
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
        SidecarError: See `xmp_packet.Packet`; or a keyword holds a character that XML cannot; or
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
    present = entries_of(packet, field)
    known = {fold(value) for value in present} | {""}
    fresh = []
    for value in new:
        if fold(value) not in known:
            known.add(fold(value))
            fresh.append(value)
    if not fresh:
        return data
    return checked(packet, addition(packet, field, fresh), field, (*present, *fresh))


def remove_subjects(
    data: bytes,
    values: Iterable[str],
    *,
    mark: Sequence[Provenance] | None = None,
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
        SidecarError: See `xmp_packet.Packet`.
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
        SidecarError: See `xmp_packet.Packet`.
    """
    packet = Packet(data, path)
    doomed = frozenset(values)
    present = entries_of(packet, field)
    remaining = tuple(value for value in present if value not in doomed)
    if remaining == present:
        return data
    return checked(packet, list(subtraction(packet, field, doomed)), field, remaining)


def replace_mark(data: bytes, mark: Sequence[Provenance], *, path: Path | None = None) -> bytes:
    """Replace the machine's mark as a whole; nothing in it removes it.

    Raises:
        SidecarError: See `xmp_packet.Packet`.
    """
    packet = Packet(data, path)
    return checked(packet, _marking(packet, mark), SUBJECT, entries_of(packet, SUBJECT))


def _marking(packet: Packet, mark: Sequence[Provenance]) -> list[Edit]:
    present = list(packet.properties(_MARK))
    if not mark:
        return list(removal(packet, present))
    if not present:
        return append_node(packet, PHOTORAMD, _PREFIX, lambda names: _mark_lines(names, mark))
    node = present[0].getparent()
    assert node is not None  # noqa: S101  a property is inside of a node
    names = Namespaces.within(node, {RDF: "rdf", PHOTORAMD: _PREFIX})
    return [
        packet.replace(present[0], _mark_lines(names, mark)),
        *removal(packet, present[1:]),
    ]


def _mark_lines(names: Namespaces, mark: Sequence[Provenance]) -> Lines:
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


def _mark_fields(entry: Provenance) -> dict[str, str]:
    return {
        "tag": entry.tag,
        "confidence": f"{entry.confidence:.3f}",
        "model": entry.model,
        "version": entry.version,
        "when": entry.when,
        "fields": " ".join(entry.fields),
    }


def _read_mark(item: etree._Element) -> Provenance | None:
    """A structure in any of the forms that programs rewrite it to."""
    values = {str(name): str(value) for name, value in item.attrib.items()}
    for inner in item.iterdescendants(etree.Element):
        values |= {str(name): str(value) for name, value in inner.attrib.items()}
        values[str(inner.tag)] = inner.text or ""
    try:
        return Provenance(
            tag=values[f"{PHOTORAMD}tag"],
            confidence=float(values[f"{PHOTORAMD}confidence"]),
            model=values[f"{PHOTORAMD}model"],
            version=values[f"{PHOTORAMD}version"],
            when=values[f"{PHOTORAMD}when"],
            fields=tuple(values.get(f"{PHOTORAMD}fields", SUBJECT.name).split()),
        )
    except (KeyError, ValueError):
        return None
