"""Merge the user's keywords and the machine's in one packet, and tell them apart.

Pure functions of a parsed packet, the wanted tags, and what the ledger has recorded. What the
user wrote is never altered, recased, duplicated or removed; what the user took out is never put
back; what the ledger has recorded and the tags no longer contain is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from photoramd.keywords import fold, is_word
from photoramd.metadata.changes import NO_CHANGE, Change, Entries, Recorded
from photoramd.metadata.fields import BY_NAME, FIELDS, HIERARCHICAL, SUBJECT, Field, folded_leaves
from photoramd.metadata.xmp_keywords import (
    PacketChange,
    Provenance,
    edited,
    provenance,
    values,
)
from photoramd.metadata.xmp_packet import EMPTY_PACKET, Packet
from photoramd.photo import Tag


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """What a packet should hold, and what is known of it.

    Attributes:
        tags: The wanted keywords, the most confident first; none takes everything of ours out.
        recorded: What the ledger has of this place.
        provenance: Makes the provenance of a tag that is in these fields.
        create: Names of hierarchical fields to create where they are missing.
        others: Returns the user's keywords from elsewhere, such as the photo itself; called only
            when ``dc:subject`` must be created.
        is_undo: The user asks for the machine's keywords to be taken back, whether they would
            be written now or not.
    """

    tags: Sequence[Tag]
    recorded: Recorded
    provenance: Callable[[Tag, tuple[str, ...]], Provenance]
    create: Collection[str] = ()
    others: Callable[[], Iterable[str]] = tuple
    is_undo: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of `merge`.

    Attributes:
        packet: The packet as it should be; None if there is none and none is needed.
        is_changed: Whether that differs from what is there.
        change: What changes in the ledger once it is written.
        rejected: What the user took out, to be recorded whether it is written or not.
        given_up: Of ``change.removed``, what belongs to the user by now: see `_given_up`.
    """

    packet: Packet | None
    is_changed: bool
    change: Change = NO_CHANGE
    rejected: Entries = field(default_factory=dict)
    given_up: Entries = field(default_factory=dict)

    @property
    def content(self) -> bytes | None:
        """The packet's bytes."""
        return None if self.packet is None else self.packet.data


def merge(packet: Packet | None, request: MergeRequest, *, path: Path | None = None) -> Merged:
    """Bring a packet to the state that the tags ask for.

    What the ledger has lost and the provenance record proves is recorded again: see `_proved`.

    Args:
        packet: What is there; None if there is nothing.
        request: What should be there.
        path: The file of a new packet, for messages.

    Raises:
        SidecarError: The packet cannot be added to.
    """
    tags, recorded = request.tags, request.recorded
    known = () if packet is None else provenance(packet)
    newer = _newer(known, recorded)
    given_up = _given_up(newer, recorded) if packet is not None else {}
    proved = {} if packet is None else _proved(packet, newer, request)
    is_spent = all(tag.is_given for tag in tags) and (
        any(recorded.added.values()) or any(recorded.rejected.values())
    )
    recorded = _corrected(recorded, given_up, proved)
    state = _State.of(packet, recorded)
    # Whatever made the tags: a word that could break a field or an option is not written.
    words = [tag for tag in tags if all(map(is_word, (tag.name, *tag.parents)))]
    wanted = [tag for tag in words if fold(tag.name) not in state.refused(SUBJECT)]
    _merge_subjects(state, wanted, request.others)
    machine = {fold(v) for v in (*state.kept(SUBJECT), *state.added.get(SUBJECT.name, ()))}
    ours = [tag for tag in wanted if fold(tag.name) in machine]
    for each in HIERARCHICAL:
        _merge_paths(state, each, ours, is_wanted=each.name in request.create)
    if not ours:
        # Copies of the user's keywords stay only if they equal what would be written now.
        names = {fold(tag.name) for tag in wanted}
        for each in FIELDS:
            copies = state.present_of(each, recorded.seeded)
            state.drop(each, (v for v in copies if fold(each.leaf(v)) not in names))
    is_touched = any(state.added.values()) or any(state.dropped.values())
    machines = [tag for tag in ours if not tag.is_given]
    records = None
    if is_touched or is_spent or _is_wrong(known, tags, machines, recorded):
        records = [request.provenance(tag, state.fields_of(tag)) for tag in machines]
    new = _apply(packet, state, records, path)
    gone = (state.dropped, state.forgotten, given_up)
    removed = {
        each.name: tuple(v for what in gone for v in what.get(each.name, ())) for each in FIELDS
    }
    added = {
        each.name: (
            *(v for v in state.kept(each) if v in proved.get(each.name, ())),
            *state.added.get(each.name, ()),
        )
        for each in FIELDS
    }
    change = Change(_filled(added), _filled(state.seeded), _filled(removed))
    before = None if packet is None else packet.data
    after = None if new is None else new.data
    return Merged(new, after != before, change, _filled(state.gone), _filled(given_up))


