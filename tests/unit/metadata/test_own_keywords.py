"""Who gave the keywords that files hold: the user, or the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoramd.errors import SidecarError
from photoramd.metadata import own_keywords
from photoramd.metadata.changes import NOTHING_RECORDED, Recorded
from photoramd.metadata.embedded import Embedded, read
from photoramd.metadata.fields import HIERARCHICAL, SUBJECT
from photoramd.metadata.iptc import KEYWORDS
from photoramd.metadata.own_keywords import (
    IPTC,
    MAX_CHARACTERS,
    MAX_KEYWORDS,
    FileKeywords,
    distinct,
    of_photo,
    of_sidecar,
    users,
)
from photoramd.metadata.xmp_keywords import Provenance
from tests.support.jpegs import picture, with_xmp
from tests.support.xmp import add_subjects, add_values, replace_provenance

LIGHTROOM, DIGIKAM, MICROSOFT, MEDIAPRO = HIERARCHICAL
PATH = Path("/album/a.jpg.xmp")


def sidecar(*subjects: str) -> bytes:
    return add_subjects(None, subjects) or b""


def record(tag: str, *fields: str) -> Provenance:
    return Provenance(tag, 0.9, "embedded", "1", "2026-01-01T00:00:00Z", fields or (SUBJECT.name,))


def own(found: FileKeywords, recorded: Recorded = NOTHING_RECORDED) -> dict[str, bool]:
    return dict(distinct(list(users(found, recorded))))


def test_what_the_ledger_does_not_know_is_the_users() -> None:
    found = of_sidecar(sidecar("Aunt Mary", "dog", "cat"), PATH)
    assert own(found, Recorded(added={SUBJECT.name: ("dog",)})) == {
        "Aunt Mary": False,
        "cat": False,
    }
    assert own(found, Recorded(added={SUBJECT.name: ("dog", "cat", "Aunt Mary")})) == {}
    assert own(found) == {"Aunt Mary": False, "dog": False, "cat": False}


def test_the_ledger_counts_for_its_field_and_its_writing() -> None:
    found = of_sidecar(sidecar("Dog"), PATH)
    assert own(found, Recorded(added={LIGHTROOM.name: ("Dog",)})) == {"Dog": False}
    # Whoever wrote it otherwise wrote it.
    assert own(found, Recorded(added={SUBJECT.name: ("dog",)})) == {"Dog": False}


@pytest.mark.parametrize("field", HIERARCHICAL, ids=lambda field: field.name)
def test_the_last_of_a_path_is_the_keyword_and_those_above_it_stand_above(field: object) -> None:
    assert field in HIERARCHICAL
    entry = field.separator.join(("Places", "Italy", "Rome"))  # type: ignore[attr-defined]
    packet = add_values(sidecar("Rome"), field, [entry, "alone"])  # type: ignore[arg-type]
    assert own(of_sidecar(packet or b"", PATH)) == {
        "Rome": False, "Places": True, "Italy": True, "alone": False,
    }  # fmt: skip


def test_a_keyword_that_was_also_given_by_itself_does_not_only_stand_above() -> None:
    packet = add_values(sidecar("ITALY"), LIGHTROOM, ["Places|Italy|Rome", "Places|Italy|Siena"])
    assert own(of_sidecar(packet or b"", PATH)) == {
        "ITALY": False, "Places": True, "Rome": False, "Siena": False,
    }  # fmt: skip


def test_our_paths_are_ours_by_the_ledger() -> None:
    packet = add_values(sidecar("dog"), LIGHTROOM, ["animal|dog", "Family|Rex"])
    recorded = Recorded(added={SUBJECT.name: ("dog",), LIGHTROOM.name: ("animal|dog",)})
    assert own(of_sidecar(packet or b"", PATH), recorded) == {"Family": True, "Rex": False}


def test_without_a_ledger_the_record_in_the_file_tells() -> None:
    packet = add_values(sidecar("DOG", "Rex"), LIGHTROOM, ["animal|dog", "Family|Rex"]) or b""
    packet = replace_provenance(packet, [record("dog", SUBJECT.name, LIGHTROOM.name)])
    found = of_sidecar(packet, PATH)
    assert found.claimed == {SUBJECT.name: ("dog",), LIGHTROOM.name: ("dog",)}
    assert own(found) == {"Rex": False, "Family": True}
    # What it claims for one field it does not claim for another.
    packet = replace_provenance(packet, [record("dog", SUBJECT.name)])
    assert own(of_sidecar(packet, PATH)) == {
        "Rex": False,
        "Family": True,
        "animal": True,
        "dog": False,
    }


@pytest.mark.parametrize(
    "recorded",
    [
        Recorded(added={SUBJECT.name: ("cat",)}),
        Recorded(seeded={SUBJECT.name: ("Rex",)}),
        Recorded(rejected={SUBJECT.name: ("dog",)}),
    ],
    ids=["added", "seeded", "rejected"],
)
def test_where_the_ledger_knows_something_the_record_tells_nothing(recorded: Recorded) -> None:
    """Whoever may write in the album can claim anything; and a rejected one was put back."""
    packet = replace_provenance(sidecar("dog"), [record("dog")])
    assert own(of_sidecar(packet, PATH), recorded) == {"dog": False}


def test_seeded_entries_are_the_users_own() -> None:
    found = of_sidecar(sidecar("Rex", "dog"), PATH)
    recorded = Recorded(added={SUBJECT.name: ("dog",)}, seeded={SUBJECT.name: ("Rex",)})
    assert own(found, recorded) == {"Rex": False}


def test_a_damaged_sidecar_is_refused() -> None:
    for content in (b"", b"<x", sidecar("a")[:-40], b"\xff\xfe\x00", b"<!DOCTYPE a><a/>"):
        with pytest.raises(SidecarError):
            of_sidecar(content, PATH)


# Inside photos


def test_keywords_of_iptc_and_xmp_inside_a_photo_are_those_of_their_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    packet = add_values(sidecar("Rex"), DIGIKAM, ["Places/Rome"]) or b""
    path.write_bytes(with_xmp(picture(), packet))
    found = of_photo(read(path))
    assert found.entries == {SUBJECT.name: ("Rex",), DIGIKAM.name: ("Places/Rome",)}
    assert own(found) == {"Rex": False, "Places": True, "Rome": False}


def test_iptc_is_a_field_of_its_own() -> None:
    values = {KEYWORDS: [b"Rex", "caf\u00e9".encode(), b"caf\xe9", b"dog"]}
    found = of_photo(Embedded(("Rex", "caf\u00e9", "dog"), iptc=values))
    assert found.entries == {IPTC: ("Rex", "caf\u00e9", "caf\u00e9", "dog")}
    assert own(found, Recorded(added={IPTC: ("dog",)})) == {"Rex": False, "caf\u00e9": False}


def test_what_only_a_lenient_reader_finds_counts_as_flat(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    broken = sidecar("Rex", "dog").replace(b"</rdf:RDF>", b"<unclosed>")
    path.write_bytes(with_xmp(picture(), broken))
    found = of_photo(read(path))
    assert found.entries == {SUBJECT.name: ("Rex", "dog")}
    assert found.claimed == {}
    assert own(found, Recorded(added={SUBJECT.name: ("dog",)})) == {"Rex": False}


def test_a_packet_that_is_no_xml_has_no_keywords() -> None:
    for packet in (b"", b"\0\0", b"nonsense", b"<a", b"\xff" * 50):
        assert of_photo(Embedded((), packet=packet)) == FileKeywords()


def test_the_record_inside_a_photo_tells_too() -> None:
    packet = replace_provenance(sidecar("dog", "Rex"), [record("dog")])
    assert own(of_photo(Embedded(("dog", "Rex"), packet=packet))) == {"Rex": False}


# What is stored of it


def test_keywords_are_stored_once_as_they_were_first_written() -> None:
    paths = [("Caf\u00e9",), ("CAFE\u0301",), (" tiger  cat ",), ("Tiger Cat",)]
    assert distinct(paths) == {"Caf\u00e9": False, "tiger  cat": False}


def test_what_is_no_keyword_is_left_out_and_costs_no_other() -> None:
    odd = ["", "  ", "\0", "a\nb", "a\x85b", "\ud800", "x" * (MAX_CHARACTERS + 1), "y" * (1 << 20)]
    assert distinct([(text,) for text in odd]) == {}
    assert distinct([*((text,) for text in odd), ("x" * MAX_CHARACTERS,), ("Rex",)]) == {
        "x" * MAX_CHARACTERS: False, "Rex": False,
    }  # fmt: skip
    assert distinct([("a\0", "Rome")]) == {"Rome": False}
    assert distinct([("", "Places", "", "Rome")]) == {"Places": True, "Rome": False}


def test_of_more_than_a_thousand_keywords_the_first_are_stored() -> None:
    paths = [(f"k{number}",) for number in range(MAX_KEYWORDS + 1)]
    found = distinct([*paths, ("K0",), ("above", "k1")])
    assert len(found) == MAX_KEYWORDS
    assert f"k{MAX_KEYWORDS}" not in found
    assert "above" not in found
    assert found["k0"] is False
    assert found["k1"] is False


def test_a_sidecar_of_a_thousand_and_one_keywords_is_read() -> None:
    content = sidecar(*(f"k{number}" for number in range(1_001)))
    assert len(own(own_keywords.of_sidecar(content, PATH))) == MAX_KEYWORDS
