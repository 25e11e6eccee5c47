"""The union: the user's keywords and the machine's in one packet, and telling them apart.

Pure functions of a packet's bytes, the wanted tags, and what the ledger has recorded. What
the user wrote is never altered, recased, duplicated or removed; what the user took out is
never put back; what the machine no longer wants and the ledger has recorded goes.
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
    Provenance,
    add_values,
    marks,
    remove_values,
    replace_mark,
    values,
)
from photoramd.photo import Tag


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of `merge`.

    Attributes:
        content: The packet as it is to be; None: there is none, and none is needed.
        is_changed: Whether that differs from what is there.
        change: What becomes of the ledger once it is written.
        rejected: What the user took out, to be recorded whether it is written or not.
        given_up: Of ``change.removed``, what is the user's by now: see `_given_up`.
    """

    content: bytes | None
    is_changed: bool
    change: Change = NO_CHANGE
    rejected: Entries = field(default_factory=dict)
    given_up: Entries = field(default_factory=dict)


def merge(
    content: bytes | None,
    tags: Sequence[Tag],
    recorded: Recorded,
    *,
    create: Collection[str] = (),
    others: Callable[[], Iterable[str]] = tuple,
    mark: Callable[[Tag, tuple[str, ...]], Provenance],
    is_undo: bool = False,
    path: Path | None = None,
) -> Merged:
    """Bring a packet to the state that the tags ask for.

    With no tags, everything of ours goes. What the ledger has lost and the machine's mark
    proves is recorded anew: see `_proved`.

    Args:
        content: The packet; None if there is none.
        tags: The wanted keywords, the surest first.
        recorded: What the ledger has of this place.
        create: Names of hierarchical fields to make where they are not.
        others: Gives the user's keywords from elsewhere, the photo itself, say; asked only
            when ``dc:subject`` must be made.
        mark: Makes the machine's mark of a tag that is in these fields.
        is_undo: The user asks for the machine's keywords to be taken back, whether they would
            be written now or not.
        path: The file, for messages.

    Raises:
        SidecarError: The packet cannot be read or added to.
    """
    newer = () if content is None else _newer(content, recorded, path)
    given_up = {} if content is None else _given_up(newer, recorded)
    proved = {} if content is None else _proved(content, newer, tags, recorded, is_undo, path)
    is_spent = not tags and (any(recorded.added.values()) or any(recorded.rejected.values()))
    recorded = _corrected(recorded, given_up, proved)
    state = _State.of(content, recorded, path)
    # Whoever makes the tags, what could break a field or an option is none.
    words = [tag for tag in tags if all(map(is_word, (tag.name, *tag.parents)))]
    wanted = [tag for tag in words if fold(tag.name) not in state.refused(SUBJECT)]
    _merge_subjects(state, wanted, others)
    machine = {fold(v) for v in (*state.kept(SUBJECT), *state.added.get(SUBJECT.name, ()))}
    ours = [tag for tag in wanted if fold(tag.name) in machine]
    for each in HIERARCHICAL:
        _merge_paths(state, each, ours, is_wanted=each.name in create)
    if not ours:
        # A copy of what would be written now is as good as that.
        names = {fold(tag.name) for tag in wanted}
        for each in FIELDS:
            copies = state.present_of(each, recorded.seeded)
            state.drop(each, (v for v in copies if fold(each.leaf(v)) not in names))
    is_touched = any(state.added.values()) or any(state.dropped.values())
    new = _edit(content, state, path)
    if new is not None and (is_touched or is_spent):
        fields = {tag.name: state.fields_of(tag) for tag in ours}
        new = replace_mark(new, [mark(tag, fields[tag.name]) for tag in ours], path=path)
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
    return Merged(new, new != content, change, _filled(state.gone), _filled(given_up))


def _newer(content: bytes, recorded: Recorded, path: Path | None) -> tuple[Provenance, ...]:
    """The machine's mark, where it is newer than the ledger, or that is about another file.

    It never is newer, unless the ledger is a copy of old or a new one, or somebody put another
    photo's packet there.
    """
    until = 0.0 if recorded.is_of_another else recorded.until
    return tuple(m for m in marks(content, path=path) if _seconds(m.when) > until)


def _given_up(newer: Sequence[Provenance], recorded: Recorded) -> dict[str, tuple[str, ...]]:
    """What the ledger has and a newer mark has not: somebody else's, if it is there.

    A mark names all that was ours when it was written.
    """
    if not newer and not recorded.is_of_another:
        return {}
    given_up = {}
    for each in FIELDS:
        named = {fold(mark.tag) for mark in newer if each.name in mark.fields}
        entries = recorded.added.get(each.name, ())
        given_up[each.name] = tuple(v for v in entries if fold(each.leaf(v)) not in named)
        if not newer:
            given_up[each.name] += recorded.seeded.get(each.name, ())
    return given_up


