"""What is written is what is read: trees of all fields, ranges and quotes, in any spelling."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoramd.errors import UsageError
from photoramd.search.completion import quoted
from photoramd.search.expression import Field, Range, Recurring, Term, Text, leaves
from photoramd.search.fields import FIELDS
from photoramd.search.parser import parse
from tests.support.written_queries import NOW, Written, fields, queries


@settings(max_examples=200)
@given(queries())
def test_what_is_written_is_what_is_read_and_fields_know_their_place(written: Written) -> None:
    found = parse(written.text, now=NOW)
    assert found == written.tree
    for leaf in leaves(found):
        if isinstance(leaf, Field):
            text = written.text[leaf.position - 1 :].lower()
            assert text.startswith((f"{leaf.name}:", f"{leaf.name}<", f"{leaf.name}>"))


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_each_field_is_read_with_all_that_may_stand_behind_it(name: str) -> None:
    @settings(max_examples=15)
    @given(fields(st.just(name)))
    def agree(written: Written) -> None:
        assert parse(written.text, now=NOW) == written.tree

    agree()


@settings(max_examples=300)
@given(st.text(min_size=1, max_size=20))
def test_any_tag_can_be_written(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    if not text.split():
        with pytest.raises(UsageError):
            parse(quoted(text))
        return
    assert parse(quoted(text)) == Term((text,))
    assert parse(f"tag:{quoted(text)}") == Field("tag", (Text((text,)),))
    assert parse(f"NOT name:x,{quoted(text)} | y").operands  # type: ignore[union-attr]


def test_bytes_that_are_not_utf_8_are_looked_for_as_they_are_shown() -> None:
    assert parse("caf\udce9") == Term(("caf\\xe9",))
    assert parse("name:caf\udce9*") == Field("name", (Text(("caf\\xe9", "")),))
    assert parse('"\ud800"') == Term(("\\xed\\xa0\\x80",))
    assert parse("same:/caf\udce9") == Field("same", (Text(("/caf\udce9",)),))


def test_a_comparison_needs_no_colon() -> None:
    assert parse("iso>=100") == parse("iso:>=100")
    assert parse("taken<7d", now=NOW) == Field("taken", (Range(low=NOW - 7 * 86_400),))
    assert parse("taken:*-12-24,2024") == Field(
        "taken", (Recurring(None, 12, 24), Range(1704067200.0, 1735689599.9999998))
    )