def _is_wrong(
    known: Sequence[Provenance], tags: Sequence[Tag], machines: Sequence[Tag], recorded: Recorded
) -> bool:
    """Return whether a word has gone from the machine to the user, or back, since it was named."""
    named = {fold(each.tag) for each in known}
    given = {fold(tag.name) for tag in tags if tag.is_given}
    withdrawn = set(map(fold, recorded.withdrawn)) - named
    return not named.isdisjoint(given) or any(fold(tag.name) in withdrawn for tag in machines)


def _newer(known: Sequence[Provenance], recorded: Recorded) -> tuple[Provenance, ...]:
    """Return the provenance that is newer than the ledger, or that is about another file.

    There is some only if the ledger is an old copy or a new one, or if somebody put another
    photo's packet there.
    """
    until = 0.0 if recorded.is_of_another else recorded.until
    return tuple(each for each in known if _seconds(each.when) > until)


def _given_up(newer: Sequence[Provenance], recorded: Recorded) -> dict[str, tuple[str, ...]]:
    """Return what the ledger has and newer provenance lacks: not ours, if it is there.

    Provenance names everything that was the machine's when it was written.
    """
    if not newer and not recorded.is_of_another:
        return {}
    given_up = {}
    unnamed = () if recorded.is_of_another else (*recorded.given, *recorded.withdrawn)
    for each in FIELDS:
        named = {fold(record.tag) for record in newer if each.name in record.fields}
        named.update(map(fold, unnamed))
        entries = recorded.added.get(each.name, ())
        given_up[each.name] = tuple(v for v in entries if fold(each.leaf(v)) not in named)
        if not newer:
            given_up[each.name] += recorded.seeded.get(each.name, ())
    return given_up


def _proved(
    packet: Packet, newer: Sequence[Provenance], request: MergeRequest
) -> dict[str, tuple[str, ...]]:
    """Return what newer provenance says is ours and the ledger does not know.

    Without this our keywords would count as the user's. Only keywords that are wanted now, or
    that are to be taken back, are claimed, and only in the same spelling, so those in a packet
    that somebody copied to another photo stay. Absent ones are claimed too: the user took them
    out.
    """
    recorded = request.recorded
    known = {fold(v) for each in (recorded.added, recorded.seeded, recorded.rejected)
             for v in each.get(SUBJECT.name, ())}  # fmt: skip
    unknown = [record for record in newer if fold(record.tag) not in known]
    if not unknown:
        return {}
    present = values(packet)
    wanted = {tag.name: tag for tag in request.tags}
    claimed: dict[str, tuple[str, ...]] = {}
    for record in unknown:
        tag = wanted.get(record.tag, Tag(record.tag, 0) if request.is_undo else None)
        if tag is None:
            continue
        for name in record.fields:
            if name not in BY_NAME:
                continue
            entry = BY_NAME[name].entry((*tag.parents, tag.name))
            is_there = name == SUBJECT.name or (name in present and not request.is_undo)
            if is_there or entry in present.get(name, ()):
                claimed[name] = (*claimed.get(name, ()), entry)
    return claimed


def _corrected(recorded: Recorded, given_up: Entries, proved: Entries) -> Recorded:
    """Return the ledger as the provenance corrects it."""

    def left(entries: Entries, name: str) -> tuple[str, ...]:
        return tuple(v for v in entries.get(name, ()) if v not in given_up.get(name, ()))

    added = {name: left(recorded.added, name) + proved.get(name, ()) for name in BY_NAME}
    seeded = {name: left(recorded.seeded, name) for name in BY_NAME}
    return replace(recorded, added=_filled(added), seeded=_filled(seeded))


def _seconds(when: str) -> float:
    """Return the Unix time of a provenance record; 0 if it is malformed."""
    try:
        return datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


@dataclass(slots=True)
class _State:
    """What is there, what the ledger has of it, and what is decided so far, by field."""

    present: dict[str, tuple[str, ...]]
    recorded: Recorded
    gone: dict[str, tuple[str, ...]]
    forgotten: dict[str, tuple[str, ...]]
    added: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seeded: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, packet: Packet | None, recorded: Recorded) -> _State:
        present = {} if packet is None else values(packet)
        gone, forgotten = {}, {}
        for each in FIELDS:
            there = present.get(each.name, ())
            folded = set(map(fold, there))
            missing = [v for v in recorded.ours(each.name) if v not in there]
            # Where the whole packet is gone, nobody rejected single keywords.
            is_rejected = packet is not None
            gone[each.name] = tuple(v for v in missing if is_rejected and fold(v) not in folded)
            # Now the user's, for example written in another case.
            forgotten[each.name] = tuple(v for v in missing if v not in gone[each.name])
        return cls(present, recorded, gone, forgotten)

    def refused(self, of: Field) -> set[str]:
        """Return what must not be added to a field, folded."""
        return {fold(v) for v in (*self.recorded.rejected.get(of.name, ()), *self.gone[of.name])}

    def present_of(self, of: Field, what: Entries) -> tuple[str, ...]:
        there = self.present.get(of.name, ())
        return tuple(v for v in what.get(of.name, ()) if v in there)

    def kept(self, of: Field) -> tuple[str, ...]:
        """Return the machine's keywords that were there and stay."""
        dropped = self.dropped.get(of.name, ())
        return tuple(v for v in self.present_of(of, self.recorded.added) if v not in dropped)

    def users(self, of: Field) -> tuple[str, ...]:
        """Return what is there and not the machine's, copies of the user's keywords included."""
        machine = self.recorded.added.get(of.name, ())
        return tuple(v for v in self.present.get(of.name, ()) if v not in machine)

    def drop(self, of: Field, what: Iterable[str]) -> None:
        before = self.dropped.get(of.name, ())
        self.dropped[of.name] = before + tuple(v for v in what if v not in before)

    def fields_of(self, tag: Tag) -> tuple[str, ...]:
        """Return the fields that hold a tag of ours afterwards."""
        return tuple(
            each.name
            for each in FIELDS
            if fold(tag.name)
            in folded_leaves(each, (*self.kept(each), *self.added.get(each.name, ())))
        )


