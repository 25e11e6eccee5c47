"""IPTC keywords beside those of XMP, in photos that have IPTC.

IPTC knows no Unicode unless it says so, and other programs disagree about records that do
not; so a record in an older encoding is left alone. Format: IPTC-NAA Information
Interchange Model 4.2.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from photoramd.keywords import MAX_KEYWORD_BYTES, fold
from photoramd.metadata.changes import NO_CHANGE, Change, Entries, Recorded
from photoramd.metadata.containers import UnreadableError

FIELD = "IPTC:Keywords"
_RECORD = "IPTC:Record"
_CHARSET = "IPTC:CodedCharacterSet"
"""Not keywords, but recorded like them: what was made around them."""

KEYWORDS, _CHARACTER_SET, _VERSION, _ENVELOPE_VERSION = (2, 25), (1, 90), (2, 0), (1, 0)
_UTF8 = b"\x1b%G"


@dataclass(frozen=True, slots=True)
class IptcState:
    """The IPTC of a photo as it is.

    Attributes:
        record: The IPTC record; None if there is none.
        digest: The MD5 of the record in Photoshop's resources, if they have one.
    """

    record: bytes | None = None
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class IptcPlan:
    """What should become of a photo's IPTC record.

    Attributes:
        keywords: All its keywords; None: it stays as it is.
        options: For ExifTool, besides the keywords.
        is_removed: Whether the whole record goes, which was made for our keywords.
        change: What changes in the ledger.
        rejected: What the user took out.
    """

    keywords: tuple[str, ...] | None = None
    options: tuple[str, ...] = ()
    is_removed: bool = False
    change: Change = NO_CHANGE
    rejected: Entries = field(default_factory=dict)


def keywords(record: bytes | None) -> tuple[str, ...]:
    """Return the keywords of a record."""
    found = datasets(record or b"")
    return tuple(iptc_text(value) for number, value in found if number == KEYWORDS)


def others(record: bytes | None) -> list[tuple[tuple[int, int], bytes]]:
    """Return everything in a record but its keywords and what they need."""
    ours = (KEYWORDS, _CHARACTER_SET, _VERSION, _ENVELOPE_VERSION)
    return [pair for pair in datasets(record or b"") if pair[0] not in ours]


def plan(
    state: IptcState,
    ours: Sequence[str],
    users: Sequence[str],
    recorded: Recorded,
    given_up: Sequence[str] = (),
    *,
    create: bool,
) -> IptcPlan:
    """Bring a record to the state that the machine's keywords ask for.

    Args:
        state: What is there.
        ours: The machine's keywords in ``dc:subject``.
        users: The user's keywords in ``dc:subject``.
        recorded: What the ledger has of the photo.
        given_up: Keywords that it has and that are the user's by now.
        create: Whether to make a record where there is none.
    """
    record = state.record
    if record is None and (not create or not ours) and not recorded.ours(FIELD):
        return IptcPlan()
    present = keywords(record)
    theirs = [v for v in recorded.added.get(FIELD, ()) if v in given_up]
    added = [v for v in recorded.added.get(FIELD, ()) if v in present and v not in theirs]
    seeded = [v for v in recorded.seeded.get(FIELD, ()) if v in present]
    missing = [v for v in recorded.ours(FIELD) if v not in present and v not in theirs]
    gone = tuple(v for v in missing if record is not None)
    rejected = {FIELD: gone} if gone else {}
    forgotten = (*(v for v in missing if v not in gone), *theirs)
    if not _is_writable(record):
        return IptcPlan(rejected=rejected, change=_change((), (), forgotten))
    dropped = [v for v in added if v not in ours] + ([] if ours else seeded)
    left = [v for v in present if v not in dropped]
    unwanted = {fold(v) for v in (*left, *recorded.rejected.get(FIELD, ()), *gone)}
    seed: list[str] = []
    fresh = [v for v in ours if fold(v) not in unwanted and _fits(v)]
    if fresh and not present:
        # Programs that read this field read no other.
        seed = [v for v in users if fold(v) not in unwanted and _fits(v)]
    if not fresh and not dropped:
        return IptcPlan(rejected=rejected, change=_change((), (), forgotten))
    new = (*left, *seed, *fresh)
    change = _change(fresh, seed, (*dropped, *forgotten))
    return _with_surroundings(state, new, change, recorded, rejected)


def _with_surroundings(
    state: IptcState,
    new: tuple[str, ...],
    change: Change,
    recorded: Recorded,
    rejected: Entries,
) -> IptcPlan:
    """Return the plan for the record, its declared encoding, and its digest."""
    record = state.record
    options: list[str] = []
    added, removed = dict(change.added), dict(change.removed)
    is_made_by_us = bool(recorded.added.get(_RECORD))
    if not new and is_made_by_us and not others(record):
        removed |= {name: recorded.added.get(name, ()) for name in (_RECORD, _CHARSET)}
        removed = {name: found for name, found in removed.items() if found}
        return IptcPlan((), (), True, Change({}, {}, removed), rejected)
    if record is None:
        added[_RECORD] = ("made",)
    is_ascii = all(text.isascii() for text in new) and all(
        value.isascii() for _, value in others(record)
    )
    if not is_ascii and not _is_declared(record):
        options.append("-IPTC:CodedCharacterSet=UTF8")
        added[_CHARSET] = ("UTF8",)
    elif is_ascii and recorded.added.get(_CHARSET):
        options.append("-IPTC:CodedCharacterSet=")
        removed[_CHARSET] = recorded.added[_CHARSET]
    # A digest that does not match tells that another program changed the record: it stays.
    if record is not None and state.digest == hashlib.md5(record, usedforsecurity=False).digest():
        options.append("-Photoshop:IPTCDigest=new")
    return IptcPlan(new, tuple(options), False, Change(added, change.seeded, removed), rejected)


def _change(added: Sequence[str], seeded: Sequence[str], removed: Sequence[str]) -> Change:
    parts = ({FIELD: tuple(values)} if values else {} for values in (added, seeded, removed))
    return Change(*parts)


def _fits(text: str) -> bool:
    return len(text.encode()) <= MAX_KEYWORD_BYTES


def _is_declared(record: bytes | None) -> bool:
    return any(pair == (_CHARACTER_SET, _UTF8) for pair in datasets(record or b""))


def _is_writable(record: bytes | None) -> bool:
    """Return whether keywords can be added and leave the meaning of all other bytes alone."""
    values = [value for number, value in datasets(record or b"") if number[0] != 1]
    if _is_declared(record):
        return all(map(_is_utf8, values))
    return all(value.isascii() for value in values)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def iptc_text(value: bytes) -> str:
    """Return the text of an IPTC data set."""
    try:
        # Whether declared (data set 1:90) or not: valid UTF-8 is UTF-8.
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def datasets(data: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield record and number of each data set, and its value (IIM 4.2, 1.6).

    Raises:
        UnreadableError: It is cut off.
    """
    position = 0
    while data[position : position + 1] == b"\x1c":
        if position + 5 > len(data):
            raise UnreadableError("IPTC is cut off")
        record, number, length = struct.unpack_from(">BBH", data, position + 1)
        position += 5
        if length & 0x8000:  # the length of the length
            end = position + (length & 0x7FFF)
            length, position = int.from_bytes(data[position:end]), end
        value = data[position : position + length]
        if len(value) < length:
            raise UnreadableError("IPTC is cut off")
        yield (record, number), value
        position += length
