"""Queries put together from texts find what they say: facets, chips, links."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from photoramd.database.connection import connect
from photoramd.errors import QueryError
from photoramd.search import facets
from photoramd.search.clauses import Clauses, exact_clause, field_clause, folder_clause
from photoramd.search.evaluation import evaluate
from photoramd.search.parser import parse, parts
from photoramd.search.sets import Sets
from photoramd.search.situation import Situation
from tests.support.random_rows import Rows
from tests.support.written_queries import NOW, Written, queries

SEARCHES = {"pets": "dog OR cat", "trip": '"tiger cat" path:2024'}

TEXTS = (
    "", "dog", "dog OR cat", "(dog OR cat)", "NOT dog", "-dog -cat", "dog AND cat | animal",
    "@pets", "@pets dog", "@trip OR dog", '"tiger cat" dog', "animal@0.3..0.8", "tag:=Dog,cat",
    "path:2024 dog", "taken:2024", "is:missing", "state:missing,failed", "is:untagged", "*",
    "no:taken", "by:user", "name:*.jpg", "-(dog | -cat) animal", "NOT NOT dog and\ncat",
)  # fmt: skip


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "photoramd.db")) as connection:
        yield connection


def found(situation: Situation, query: str) -> BitMap:
    if not query.strip():
        return situation.sets.one(facets.Kind.PRESENT)
    return evaluate(situation, parse(query, searches=SEARCHES))


def test_what_a_click_adds_is_the_intersection_and_what_it_excludes_the_difference(
    db: sqlite3.Connection,
) -> None:
    @settings(max_examples=60)
    @given(st.integers(0, 10_000), st.sampled_from(TEXTS), st.lists(st.integers(0, 50), max_size=3))
    def agree(seed: int, query: str, clicks: list[int]) -> None:
        db.execute("BEGIN")
        try:
            Rows(db, seed).fill(13)
            situation = Situation(db, Sets(db))
            facets.prepare(situation.sets)
            for click in clicks or [0]:
                clauses = Clauses.of(query, SEARCHES)
                hits = found(situation, query)
                every = [facet for _, group in facets.facets(situation, hits) for facet in group]
                for facet in every:
                    part = evaluate(situation, parse(facet.clause), missing=True) & hits
                    assert facet.count == len(part) > 0, facet
                    narrowed = str(clauses.narrowed(facet.clause))
                    assert found(situation, narrowed) == part, (query, narrowed)
                    if not clauses.has(facet.clause):
                        rest = found(situation, str(clauses.excluding(facet.clause)))
                        assert rest == hits - part, (query, facet)
                for text in clauses.texts:
                    assert hits <= found(situation, str(clauses.without(text))) | hits
                if not every:
                    return
                facet = every[click % len(every)]
                is_out = click % 2
                query = str(
                    clauses.excluding(facet.clause) if is_out else clauses.narrowed(facet.clause)
                )
        finally:
            db.execute("ROLLBACK")

    agree()


@settings(max_examples=200)
@given(queries())
def test_the_parts_of_a_query_say_the_same_as_all_of_it(written: Written) -> None:
    texts = parts(written.text, now=NOW)
    whole = " ".join(texts)
    assert parse(whole, now=NOW) == written.tree
    for text in texts:
        parse(text, now=NOW)
    if len(texts) > 1:
        assert parse(whole, now=NOW).operands == tuple(  # type: ignore[union-attr]
            parse(text, now=NOW) for text in texts
        )


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("", ()),
        (" \n ", ()),
        ("dog", ("dog",)),
        ('dog "tiger cat" taken:2024', ("dog", '"tiger cat"', "taken:2024")),
        ("dog AND -cat && x", ("dog", "-cat", "x")),
        ("dog OR cat", ("(dog OR cat)",)),
        ("(dog OR cat) x", ("(dog OR cat)", "x")),
        ("NOT  dog @pets ", ("NOT  dog", "@pets")),
        ('name:"a b",c@x dog@0.5', ('name:"a b",c@x', "dog@0.5")),
        ("dog taken:2024..today", ("dog", "taken:2024..today")),
    ],
)
def test_a_query_is_taken_apart_where_all_must_hold(query: str, texts: tuple[str, ...]) -> None:
    assert Clauses.of(query, SEARCHES).texts == texts


def test_a_clause_is_known_in_another_spelling() -> None:
    clauses = Clauses.of('"dog" camera:="Canon EOS R6" path:/a/')
    assert clauses.has("dog")
    assert clauses.has('camera:="Canon EOS R6"')
    assert clauses.has(folder_clause("/a"))
    assert not clauses.has("cat")
    assert str(clauses.narrowed("dog")) == str(clauses)
    assert str(clauses.without("dog")) == 'camera:="Canon EOS R6" path:/a/'
    assert str(Clauses(("dog",)).excluding("dog")) == "-dog"


@pytest.mark.parametrize("query", ["(dog", "foo:x", "dog OR", '"', "taken:2024-13"])
def test_what_cannot_be_read_is_not_taken_apart(query: str) -> None:
    with pytest.raises(QueryError):
        Clauses.of(query)


@settings(max_examples=200)
@given(st.text(min_size=1, max_size=20).filter(str.strip))
def test_any_text_can_be_a_value(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    for clause in (field_clause("name", text), exact_clause("camera", text), folder_clause(text)):
        assert parts(f"dog {clause} x") == ["dog", clause, "x"]
