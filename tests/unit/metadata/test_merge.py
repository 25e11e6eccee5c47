"""The union of the user's keywords and the machine's, as pure functions of bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoramd.clock import UnixTime
from photoramd.keywords import fold
from photoramd.metadata import xmp_packet
from photoramd.metadata.changes import Change, Entries, Recorded
from photoramd.metadata.fields import BY_NAME, FIELDS, HIERARCHICAL, SUBJECT
from photoramd.metadata.merge import Merged, merge
from photoramd.metadata.plan import Origin, PlanRequest
from photoramd.metadata.xmp_packet import Packet
from photoramd.photo import Tag
from tests.support.xmp import add_values, provenance, remove_values, values

ORIGIN = Origin("model", "1")
LR, TAGS_LIST, MICROSOFT, CATALOG = (field.name for field in HIERARCHICAL)
DOG = Tag("dog", 0.9, ("Animals",))
CAT = Tag("cat", 0.8)


def packet(**entries: Sequence[str]) -> bytes:
    data: bytes | None = None
    for name, found in entries.items():
        data = add_values(data, BY_NAME[name.replace("_", ":")], found)
    assert data is not None
    return data


def merged(
    content: bytes | None,
    tags: Sequence[Tag],
    recorded: Recorded | None = None,
    *,
    create: Sequence[str] = (),
    others: Sequence[str] = (),
    now: float = 0,
    is_undo: bool = False,
) -> Merged:
    request = PlanRequest(Path(), tags, ORIGIN, UnixTime(now), create, is_undo)
    packet = None if content is None else Packet(content)
    return merge(packet, request.merge_request(recorded or Recorded(), lambda: others))


def values_of(content: bytes | None) -> dict[str, tuple[str, ...]]:
    assert content is not None
    return values(content)


def after(recorded: Recorded, outcome: Merged) -> Recorded:
    """The ledger after a write."""

    def without(entries: Entries, *gone: Entries) -> dict[str, tuple[str, ...]]:
        left = {
            name: tuple(v for v in found if not any(v in g.get(name, ()) for g in gone))
            for name, found in entries.items()
        }
        return {name: found for name, found in left.items() if found}

    def together(first: Entries, second: Entries) -> dict[str, tuple[str, ...]]:
        return {name: (*first.get(name, ()), *second.get(name, ())) for name in {**first, **second}}

    change: Change = outcome.change
    gone = (change.removed, outcome.rejected)
    return Recorded(
        together(without(recorded.added, *gone), change.added),
        together(without(recorded.seeded, *gone), change.seeded),
        together(recorded.rejected, outcome.rejected),
    )


def test_fields_that_are_there_get_paths_and_others_are_not_made() -> None:
    before = packet(dc_subject=["Oma"], lr_hierarchicalSubject=["Family|Oma"])
    outcome = merged(before, [DOG, CAT])
    assert outcome.content is not None
    assert values(outcome.content) == {
        SUBJECT.name: ("Oma", "dog", "cat"),
        LR: ("Family|Oma", "Animals|dog", "cat"),
    }
    assert outcome.change.added == {SUBJECT.name: ("dog", "cat"), LR: ("Animals|dog", "cat")}
    assert [mark.fields for mark in provenance(outcome.content)] == [(SUBJECT.name, LR)] * 2
    undone = merged(outcome.content, (), after(Recorded(), outcome))
    assert undone.content == before


def test_every_hierarchical_field_has_its_own_separator() -> None:
    before = packet(
        digiKam_TagsList=["a/b"],
        MicrosoftPhoto_LastKeywordXMP=["a/b"],
        mediapro_CatalogSets=["a|b"],
    )
    outcome = merged(before, [DOG])
    assert outcome.content is not None
    found = values(outcome.content)
    assert found[TAGS_LIST] == found[MICROSOFT] == ("a/b", "Animals/dog")
    assert found[CATALOG] == ("a|b", "Animals|dog")
    # The user's b becomes part of the union.
    assert found[SUBJECT.name] == ("b", "dog")
    assert outcome.change.seeded == {SUBJECT.name: ("b",)}
    assert merged(outcome.content, (), after(Recorded(), outcome)).content == before


def test_a_keyword_that_the_user_has_in_any_field_is_not_added() -> None:
    for content in (
        packet(dc_subject=["Dog"]),
        packet(dc_subject=["x"], lr_hierarchicalSubject=["Pets|DOG"]),
        packet(digiKam_TagsList=["Pets/dog"]),
    ):
        outcome = merged(content, [DOG])
        assert not outcome.is_changed
        assert outcome.change == Change()


def test_a_field_that_is_asked_for_is_made_with_the_users_keywords() -> None:
    before = packet(dc_subject=["Oma"], lr_hierarchicalSubject=["Family|Opa"])
    outcome = merged(before, [DOG], create=[TAGS_LIST])
    assert outcome.content is not None
    assert values(outcome.content)[TAGS_LIST] == ("Family/Opa", "Oma", "Animals/dog")
    assert outcome.change.seeded == {TAGS_LIST: ("Family/Opa", "Oma")}
    assert merged(outcome.content, (), after(Recorded(), outcome)).content == before
    assert not merged(before, (), create=[TAGS_LIST]).is_changed


def test_what_the_user_took_out_is_never_written_again() -> None:
    outcome = merged(None, [DOG, CAT], others=["Oma"])
    recorded = after(Recorded(), outcome)
    assert outcome.content is not None
    edited = remove_values(outcome.content, SUBJECT, ["dog"])
    again = merged(edited, [DOG, CAT], recorded)
    assert again.rejected == {SUBJECT.name: ("dog",)}
    recorded = after(recorded, again)
    louder = merged(edited, [Tag("Dog", 1.0), CAT, Tag("bird", 0.7)], recorded)
    assert louder.content is not None
    assert values(louder.content)[SUBJECT.name] == ("Oma", "cat", "bird")
    recorded = after(recorded, louder)
    undone = merged(louder.content, (), recorded)
    recorded = after(recorded, undone)
    assert recorded.is_empty
    assert merged(None, [DOG, CAT], recorded).change.added == {SUBJECT.name: ("cat",)}


def test_tags_that_are_no_longer_wanted_go_and_the_users_stay() -> None:
    before = packet(dc_subject=["bird"])
    first = merged(before, [DOG, CAT, Tag("bird", 0.5)])
    assert first.content is not None
    second = merged(first.content, [CAT], after(Recorded(), first))
    assert second.content is not None
    assert values(second.content)[SUBJECT.name] == ("bird", "cat")
    assert second.change.removed == {SUBJECT.name: ("dog",)}
    assert [mark.tag for mark in provenance(second.content)] == ["cat"]


def test_another_parent_moves_our_paths_only() -> None:
    before = packet(lr_hierarchicalSubject=["Animals|horse"])
    first = merged(before, [DOG])
    assert first.content is not None
    second = merged(first.content, [Tag("dog", 0.9, ("Auto", "Animals"))], after(Recorded(), first))
    assert second.content is not None
    assert values(second.content)[LR] == ("Animals|horse", "Auto|Animals|dog")


def test_the_flat_copy_that_darktable_makes_goes_with_its_original() -> None:
    first = merged(packet(dc_subject=["Oma"]), [DOG])
    darktable = add_values(first.content, BY_NAME[LR], ["Oma", "dog"])
    undone = merged(darktable, (), after(Recorded(), first))
    assert undone.content is not None
    assert values(undone.content) == {SUBJECT.name: ("Oma",), LR: ("Oma",)}


def test_a_keyword_that_the_user_wrote_in_another_case_is_the_users() -> None:
    first = merged(None, [DOG])
    assert first.content is not None
    edited = add_values(remove_values(first.content, SUBJECT, ["dog"]), SUBJECT, ["DOG"])
    recorded = after(Recorded(), first)
    again = merged(edited, [DOG], recorded)
    assert again.rejected == {}
    undone = merged(edited, (), recorded)
    assert undone.content is not None
    assert values(undone.content)[SUBJECT.name] == ("DOG",)


def test_a_copy_of_a_keyword_that_is_wanted_now_is_neither_removed_nor_added() -> None:
    catalog = BY_NAME[CATALOG]
    user = packet(mediapro_CatalogSets=["cat"])
    first = merged(user, [DOG])
    recorded = after(Recorded(), first)
    assert first.content is not None
    second = merged(remove_values(first.content, catalog, ["cat"]), [CAT], recorded)
    assert values_of(second.content) == {"dc:subject": ("cat",)}
    recorded = after(recorded, second)
    assert not merged(second.content, [CAT], recorded).is_changed
    assert values_of(merged(second.content, (), recorded).content) == {}


words = st.sampled_from(["Oma", "Dog", "dog", "cat", "1.10", "true", "Café", "bird", "x y"])
paths = st.lists(words, min_size=1, max_size=2, unique_by=fold)
machine = st.lists(
    st.sampled_from([DOG, CAT, Tag("bird", 0.6, ("Animals", "Birds")), Tag("Café", 0.5)]),
    unique_by=lambda tag: tag.name,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("tag"), machine),
        st.tuples(st.just("undo"), st.just(())),
        st.tuples(st.just("add"), st.tuples(st.sampled_from(FIELDS), paths)),
        st.tuples(st.just("remove"), st.tuples(st.sampled_from(FIELDS), st.integers(0, 5))),
    ),
    max_size=7,
)


@settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from(FIELDS), st.lists(paths, max_size=3), max_size=3),
    steps,
    st.lists(st.sampled_from([LR, TAGS_LIST]), max_size=1),
)
def test_the_users_part_is_what_the_user_left(
    start: Mapping[object, list[list[str]]], todo: list[tuple[str, object]], create: list[str]
) -> None:
    content: bytes | None = None
    users: dict[str, set[str]] = {field.name: set() for field in FIELDS}
    taken: set[str] = set()
    recorded = Recorded()
    for field, entries in start.items():
        written = [field.entry(path) for path in entries]  # type: ignore[attr-defined]
        content = add_values(content, field, written)  # type: ignore[arg-type]
        users[field.name] |= set(written)  # type: ignore[attr-defined]
    users = {f.name: set(values(content).get(f.name, ())) if content else set() for f in FIELDS}
    for step, argument in [*todo, ("undo", ())]:
        present = {} if content is None else values(content)
        if step in ("tag", "undo"):
            outcome = merged(content, argument, recorded, create=create)  # type: ignore[arg-type]
            if step == "tag":
                again = merged(outcome.content, argument, after(recorded, outcome), create=create)  # type: ignore[arg-type]
                assert not again.is_changed
                assert again.change == Change()
            content, recorded = outcome.content, after(recorded, outcome)
            found = {} if content is None else values(content)
            for name, wanted in users.items():
                assert wanted <= set(found.get(name, ()))
            machine_now = {fold(v) for v in recorded.added.get(SUBJECT.name, ())}
            assert not machine_now & taken
            if step == "undo":
                assert recorded.is_empty
                assert content is None or not provenance(content)
        elif step == "add":
            field, path = argument  # type: ignore[misc]
            value = field.entry(path)
            if field.name == LR and value in recorded.added.get(SUBJECT.name, ()):
                continue  # looks like darktable's copy of ours, and goes with it
            if value in recorded.ours(field.name):
                continue  # taken out and put back, with nobody looking in between
            before = set(present.get(field.name, ()))
            content = add_values(content, field, [value])
            users[field.name] |= set(values(content or b"").get(field.name, ())) - before
        elif content is not None:
            field, index = argument  # type: ignore[misc]
            there = present.get(field.name, ())
            if index < len(there):
                content = remove_values(content, field, [there[index]])
                users[field.name].discard(there[index])
                if field is SUBJECT and there[index] in recorded.ours(SUBJECT.name):
                    taken.add(fold(there[index]))
    found = {} if content is None else values(content)
    flat = users[SUBJECT.name]
    for name, wanted in users.items():
        # A field of the user's that had lost all entries may be there or not.
        assert set(found.get(name, ())) == wanted, (name, flat)


# A ledger that lost something


def test_what_a_lost_ledger_knew_is_proved_by_the_mark() -> None:
    user = packet(dc_subject=["Oma"], lr_hierarchicalSubject=["Familie|Oma"])
    first = merged(user, [CAT, DOG], now=100)
    again = merged(first.content, [CAT, DOG])
    assert not again.is_changed
    assert (
        again.change.added
        == first.change.added
        == {"dc:subject": ("cat", "dog"), LR: ("cat", "Animals|dog")}
    )
    assert merged(first.content, (), after(Recorded(), again)).content == user


def test_of_an_older_ledger_only_what_is_missing_is_proved() -> None:
    old = Recorded(added={"dc:subject": ("cat",)}, until=50)
    content = merged(None, [CAT, DOG], now=100).content
    assert merged(content, [CAT, DOG], old).change.added == {"dc:subject": ("dog",)}
    assert (
        merged(content, (), old, is_undo=True).content
        == merged(content, (), after(old, merged(content, [CAT, DOG], old))).content
    )


def test_what_the_user_took_out_stays_out_though_the_ledger_is_lost() -> None:
    content = merged(None, [CAT, DOG], now=100).content
    assert content is not None
    edited = remove_values(content, SUBJECT, ["dog"])
    again = merged(edited, [CAT, DOG])
    assert again.content == edited
    assert again.rejected == {"dc:subject": ("dog",)}
    assert again.change.added == {"dc:subject": ("cat",)}


def test_a_path_that_the_user_changed_does_not_come_back_though_the_ledger_is_lost() -> None:
    user = packet(lr_hierarchicalSubject=["Familie|Oma"])
    content = merged(user, [DOG], now=100).content
    assert content is not None
    edited = remove_values(content, BY_NAME[LR], ["Animals|dog"])
    moved = add_values(edited, BY_NAME[LR], ["Pets|dog"])
    for found in (edited, moved):
        again = merged(found, [DOG])
        assert again.content == found
        assert again.rejected == {LR: ("Animals|dog",)}


def test_a_mark_proves_nothing_to_a_ledger_that_is_newer() -> None:
    content = merged(None, [CAT], now=100).content
    assert merged(content, [CAT], Recorded(until=100)).change.added == {}


def test_what_is_written_otherwise_or_not_wanted_now_stays_the_users() -> None:
    content = merged(None, [CAT, DOG], now=100).content
    assert content is not None
    edited = add_values(remove_values(content, SUBJECT, ["cat"]), SUBJECT, ["Cat"])
    again = merged(edited, [CAT])
    assert again.content == edited
    assert again.change.added == {}


def test_without_wanted_tags_a_mark_that_the_ledger_knows_nothing_of_is_left_alone() -> None:
    # From another machine's photoramd, say; nobody asked for it to be taken back.
    content = merged(None, [CAT, DOG], now=100).content
    other = Recorded(added={"dc:subject": ("bird",)}, until=50)
    assert merged(content, ()).content == content
    assert values_of(merged(content, (), other).content)["dc:subject"] == ("cat", "dog")


def test_undo_believes_a_mark_that_is_newer_than_the_ledger() -> None:
    content = merged(None, [CAT, DOG], now=100).content
    old = Recorded(added={"dc:subject": ("cat",)}, until=50)
    assert values_of(merged(content, (), old, is_undo=True).content) == {}


def test_what_a_newer_mark_leaves_out_is_no_longer_ours() -> None:
    first = merged(packet(dc_subject=["Oma"]), [CAT, DOG], now=100)
    old = replace(after(Recorded(), first), until=100)
    # We took the dog out; then the user found that it is one.
    content = merged(first.content, [CAT], old, now=200).content
    assert content is not None
    edited = add_values(content, SUBJECT, ["dog"])
    again = merged(edited, [CAT, DOG], old)
    assert not again.is_changed
    assert again.change.removed == {"dc:subject": ("dog",)}
    undone = merged(edited, (), old, is_undo=True).content
    assert values_of(undone)["dc:subject"] == ("Oma", "dog")
    # And what the user did not touch was not taken out by the user.
    assert merged(content, [CAT, DOG], old).change.added == {"dc:subject": ("dog",)}


FIVE = {
    "dc_subject": ["Oma"],
    "lr_hierarchicalSubject": ["Family|Oma"],
    "digiKam_TagsList": ["Family/Oma"],
    "MicrosoftPhoto_LastKeywordXMP": ["Family/Oma"],
    "mediapro_CatalogSets": ["Family|Oma"],
}


@pytest.mark.parametrize(
    ("content", "then", "most"),
    [
        ({}, [DOG, CAT], (2, 1)),
        ({"dc_subject": ["Oma"]}, [DOG, CAT], (2, 1)),
        (FIVE, [DOG, CAT], (2, 1)),
        (FIVE, [], (2, 2)),
        (FIVE, [CAT], (2, 3)),
        (FIVE, [CAT, Tag("sea", 0.7, ("water",))], (2, 3)),
    ],
    ids=["new", "one field, unchanged", "unchanged", "undo", "fewer", "other"],
)
def test_a_packet_is_parsed_once_and_its_outcome_is_verified_once(
    content: Mapping[str, Sequence[str]],
    then: Sequence[Tag],
    most: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first write of two tags, and a second one; the caller's parse counts."""
    parsed = 0
    parse = xmp_packet.etree.fromstring

    def count(*arguments: Any) -> Any:
        nonlocal parsed
        parsed += 1
        return parse(*arguments)

    before = packet(**content) if content else None
    monkeypatch.setattr(xmp_packet.etree, "fromstring", count)
    first = merged(before, [DOG, CAT])
    assert first.is_changed
    assert parsed <= most[0]
    parsed = 0
    second = merged(first.content, then, after(Recorded(), first), is_undo=not then)
    assert second.is_changed == (then != [DOG, CAT])
    assert parsed <= most[1]
