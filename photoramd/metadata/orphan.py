"""Judge whether a sidecar without a photo is ours alone, by the provenance record in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from photoramd.keywords import fold
from photoramd.metadata import meaning
from photoramd.metadata.fields import BY_NAME
from photoramd.metadata.xmp_keywords import (
    PacketChange,
    edited,
    holds_nothing,
    provenance,
    values,
)
from photoramd.metadata.xmp_packet import Packet


def judge(content: bytes, path: Path, seeds: Sequence[str]) -> str | None:
    """Return why a sidecar stays; empty if it is ours alone, None if it has no record of ours.

    Args:
        content: Its bytes.
        path: Where it is, for messages.
        seeds: The digests of what it may have begun with: see `seed`.

    Raises:
        SidecarError: It cannot be read.
    """
    packet = Packet(content, path)
    records = provenance(packet)
    if not records:
        return None
    removed: dict[str, tuple[str, ...]] = {}
    present = values(packet)
    for name, field in BY_NAME.items():
        ours = {fold(each.tag) for each in records if name in each.fields}
        entries = (v for v in present.get(name, ()) if fold(field.leaf(v)) in ours)
        removed[name] = tuple(entries)
    left = edited(packet, PacketChange(removed=removed, provenance=()))
    if holds_nothing(left) or meaning.digest(left) in seeds:
        return ""
    return "it holds something that may be yours"
