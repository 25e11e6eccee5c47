"""Readers that share what one of them has read, and then see changes each at its own time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoramd.database import derived
from photoramd.database.connection import connect
from photoramd.errors import StoreError
from photoramd.search import facets
from photoramd.search.queries import open_readonly
from photoramd.search.sets import Sets
from tests.support.random_rows import Rows, contents

STEPS = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from("abc-")), min_size=1, max_size=8
)
"""How many changes, whether they are folded, and which reader looks then."""


def test_who_shares_sets_sees_what_it_would_see_alone(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as writer, closing(open_readonly(path)) as connection:
        writer.execute("BEGIN")
        rows = Rows(writer, 2)
        rows.fill(9)
        writer.execute("COMMIT")

        @settings(max_examples=40)
        @given(STEPS)
        def agree(steps: list[tuple[int, bool, str]]) -> None:
            first = Sets(connection)
            facets.prepare(first)
            readers = {"a": first, "b": Sets(connection, like=first)}
            readers["c"] = Sets(connection, like=readers["b"])
            seen = {name: contents(each) for name, each in readers.items()}
            for changes, is_folded, who in steps:
                rows.commit(changes, is_folded=is_folded)
                if who in readers:
                    readers[who].refresh()
                    seen[who] = contents(readers[who])
                    assert seen[who] == contents(Sets(connection))
                for name, each in readers.items():
                    known = {
                        place: set(each._known[place]) for place in seen[name].keys() & each._known
                    }
                    assert known == {place: seen[name][place] for place in known}, name

        agree()


def test_a_question_that_is_stopped_leaves_no_empty_sets(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as writer, closing(open_readonly(path)) as connection:
        writer.execute("BEGIN")
        Rows(writer, 2).fill(9)
        derived.fold(writer, above=0)
        writer.execute("COMMIT")
        expected = contents(Sets(connection))
        sets = Sets(connection)
        connection.set_progress_handler(lambda: True, 1)
        for kind, key in expected:
            with pytest.raises((StoreError, sqlite3.OperationalError)):
                sets.one(kind, key)
        connection.set_progress_handler(None, 0)
        assert contents(sets) == expected
