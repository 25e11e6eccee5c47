"""Words that the user had us add, beside the machine's: in the ledger, in no provenance record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.metadata.changes import Recorded
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.merge import Merged, merge
from photoramd.metadata.plan import Origin, PlanRequest
from photoramd.metadata.xmp_packet import Packet
from photoramd.photo import Tag
from tests.support.xmp import provenance, subjects

CAT = Tag("cat", 0.8)
MINE = Tag("Ferien", 1.0, is_given=True)


def merged(
    content: bytes | None, tags: Sequence[Tag], recorded: Recorded, *, is_undo: bool = False
) -> Merged:
    request = PlanRequest(Path(), tags, Origin("model", "1"), UnixTime(10), (), is_undo)
    packet = None if content is None else Packet(content)
    return merge(packet, request.merge_request(recorded, tuple))


def named(outcome: Merged) -> list[str]:
    assert outcome.content is not None
    return [each.tag for each in provenance(outcome.content)]


def words(outcome: Merged) -> tuple[str, ...]:
    assert outcome.content is not None
    return subjects(outcome.content)


def ledger(*added: str, until: float = 100, **others: tuple[str, ...]) -> Recorded:
    return Recorded({SUBJECT.name: added}, until=until, **others)  # type: ignore[arg-type]


def both() -> bytes:
    """A sidecar with a word of each."""
    content = merged(None, [CAT, MINE], Recorded(given=("Ferien",))).content
    assert content is not None
    return content


def test_a_given_word_is_recorded_and_not_named() -> None:
    outcome = merged(None, [CAT, MINE], Recorded(given=("Ferien",)))
    assert words(outcome) == ("cat", "Ferien")
    assert named(outcome) == ["cat"]
    assert outcome.change.added == {SUBJECT.name: ("cat", "Ferien")}
    alone = merged(None, [MINE], Recorded(given=("Ferien",)))
    assert (words(alone), named(alone)) == (("Ferien",), [])
    # It is as wanted: nothing is written again.
    known = ledger("cat", "Ferien", given=("Ferien",))
    assert not merged(outcome.content, [CAT, MINE], known).is_changed


def test_provenance_that_is_newer_than_the_ledger_gives_up_no_given_word() -> None:
    """The second of two files is written after the first, and before the ledger has a time."""
    for given, withdrawn in ((("Ferien",), ()), ((), ("Ferien",))):
        known = ledger("cat", "Ferien", until=0, given=given, withdrawn=withdrawn)
        outcome = merged(both(), [CAT, MINE] if given else [CAT], known)
        assert outcome.given_up == {}
        assert words(outcome) == (("cat", "Ferien") if given else ("cat",))


def test_a_machines_word_becomes_the_users_and_the_machines_again() -> None:
    mine = Tag("cat", 0.8, is_given=True)
    before = merged(None, [CAT], Recorded())
    given = merged(before.content, [mine], ledger("cat", given=("Cat",)))
    assert (words(given), named(given)) == (("cat",), [])
    assert given.change.removed == {}
    back = merged(given.content, [CAT], ledger("cat", withdrawn=("Cat",)))
    assert (words(back), named(back)) == (("cat",), ["cat"])
    assert back.content == before.content


def test_undo_of_the_machines_leaves_given_words() -> None:
    outcome = merged(both(), [MINE], ledger("cat", "Ferien", given=("Ferien",)), is_undo=True)
    assert (words(outcome), named(outcome)) == (("Ferien",), [])
    assert outcome.change.removed == {SUBJECT.name: ("cat",)}


def test_undo_takes_the_record_along_where_the_user_removed_the_words() -> None:
    known = Recorded(
        {SUBJECT.name: ("Ferien",)}, rejected={SUBJECT.name: ("cat",)}, until=100, given=("Ferien",)
    )
    outcome = merged(both().replace(b"<rdf:li>cat</rdf:li>", b""), [MINE], known, is_undo=True)
    assert (words(outcome), named(outcome)) == (("Ferien",), [])


def test_a_rejected_word_that_is_in_the_file_yet_leaves_it() -> None:
    recorded = Recorded(
        {SUBJECT.name: ("cat", "Ferien")},
        rejected={SUBJECT.name: ("cat",)},
        until=100,
        given=("Ferien",),
    )
    outcome = merged(both(), [CAT, MINE], recorded)
    assert (words(outcome), named(outcome)) == (("Ferien",), [])
    assert outcome.change.removed == {SUBJECT.name: ("cat",)}
    assert outcome.rejected == {}