def _proved(
    content: bytes,
    newer: Sequence[Provenance],
    tags: Sequence[Tag],
    recorded: Recorded,
    is_undo: bool,
    path: Path | None,
) -> dict[str, tuple[str, ...]]:
    """What a newer mark says is ours, and the ledger does not know.

    The ledger would take our keywords for the user's. Only keywords that are wanted now, or
    asked to be taken back, are claimed, in the very spelling; so if somebody copied the packet
    to another photo, they stay. Also those that are gone: the user took them out.
    """
    known = {fold(v) for each in (recorded.added, recorded.seeded, recorded.rejected)
             for v in each.get(SUBJECT.name, ())}  # fmt: skip
    unknown = [mark for mark in newer if fold(mark.tag) not in known]
    if not unknown:
        return {}
    present = values(content, path=path)
    wanted = {tag.name: tag for tag in tags}
    claimed: dict[str, tuple[str, ...]] = {}
    for mark in unknown:
        tag = wanted.get(mark.tag, Tag(mark.tag, 0) if is_undo else None)
        if tag is None:
            continue
        for name in mark.fields:
            if name not in BY_NAME:
                continue
            entry = BY_NAME[name].entry((*tag.parents, tag.name))
            is_there = name == SUBJECT.name or (name in present and not is_undo)
            if is_there or entry in present.get(name, ()):
                claimed[name] = (*claimed.get(name, ()), entry)
    return claimed


def _corrected(recorded: Recorded, given_up: Entries, proved: Entries) -> Recorded:
    """The ledger as the mark has it."""

    def left(entries: Entries, name: str) -> tuple[str, ...]:
        return tuple(v for v in entries.get(name, ()) if v not in given_up.get(name, ()))

    added = {name: left(recorded.added, name) + proved.get(name, ()) for name in BY_NAME}
    seeded = {name: left(recorded.seeded, name) for name in BY_NAME}
    return replace(recorded, added=_filled(added), seeded=_filled(seeded))


def _seconds(when: str) -> float:
    """Unix seconds of a mark's time; 0 if it is none."""
    try:
        return datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


@dataclass(slots=True)
class _State:
    """What is there, what the ledger says of it, and what is decided so far, by field."""

    present: dict[str, tuple[str, ...]]
    recorded: Recorded
    gone: dict[str, tuple[str, ...]]
    forgotten: dict[str, tuple[str, ...]]
    added: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seeded: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, content: bytes | None, recorded: Recorded, path: Path | None) -> _State:
        present = {} if content is None else values(content, path=path)
        gone, forgotten = {}, {}
        for each in FIELDS:
            there = present.get(each.name, ())
            folded = set(map(fold, there))
            missing = [v for v in recorded.ours(each.name) if v not in there]
            # Where the whole packet is gone, nobody decided about single keywords.
            is_rejected = content is not None
            gone[each.name] = tuple(v for v in missing if is_rejected and fold(v) not in folded)
            # The user's now: written in another case, say.
            forgotten[each.name] = tuple(v for v in missing if v not in gone[each.name])
        return cls(present, recorded, gone, forgotten)

    def refused(self, of: Field) -> set[str]:
        """What must not be added to a field, folded."""
        return {fold(v) for v in (*self.recorded.rejected.get(of.name, ()), *self.gone[of.name])}

    def present_of(self, of: Field, what: Entries) -> tuple[str, ...]:
        there = self.present.get(of.name, ())
        return tuple(v for v in what.get(of.name, ()) if v in there)

    def kept(self, of: Field) -> tuple[str, ...]:
        """The machine's keywords that were there and stay."""
        dropped = self.dropped.get(of.name, ())
        return tuple(v for v in self.present_of(of, self.recorded.added) if v not in dropped)

    def users(self, of: Field) -> tuple[str, ...]:
        """What is there and not the machine's; copies of the user's keywords count."""
        machine = self.recorded.added.get(of.name, ())
        return tuple(v for v in self.present.get(of.name, ()) if v not in machine)

    def drop(self, of: Field, what: Iterable[str]) -> None:
        before = self.dropped.get(of.name, ())
        self.dropped[of.name] = before + tuple(v for v in what if v not in before)

    def fields_of(self, tag: Tag) -> tuple[str, ...]:
        """Where a tag of ours is in the end."""
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
    """Append the paths of our tags where a program keeps paths, and take back those of old."""
    desired = dict.fromkeys(each.entry((*tag.parents, tag.name)) for tag in ours)
    recorded = state.present_of(each, state.recorded.added)
    state.drop(each, (v for v in recorded if v not in desired))
    if each.name not in state.present and not (is_wanted and desired):
        return
    dropped = state.dropped.get(each.name, ())
    left = {fold(v) for v in state.present.get(each.name, ()) if v not in dropped}
    unwanted = left | state.refused(each)
    if each.name not in state.present:
        # Programs that read this field read no other: it must hold the user's keywords, too.
        seed = _unique(_users_paths(state, each), state.refused(each))
        state.seeded[each.name] = seed
        unwanted |= {fold(v) for v in seed}
    state.added[each.name] = tuple(v for v in desired if fold(v) not in unwanted)


def _users_paths(state: _State, wanted: Field) -> list[str]:
    """The user's keywords as entries of a hierarchical field that is to be made."""
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


def _edit(content: bytes | None, state: _State, path: Path | None) -> bytes | None:
    new = content
    for each in FIELDS:
        if new is not None and state.dropped.get(each.name):
            new = remove_values(new, each, state.dropped[each.name], path=path)
    for each in FIELDS:
        if state.added.get(each.name):
            fresh = (*state.seeded.get(each.name, ()), *state.added[each.name])
            new = add_values(new, each, fresh, path=path)
        else:
            state.seeded.pop(each.name, None)
    return new


def _filled(entries: Mapping[str, tuple[str, ...]]) -> Entries:
    return {name: found for name, found in entries.items() if found}
