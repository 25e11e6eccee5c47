"""The user's own keywords: what photos and sidecars hold and photoramd did not put there.

The last level of an entry such as ``Places|Italy|Rome`` is a keyword of the photo, those above it
are known as such. An entry is the machine's if the ledger has it for that file and field; where the
ledger knows nothing of the file, the provenance record in the file tells.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from photoramd.errors import SidecarError
from photoramd.keywords import comparison_key, normalise
from photoramd.metadata.changes import Entries, Recorded
from photoramd.metadata.fields import BY_NAME, FIELDS, SUBJECT
from photoramd.metadata.iptc import KEYWORDS, iptc_text
from photoramd.metadata.xmp_keywords import provenance, values
from photoramd.metadata.xmp_packet import Packet

if TYPE_CHECKING:
    from photoramd.metadata.embedded import Embedded  # it imports Pillow

MAX_KEYWORDS = 1000
"""For one photo; hostile files have more."""

MAX_CHARACTERS = 256
"""Of one keyword; what is longer is a text."""

IPTC = "IPTC:Keywords"


@dataclass(frozen=True, slots=True)
class FileKeywords:
    """The keywords that one file holds, whoever gave them.

    Attributes:
        entries: By field, as they are written.
        claimed: By field, those which the provenance record in the file says a machine gave.
    """

    entries: Entries = field(default_factory=dict)
    claimed: Entries = field(default_factory=dict)


NO_KEYWORDS = FileKeywords()


def of_photo(found: Embedded) -> FileKeywords:
    """Return the keywords inside a photo; of damaged metadata, those that can be read."""
    packet = None
    if found.packet:
        try:
            packet = Packet(found.packet.strip(b"\0 \t\r\n"))
        except SidecarError:
            packet = None
    entries = {} if packet is None else values(packet)
    inside = tuple(iptc_text(value) for value in found.iptc.get(KEYWORDS, ()))
    if inside:
        entries[IPTC] = inside
    known = {comparison_key(text) for text in inside}
    for each in FIELDS:
        known |= {comparison_key(each.leaf(text)) for text in entries.get(each.name, ())}
    others = tuple(text for text in found.keywords if comparison_key(text) not in known)
    if others:  # of further or malformed packets
        entries[SUBJECT.name] = (*entries.get(SUBJECT.name, ()), *others)
    return FileKeywords(entries, {} if packet is None else _claimed(packet))


def of_sidecar(content: bytes, path: Path) -> FileKeywords:
    """Return the keywords in a sidecar.

    Raises:
        SidecarError: It cannot be read.
    """
    packet = Packet(content, path)
    return FileKeywords(values(packet), _claimed(packet))


def _claimed(packet: Packet) -> Entries:
    claimed: dict[str, tuple[str, ...]] = {}
    for each in provenance(packet):
        for name in each.fields:
            claimed[name] = (*claimed.get(name, ()), each.tag)
    return claimed


def users(found: FileKeywords, recorded: Recorded) -> Iterator[tuple[str, ...]]:
    """Yield the user's own keywords in a file, each with those above it, the most general first.

    Args:
        found: What the file holds.
        recorded: What the ledger has of it.
    """
    for name, entries in found.entries.items():
        ours = set(recorded.added.get(name, ()))
        claimed: set[str] = set()
        if recorded.is_empty and not recorded.rejected:
            claimed = {comparison_key(text) for text in found.claimed.get(name, ())}
        each = BY_NAME.get(name, SUBJECT)
        for entry in entries:
            if entry not in ours and comparison_key(each.leaf(entry)) not in claimed:
                yield each.path(entry)


def distinct(paths: Sequence[Sequence[str]]) -> Mapping[str, bool]:
    """Return keywords by name, each with whether it only stands above others."""
    found: dict[str, tuple[str, bool]] = {}
    for path in paths:
        for depth, text in enumerate(path):
            name = _plain(text)
            is_above = depth < len(path) - 1
            if name and (len(found) < MAX_KEYWORDS or comparison_key(name) in found):
                known, was_above = found.get(comparison_key(name), (name, True))
                found[comparison_key(name)] = known, was_above and is_above
    return dict(found.values())


def _plain(text: str) -> str:
    """Return a keyword as it is stored; empty if it is none."""
    if len(text) > MAX_CHARACTERS or any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        return ""
    name = normalise(text)
    return name if comparison_key(name) else ""
