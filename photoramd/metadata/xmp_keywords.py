"""Read and edit the keywords in an XMP packet, and the machine's provenance record beside them.

The record is a bag of structures in a namespace of its own. It tells readers of the file which
keywords a machine gave; the database stays the authority.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lxml import etree

from photoramd.keywords import fold
from photoramd.metadata.changes import Entries
from photoramd.metadata.fields import FIELDS, SUBJECT
from photoramd.metadata.xmp_lists import ABOUT, CONTAINERS, PacketEdits, entries_of, places
from photoramd.metadata.xmp_packet import RDF, Lines, Namespaces, Packet, escape

PHOTORAMD = "{https://photoramd.org/ns/1.0/}"

_PROVENANCE = f"{PHOTORAMD}autoTags"
_PREFIX = "photoramd"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the machine records of a keyword it gave.

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


def values(packet: Packet) -> dict[str, tuple[str, ...]]:
    """Return the entries of every keyword field that is there, by the field's name."""
    return {each.name: entries_of(packet, each) for each in FIELDS if any(places(packet, each))}


def holds_nothing(packet: Packet) -> bool:
    """Return whether a packet has neither a property nor a comment."""
    return all(
        node.tag == f"{RDF}Description" and not len(node) and not set(node.attrib) - ABOUT
        for node in packet.rdf
    )


def provenance(packet: Packet) -> tuple[Provenance, ...]:
    """Return the machine's provenance record, without what is not understood of it."""
    found = (
        _read_item(item)
        for element in packet.properties(_PROVENANCE)
        for container in element
        if container.tag in CONTAINERS
        for item in container.iterchildren(f"{RDF}li")
    )
    return tuple(each for each in found if each is not None)


@dataclass(frozen=True, slots=True)
class PacketChange:
    """What to change in a packet.

    Attributes:
        removed: Entries to take out, exactly as they are written, by field.
        added: Entries to add after those that are there, by field. Blank ones, and those that
            are there in any case or form (`keywords.fold`), are passed over.
        provenance: Replaces the machine's provenance record; an empty one removes it. None
            leaves the record alone.
    """

    removed: Entries = field(default_factory=dict)
    added: Entries = field(default_factory=dict)
    provenance: Sequence[Provenance] | None = None


def edited(packet: Packet, change: PacketChange) -> Packet:
    """Return a packet with a change; everything else stays byte for byte.

    Removals come before additions, which see their result. The outcome is parsed once and
    compared with what was asked for before anyone gets it.

    Args:
        packet: The packet.
        change: What to change.

    Returns:
        The packet itself if nothing changes.

    Raises:
        SidecarError: An entry holds a character that XML cannot, a field is there in a form
            that cannot be added to, or the result would be too large.
    """
    stripped, expected = _without(packet, change)
    edits = PacketEdits(stripped)
    for each in FIELDS:
        fresh = _fresh(change.added.get(each.name, ()), expected[each.name])
        if fresh:
            edits.add(each, fresh)
            expected[each.name] += fresh
    if change.provenance is not None:
        _replace_provenance(edits, stripped, change.provenance)
    result = edits.spliced() if edits else stripped
    if result is not packet:
        _verify(result, expected, change.provenance)
    return result


def _without(packet: Packet, change: PacketChange) -> tuple[Packet, dict[str, tuple[str, ...]]]:
    """Return a packet without the removed entries, and the entries that it then has."""
    expected = {each.name: entries_of(packet, each) for each in FIELDS}
    edits = PacketEdits(packet)
    for each in FIELDS:
        doomed = frozenset(change.removed.get(each.name, ()))
        left = tuple(value for value in expected[each.name] if value not in doomed)
        if left != expected[each.name]:
            edits.discard(each, doomed)
            expected[each.name] = left
    if not edits:
        return packet, expected
    if change.provenance is not None and not change.provenance:
        # In the same pass, so that a node which held both goes whole.
        edits.remove(packet.properties(_PROVENANCE))
    return edits.spliced(), expected


def _fresh(entries: Iterable[str], present: Iterable[str]) -> tuple[str, ...]:
    """Return the entries that are not blank and not present, each once."""
    known = {fold(value) for value in present} | {""}
    fresh: dict[str, str] = {}
    for value in entries:
        if fold(value) not in known:
            fresh.setdefault(fold(value), value)
    return tuple(fresh.values())


def _verify(
    packet: Packet,
    expected: Mapping[str, tuple[str, ...]],
    recorded: Sequence[Provenance] | None,
) -> None:
    """Compare an edited packet with what was asked for.

    Raises:
        SidecarError: They differ.
    """
    is_right = all(entries_of(packet, each) == expected[each.name] for each in FIELDS)
    if recorded is not None:
        tags = [each.tag for each in provenance(packet)]
        is_right = is_right and tags == [each.tag for each in recorded]
    if not is_right:
        raise packet.error(
            "the keywords would not have come out right",
            "please report this; nothing was written",
        )


def _replace_provenance(edits: PacketEdits, packet: Packet, recorded: Sequence[Provenance]) -> None:
    present = list(packet.properties(_PROVENANCE))
    if not recorded:
        edits.remove(present)
    elif not present:
        edits.append_node(PHOTORAMD, _PREFIX, lambda names: _provenance_lines(names, recorded))
    else:
        node = present[0].getparent()
        assert node is not None  # noqa: S101  a property is inside of a node
        names = Namespaces.within(node, {RDF: "rdf", PHOTORAMD: _PREFIX})
        edits.replace(present[0], _provenance_lines(names, recorded))
        edits.remove(present[1:])


def _provenance_lines(names: Namespaces, recorded: Sequence[Provenance]) -> Lines:
    own, rdf = names[PHOTORAMD], names[RDF]
    lines = [(0, f"<{own}:autoTags{names.declarations}>"), (1, f"<{rdf}:Bag>")]
    for entry in recorded:
        lines.append((2, f'<{rdf}:li {rdf}:parseType="Resource">'))
        lines += [
            (3, f"<{own}:{name}>{escape(value)}</{own}:{name}>")
            for name, value in _item_fields(entry).items()
        ]
        lines.append((2, f"</{rdf}:li>"))
    return [*lines, (1, f"</{rdf}:Bag>"), (0, f"</{own}:autoTags>")]


def _item_fields(entry: Provenance) -> dict[str, str]:
    return {
        "tag": entry.tag,
        "confidence": f"{entry.confidence:.3f}",
        "model": entry.model,
        "version": entry.version,
        "when": entry.when,
        "fields": " ".join(entry.fields),
    }


def _read_item(item: etree._Element) -> Provenance | None:
    """Read a structure in any of the forms that programs rewrite it to."""
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
