"""The parser against lark, with a grammar that was written from the EBNF."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from photoramd.errors import UsageError
from photoramd.search.fields import FIELDS
from photoramd.search.parser import parse
from tests.support.query_grammar import NUMBERS, TEXTS, NoQueryError, Shape, shape, shape_of

PIECES = st.sampled_from(
    [
        "dog", "ca*t", '"a b"', '"and"', r'"a\"b"', "(", ")", " ", " ", "AND ", " or ", "NOT ", "!",
        "-", "|", "||", "&", "&&", "tag:", "TAG:=", "tag:dog", "name:", "path:a/b", "user:x,y",
        'name:"a b"', "score>", "score>=", "iso:", "iso:>=100", "f:", "<", ">", "=", ":", "0.5",
        "1", "..", "@", "@0.5", "@0.2..0.4", "@<0.5", "@fav", ",", ";", "foo:", '"', "\\", ".",
    ]
)  # fmt: skip


def read(text: str) -> Shape | None:
    try:
        return shape_of(parse(text))
    except UsageError:
        return None


def second(text: str) -> Shape | None:
    try:
        return shape(text)
    except NoQueryError:
        return None


def test_the_second_reader_knows_fields_that_exist() -> None:
    assert FIELDS.keys() >= TEXTS | NUMBERS


@settings(max_examples=800)
@given(st.lists(PIECES, max_size=9).map("".join))
@example('tag:"a b"@0.5|x')
@example("tag:a,b@0.2..0.4")
@example("tag:a@0.5,b")
@example('name:a"b"')
@example("name:>a")
@example("tag:@0.5")
@example("not (not dog)")
@example("dog@0.4..0.3")
@example("iso:3..2")
@example('iso:"3..5"')
@example("iso:..")
def test_pieces_in_any_order_are_read_or_refused_alike(text: str) -> None:
    assert read(text) == second(text)


@settings(max_examples=500)
@given(st.text(alphabet='ab*"()&|!-, ;\\NOTandr\n:@<>=.1', max_size=16))
def test_letters_in_any_order_are_read_or_refused_alike(text: str) -> None:
    assert read(text) == second(text)


QUERIES = st.recursive(
    st.sampled_from(
        ["dog", '"a b"', "ca*@0.5", "tag:=x", "name:a,b", 'path:"a/b",c', "score>0.5", "iso:1..2"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" ", " AND ", "&", "|", " or ", "||"]), inner).map(
            "".join
        ),
        inner.map("({})".format),
        st.tuples(st.sampled_from(["NOT ", "!", "-", "!-"]), inner.map("({})".format)).map("".join),
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(QUERIES)
def test_whole_queries_have_the_same_tree(text: str) -> None:
    found = second(text)
    assert found is not None
    assert read(text) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b OR c", ("or", ("and", ("tag", ("a",), False), ("tag", ("b",), False)),
                      ("tag", ("c",), False))),
        ("NOT a b", ("and", ("not", ("tag", ("a",), False)), ("tag", ("b",), False))),
        ("!!a", ("tag", ("a",), False)),
        ("!(!a)", ("not", ("not", ("tag", ("a",), False)))),
        ("tag:a*,b@0.5", ("tag", ("a", ""), ("b",), True)),
    ],
)  # fmt: skip
def test_both_readers_have_the_expected_tree(text: str, expected: Shape) -> None:
    assert read(text) == expected
    assert second(text) == expected