def _merge_subjects(
    state: _State, wanted: Sequence[Tag], others: Callable[[], Iterable[str]]
) -> None:
    names = {fold(tag.name) for tag in wanted}
    ours = state.present_of(SUBJECT, state.recorded.added)
    unwanted = tuple(v for v in ours if fold(v) not in names)
    state.drop(SUBJECT, unwanted)
    # The flat copies that darktable makes of dc:subject: a keyword that the user had there
    # before would not have been added to dc:subject.
    flat = HIERARCHICAL[0]
    state.drop(flat, (v for v in unwanted if v in state.users(flat)))
    known = {fold(v) for v in ours}
    for each in FIELDS:
        known |= folded_leaves(each, state.users(each))
    fresh = [tag for tag in wanted if fold(tag.name) not in known]
    if fresh and SUBJECT.name not in state.present:
        seed = _unique(
            (*(each.leaf(v) for each in HIERARCHICAL for v in state.users(each)), *others()),
            state.refused(SUBJECT),
        )
        known |= {fold(v) for v in seed}
        fresh = [tag for tag in fresh if fold(tag.name) not in known]
        if fresh:
            state.seeded[SUBJECT.name] = seed
    state.added[SUBJECT.name] = tuple(tag.name for tag in fresh)


def _merge_paths(state: _State, each: Field, ours: Sequence[Tag], *, is_wanted: bool) -> None:
    """Append the paths of our tags to a field of paths, and drop those that are not wanted."""
    desired = dict.fromkeys(each.entry((*tag.parents, tag.name)) for tag in ours)
    recorded = state.present_of(each, state.recorded.added)
    state.drop(each, (v for v in recorded if v not in desired))
    if each.name not in state.present and not (is_wanted and desired):
        return
    dropped = state.dropped.get(each.name, ())
    left = {fold(v) for v in state.present.get(each.name, ()) if v not in dropped}
    unwanted = left | state.refused(each)
    if each.name not in state.present:
        # Programs that read this field read no other, so it must hold the user's keywords too.
        seed = _unique(_users_paths(state, each), state.refused(each))
        state.seeded[each.name] = seed
        unwanted |= {fold(v) for v in seed}
    state.added[each.name] = tuple(v for v in desired if fold(v) not in unwanted)


def _users_paths(state: _State, wanted: Field) -> list[str]:
    """Return the user's keywords as entries of a hierarchical field to create."""
    entries, covered = [], set()
    for each in HIERARCHICAL:
        users = state.users(each)
        entries += [wanted.entry(each.path(v)) for v in users]
        covered |= folded_leaves(each, users)
    flat = (*state.users(SUBJECT), *state.seeded.get(SUBJECT.name, ()))
    return [*entries, *(v for v in flat if fold(v) not in covered)]


def _unique(texts: Iterable[str], refused: Collection[str]) -> tuple[str, ...]:
    unique: dict[str, str] = {}
    for text in texts:
        key = fold(text)
        if key and key not in refused:
            unique.setdefault(key, text)
    return tuple(unique.values())


def _apply(
    packet: Packet | None,
    state: _State,
    records: Sequence[Provenance] | None,
    path: Path | None,
) -> Packet | None:
    """Return the packet with what was decided; None if there is none and none is needed."""
    added: dict[str, tuple[str, ...]] = {}
    for each in FIELDS:
        if state.added.get(each.name):
            added[each.name] = (*state.seeded.get(each.name, ()), *state.added[each.name])
        else:
            state.seeded.pop(each.name, None)
    if packet is None:
        if not added:
            return None
        packet = Packet(EMPTY_PACKET, path)
    return edited(packet, PacketChange(state.dropped, added, records))


def _filled(entries: Mapping[str, tuple[str, ...]]) -> Entries:
    return {name: found for name, found in entries.items() if found}
