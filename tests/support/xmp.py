"""Keywords in the bytes of a sidecar, for tests that play the user or look at the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

from photoramd.metadata import xmp_keywords
from photoramd.metadata.fields import SUBJECT, Field
from photoramd.metadata.xmp_keywords import PacketChange, Provenance, edited
from photoramd.metadata.xmp_packet import EMPTY_PACKET, Packet


def values(data: bytes) -> dict[str, tuple[str, ...]]:
    return xmp_keywords.values(Packet(data))


def subjects(data: bytes) -> tuple[str, ...]:
    return values(data).get(SUBJECT.name, ())


def provenance(data: bytes) -> tuple[Provenance, ...]:
    return xmp_keywords.provenance(Packet(data))


def replace_provenance(data: bytes, records: Sequence[Provenance]) -> bytes:
    return edited(Packet(data), PacketChange(provenance=records)).data


def add_values(data: bytes | None, field: Field, new: Iterable[str]) -> bytes | None:
    """Nothing stays nothing, and what changes nothing gives the same object."""
    packet = Packet(EMPTY_PACKET if data is None else data)
    after = edited(packet, PacketChange(added={field.name: tuple(new)}))
    return data if after is packet else after.data


def remove_values(data: bytes, field: Field, doomed: Iterable[str]) -> bytes:
    return edited(Packet(data), PacketChange(removed={field.name: tuple(doomed)})).data


@overload
def add_subjects(
    data: bytes,
    new: Iterable[str],
    *,
    records: Sequence[Provenance] | None = None,
    path: Path | None = None,
) -> bytes: ...
@overload
def add_subjects(
    data: None,
    new: Iterable[str],
    *,
    records: Sequence[Provenance] | None = None,
    path: Path | None = None,
) -> bytes | None: ...
def add_subjects(
    data: bytes | None,
    new: Iterable[str],
    *,
    records: Sequence[Provenance] | None = None,
    path: Path | None = None,
) -> bytes | None:
    """Add keywords, and replace the provenance if there are some to add, as a merge does."""
    packet = Packet(EMPTY_PACKET if data is None else data, path)
    after = _edited(packet, PacketChange(added={SUBJECT.name: tuple(new)}), records)
    return data if after is packet else after.data


def remove_subjects(
    data: bytes, doomed: Iterable[str], *, records: Sequence[Provenance] | None = None
) -> bytes:
    """Remove keywords, and replace the provenance if there are some to remove."""
    change = PacketChange(removed={SUBJECT.name: tuple(doomed)})
    after = _edited(Packet(data), change, records)
    return after.data


def _edited(packet: Packet, change: PacketChange, records: Sequence[Provenance] | None) -> Packet:
    """A change, with new provenance if an entry changes."""
    if edited(packet, change) is packet:
        return packet
    return edited(packet, replace(change, provenance=records))
